"""Weighted k-means of many small sets of points at once, in torch: enough work to keep a GPU busy.

Lloyd's iteration (1982) starts from farthest points (Gonzalez 1985), which leave no group of points
without a center near it. Moves follow, as in kmeans.py. Each set has its own centers. Points are
compared by the chunk, so that memory is bounded; the search by cells of nearest.py would branch too
much for a GPU.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .kmeans import SPLIT_GAIN, STEP

_ITERATIONS, _TRIAL_ITERATIONS, _MOVES = 10, 5, 10
_SETS = 256
"""Sets that are worked on at once, those of similar size together, so that little is padding."""
_DISTANCES = 1 << 24
"""Distances that are held at once, at most (64 MB)."""


def _chunks(points: Tensor, k: int) -> Iterator[slice]:
    """Slices of the points whose distances to k centers fit."""
    size = max(1, _DISTANCES // (len(points) * k))
    for start in range(0, points.shape[1], size):
        yield slice(start, start + size)


def nearest_in_batches(points: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Find each point's nearest center within its own set, the first one on a tie.

    Args:
        points: float32 ``[B, N, 3]``.
        centers: float32 ``[B, K, 3]``.

    Returns:
        The centers' positions, int64 ``[B, N]``, and the squared distances, float32 ``[B, N]``.
    """
    labels = torch.empty(points.shape[:2], dtype=torch.int64, device=points.device)
    distances = torch.empty(points.shape[:2], device=points.device)
    for part in _chunks(points, centers.shape[1]):
        # Three squared differences, as in nearest.py: |p|² - 2pc + |c|² would lose the digits of
        # small distances.
        squared = sum((points[:, part, None, axis] - centers[:, None, :, axis]).square_() for axis in range(3))
        distances[:, part], labels[:, part] = squared.min(dim=-1)  # [B, n, K] → [B, n]
    return labels, distances


def _farthest_points(points: Tensor, weights: Tensor, k: int) -> Tensor:
    """The heaviest point, then each time the one that costs most so far."""
    rows = torch.arange(len(points), device=points.device)
    centers, distances = [points[rows, weights.argmax(dim=1)]], torch.full_like(weights, torch.inf)
    for _ in range(k - 1):
        distances = torch.minimum(distances, (points - centers[-1][:, None]).square().sum(-1))
        centers.append(points[rows, (distances * weights).argmax(dim=1)])
    return torch.stack(centers, dim=1)  # [B, k, 3]


class _Sums(NamedTuple):
    """Sums over the points that are nearest to each center."""

    error: Tensor  # [B], of the whole set: the weighted squared distances
    masses: Tensor  # [B, K]
    means: Tensor  # [B, K, 3]
    spreads: Tensor  # [B, K, 3], the weighted squared distance to the mean along each axis


def _assign(points: Tensor, weights: Tensor, centers: Tensor) -> tuple[_Sums, Tensor]:
    """The sums, and what each point costs, ``[B, N]``."""
    k = centers.shape[1]
    labels, distances = nearest_in_batches(points, centers)
    columns = torch.cat([torch.ones_like(points[..., :1]), points, points.square()], dim=-1) * weights[..., None]
    sums = columns.new_zeros(len(points), k, 7)
    # One-hot products, not atomic additions: so a GPU gives the same sums at every call.
    for part in _chunks(points, k):
        sums += torch.nn.functional.one_hot(labels[:, part], k).to(columns.dtype).mT @ columns[:, part]
    masses = sums[..., 0]
    means = sums[..., 1:4] / masses.clamp_min(1e-12)[..., None]
    spreads = (sums[..., 4:] - masses[..., None] * means.square()).clamp_min(0)
    costs = distances * weights
    return _Sums(costs.sum(dim=1), masses, means, spreads), costs


def _lloyd(points: Tensor, weights: Tensor, centers: Tensor, iterations: int) -> tuple[Tensor, _Sums]:
    """Lloyd's iteration: the centers, and the sums of which they are the means."""
    for iteration in range(iterations):
        sums, costs = _assign(points, weights, centers)
        is_last = iteration == iterations - 1
        moved = sums.means if is_last else centers + STEP * (sums.means - centers)
        has_points = (sums.masses > 0)[..., None]
        # The i-th center without points goes where the i-th most costly point is.
        costly = costs.topk(min(centers.shape[1], points.shape[1]), dim=1).indices  # [B, K]
        rank = ((~has_points).squeeze(-1).cumsum(dim=1) - 1).clamp(0, costly.shape[1] - 1)
        seeds = points.gather(1, costly.gather(1, rank)[..., None].expand(-1, -1, 3))
        centers = torch.where(has_points, moved, seeds)
    return centers, sums


def _move(centers: Tensor, sums: _Sums, most: Tensor) -> Tensor:
    """Move up to ``most`` centers ``[B]`` from where they cost least to where they gain most."""
    # To remove a center costs what merging it with another costs (Ward 1963).
    masses = sums.masses
    merged = masses[:, :, None] * masses[:, None] / (masses[:, :, None] + masses[:, None]).clamp_min(1e-12)
    merged = merged * torch.cdist(centers, centers, compute_mode="donot_use_mm_for_euclid_dist").square()
    merged.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    costs, givers = merged.amin(dim=2).sort(dim=1, stable=True)
    # A center gains what a cut through the middle of its points gains.
    widest, axes = sums.spreads.max(dim=2)
    gains, takers = (SPLIT_GAIN * widest).sort(dim=1, descending=True, stable=True)
    rank = torch.arange(centers.shape[1], device=centers.device)
    # The cheapest centers give, and the others take: none does both.
    place = torch.empty_like(givers).scatter_(1, givers, rank.expand_as(givers))
    moves = (rank < most[:, None]) & (gains > costs) & (place.gather(1, takers) >= most[:, None])  # [B, K]
    # Giver and taker go to either side of the taker's place.
    axis = torch.nn.functional.one_hot(axes.gather(1, takers), 3)
    # The halves of a normal distribution have their means 0.8 standard deviations from its own.
    deviation = 0.8 * (widest.gather(1, takers) / masses.gather(1, takers).clamp_min(1e-12)).sqrt()
    at, offset = centers.gather(1, _as_rows(takers)), axis * deviation[..., None]
    for target, value in ((takers, at - offset), (givers, at + offset)):
        old = centers.gather(1, _as_rows(target))
        centers = centers.scatter(1, _as_rows(target), torch.where(moves[..., None], value, old))
    return centers


def _as_rows(positions: Tensor) -> Tensor:
    """Positions ``[B, K]`` of vectors, for `gather` and `scatter`: ``[B, K, 3]``."""
    return positions[..., None].expand(-1, -1, 3)


def batched_kmeans(points: Tensor, weights: Tensor, k: int, start: Tensor | None = None) -> Tensor:
    """Place ``k`` centers in each of several sets of points, as `kmeans.kmeans` does in one.

    Args:
        points: float32 ``[B, N, 3]``, sets with fewer points padded with anything finite.
        weights: float32 ``[B, N]``, 0 in padding and somewhere positive in each set.
        k: the number of centers, 1 to N.
        start: the first centers, float32 ``[B, k, 3]``; farthest points if left out.

    Returns:
        Centers, float32 ``[B, k, 3]``; a set of fewer than ``k`` distinct points has some of them
        twice. The same input gives the same centers on the same device.
    """
    centers = _farthest_points(points, weights, k) if start is None else start
    centers, sums = _lloyd(points, weights, centers, _ITERATIONS)
    most = torch.full((len(points),), max(1, k // 4), device=points.device)
    for _ in range(_MOVES if k > 1 else 0):
        # Each set keeps the move if its error fell, and else tries half as many centers.
        trial, trial_sums = _lloyd(points, weights, _move(centers, sums, most), _TRIAL_ITERATIONS)
        is_better = trial_sums.error < sums.error
        most = torch.where(is_better, most, (most // 2).clamp_min(1))
        choose = [is_better.view(-1, *[1] * (new.ndim - 1)) for new in (trial, *trial_sums)]
        kept = [
            torch.where(c, new, old) for c, new, old in zip(choose, (trial, *trial_sums), (centers, *sums), strict=True)
        ]
        centers, sums = kept[0], _Sums(*kept[1:])
    return _lloyd(points, weights, centers, _ITERATIONS)[0]


def cluster_sets(sets: Sequence[tuple[np.ndarray, np.ndarray]], k: int, device: torch.device | str) -> list[np.ndarray]:
    """`batched_kmeans` for sets of any sizes.

    Args:
        sets: points float32 ``[N, 3]`` and weights ``[N]`` of each, k ≤ N.
        k: the number of centers.
        device: where to work.

    Returns:
        Centers, float32 ``[k, 3]``, for each set.
    """
    order = sorted(range(len(sets)), key=lambda i: len(sets[i][0]))
    centers: dict[int, np.ndarray] = {}
    for first in range(0, len(order), _SETS):
        batch = order[first : first + _SETS]
        size = len(sets[batch[-1]][0])
        points, weights = np.zeros((len(batch), size, 3), np.float32), np.zeros((len(batch), size), np.float32)
        for row, i in enumerate(batch):
            points[row, : len(sets[i][0])], weights[row, : len(sets[i][0])] = sets[i]
        found = batched_kmeans(torch.from_numpy(points).to(device), torch.from_numpy(weights).to(device), k)
        centers |= dict(zip(batch, found.cpu().numpy(), strict=True))
    return [centers[i] for i in range(len(sets))]
