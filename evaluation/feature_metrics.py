"""How near two sets of images are to each other by their features: each metric, and its equation.

Fréchet distance and kernel distance say how far apart two sets are. Precision, recall, density and
coverage count images that lie in balls around others.
"""

from collections.abc import Iterator, Sized
from typing import NamedTuple

import torch
from torch import Tensor

from tincture.common.errors import InputError

from .bootstrap import Measured, subset_bootstrap
from .options import MIN_IMAGES

ROWS = 1024
"""Rows of a distance matrix that are held at once, which bounds memory."""


class FeatureMetrics(NamedTuple):
    """All metrics of one extractor. The Fréchet distance depends on the numbers of images too."""

    frechet: Measured
    kernel: Measured
    """The kernel distance ("KID") times one thousand."""
    precision: Measured
    recall: Measured
    density: Measured
    coverage: Measured


METRICS = FeatureMetrics._fields


def compare_features(drawn: Tensor, reference: Tensor, replicates: int = 40, seed: int = 0) -> FeatureMetrics:
    """Compare drawn images with reference images, usually the held-out ones, by their features.

    Args:
        drawn: float64 ``[N, D]``.
        reference: float64 ``[M, D]``, by the same extractor.
        replicates: subsets for the standard errors.
        seed: of the subsets.

    Raises:
        InputError: a set has fewer than `MIN_IMAGES`.
    """
    require_enough(drawn=drawn, reference=reference)
    estimate = subset_bootstrap(all_metrics, drawn, reference, replicates=replicates, seed=seed)
    return FeatureMetrics(*map(Measured, estimate.value.tolist(), estimate.stderr.tolist()))


def require_enough(**sets: Sized) -> None:
    """Raise InputError for a set of fewer than `MIN_IMAGES`, whose keyword the message tells."""
    for name, images in sets.items():
        if len(images) < MIN_IMAGES:
            raise InputError(f"metrics need at least {MIN_IMAGES} {name} images, not {len(images)}")


def all_metrics(drawn: Tensor, reference: Tensor) -> Tensor:
    """The values of `METRICS`, float64 ``[6]``, for features ``[N, D]`` and ``[M, D]``."""
    distances = (frechet_distance(drawn, reference), 1000 * kernel_distance(drawn, reference))
    return torch.stack([*distances, *coverage(drawn, reference)])


def frechet_distance(first: Tensor, second: Tensor) -> Tensor:
    """The Fréchet distance of two sets: "FID" (Heusel et al. 2017, arXiv 1706.08500).

    It is the squared Wasserstein-2 distance of the two Gaussians that have the sets' means and
    covariances: ``|μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁ Σ₂)^½``.

    The distance of finite samples is too large, and more so the fewer they are. Compare only at
    equal numbers, or use `kernel_distance`, which has no such bias.

    Args:
        first: float64 ``[N, D]``, N ≥ 2.
        second: float64 ``[M, D]``, M ≥ 2.

    Returns:
        A number of at least 0 in squared units of the features, float64 ``[]``.
    """
    # With Σ = AᵀA, the last trace is the sum of the singular values of A₁ A₂ᵀ, because Σ₁ Σ₂ has
    # the eigenvalues of (A₁ A₂ᵀ)(A₁ A₂ᵀ)ᵀ. So no covariance is formed, nothing is squared that a
    # root undoes, and sets with fewer rows than dimensions, whose covariance is singular, are as
    # exact.
    mean_1, factor_1 = _mean_and_factor(first)
    mean_2, factor_2 = _mean_and_factor(second)
    cross = torch.linalg.svdvals(factor_1 @ factor_2.T).sum()
    distance = (mean_1 - mean_2).square().sum() + factor_1.square().sum() + factor_2.square().sum() - 2 * cross
    return distance.clamp(min=0)  # rounding alone makes it negative


def _mean_and_factor(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean ``[D]``, and a matrix A with ``AᵀA`` the covariance, ``[min(N, D), D]``."""
    mean = features.mean(dim=0)
    factor = (features - mean) / (len(features) - 1) ** 0.5
    if len(factor) > factor.shape[1]:
        factor = torch.linalg.qr(factor, mode="r").R
    return mean, factor


def kernel_distance(first: Tensor, second: Tensor) -> Tensor:
    """The kernel distance of two sets: "KID" (Bińkowski et al. 2018, arXiv 1801.01401, section 4).

    It is the unbiased estimate of the squared maximum mean discrepancy under the kernel
    ``k(x, y) = (x·y / D + 1)³``. Its expectation doesn't depend on the numbers of samples. For two
    samples of one distribution that is 0, so half of such estimates are negative.

    Args:
        first: float64 ``[N, D]``, N ≥ 2.
        second: float64 ``[M, D]``, M ≥ 2.

    Returns:
        float64 ``[]``.
    """
    n, m = len(first), len(second)
    within_1, within_2 = _kernel(first, first), _kernel(second, second)
    within_1 = (within_1.sum() - within_1.trace()) / (n * (n - 1))  # no sample is compared with itself
    within_2 = (within_2.sum() - within_2.trace()) / (m * (m - 1))
    return within_1 + within_2 - 2 * _kernel(first, second).mean()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


class Coverage(NamedTuple):
    """Four shares, float64 ``[]``."""

    precision: Tensor
    """The share of drawn images that lie in the ball of any real image: are they realistic?"""
    recall: Tensor
    """The share of real images that lie in the ball of any drawn image: are all kinds drawn?"""
    density: Tensor
    """In how many real balls a drawn image lies, over k: a precision that one outlier can't raise.
    It is about 1 where both sets come from one distribution, and may exceed 1."""
    coverage: Tensor
    """The share of real images whose own ball holds a drawn one: a recall no outlier can raise."""


def coverage(drawn: Tensor, real: Tensor, k_precision: int = 3, k_density: int = 5) -> Coverage:
    """Count which images lie in whose balls.

    The ball of an image, ``B_k``, reaches to its k-th nearest neighbor in its own set, the border
    included. Precision and recall are those of Kynkäänniemi et al. 2019 (arXiv 1904.06991), density
    and coverage those of Naeem et al. 2020 (arXiv 2002.09797). For drawn x and real y::

        precision = 1/N  Σ_i 1[x_i lies in any B_k(y_j)]
        recall    = 1/M  Σ_j 1[y_j lies in any B_k(x_i)]
        density   = 1/kN Σ_i Σ_j 1[x_i lies in B_k(y_j)]
        coverage  = 1/M  Σ_j 1[B_k(y_j) holds any x_i]

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
    """Distances of samples to their k-th neighbors in their own set, ``[N, len(neighbors)]``."""
    rows = []
    for _, distances in _distances(features, features):
        nearest = distances.topk(max(neighbors) + 1, largest=False).values  # the nearest is the sample itself
        rows.append(nearest[:, list(neighbors)])
    # Matrix products give distances that are off by about 1e-8 of the features' length. Without the
    # margin, copies of a sample could fall out of each other's balls.
    return torch.cat(rows) + 1e-7 * features.norm(dim=1).max()


def _distances(first: Tensor, second: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The distances of some rows of ``first`` to all of ``second`` at a time, ``[rows, M]``."""
    for start in range(0, len(first), ROWS):
        rows = slice(start, start + ROWS)
        yield rows, torch.cdist(first[rows], second)
