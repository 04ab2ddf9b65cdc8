"""How near an indexed picture is to its original: PSNR, mean ΔE in OKLab, and how many colors it uses."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .histogram import OPAQUE_ALPHA
from .palette import Palette
from .spaces import SPACES

_CHUNK = 1 << 20  # pixels at once, so that memory doesn't grow with the picture


class Fidelity(NamedTuple):
    """Means over the opaque pixels of all frames; none where no pixel is opaque."""

    psnr: float | None
    """Peak signal-to-noise ratio of sRGB bytes, in decibels; infinite for equal pictures."""
    delta_e: float | None
    """Mean Euclidean distance in OKLab, where black and white are 1 apart."""
    colors_used: int
    """Entries that some pixel holds, the transparent one included."""


def fidelity(originals: Sequence[np.ndarray], indices: Sequence[np.ndarray], palette: Palette) -> Fidelity:
    """Compare frames with their index maps.

    Args:
        originals: sRGB RGBA, uint8 ``[H, W, 4]`` each; pixels of alpha below 128 are left out.
        indices: uint8 ``[H, W]`` each, as many as originals.
        palette: of all index maps.
    """
    entries = palette.colors[:, :3].astype(np.float32)
    entries_oklab = SPACES["oklab"].from_bytes(palette.colors)
    used = np.zeros(256, np.bool_)
    squares = distances = 0.0
    count = 0
    for original, index_map in zip(originals, indices, strict=True):
        used |= np.bincount(index_map.ravel(), minlength=256) > 0
        pixels, labels = original.reshape(-1, 4), index_map.reshape(-1)
        for start in range(0, len(pixels), _CHUNK):
            part, label = pixels[start : start + _CHUNK], labels[start : start + _CHUNK]
            is_opaque = part[:, 3] >= OPAQUE_ALPHA
            rgb, label = part[is_opaque, :3], label[is_opaque]
            squares += float(((rgb - entries[label]) ** 2).sum(dtype=np.float64))
            gaps = SPACES["oklab"].from_bytes(rgb) - entries_oklab[label]
            distances += float(np.sqrt((gaps**2).sum(axis=1)).sum(dtype=np.float64))
            count += len(rgb)
    if count == 0:
        return Fidelity(None, None, int(used.sum()))
    mean_square = squares / (3 * count)
    psnr = float(10 * np.log10(255**2 / mean_square)) if mean_square else float("inf")
    return Fidelity(psnr, distances / count, int(used.sum()))
