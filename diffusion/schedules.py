"""Noise schedules: alpha(t), the probability that a pixel still holds its clean entry at time t.

Each is written by its complement ``1 - alpha``, which is exactly 0 at t = 0 in floating point.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """Two functions of the time, from tensors of any shape to tensors of that shape."""

    noise: Callable[[Tensor], Tensor]
    """``1 - alpha(t)``, rising from 0 to 1."""
    noise_rate: Callable[[Tensor], Tensor]
    """``-alpha'(t)``, its derivative."""


SCHEDULES: dict[str, Schedule] = {
    # Sahoo et al. 2024, arXiv 2406.07524, "log-linear": alpha(t) = 1 - t
    "linear": Schedule(noise=lambda t: t, noise_rate=torch.ones_like),
    # Shi et al. 2024, arXiv 2406.04329, Table 1: alpha(t) = 1 - cos(π/2 (1 - t)) = 1 - sin(π/2 t)
    "cosine": Schedule(
        noise=lambda t: torch.sin(math.pi / 2 * t),
        noise_rate=lambda t: math.pi / 2 * torch.cos(math.pi / 2 * t),
    ),
}


def low_discrepancy_times(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Times that are each uniform in (0, 1] and together evenly spread (Kingma et al. 2021, arXiv 2107.00630, I.1).

    Returns:
        float32 ``[count]``, in random order.
    """
    offset = torch.rand(1, generator=generator)
    times = (offset + torch.arange(count)) / count % 1
    return 1 - times[torch.randperm(count, generator=generator)]
