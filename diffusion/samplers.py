"""Samplers: plain functions of one signature that turn noise into index maps, chosen by name."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from quantization.palette import PaletteBatch

from .draws import Generators, categorical
from .process import Process

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x_t int64 [B, H, W], t [B]) → logits [B, K, H, W]: a denoiser with palette, conditions and guidance bound to it."""

OnStep = Callable[[int, Tensor], None]
"""Called after each step with its number, from 1, and the index maps then, masks included."""


class Sampler(Protocol):
    """What every sampler is called with."""

    def __call__(
        self,
        denoise: Denoise,
        process: Process,
        palette: PaletteBatch,
        height: int,
        width: int,
        steps: int,
        generator: Generators = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Draw index maps, int64 ``[B, height, width]``, in ``steps`` calls of ``denoise``."""
        ...


def ancestral(
    denoise: Denoise,
    process: Process,
    palette: PaletteBatch,
    height: int,
    width: int,
    steps: int,
    generator: Generators = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Step back over even times by p(x_s | x_t) (Shi et al. 2024, arXiv 2406.04329, Algorithm 2)."""
    x_t = process.prior(palette, height, width, generator)
    times = torch.linspace(1, 0, steps + 1, device=x_t.device)
    for step in range(steps):
        t, s = times[step].expand(len(x_t)), times[step + 1].expand(len(x_t))
        p_0 = denoise(x_t, t).float().softmax(dim=1)
        x_t = categorical(process.posterior(x_t, p_0, s, t, palette), generator)
        if on_step is not None:
            on_step(step + 1, x_t)
    return x_t


SAMPLERS: dict[str, Sampler] = {"ancestral": ancestral}
