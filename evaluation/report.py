"""What is measured on drawn images: as scalars with names, and as a table."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from tincture.quantization.pictures.indexed_image import IndexedImage

from .bootstrap import Measured
from .colors import color_fidelity
from .copies import NEAR, NearestTraining, count_copies, places_by_size
from .feature_metrics import METRICS, compare_features, require_enough
from .features import FeatureExtractor

Scalars = dict[str, float]
"""Values by name; each ``name`` that has a standard error has a ``name_stderr`` beside it."""


def image_scalars(
    drawn: Sequence[IndexedImage],
    reference: Sequence[IndexedImage],
    other: Sequence[IndexedImage],
    extractor: FeatureExtractor,
    seed: int = 0,
) -> Scalars:
    """Compare drawn images with reference images by their features and by their colors.

    Args:
        drawn: of any sizes.
        reference: the same palettes as the drawn ones, or colors can't be compared.
        other: real images from the other side of the split than the reference, which stand for what
            a perfect model would draw. Each feature metric is measured on them too, as its
            ``_floor``. Only as many drawn images are compared as there are of these.
        extractor: its name becomes part of the names of what it measures:
            ``efficientnet-lite0/frechet``.
        seed: of the standard errors.

    Raises:
        InputError: fewer than 20 images on a side, or no palette in common.
    """
    require_enough(drawn=drawn, reference=reference, other=other)
    colors = color_fidelity(drawn, reference)
    number = min(len(drawn), len(other))  # as many on both sides, because a Fréchet distance grows with fewer images
    drawn, other = drawn[:number], other[:number]
    features, real, others = (features_of(images, extractor) for images in (drawn, reference, other))
    measured = compare_features(features, real, seed=seed)
    floor = compare_features(others, real, seed=seed)
    scalars: Scalars = {}
    for name in METRICS:
        scalars |= named(f"{extractor.name}/{name}", getattr(measured, name))
        scalars |= named(f"{extractor.name}/{name}_floor", getattr(floor, name))
    for name, value in colors._asdict().items():
        scalars |= named(f"colors/{name}", value)
    return scalars


def copy_scalars(drawn: NearestTraining, heldout: NearestTraining, seed: int = 0) -> Scalars:
    """The scalars of `count_copies`, without those that too few held-out images can't tell."""
    copies = count_copies(drawn.agreement, heldout.agreement, seed=seed)
    scalars: Scalars = {}
    for name, measured in copies._asdict().items():
        if isinstance(measured, Measured):
            scalars |= named(f"memorization/{name}", measured)
    for agreement, of_drawn, of_heldout in zip(NEAR, copies.near, copies.heldout_near, strict=True):
        scalars |= named(f"memorization/share_from_{agreement:g}", of_drawn)
        scalars |= named(f"memorization/heldout_share_from_{agreement:g}", of_heldout)
    return scalars


def features_of(images: Sequence[IndexedImage], extractor: FeatureExtractor) -> torch.Tensor:
    """Features of images of any sizes, those of one size at once; float64 ``[N, D]``."""
    places = list(places_by_size(images).values())
    features = [extractor(rgba_of([images[place] for place in same])) for same in places]
    order = torch.tensor([place for same in places for place in same])
    return torch.cat(features)[order.argsort()]


def rgba_of(images: Sequence[IndexedImage]) -> torch.Tensor:
    """uint8 ``[N, H, W, 4]``, of images of one size."""
    return torch.from_numpy(np.stack([image.to_rgba() for image in images]))


def named(name: str, measured: Measured) -> Scalars:
    """A value and its standard error by their names."""
    return {name: measured.value, f"{name}_stderr": measured.stderr}


def table(scalars: Scalars) -> str:
    """One line for each value, its standard error beside it, or ``?`` if a single draw has none."""
    lines = []
    for name, value in scalars.items():
        if not name.endswith("_stderr"):
            stderr = scalars.get(f"{name}_stderr")
            error = "" if stderr is None else f" ± {stderr:.2g}" if math.isfinite(stderr) else " ± ?"
            lines.append(f"{name:40}{value:12.4g}{error}")
    return "\n".join(lines)
