"""Animations: frames and how long each is shown, read from GIF, WebP and APNG, written as GIF."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageSequence
from PIL.PngImagePlugin import Blend

from tincture.common.errors import InputError

from ..palettes.files import without_filling
from .canvas import Canvas, Disposal
from .gif import read_gif, write_gif
from .indexed_image import IndexedImage
from .reading import DECODER_ERRORS, FORMATS, correct_transparency, open_image, to_rgba

ANIMATED_FORMATS = frozenset({"GIF", "WEBP", "PNG"})
"""Several pictures in other formats are no animation: a TIFF's pages, the preview in a JPEG."""

GIF_MILLISECONDS = range(10, 655_350 + 1)
"""How long a frame can be shown: 1 to 65,535 hundredths of a second. 0 leaves it to the viewer."""
_DISPOSALS = {1: Disposal.CLEAR, 2: Disposal.RESTORE}
"""By their numbers in an animated PNG."""


@dataclass(frozen=True, eq=False)
class Animation:
    """One frame for a still picture, several for an animated one."""

    frames: list[np.ndarray]
    """sRGB RGBA, uint8 ``[H, W, 4]`` each, all of one size."""
    durations: list[int]
    """Milliseconds for which each frame is shown; 0 for a still picture."""
    loops: int | None = None
    """How often the animation is repeated; 0 for ever, none for once."""
    indexed: IndexedImage | None = None
    """The first frame as the file holds it, if that is indexed."""


def read_animation(path: Path | str) -> Animation:
    """Read all frames of a picture, a still one as one frame turned upright.

    Raises:
        InputError: as for `open_image`; or all frames together have too many pixels.
    """
    still = open_image(path)  # decodes the first frame, with all its errors
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as image:
            warnings.simplefilter("ignore")
            count = getattr(image, "n_frames", 1) if image.format in ANIMATED_FORMATS else 1
            if Image.MAX_IMAGE_PIXELS and count * image.width * image.height > 2 * Image.MAX_IMAGE_PIXELS:
                raise InputError(f"{path} has too many pixels in its {count} frames")
            if image.format == "GIF":
                animation = Animation(*read_gif(path))
            elif count == 1:
                animation = Animation([to_rgba(still)], [0])
            elif image.format == "PNG":
                animation = _read_apng(image)
            else:
                animation = _read_webp(image)
    except InputError:
        raise
    except (*DECODER_ERRORS, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is broken or cut off: {error}") from None
    indexed = IndexedImage.from_pil(still) if still.mode == "P" else None
    if indexed is not None and image.format == "GIF":
        indexed = without_filling(indexed, path)
    durations = animation.durations if len(animation.frames) > 1 else [0]
    return replace(animation, durations=durations, indexed=indexed)


def _read_webp(image: Image.Image) -> Animation:
    frames, durations = [], []
    for frame in ImageSequence.Iterator(image):
        frame.load()
        frame = ImageOps.exif_transpose(frame)  # noqa: PLW2901
        durations.append(round(frame.info.get("duration", 0)))
        frames.append(to_rgba(frame))
    return Animation(frames, durations, _repeats(image.info.get("loop", 0)))


def _read_apng(image: Image.Image) -> Animation:
    """Compose the frames of an animated PNG.

    Pillow checks the file and decodes each frame's area. Its own composition clears the area of an
    indexed frame to the first color and lays soft pixels over others by a wrong formula, and it
    puts interlaced areas in the wrong rows. The format is in W3C 2025, "PNG Specification (Third
    Edition)".
    """
    canvas = Canvas(image.height, image.width)
    frames, durations = [], []
    for number in range(image.n_frames):
        image.seek(number)

        # Decode the frame's area alone, at the top left.
        tile = image.tile[0]
        left, top, right, bottom = tile.extents
        box = (0, 0, right - left, bottom - top)
        image.tile = [tile._replace(extents=box)]
        image.dispose_op = image.blend_op = None  # so that Pillow composes nothing
        image.decoderconfig = ()  # Pillow adds to it with each frame of an interlaced file, and then fails
        image.load()
        if number == 0 and image.info.get("default_image"):
            continue  # a picture for programs that show no animations
        area = image.crop(box)
        correct_transparency(area, tile.args)

        # Draw it where it belongs.
        disposal = _DISPOSALS.get(image.info["disposal"], Disposal.KEEP)
        is_over = image.info["blend"] == Blend.OP_OVER
        frames.append(canvas.show(to_rgba(area), left, top, disposal, is_over=is_over))
        durations.append(round(image.info["duration"]))
    return Animation(frames, durations, _repeats(image.info["loop"]))


def _repeats(plays: int) -> int | None:
    """How often what is played ``plays`` times is repeated, none for once; 0 stands for ever."""
    return plays - 1 if plays > 1 else None if plays else 0


def write_animation(path: Path | str, images: Sequence[IndexedImage], duration: int) -> None:
    """Write images as the frames of a GIF that repeats for ever, each pixel in its exact color.

    Images that share a palette share the file's color table, in the palette's order; otherwise each
    has its own.

    Args:
        path: where to, whole or not at all.
        images: at least one, all of one size.
        duration: milliseconds for each frame; GIF keeps hundredths of a second.

    Raises:
        InputError: the images differ in size, an entry is half transparent, or GIF can't hold the
            duration.
    """
    sizes = {image.indices.shape for image in images}
    if len(sizes) != 1:
        raise InputError(f"the frames of a GIF have one size, not {sorted(sizes)}")
    if duration not in GIF_MILLISECONDS:
        first, last = GIF_MILLISECONDS[0], GIF_MILLISECONDS[-1]
        raise InputError(f"a GIF shows each frame for {first} to {last:,} milliseconds, not {duration}")
    indices, palettes = [image.indices for image in images], [image.palette for image in images]
    write_gif(path, indices, palettes, [duration] * len(images))
