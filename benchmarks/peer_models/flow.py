"""Discrete flow matching by Meta's package: its mixture path, loss and Euler solver.

From masks to entries, with the cubic schedule of the repository's image example (Gat et al. 2024,
arXiv 2407.15595; loss: Shaul et al. 2024, arXiv 2412.03487). The example itself minimizes the plain
cross-entropy of all pixels instead: both are here. The package's time runs from 0 (noise) to 1
(data); the network is told how many pixels are masked instead, ``1 - κ``, so that the masked bound
can be measured on it: with carried-over entries it is never above the package's own loss.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tincture.common.errors import InputError
from tincture.data.index_maps import Batch, IndexMaps
from tincture.diffusion.absorbing import AbsorbingProcess
from tincture.diffusion.draws import mixed_seed
from tincture.diffusion.schedules import linear
from tincture.evaluation.heldout import BitsPerPixel, heldout_estimates
from tincture.quantization.palettes.batch import PaletteBatch

from .peer import BATCH, Drawing

POWER = 3.0
"""Of the schedule κ(τ) = τ³."""
LAST_TIME = 1 - 1e-3
"""The package's examples stop here: the loss's weight, κ' / (1 - κ), has no bound as τ → 1."""


class FlowPeer:
    """A per-index denoiser trained and drawn with by the package.

    Args:
        network: `PerIndexDenoiser`.
        cross_entropy: train by the example's loss instead of the package's.

    Raises:
        InputError: the package isn't installed.
    """

    def __init__(self, network: nn.Module, cross_entropy: bool = False) -> None:
        try:
            from flow_matching.loss import MixturePathGeneralizedKL
            from flow_matching.path import MixtureDiscreteProbPath
            from flow_matching.path.scheduler import PolynomialConvexScheduler
            from flow_matching.solver import MixtureDiscreteEulerSolver
        except ImportError:
            raise InputError(
                "the peer flow-matching needs its package: pip install -r requirements-benchmarks.txt"
            ) from None
        self.network, self.cross_entropy, self.samplers = network, cross_entropy, ("euler",)
        self.path = MixtureDiscreteProbPath(PolynomialConvexScheduler(n=POWER))
        self.kl = MixturePathGeneralizedKL(self.path)
        self.solver = MixtureDiscreteEulerSolver

    def loss(self, batch: Batch) -> Tensor:
        """The package's loss or the example's, bits per pixel."""
        tau = LAST_TIME * torch.rand(len(batch.x_0), device=batch.x_0.device)
        masks = torch.full_like(batch.x_0, batch.palette.mask_index)
        x_t = self.path.sample(x_0=masks, x_1=batch.x_0, t=tau).x_t
        logits = self.network(x_t, _masked(tau), batch.palette)
        if self.cross_entropy:
            return F.cross_entropy(logits.float(), batch.x_0) / math.log(2)
        return self.kl(_with_mask(logits), batch.x_0, x_t, tau) / math.log(2)

    def bits_per_pixel(self, network: nn.Module, images: IndexMaps, times: int) -> BitsPerPixel:
        """The negative ELBO of masked diffusion, which the schedule doesn't change."""
        return heldout_estimates(network, AbsorbingProcess(linear()), images, times).result()

    @torch.inference_mode()
    def draw(
        self, network: nn.Module, palettes: PaletteBatch, size: int, calls: int, sampler: str, seed: int
    ) -> Drawing:
        """The package's Euler steps, even in its time."""
        network.eval()
        device = next(network.parameters()).device
        drawn = []
        for first in range(0, len(palettes.colors), BATCH):
            palette = palettes[slice(first, first + BATCH)].to(device)
            solver = self.solver(_Posterior(network, palette), self.path, palette.mask_index + 1)
            masks = torch.full((len(palette.colors), size, size), palette.mask_index, device=device)
            with torch.random.fork_rng():  # the solver draws from torch's global generator
                torch.manual_seed(mixed_seed(seed, first))
                grid = torch.linspace(0, 1, calls + 1)
                drawn.append(solver.sample(x_init=masks, step_size=None, time_grid=grid).cpu())
        return Drawing(torch.cat(drawn))


class _Posterior(nn.Module):
    """p(x_1 | x_t) as the solver calls it."""

    def __init__(self, network: nn.Module, palette: PaletteBatch) -> None:
        super().__init__()
        self.network, self.palette = network, palette

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return _with_mask(self.network(x, _masked(t), self.palette)).softmax(dim=-1)


def _masked(tau: Tensor) -> Tensor:
    """The share of pixels that are still masked, ``1 - κ(τ)``."""
    return 1 - tau**POWER


def _with_mask(logits: Tensor) -> Tensor:
    """Logits ``[B, K, H, W]`` as the package has them, ``[B, H, W, K + 1]``, no mask."""
    logits = logits.float().movedim(1, -1)
    return torch.cat([logits, torch.full_like(logits[..., :1], -torch.inf)], dim=-1)
