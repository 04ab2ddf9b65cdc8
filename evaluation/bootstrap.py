"""Standard errors of statistics of whole samples, by the m-out-of-n bootstrap.

It draws subsets without replacement (Politis and Romano 1994). The usual bootstrap draws with
replacement, so its replicates hold the same image twice. That makes nearest neighbors too near and
covariances too narrow: distances to the k-th neighbor become 0, and a Fréchet distance grows.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm


class Measured(NamedTuple):
    """A number and its standard error."""

    value: float
    stderr: float


class Estimate(NamedTuple):
    """A statistic and its standard error, float64 of the statistic's shape."""

    value: Tensor
    stderr: Tensor


def subset_bootstrap(
    statistic: Callable[..., Tensor], *samples: Tensor, replicates: int = 40, share: float = 0.5, seed: int = 0
) -> Estimate:
    """Measure ``statistic`` on the samples, and its spread over random subsets of them.

    Subsets of m of n rows spread as samples of m rows would, but for the rows that two of them
    share: ``Var θ_n ≈ m / (n − m) · Var* θ_m``. The error is NaN where a subset would be the whole
    sample, as of a single row.

    Args:
        statistic: takes as many samples as are given, and returns a tensor of any shape.
        samples: independent of each other, each ``[N, …]`` with an N of its own.
        replicates: how many subsets; the standard error's own relative error is about
            ``(2 · replicates)^-½``.
        share: m / n. A larger share needs a statistic that changes smoothly with few rows. Nearest
            neighbors don't (docs/evaluation.md compares shares).
        seed: of the subsets.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = [max(1, round(share * len(sample))) for sample in samples]
    values = []
    for _ in tqdm(range(replicates), desc="subsets for standard errors", unit="subset", leave=False):
        rows = [
            torch.randperm(len(sample), generator=generator)[:size] for sample, size in zip(samples, sizes, strict=True)
        ]
        values.append(statistic(*(sample[chosen] for sample, chosen in zip(samples, rows, strict=True))))
    spread = torch.stack(values).double().std(dim=0)
    left = [len(sample) - size for sample, size in zip(samples, sizes, strict=True)]
    scale = max(size / rest for size, rest in zip(sizes, left, strict=True)) ** 0.5 if all(left) else math.nan
    return Estimate(statistic(*samples).double(), scale * spread)
