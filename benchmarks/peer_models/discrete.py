"""Discrete diffusion by our processes with any denoiser: MD4's loss, and D3PM's hybrid loss."""

import functools

import torch
from torch import Tensor, nn

from tincture.data.augmentation import augment
from tincture.data.index_maps import Batch, IndexMaps
from tincture.diffusion.draws import Streams
from tincture.diffusion.likelihood import hybrid_loss
from tincture.diffusion.process import Process
from tincture.diffusion.samplers import SAMPLERS, even_times, run
from tincture.diffusion.schedules import low_discrepancy_times
from tincture.evaluation.heldout import BitsPerPixel, heldout_estimates
from tincture.models.denoiser import NO_CONDITIONS, bind
from tincture.quantization.palettes.batch import PaletteBatch

from .peer import BATCH, Drawing


class DiscretePeer:
    """A denoiser and the process that it undoes, trained as training/loop.py does.

    Args:
        network: as `models.denoiser.Denoiser`.
        process: how index maps are corrupted.
        cross_entropy: its weight beside the bound.
        samplers: names in `diffusion.samplers.SAMPLERS`, which draw with their own defaults.
        palette_jitter: how far the colors of a trained palette are changed together
            (`data.augmentation.jitter`).
    """

    def __init__(
        self,
        network: nn.Module,
        process: Process,
        cross_entropy: float = 0.0,
        samplers: tuple[str, ...] = ("ancestral",),
        palette_jitter: float = 0.0,
    ) -> None:
        self.network, self.process, self.cross_entropy = network, process, cross_entropy
        self.samplers, self.palette_jitter = samplers, palette_jitter

    def loss(self, batch: Batch) -> Tensor:
        """The negative ELBO plus the weighted cross-entropy, bits per pixel."""
        batch, _ = augment(
            batch, 0, 0, self.palette_jitter, functools.partial(torch.rand, len(batch.x_0), device=batch.x_0.device)
        )
        t = low_discrepancy_times(len(batch.x_0)).to(batch.x_0.device)
        x_t = self.process.q_sample(batch.x_0, t, batch.palette)
        logits = self.network(x_t, t, batch.palette).float()
        losses, _ = hybrid_loss(self.process, logits, batch.x_0, x_t, t, batch.palette, self.cross_entropy)
        return losses.mean()

    def bits_per_pixel(self, network: nn.Module, images: IndexMaps, times: int) -> BitsPerPixel:
        """The negative ELBO."""
        return heldout_estimates(network, self.process, images, times).result()

    @torch.inference_mode()
    def draw(
        self, network: nn.Module, palettes: PaletteBatch, size: int, calls: int, sampler: str, seed: int
    ) -> Drawing:
        """Even steps of time."""
        network.eval()
        drawn = []
        for first in range(0, len(palettes.colors), BATCH):
            palette = palettes[slice(first, first + BATCH)].to(next(network.parameters()).device)
            streams = Streams.of(seed, range(first, first + len(palette.colors)), palette.colors.device)
            prior = self.process.prior(palette, size, size, streams)
            times = even_times(calls).to(prior.device)
            steps = SAMPLERS[sampler].algorithm(self.process, palette, prior, times, streams)
            drawn.append(run(steps, bind(network, palette, NO_CONDITIONS)).cpu())
            streams.look()
        return Drawing(torch.cat(drawn))
