"""Kernel distance between two sets of features: "KID" (Bińkowski et al. 2018, arXiv 1801.01401)."""

from torch import Tensor


def kernel_distance(first: Tensor, second: Tensor) -> Tensor:
    """The unbiased estimate of the squared maximum mean discrepancy under ``k(x, y) = (x·y / D + 1)³`` (section 4).

    Its expectation doesn't depend on the numbers of samples; for two samples of one distribution it is 0, so estimates are
    negative half of the time.

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
