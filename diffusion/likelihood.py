"""Bits per pixel: the negative ELBO of an index map given its palette, in bits, divided by its pixels."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from .draws import Generators
from .process import Process

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x_t int64 [B, H, W], t [B]) → logits [B, K, H, W]: a denoiser with palette and conditions bound to it."""


def bits_per_pixel(
    denoise: Denoise, process: Process, x_0: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators = None
) -> Tensor:
    """Estimate the continuous-time bound of each image from one corruption at one time.

    Args:
        denoise: the network, with palette and conditions bound to it.
        process: how ``x_0`` is corrupted.
        x_0: clean index maps, int64 ``[B, H, W]``.
        t: times, each uniform in (0, 1], ``[B]``.
        palette: one palette for each image.
        generator: of the corruption.

    Returns:
        float ``[B]``; the mean over times and corruptions is the bound.
    """
    x_t = process.q_sample(x_0, t, palette, generator)
    return to_bits(process.negative_elbo(denoise(x_t, t).float(), x_0, x_t, t, palette), x_0)


def discrete_bits_per_pixel(
    denoise: Denoise,
    process: Process,
    x_0: Tensor,
    step: Tensor,
    steps: int,
    palette: PaletteBatch,
    generator: Generators = None,
) -> Tensor:
    """Estimate the bound of ancestral sampling in ``steps`` even steps from one corruption at the end of one of them.

    ``steps · KL(q(x_s | x_t, x_0) ‖ p(x_s | x_t))`` (Austin et al. 2021, arXiv 2107.03006, eq. 1); x_1 is pure noise, so
    the prior costs nothing. It falls towards the continuous-time bound as the steps grow.

    Args:
        step: uniform in 1 … steps, int64 ``[B]``; other arguments, and the result, as for `bits_per_pixel`.
        steps: how many.
    """
    s, t = (step - 1) / steps, step / steps
    x_t = process.q_sample(x_0, t, palette, generator)
    p_0 = denoise(x_t, t).float().softmax(dim=1)
    certain = torch.zeros_like(p_0).scatter_(1, x_0[:, None], 1)
    q = process.posterior(x_t, certain, s, t, palette)
    p = process.posterior(x_t, p_0, s, t, palette)
    terms = torch.where(q > 0, torch.xlogy(q, q) - torch.xlogy(q, p), 0)
    return to_bits(steps * terms.flatten(1).sum(dim=1), x_0)


def to_bits(nats: Tensor, x_0: Tensor) -> Tensor:
    """Nats per image as bits per pixel."""
    return nats / (math.log(2) * x_0[0].numel())


def mean_and_stderr(values: Tensor) -> tuple[float, float]:
    """The mean of ``values``, ``[N]``, and its standard error (not a number for fewer than two)."""
    values = values.double()
    return values.mean().item(), (values.std() / math.sqrt(len(values))).item() if len(values) > 1 else math.nan
