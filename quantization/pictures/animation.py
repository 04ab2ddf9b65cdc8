"""Animated pictures: frames and how long each is shown, read from GIF, WebP and APNG; indexed images written as GIF."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from tincture.common.errors import InputError

from ..palettes.palette import Palette
from .apng import read_apng, repeats
from .gif import read_gif, write_gif
from .indexed_image import IndexedImage
from .reading import DECODER_ERRORS, FORMATS, open_image, to_rgba

ANIMATED_FORMATS = frozenset({"GIF", "WEBP", "PNG"})
"""The frames of other formats are no animation: pages of a TIFF, the small preview in a camera's JPEG."""

GIF_MILLISECONDS = range(10, 655_350 + 1)
"""How long a frame can be shown: 1 to 65,535 hundredths of a second (0 leaves it to the program that shows it)."""


@dataclass(frozen=True, eq=False)
class Animation:
    """One frame for a still picture, several for an animated one."""

    frames: list[np.ndarray]
    """sRGB RGBA, uint8 ``[H, W, 4]`` each, all of one size."""
    durations: list[int]
    """Milliseconds for which each frame is shown; 0 for a still picture."""
    loops: int | None = None
    """How often the animation is repeated: 0 for ever, none for once."""


def read_animation(path: Path) -> Animation:
    """Read all frames of a picture, a still one as one frame turned upright.

    Raises:
        InputError: as for :func:`images.open_image`; or all frames together have too many pixels.
    """
    still = open_image(path)  # decodes the first frame, with all its errors
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as image:
            warnings.simplefilter("ignore")
            count = getattr(image, "n_frames", 1) if image.format in ANIMATED_FORMATS else 1
            if Image.MAX_IMAGE_PIXELS and count * image.width * image.height > 2 * Image.MAX_IMAGE_PIXELS:
                raise InputError(f"{path} has too many pixels in its {count} frames")
            if image.format == "GIF":
                frames, durations, loops = read_gif(path)
                return Animation(frames, durations if len(frames) > 1 else [0], loops)
            if count == 1:
                return Animation([to_rgba(still)], [0])
            if image.format == "PNG":
                frames, durations, loops = read_apng(path)
                return Animation(frames, durations if len(frames) > 1 else [0], loops)
            frames, durations = [], []
            for frame in ImageSequence.Iterator(image):
                frame.load()
                durations.append(round(frame.info.get("duration", 0)))
                frames.append(to_rgba(frame))
            return Animation(frames, durations, repeats(image.info.get("loop", 0)))
    except InputError:
        raise
    except (*DECODER_ERRORS, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is broken or cut off: {error}") from None


def check_gif_palette(palette: Palette) -> None:
    """Raise InputError if an entry is neither opaque nor transparent, the only two that GIF knows."""
    between = [color for color in palette.to_hex() if len(color) == 8 and not color.endswith("00")]
    if between:
        raise InputError(f"a GIF's colors are opaque or transparent, but the palette holds {between[0]} (RRGGBBAA)")


def write_animation(path: Path, images: Sequence[IndexedImage], duration: int) -> None:
    """Write images as the frames of a GIF that repeats for ever, each pixel in its exact color.

    Images that share a palette share the file's color table, in the palette's order; otherwise each has its own.

    Args:
        path: where to, whole or not at all.
        images: at least one, all of one size.
        duration: milliseconds for each frame; GIF keeps hundredths of a second.

    Raises:
        InputError: the images differ in size, an entry is half transparent, or GIF can't hold the duration.
    """
    sizes = {image.indices.shape for image in images}
    if len(sizes) != 1:
        raise InputError(f"the frames of a GIF have one size, not {sorted(sizes)}")
    if duration not in GIF_MILLISECONDS:
        first, last = GIF_MILLISECONDS[0], GIF_MILLISECONDS[-1]
        raise InputError(f"a GIF shows each frame for {first} to {last:,} milliseconds, not {duration}")
    for palette in {image.palette for image in images}:
        check_gif_palette(palette)
    indices, palettes = [image.indices for image in images], [image.palette for image in images]
    write_gif(path, indices, palettes, [duration] * len(images))
