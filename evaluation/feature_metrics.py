"""How near two sets of images are to each other, on the features of a network trained on ImageNet."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tincture.common.errors import InputError

from .bootstrap import Measured, subset_bootstrap
from .coverage import coverage
from .features import FeatureExtractor
from .frechet import frechet_distance
from .kernel_distance import kernel_distance

MIN_IMAGES = 20
"""Fewer have no useful fifth neighbor, and no standard error worth stating."""


class FeatureMetrics(NamedTuple):
    """All metrics, and what they were measured on: without that, they can't be compared."""

    extractor: str
    num_drawn: int
    num_reference: int
    frechet: Measured
    """Depends on both numbers of images: see `frechet_distance`."""
    kernel: Measured
    """"KID", times one thousand."""
    precision: Measured
    recall: Measured
    density: Measured
    coverage: Measured


METRICS = FeatureMetrics._fields[3:]


def feature_metrics(
    extractor: FeatureExtractor,
    drawn_rgba: Tensor | np.ndarray,
    reference_rgba: Tensor | np.ndarray,
    replicates: int = 40,
    seed: int = 0,
) -> FeatureMetrics:
    """Compare drawn images with reference images, usually the held-out ones.

    Args:
        extractor: see `load_extractor`.
        drawn_rgba: uint8 ``[N, H, W, 4]``.
        reference_rgba: uint8 ``[M, H, W, 4]``.
        replicates: subsets for the standard errors.
        seed: of the subsets.

    Raises:
        InputError: a set is no uint8 RGBA, or has fewer than 20 images.
    """
    sets = []
    for name, rgba in (("drawn", drawn_rgba), ("reference", reference_rgba)):
        if len(rgba) < MIN_IMAGES:
            raise InputError(f"metrics need at least {MIN_IMAGES} {name} images, not {len(rgba)}")
        sets.append(extractor(torch.as_tensor(rgba)))
    return compare_features(extractor.name, *sets, replicates=replicates, seed=seed)


def compare_features(
    extractor: str, drawn: Tensor, reference: Tensor, replicates: int = 40, seed: int = 0
) -> FeatureMetrics:
    """`feature_metrics` for features that are there already, float64 ``[N, D]`` and ``[M, D]``."""
    estimate = subset_bootstrap(all_metrics, drawn, reference, replicates=replicates, seed=seed)
    measured = map(Measured, estimate.value.tolist(), estimate.stderr.tolist())
    return FeatureMetrics(extractor, len(drawn), len(reference), *measured)


def all_metrics(drawn: Tensor, reference: Tensor) -> Tensor:
    """What `METRICS` names, in this order, for features ``[N, D]`` and ``[M, D]``: float64 ``[6]``."""
    distances = (frechet_distance(drawn, reference), 1000 * kernel_distance(drawn, reference))
    return torch.stack([*distances, *coverage(drawn, reference)])
