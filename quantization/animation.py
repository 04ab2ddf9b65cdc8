"""Animated pictures: frames and how long each is shown, read from GIF, WebP and APNG."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from .errors import InputError
from .gif import read_gif
from .images import open_image, to_rgba

ANIMATED_FORMATS = frozenset({"GIF", "WEBP", "PNG"})
"""The frames of other formats are no animation: pages of a TIFF, the small preview in a camera's JPEG."""


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
        with Image.open(path) as image:
            count = getattr(image, "n_frames", 1) if image.format in ANIMATED_FORMATS else 1
            if Image.MAX_IMAGE_PIXELS and count * image.width * image.height > 2 * Image.MAX_IMAGE_PIXELS:
                raise InputError(f"{path} has too many pixels in its {count} frames")
            if image.format == "GIF":
                frames, durations, loops = read_gif(path)
                return Animation(frames, durations if len(frames) > 1 else [0], loops)
            if count == 1:
                return Animation([to_rgba(still)], [0])
            frames, durations = [], []
            for frame in ImageSequence.Iterator(image):
                frame.load()
                durations.append(round(frame.info.get("duration", 0)))
                frames.append(to_rgba(frame))
            return Animation(frames, durations, image.info.get("loop"))
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is broken or cut off: {error}") from None
