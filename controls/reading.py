"""How the pictures that sample.py's options name become `Controls`."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.encoding import differs, encode
from tincture.quantization.palettes.luminance import luminance_of_pixels
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import open_beside, open_image, read_image, to_rgba

from .command import Drawing, Margins, Size, Start, Style, read_margins
from .joint import JointPalettes
from .kept import Init
from .options import SIDE, Controls
from .proportions import Proportions
from .wishes import ColorWish, LightnessWish, Wish

logger = logging.getLogger(__name__)

GREY_SPREAD = 32
"""Between a grey's channels, at most, of 255; a mask with other colors is a picture with holes."""
LUMINANCE_FIDELITY = 1000.0
"""For a model that can't be told it: the lightness is known to 1 / sqrt(2 · 1000) = 0.02."""


def read_controls(
    drawing: Drawing, palettes: Sequence[Palette | str] | JointPalettes, size: int, is_told: bool
) -> tuple[Controls, int | None, int | None]:
    """Read the pictures that the options name.

    Args:
        drawing: the options.
        palettes: what is drawn in; one palette, where a picture shall be in it.
        size: edge length of the model's own pictures, pixels.
        is_told: whether the model was trained with luminance maps.

    Returns:
        The controls, and the height and the width of the drawings where pictures or options say
        them.

    Raises:
        InputError: a file can't be read, or sizes contradict each other.
    """
    pictures, height, width = drawing.pictures, drawing.size.height, drawing.size.width
    palette = palettes.base if isinstance(palettes, JointPalettes) else palettes[0]
    # The first picture says how large the drawing is, unless options do; the others must fit.
    settled_by = None
    init = None
    if pictures.start is not None:
        init, settled_by = read_start(pictures.start, palette), pictures.start.init_image
        height, width = init.indices.shape[1:]
    wishes: list[Wish] = []
    if pictures.target is not None:
        pixels = read_target(pictures.target.target, height, width, settled_by)
        settled_by = settled_by or (pictures.target.target if drawing.size == Size() else None)
        height, width = pixels.shape[:2]
        wishes.append(ColorWish(torch.from_numpy(pixels), pictures.target.fidelity))
    luminance = None
    if pictures.grey is not None:
        pixels = read_target(pictures.grey.luminance, height, width, settled_by)
        height, width = pixels.shape[:2]
        luminance = luminance_of_pixels(torch.from_numpy(pixels))
        fidelity = pictures.grey.luminance_fidelity
        if fidelity is None:
            fidelity = 0.0 if is_told else LUMINANCE_FIDELITY
        wishes.append(LightnessWish(luminance, fidelity))
    proportions = None if drawing.colors.style is None else read_style(drawing.colors.style, palette)
    window = drawing.canvas.window
    if window is None and any((pictures.start, pictures.target, pictures.grey)):
        window = size
    canvas = replace(drawing.canvas, window=window)
    return Controls(init, wishes, luminance if is_told else None, proportions, canvas), height, width


def read_start(start: Start, palette: Palette) -> Init:
    """The picture in the palette that is drawn with, and what is kept of it."""
    indices = read_indices(start.init_image, palette)
    keep = None if start.mask is None else ~read_mask(start.mask, start.init_image, *indices.shape)
    if start.outpaint is not None:
        margins = read_margins(start.outpaint)
        keep = with_margins(np.ones(indices.shape, bool) if keep is None else keep, margins, False)
        indices = with_margins(indices, margins, 0)
    strength = 1.0 if start.strength is None else start.strength
    return Init(torch.tensor(indices), None if keep is None else torch.from_numpy(keep), strength)


def read_style(style: Style, palette: Palette) -> Proportions:
    """The picture's proportions in the palette that is drawn with."""
    return Proportions.of(IndexedImage(read_indices(style.style, palette), palette), style.style_strength)


def read_target(path: Path, height: int | None, width: int | None, picture: Path | None) -> np.ndarray:
    """A picture's RGBA pixels, uint8 ``[H, W, 4]``, at the size of the drawing.

    Raises:
        InputError: the file is no picture, or has another size than the ``picture`` that the
            drawing has its size from, if there is one.
    """
    pixels = read_image(path) if picture is None else to_rgba(open_beside(path, picture))
    if picture is not None and pixels.shape[:2] != (height, width):
        raise InputError(
            f"{path} is {pixels.shape[1]}×{pixels.shape[0]} pixels; the picture to draw is {width}×{height}"
        )
    return resized(pixels, height, width)


def resized(pixels: np.ndarray, height: int | None, width: int | None) -> np.ndarray:
    """RGBA pixels, uint8 ``[H, W, 4]``, at ``height × width``, by averaging areas.

    One side alone keeps the shape.

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
    # Pillow resizes RGBA with premultiplied alpha, so transparent pixels lend no color to others.
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))


def read_mask(path: Path, picture: Path, height: int, width: int) -> np.ndarray:
    """Which pixels of a picture are drawn anew, bool ``[height, width]``.

    Where a mask has holes (alpha below 128), these are drawn anew, as in editors. In any other mask
    it is what is light.

    Raises:
        InputError: the file is no picture, has another size, leaves nothing to draw, or has holes
            in black and white, which could mean either.
    """
    rgba = to_rgba(open_beside(path, picture))
    if rgba.shape[:2] != (height, width):
        raise InputError(f"the mask {path} is {rgba.shape[1]}×{rgba.shape[0]} pixels; the image is {width}×{height}")
    grey = np.array(Image.fromarray(rgba[..., :3]).convert("L"))
    is_light, is_hole = grey >= 128, rgba[..., 3] < 128
    if is_hole.any():
        solid = rgba[~is_hole, :3].astype(int)
        is_grey = (solid.max(axis=-1, initial=0) - solid.min(axis=-1, initial=255) <= GREY_SPREAD).all()
        if is_grey and len(set(is_light[~is_hole])) > 1:
            raise InputError(
                f"the mask {path} has holes and is black and white around them: fill the holes, "
                "or make all around them black"
            )
        logger.info("%s has holes: these are drawn anew, and the rest is kept", path)
        return is_hole
    if not is_light.any():
        raise InputError(f"the mask {path} has no white pixel: there is nothing to draw")
    return is_light


def with_margins(values: np.ndarray, margins: Margins, fill: bool | int) -> np.ndarray:
    """A map, ``[H, W]``, with so many pixels of ``fill`` around it."""
    left, top, right, bottom = margins
    return np.pad(values, ((top, bottom), (left, right)), constant_values=fill)


def read_indices(path: Path, palette: Palette) -> np.ndarray:
    """A picture's index map in ``palette``, uint8 ``[H, W]``.

    An indexed picture of which the entries stand at the same places keeps its indices, bit for bit.
    Others are encoded, and the log says how many pixels are no entries.

    Raises:
        InputError: the file is no picture, or the palette lacks an opaque entry for opaque pixels.
    """
    image = open_image(path)
    if image.mode == "P":
        indexed = IndexedImage.from_pil(image)
        if (indices := indexed.indices_in(palette)) is not None:
            return indices
    rgba = to_rgba(image)
    indices = encode(rgba, palette)
    if (changed := differs(rgba, indices, palette)).any():
        message = "%s: %d of %d pixels are not in the palette; they take the nearest entry"
        logger.info(message, path, changed.sum(), changed.size)
    return indices
