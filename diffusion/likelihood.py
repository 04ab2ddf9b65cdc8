"""Bits per pixel: the negative ELBO of an index map given its palette, in bits, divided by its pixels."""

import math

from torch import Tensor

from quantization.palette import PaletteBatch

from .draws import Generators
from .process import Process
from .samplers import Denoise


def bits_per_pixel(
    denoise: Denoise, process: Process, x_0: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators = None
) -> Tensor:
    """Estimate the bound of each image from one corruption at one time.

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
    nats = process.negative_elbo(denoise(x_t, t).float(), x_0, x_t, t, palette)
    return nats / math.log(2) / x_0[0].numel()


def mean_and_stderr(values: Tensor) -> tuple[float, float]:
    """The mean of ``values``, ``[N]``, and its standard error (not a number for fewer than two)."""
    values = values.double()
    return values.mean().item(), (values.std() / math.sqrt(len(values))).item() if len(values) > 1 else math.nan
