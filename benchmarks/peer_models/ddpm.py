"""Continuous diffusion in RGBA on our own UNet, quantized afterwards: what people do today.

DDPM (Ho et al. 2020, arXiv 2006.11239) by diffusers' `DDPMScheduler`, noise predicted, with the
cosine schedule of Nichol and Dhariwal 2021 (arXiv 2102.09672), which small images and few calls are
better served by than by the linear one.
"""

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor, nn

from tincture.data.index_maps import Batch, IndexMaps
from tincture.diffusion.draws import mixed_seed
from tincture.models.denoiser import ConditionEmbedding
from tincture.models.options import DenoiserConfig
from tincture.models.unet import UNet
from tincture.quantization.encoding import encode
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette

from .peer import BATCH, Drawing

TIMES = 1000


class NoisePredictor(nn.Module):
    """Our UNet on four channels, told the time."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.condition = ConditionEmbedding(config.condition_channels, 0, time=True)
        self.backbone = UNet(4, 4, config.condition_channels, config.unet)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Noisy pixels ``[B, 4, H, W]`` at times ``[B]`` in 0 … 1 → their noise."""
        return self.backbone(x, self.condition(t, None))


class DDPMPeer:
    """Train on the pixels that index maps show; draw pixels; take the nearest entries."""

    samplers = ("ancestral",)

    def __init__(self, network: NoisePredictor) -> None:
        self.network = network
        # By default the steps are a whole number of times apart, from 0: 256 of them would begin at
        # 765 of 1,000, with too much noise.
        self.scheduler = DDPMScheduler(TIMES, beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing")

    def loss(self, batch: Batch) -> Tensor:
        """The mean squared error of the noise (Ho et al. eq. 14)."""
        x_0 = to_pixels(batch)
        step = torch.randint(TIMES, (len(x_0),), device=x_0.device)
        noise = torch.randn_like(x_0)
        return F.mse_loss(self.network(self.scheduler.add_noise(x_0, noise, step), step / TIMES), noise)

    def bits_per_pixel(self, network: nn.Module, images: IndexMaps, times: int) -> None:
        """Densities of colors aren't probabilities of entries."""

    @torch.inference_mode()
    def draw(
        self, network: nn.Module, palettes: PaletteBatch, size: int, calls: int, sampler: str, seed: int
    ) -> Drawing:
        """Sample RGBA, round it to bytes, then take the nearest entries in OKLab."""
        network.eval()
        device = next(network.parameters()).device
        self.scheduler.set_timesteps(calls)
        drawn = []
        for first in range(0, len(palettes.colors), BATCH):
            generator = torch.Generator().manual_seed(mixed_seed(seed, first))
            count = len(palettes.colors[first : first + BATCH])
            x = torch.randn(count, 4, size, size, generator=generator).to(device)
            for step in self.scheduler.timesteps:
                noise = network(x, torch.full((count,), step / TIMES, device=device))
                x = self.scheduler.step(noise, step, x, generator=generator).prev_sample
            drawn.append(((x.cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(1, -1))
        rgba = torch.cat(drawn)
        indices = [
            encode(image, Palette(colors[valid].numpy()))
            for image, colors, valid in zip(rgba.numpy(), palettes.colors, palettes.valid, strict=True)
        ]
        return Drawing(torch.from_numpy(np.stack(indices)).long(), rgba)


def to_pixels(batch: Batch) -> Tensor:
    """What index maps show, RGBA from -1 to 1, ``[B, 4, H, W]``; transparent pixels are black."""
    rows = torch.arange(len(batch.x_0), device=batch.x_0.device)[:, None, None]
    rgba = batch.palette.colors[rows, batch.x_0].float()  # [B, H, W, 4]
    rgba = torch.where(rgba[..., 3:] > 0, rgba, 0.0)
    return (rgba / 127.5 - 1).movedim(-1, 1).contiguous()
