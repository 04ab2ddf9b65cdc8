"""Noise schedules: alpha(t), the probability that a pixel still holds its clean entry at time t.

Each is written by its complement ``1 - alpha``, which is exactly 0 at t = 0 in floating point.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tincture.common.errors import InputError, choose

from .options import ScheduleName


@dataclass(frozen=True)
class Schedule:
    """Three functions, from tensors of any shape to tensors of that shape."""

    noise: Callable[[Tensor], Tensor]
    """``1 - alpha(t)``, rising from 0 to 1."""
    noise_rate: Callable[[Tensor], Tensor]
    """``-alpha'(t)``, its derivative."""
    time: Callable[[Tensor], Tensor]
    """The time at which the noise has a value: the inverse of ``noise``."""


def linear() -> Schedule:
    """alpha(t) = 1 - t (Sahoo et al. 2024, arXiv 2406.07524, "log-linear")."""
    return Schedule(noise=lambda t: t, noise_rate=torch.ones_like, time=lambda noise: noise)


def cosine() -> Schedule:
    """alpha(t) = 1 - sin(π/2 t) = 1 - cos(π/2 (1 - t)) (Shi et al. 2024, 2406.04329, Table 1)."""
    return Schedule(
        noise=lambda t: torch.sin(math.pi / 2 * t),
        noise_rate=lambda t: math.pi / 2 * torch.cos(math.pi / 2 * t).clamp_min(0),  # float32 has -4e-8 at t = 1
        time=lambda noise: 2 / math.pi * torch.asin(noise),
    )


def polynomial(power: float = 2.0) -> Schedule:
    """alpha(t) = 1 - t^power (Shi et al. 2024, arXiv 2406.04329, Table 1)."""
    return Schedule(
        noise=lambda t: t**power,
        noise_rate=lambda t: power * t ** (power - 1),
        time=lambda noise: noise ** (1 / power),
    )


def interpolated(knots: Sequence[float]) -> Schedule:
    """The schedule whose noise rises in straight lines through ``knots`` at even times.

    Args:
        knots: noise at times 0, 1/n … 1: rising, from 0 to 1.

    Raises:
        InputError: they don't rise from 0 to 1.
    """
    if len(knots) < 2 or knots[0] != 0 or knots[-1] != 1 or not all(a < b for a, b in itertools.pairwise(knots)):
        raise InputError("the knots of a schedule rise from 0 to 1")
    pieces = len(knots) - 1
    table = torch.tensor(knots, dtype=torch.float64)

    def piece(t: Tensor) -> Tensor:
        return (t * pieces).long().clamp(0, pieces - 1)

    def noise(t: Tensor) -> Tensor:
        values, start = table.to(t), piece(t)
        share = t * pieces - start
        return values[start] + share * (values[start + 1] - values[start])

    def noise_rate(t: Tensor) -> Tensor:
        values, start = table.to(t), piece(t)
        return pieces * (values[start + 1] - values[start])

    def time(level: Tensor) -> Tensor:
        values = table.to(level)
        start = (torch.searchsorted(values, level.contiguous(), right=True) - 1).clamp(0, pieces - 1)
        share = (level - values[start]) / (values[start + 1] - values[start])
        return (start + share) / pieces

    return Schedule(noise, noise_rate, time)


SCHEDULES: dict[ScheduleName, Callable[[], Schedule]] = {"linear": linear, "cosine": cosine, "polynomial": polynomial}


def make_schedule(name: str, knots: Sequence[float] | None = None) -> Schedule:
    """The schedule called ``name``; ``fitted`` goes through ``knots``.

    Raises:
        InputError: the name is unknown, or ``fitted`` has no knots.
    """
    if name != "fitted":
        return choose("schedule", name, {**SCHEDULES, "fitted": linear})()
    if knots is None:
        raise InputError("this model has no fitted schedule; choose from " + ", ".join(SCHEDULES))
    return interpolated(knots)


def fitted_knots(noise: Tensor, bits: Tensor, pieces: int = 32) -> list[float]:
    """The knots of the schedule under which equal steps of time carry equal numbers of bits.

    The negative ELBO is an integral over noise levels, whatever the schedule; this one moves
    through each level as slowly as the level is expensive (Kingma et al. 2021, arXiv 2107.00630,
    section 5.1, say why the choice is free).

    Args:
        noise: levels at which bounds were estimated, drawn at uniform times of any schedule,
            ``[N]``.
        bits: the estimates, not negative, ``[N]``.
        pieces: straight lines of the schedule.
    """
    order = noise.double().flatten().argsort()
    levels = noise.double().flatten()[order]
    total = bits.double().flatten()[order].cumsum(0)
    levels = torch.cat([levels.new_zeros(1), levels, levels.new_ones(1)])
    share = torch.cat([total.new_zeros(1), total / total[-1], total.new_ones(1)])
    # A floor of an even schedule keeps the noise rising where the estimates are zero.
    share = 0.99 * share + 0.01 * levels
    wanted = torch.linspace(0, 1, pieces + 1, dtype=torch.float64)
    place = torch.searchsorted(share, wanted).clamp(1, len(share) - 1)
    low, high = share[place - 1], share[place]
    knots = levels[place - 1] + (wanted - low) / (high - low) * (levels[place] - levels[place - 1])
    knots[0], knots[-1] = 0, 1
    return knots.tolist()


def low_discrepancy_times(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Times that are each uniform in (0, 1] and together evenly spread.

    Kingma et al. 2021 (arXiv 2107.00630), appendix I.1.

    Returns:
        float32 ``[count]``, in random order.
    """
    offset = torch.rand(1, generator=generator)
    times = (offset + torch.arange(count)) / count % 1
    return 1 - times[torch.randperm(count, generator=generator)]
