"""From picture files to what controls take: resized targets, masks, index maps in a palette, larger canvases."""

import logging
from pathlib import Path

import numpy as np
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.encoding import encode
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import open_image, read_image, to_rgba

from .views import SIDE

logger = logging.getLogger(__name__)


def resized(pixels: np.ndarray, height: int | None, width: int | None) -> np.ndarray:
    """RGBA pixels, uint8 ``[H, W, 4]``, at ``height × width``, by averaging areas; one side alone keeps the shape.

    Raises:
        InputError: a side is out of range.
    """
    own_height, own_width = pixels.shape[:2]
    if height is None:
        height = own_height if width is None else max(round(own_height * width / own_width), 1)
    if width is None:
        width = max(round(own_width * height / own_height), 1)
    for name, side in (("--width", width), ("--height", height)):
        SIDE.check(name, side)
    if (height, width) == (own_height, own_width):
        return pixels
    # Pillow resizes RGBA with premultiplied alpha, so transparent pixels lend no color to their neighbors.
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))


def read_mask(path: Path, height: int, width: int) -> np.ndarray:
    """Which pixels to draw anew, bool ``[height, width]``: those that are light (128 or more) and not transparent.

    Raises:
        InputError: the file is no picture, has another size, or leaves nothing to draw.
    """
    rgba = read_image(path)
    if rgba.shape[:2] != (height, width):
        raise InputError(f"the mask {path} is {rgba.shape[1]}×{rgba.shape[0]} pixels; the image is {width}×{height}")
    grey = np.array(Image.fromarray(rgba[..., :3]).convert("L"))
    redraw = (grey >= 128) & (rgba[..., 3] >= 128)
    if not redraw.any():
        raise InputError(f"the mask {path} has no white pixel: there is nothing to draw")
    return redraw


def read_indices(path: Path, palette: Palette) -> np.ndarray:
    """A picture's index map in ``palette``, uint8 ``[H, W]``; a line of the log says if colors had to be changed.

    An indexed picture whose palette begins ``palette`` keeps its indices, bit for bit. In others, pixels that are an entry
    with its alpha take it, half-transparent ones too; the rest is encoded.

    Raises:
        InputError: the file is no picture, or the palette has no opaque entry for opaque pixels.
    """
    image = open_image(path)
    if image.mode == "P":
        indexed = IndexedImage.from_pil(image)
        own = indexed.palette.colors
        used = int(indexed.indices.max()) + 1
        if used <= len(palette) and np.array_equal(own[:used], palette.colors[:used]):
            return indexed.indices
    rgba = to_rgba(image)
    rgba = np.where(rgba[..., 3:] == 0, np.uint8(0), rgba)  # what has no alpha has no color
    indices, exact = _same_entries(rgba, palette)
    if not exact.all():
        indices = np.where(exact, indices, encode(rgba, palette))
        logger.info(
            "%s: %d of %d pixels are not in the palette; they take the nearest entry",
            path, (~exact).sum(), exact.size,
        )  # fmt: skip
    return indices


def _same_entries(rgba: np.ndarray, palette: Palette) -> tuple[np.ndarray, np.ndarray]:
    """The first entry that is each pixel's color and alpha, uint8 ``[H, W]``, and where there is one, bool ``[H, W]``."""
    entries = np.where(palette.colors[:, 3:] == 0, np.uint8(0), palette.colors)
    entries, first = np.unique(np.ascontiguousarray(entries).view(np.uint32), return_index=True)
    pixels = np.ascontiguousarray(rgba).view(np.uint32)[..., 0]
    place = np.searchsorted(entries, pixels).clip(max=len(entries) - 1)
    return first[place].astype(np.uint8), entries[place] == pixels


def with_margins(values: np.ndarray, margins: tuple[int, int, int, int], fill: bool | int) -> np.ndarray:
    """A map, ``[H, W]``, with so many pixels of ``fill`` more at its left, top, right and bottom."""
    left, top, right, bottom = margins
    return np.pad(values, ((top, bottom), (left, right)), constant_values=fill)
