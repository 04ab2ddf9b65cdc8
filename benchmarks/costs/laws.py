"""Laws of cost, derived and fitted: sums of terms in pixels and palette entries."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from tincture.models.options import DenoiserConfig

TERMS: dict[str, Callable[[float, float], float]] = {
    "pixels": lambda pixels, entries: pixels,
    "pixels²": lambda pixels, entries: pixels**2,
    "pixels × entries": lambda pixels, entries: pixels * entries,
    "entries": lambda pixels, entries: entries,
    "entries²": lambda pixels, entries: entries**2,
    "picture": lambda pixels, entries: 1,
}

Law = Mapping[str, float]
"""A coefficient for each term, some of `TERMS`."""


class Point(NamedTuple):
    """A measurement."""

    pixels: float
    entries: float
    cost: float


def cost(law: Law, pixels: float, entries: float) -> float:
    """What the law says that a picture costs."""
    return sum(coefficient * TERMS[name](pixels, entries) for name, coefficient in law.items())


def fit(points: Sequence[Point], terms: Sequence[str]) -> dict[str, float]:
    """The law with the least squares of relative errors, among those without negative coefficients.

    Terms that would be negative are left out one by one, the most negative share of the costs
    first.

    Args:
        points: at least as many as terms.
        terms: names in `TERMS`.
    """
    terms = list(terms)
    while True:
        rows = [[TERMS[name](p.pixels, p.entries) / p.cost for name in terms] for p in points]
        matrix = torch.tensor(rows, dtype=torch.float64)
        scale = matrix.amax(dim=0)  # terms differ by many orders of magnitude
        ones = torch.ones(len(points), 1, dtype=torch.float64)
        solution = torch.linalg.lstsq(matrix / scale, ones, driver="gelsd").solution[:, 0]
        if (solution >= 0).all():
            return dict(zip(terms, (solution / scale).tolist(), strict=True))
        del terms[int(solution.argmin())]


def residuals(law: Law, points: Sequence[Point]) -> list[float]:
    """By how much the law is too high at each point, as a share of what was measured."""
    return [cost(law, p.pixels, p.entries) / p.cost - 1 for p in points]


def operations_law(model: DenoiserConfig, training: bool) -> dict[str, float]:
    """The operations of a palette denoiser for a picture, read off its layers.

    Each multiplication and each addition is one.

    A layer of M × N weights takes 2 M N at each position; going back takes as many for its input's
    gradient, and for its weights'. Attention over N positions of C features takes 4 N² C (queries
    with keys, shares with values); going back takes 10 N² C, since its shares aren't kept but
    computed again. Normalizations, activations and sums aren't counted. It holds where the
    network's strides divide the edge length.

    Args:
        model: of kind palette, without luminance.
        training: forward and backward; else forward.
    """
    unet, width = model.unet, model.token_channels
    layer, first_layer, attention = (3, 2, 14) if training else (1, 1, 4)  # the first layer's input needs no gradient
    positions = [1 / (unet.patch_size * 2**level) ** 2 for level in range(len(unet.channels))]  # for each pixel
    levels = range(len(unet.channels))
    conditioned = 0  # features that the condition scales and shifts

    def blocks(in_channels: int, channels: int, count: int) -> int:
        """Weights of residual blocks that are used at each position."""
        nonlocal conditioned
        conditioned += count * channels
        skip = in_channels * channels if count and in_channels != channels else 0
        first = 9 * in_channels * channels + 9 * channels**2 + skip
        return first + (count - 1) * 18 * channels**2 if count else 0

    weights = width * unet.channels[0]  # the stem's, for each pixel
    weights += unet.channels[0] * unet.head_channels + 9 * width * unet.head_channels  # unfolded and local
    weights += blocks(unet.head_channels, unet.head_channels, unet.head_blocks) + unet.head_channels * width
    quadratic = 0.0
    for level in levels:
        channels, count = unet.channels[level], unet.blocks[level]
        here = blocks(channels, channels, count)
        passes = 1
        if level < levels[-1]:
            here += blocks(2 * channels, channels, count)
            weights += 2 * 4 * channels * unet.channels[level + 1] * positions[level + 1]  # shrink and grow
            passes = 2
        if unet.attention[level]:
            here += passes * count * 4 * channels**2
            quadratic += passes * count * channels * positions[level] ** 2
        weights += here * positions[level]
    features, oklab = 52, 18  # of a color: models/palette_encoder.py; two matrices of 3 × 3, which learn nothing
    entry = 8 * width**2 * model.palette_depth + width**2 + width * (width + 1)
    condition = model.condition_channels
    time = (first_layer + layer) * condition**2 if model.time_conditioning else 0
    return {
        "pixels": 2 * layer * weights,
        "pixels²": attention * quadratic,
        "pixels × entries": 2 * layer * width,
        "entries": 2 * (layer * entry + first_layer * features * width + oklab),
        "entries²": attention * width * model.palette_depth,
        "picture": 2 * (layer * 2 * condition * conditioned + time),
    }
