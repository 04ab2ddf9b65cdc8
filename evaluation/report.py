"""Everything that is measured on drawn images, as scalars with names, and as a table."""

from collections.abc import Sequence

import numpy as np

from quantization.indexed_image import IndexedImage

from .bootstrap import Measured
from .color_fidelity import color_fidelity
from .feature_metrics import METRICS, feature_metrics
from .features import FeatureExtractor

Scalars = dict[str, float]
"""Values by name; each ``name`` that has a standard error has a ``name_stderr`` beside it."""


def image_scalars(
    drawn: Sequence[IndexedImage], reference: Sequence[IndexedImage], extractor: FeatureExtractor, seed: int = 0
) -> Scalars:
    """Compare drawn images with reference images by their features and by their colors.

    Args:
        drawn: of one size.
        reference: of one size; the same palettes as the drawn ones, or colors can't be compared.
        extractor: whose name stands in the names of what it measures: ``efficientnet-lite0/frechet``.
        seed: of the standard errors.

    Raises:
        InputError: fewer than 20 images on a side, or no palette in common.
    """
    pixels = (np.stack([image.to_rgba() for image in images]) for images in (drawn, reference))
    features = feature_metrics(extractor, *pixels, seed=seed)
    colors = color_fidelity(drawn, reference)
    scalars: Scalars = {"drawn_images": len(drawn), "reference_images": len(reference)}
    for name in METRICS:
        scalars |= named(f"{extractor.name}/{name}", getattr(features, name))
    for name in ("drawn_entries_used", "reference_entries_used", "color_distance"):
        scalars |= named(f"colors/{name}", getattr(colors, name))
    return scalars


def named(name: str, measured: Measured) -> Scalars:
    """A value and its standard error by their names."""
    return {name: measured.value, f"{name}_stderr": measured.stderr}


def table(scalars: Scalars) -> str:
    """One line for each value, its standard error beside it."""
    lines = []
    for name, value in scalars.items():
        if not name.endswith("_stderr"):
            stderr = scalars.get(f"{name}_stderr")
            lines.append(f"{name:40}{value:12.4g}" + ("" if stderr is None else f" ± {stderr:.2g}"))
    return "\n".join(lines)
