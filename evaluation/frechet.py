"""Fréchet distance between two sets of features, each taken for a Gaussian (Heusel et al. 2017, arXiv 1706.08500)."""

import torch
from torch import Tensor


def frechet_distance(first: Tensor, second: Tensor) -> Tensor:
    """The squared Wasserstein-2 distance of the Gaussians that have the sets' means and covariances.

    ``|μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁ Σ₂)^½``.

    With ``Σ = AᵀA``, the last trace is the sum of the singular values of ``A₁ A₂ᵀ``: ``Σ₁ Σ₂`` has the eigenvalues of
    ``(A₁ A₂ᵀ)(A₁ A₂ᵀ)ᵀ``. So no covariance is formed, nothing is squared that a root undoes, and sets with fewer rows than
    dimensions, whose covariance is singular, are as exact as others.

    The distance of finite samples is too large, and more so the fewer they are: compare only at equal numbers, or use
    `kernel_distance`, which has no such bias.

    Args:
        first: float64 ``[N, D]``, N ≥ 2.
        second: float64 ``[M, D]``, M ≥ 2.

    Returns:
        A number of at least 0, in squared units of the features, float64 ``[]``.
    """
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
