"""How a picture gets to the size of the index maps, and what that did to it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import MAX_ENTRIES
from tincture.quantization.pictures.reading import read_image

LONGEST = 16
"""How many times as long as wide a picture may be before it is resized."""

FEW_COLORS = 64
"""A picture that doesn't fit is taken for pixel art if it has at most so many colors."""

LARGEST_ART = 4
"""How many times as large as the index maps such a picture may be."""


class Resized(NamedTuple):
    """A picture at the size of the index maps."""

    pixels: np.ndarray
    """uint8 ``[size, size, 4]``, at one of the sizes."""
    change: str
    """What was done, such as ``scaled and cropped``; empty if the picture had the size."""


def fit_to_size(pixels: np.ndarray, size: int | Sequence[int], resize: str) -> Resized:
    """Bring RGBA pixels to ``size × size``.

    Args:
        pixels: uint8 ``[H, W, 4]``.
        size: edge length in pixels; or several, of which the smallest is taken that holds the
            picture whole. A picture larger than all of them is brought to the largest.
        resize: ``pad`` keeps pixels whole. If a picture is too large, pixel art that was enlarged
            by a whole factor is reduced, and else transparent margins are cut. What is missing is
            transparent. ``area`` scales the shorter side to ``size`` by averaging and crops the
            center; ``nearest`` does so without mixing colors; ``crop`` cuts the center out unscaled
            and pads what is missing. ``auto`` is ``pad`` for pixel art and ``area`` for others.

    Raises:
        InputError: pixel art doesn't fit whole.
    """
    height, width = pixels.shape[:2]
    sizes = [size] if isinstance(size, int) else sorted(size)
    size = sizes[-1]
    if len(sizes) > 1 and max(height, width) <= size:
        return _centered(pixels, _holding(pixels, sizes))
    if (height, width) == (size, size):
        return Resized(pixels, "")
    if resize == "crop":
        return _centered(pixels, size, "")
    if resize in ("auto", "pad"):
        colors = len(Image.fromarray(_without_hidden_colors(pixels)).getcolors(MAX_ENTRIES) or range(MAX_ENTRIES + 1))
        padded = _padded(pixels, sizes) if resize == "pad" or colors <= MAX_ENTRIES else None
        is_small_art = colors <= FEW_COLORS and max(height, width) <= LARGEST_ART * size
        if padded is not None and (resize == "pad" or 2 * colors <= (pixels[..., 3] > 0).sum()):
            return padded
        if padded is None and (resize == "pad" or is_small_art):
            raise InputError(
                f"{width}×{height} pixels don't fit whole into {size}×{size}: raise data.size, or set data.resize to area "
                "(which mixes colors) or crop"
            )
        resize = "area"
    return _scaled(pixels, size, resize)


def read_to_size(path: Path, size: int | Sequence[int], resize: str, content: bytes | None = None) -> Resized:
    """Read a picture and bring it to its size; see `read_image` and `fit_to_size`."""
    pixels = read_image(path, content)
    try:
        return fit_to_size(pixels, size, resize)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def describe_changes(changes: Mapping[str, int], sizes: Sequence[int]) -> str:
    """A line that counts the pictures that were brought to their size in one way or another."""
    counted = [
        f"{count:,} {change or 'had it'}" for change, count in sorted(changes.items(), key=lambda each: -each[1])
    ]
    return f"brought to {' or '.join(f'{size}×{size}' for size in sizes)}: {', '.join(counted)}"


def _holding(pixels: np.ndarray, sizes: Sequence[int]) -> int:
    """The smallest size that holds all pixels; the largest if none does."""
    return next((size for size in sizes if max(pixels.shape[:2]) <= size), sizes[-1])


def _padded(pixels: np.ndarray, sizes: Sequence[int]) -> Resized | None:
    """The whole pixels in the middle of nothing; None if they are too many."""
    done, size = [], sizes[-1]
    if max(pixels.shape[:2]) > size and (factor := _enlargement(pixels)) > 1:
        pixels, done = pixels[::factor, ::factor], [f"reduced {factor} times"]
    if max(pixels.shape[:2]) > size:
        rows, columns = (np.flatnonzero((pixels[..., 3] > 0).any(axis=axis)) for axis in (1, 0))
        if len(rows):
            pixels, done = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], [*done, "trimmed"]
    return _centered(pixels, _holding(pixels, sizes), *done) if max(pixels.shape[:2]) <= size else None


def _enlargement(pixels: np.ndarray) -> int:
    """The largest whole factor by which every pixel may have been enlarged."""
    visible = _without_hidden_colors(pixels)
    factor = np.gcd(*pixels.shape[:2])
    for axis in (0, 1):
        lines = np.moveaxis(visible, axis, 0)
        changes = np.flatnonzero((lines[1:] != lines[:-1]).any(axis=(1, 2))) + 1
        factor = np.gcd.reduce([factor, *changes])
    return int(factor)


def _without_hidden_colors(pixels: np.ndarray) -> np.ndarray:
    return np.where(pixels[..., 3:] > 0, pixels, np.uint8(0))


def _centered(pixels: np.ndarray, size: int, *done: str) -> Resized:
    """The center of ``pixels``, with transparency around it where it is smaller than ``size``."""
    height, width = pixels.shape[:2]
    canvas = np.zeros((max(size, height), max(size, width), 4), np.uint8)
    top, left = (canvas.shape[0] - height) // 2, (canvas.shape[1] - width) // 2
    canvas[top : top + height, left : left + width] = pixels
    is_smaller, is_larger = min(height, width) < size, max(height, width) > size
    done = [*filter(None, done), *["padded"] * is_smaller, *["cropped"] * is_larger]
    top, left = (canvas.shape[0] - size) // 2, (canvas.shape[1] - size) // 2
    return Resized(canvas[top : top + size, left : left + size], " and ".join(done))


def _scaled(pixels: np.ndarray, size: int, resize: str) -> Resized:
    """The center, as large as it can be."""
    whole = pixels.shape
    pixels = _shortened(pixels)
    height, width = pixels.shape[:2]
    scale = size / min(height, width)
    target = max(size, round(width * scale)), max(size, round(height * scale))
    if target != (width, height):
        # Pillow resizes RGBA with premultiplied alpha, so transparent pixels lend no color to their
        # neighbors.
        method = {"area": Image.Resampling.BOX, "nearest": Image.Resampling.NEAREST}[resize]
        pixels = np.array(Image.fromarray(pixels).resize(target, method))
    done = ["scaled"] * (scale != 1) + ["cropped"] * (max(target) > size or whole[:2] != (height, width))
    return Resized(_centered(pixels, size).pixels, " and ".join(done))


def _shortened(pixels: np.ndarray) -> np.ndarray:
    """The middle of a strip, at most `LONGEST` times as long as wide.

    Scaled whole, a picture of 65,535 × 1 pixels would fill the memory.
    """
    height, width = pixels.shape[:2]
    length = LONGEST * min(height, width)
    top, left = max(0, height - length) // 2, max(0, width - length) // 2
    return pixels[top : top + length, left : left + length]
