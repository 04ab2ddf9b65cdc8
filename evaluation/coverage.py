"""Do drawn images look like real ones, and all real ones like drawn ones? Counted by balls around nearest neighbors.

Precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991), density and coverage (Naeem et al. 2020, arXiv
2002.09797). A sample's ball reaches to its k-th nearest neighbor in its own set, the border included.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

ROWS = 1024
"""Rows of the distance matrix at once, which bounds memory."""


class Coverage(NamedTuple):
    """Four shares, float64 ``[]``."""

    precision: Tensor
    """Of drawn images inside the ball of any real one: are they realistic?"""
    recall: Tensor
    """Of real images inside the ball of any drawn one: are all kinds drawn?"""
    density: Tensor
    """In how many of the real balls a drawn image lies, over k: precision that one outlier can't raise. About 1 where both
    sets come from one distribution; it may exceed 1."""
    coverage: Tensor
    """Of real images whose own ball holds a drawn one: recall that one outlier can't raise."""


def coverage(drawn: Tensor, real: Tensor, k_precision: int = 3, k_density: int = 5) -> Coverage:
    """Count who lies in whose balls.

    Args:
        drawn: features, float64 ``[N, D]``.
        real: features, float64 ``[M, D]``.
        k_precision: which neighbor bounds the balls of precision and recall; 3 in their paper.
        k_density: the same for density and coverage; 5 in theirs.

    Raises:
        ValueError: a set has no k-th neighbor.
    """
    if min(len(drawn), len(real)) <= max(k_precision, k_density):
        raise ValueError(f"{len(drawn)} drawn and {len(real)} real images have no neighbor number {k_density}")
    drawn_radius = _radii(drawn, (k_precision,))[:, 0]  # [N]
    real_radius, density_radius = _radii(real, (k_precision, k_density)).T  # [M], [M]
    inside_real, holders = [], []
    covered, recalled = torch.zeros(2, len(real), dtype=torch.bool)
    for rows, distances in _distances(drawn, real):  # [rows, M]
        inside = distances <= density_radius
        inside_real.append((distances <= real_radius).any(dim=1))
        holders.append(inside.sum(dim=1))
        covered |= inside.any(dim=0)
        recalled |= (distances <= drawn_radius[rows, None]).any(dim=0)
    return Coverage(
        precision=torch.cat(inside_real).double().mean(),
        recall=recalled.double().mean(),
        density=torch.cat(holders).double().mean() / k_density,
        coverage=covered.double().mean(),
    )


def _radii(features: Tensor, neighbors: tuple[int, ...]) -> Tensor:
    """The distance of each sample to its k-th nearest neighbors in its own set, ``[N, len(neighbors)]``."""
    rows = []
    for _, distances in _distances(features, features):
        nearest = distances.topk(max(neighbors) + 1, largest=False).values  # the nearest is the sample itself
        rows.append(nearest[:, list(neighbors)])
    # Distances by matrix products are off by about 1e-8 of the features' length: copies must stay inside each other's balls.
    return torch.cat(rows) + 1e-7 * features.norm(dim=1).max()


def _distances(first: Tensor, second: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The distances of some rows of ``first`` to all of ``second`` at a time, ``[rows, M]``."""
    for start in range(0, len(first), ROWS):
        rows = slice(start, start + ROWS)
        yield rows, torch.cdist(first[rows], second)
