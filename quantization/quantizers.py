"""From pictures to palettes and index maps: `fit_palette`, `encode`, and both at once, `quantize`."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from .color import oklab_to_srgb, srgb_to_oklab
from .errors import InputError, choose
from .indexed_image import IndexedImage
from .kmeans import kmeans
from .nearest import nearest
from .palette import MAX_ENTRIES, Palette

OPAQUE_ALPHA = 128
"""Pixels of at least this alpha are opaque; the others go to the transparent entry."""

Fit = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]
"""(points float32 [N, 3], weights [N], k, seed) → at most k centers, float32 [K, 3], in the points' color space."""

QUANTIZERS: dict[str, Fit] = {"kmeans": kmeans}

_Convert = Callable[[torch.Tensor], torch.Tensor]
SPACES: dict[str, tuple[_Convert, _Convert]] = {
    "oklab": (srgb_to_oklab, oklab_to_srgb),
    "srgb": (lambda srgb: srgb.float() / 255, lambda srgb: srgb.clamp(0, 1)),
}
"""Name → (uint8 sRGB to the space, the space to float sRGB)."""


def histogram(rgba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct colors of the opaque pixels in uint8 ``[N, 3]``, and how often each occurs, int64 ``[N]``."""
    distinct, _, counts = _distinct(rgba[rgba[..., 3] >= OPAQUE_ALPHA][:, :3])
    return distinct, counts


def _distinct(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct rows of uint8 ``[N, 3]``, the position of each row among them, and their counts."""
    red, green, blue = rgb.astype(np.uint32).T
    packed, inverse, counts = np.unique(red << 16 | green << 8 | blue, return_inverse=True, return_counts=True)
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8), inverse, counts


def fit_palette(
    images: Sequence[np.ndarray], colors: int, method: str = "kmeans", space: str = "oklab", seed: int = 0
) -> Palette:
    """Choose one palette for one or several pictures.

    A transparent entry comes first if any pixel is transparent and counts among ``colors``; the others are
    sorted from dark to light. Pictures that have few enough colors get exactly those.

    Args:
        images: sRGB RGBA, uint8 ``[H, W, 4]`` each.
        colors: the largest number of entries, 2 to 256.
        method: a name in `QUANTIZERS`.
        space: a name in `SPACES`, where distances are measured.
        seed: of the method's random start.

    Raises:
        InputError: ``colors`` is out of range, or a name is unknown.
    """
    if not 2 <= colors <= MAX_ENTRIES:
        raise InputError(f"a palette is fitted with 2 to {MAX_ENTRIES} colors, not {colors}")
    fit, (to_space, from_space) = choose("quantizer", method, QUANTIZERS), choose("color space", space, SPACES)
    has_transparency = any((image[..., 3] < OPAQUE_ALPHA).any() for image in images)
    wanted = colors - has_transparency
    distinct, counts = _merge([histogram(image) for image in images])
    if len(distinct) > wanted:
        centers = fit(to_space(torch.from_numpy(distinct)).numpy(), counts, wanted, seed)
        distinct = (from_space(torch.from_numpy(centers)) * 255).round().to(torch.uint8).numpy()
        distinct = np.unique(distinct, axis=0)
    lightness = srgb_to_oklab(torch.from_numpy(distinct))[:, 0].numpy()
    opaque = distinct[np.argsort(lightness, kind="stable")]
    rows = np.concatenate([opaque, np.full((len(opaque), 1), 255, np.uint8)], axis=1)
    return Palette(np.concatenate([np.zeros((int(has_transparency), 4), np.uint8), rows]))


def _merge(histograms: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    if len(histograms) == 1:
        return histograms[0]
    distinct, inverse = np.unique(np.concatenate([colors for colors, _ in histograms]), axis=0, return_inverse=True)
    counts = np.bincount(inverse.ravel(), np.concatenate([counts for _, counts in histograms]))
    return distinct, counts.astype(np.int64)


def encode(image: np.ndarray, palette: Palette, space: str = "oklab") -> np.ndarray:
    """Map every pixel to the nearest entry, the first one on a tie; transparent pixels to the transparent entry.

    A transparent pixel is taken as white where the palette has no transparent entry.

    Args:
        image: sRGB RGBA, uint8 ``[H, W, 4]``.
        palette: where to look.
        space: a name in `SPACES`, where distances are measured.

    Returns:
        Indices, uint8 ``[H, W]``.

    Raises:
        InputError: the space is unknown, or opaque pixels meet a palette with no opaque entry.
    """
    to_space, _ = choose("color space", space, SPACES)
    is_transparent = image[..., 3] < OPAQUE_ALPHA
    rgb = image[..., :3]
    if palette.transparent is None:
        rgb, is_transparent = np.where(is_transparent[..., None], np.uint8(255), rgb), np.zeros_like(is_transparent)
    indices = np.full(image.shape[:2], palette.transparent or 0, np.uint8)
    if is_transparent.all():
        return indices
    entries = np.flatnonzero(palette.colors[:, 3] > 0)
    if len(entries) == 0:
        raise InputError("the palette's only entry is transparent, but the picture has opaque pixels")
    distinct, inverse, _ = _distinct(rgb[~is_transparent])
    points, centers = (to_space(torch.from_numpy(rgb)).numpy() for rgb in (distinct, palette.colors[entries, :3]))
    indices[~is_transparent] = entries[nearest(points, centers)[0]][inverse]
    return indices


def quantize(
    image: np.ndarray, colors: int, method: str = "kmeans", space: str = "oklab", seed: int = 0
) -> IndexedImage:
    """Fit a palette to one picture and encode the picture with it; arguments as for `fit_palette`."""
    palette = fit_palette([image], colors, method, space, seed)
    return IndexedImage(encode(image, palette, space), palette)
