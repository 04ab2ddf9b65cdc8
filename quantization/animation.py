"""Animated pictures: frames and how long each is shown, read from GIF, WebP and APNG, and written as indexed GIF."""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from .errors import InputError
from .files import write_atomically
from .images import open_image, to_rgba
from .palette import Palette

ANIMATED_FORMATS = frozenset({"GIF", "WEBP", "PNG"})
"""The frames of other formats are no animation: pages of a TIFF, the small preview in a camera's JPEG."""

_KEEP, _CLEAR = 1, 2  # GIF's disposal methods: leave the frame, or clear its area to transparency


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
            if count == 1:
                return Animation([to_rgba(still)], [0])
            if Image.MAX_IMAGE_PIXELS and count * image.width * image.height > 2 * Image.MAX_IMAGE_PIXELS:
                raise InputError(f"{path} has too many pixels in its {count} frames")
            frames, durations = [], []
            for frame in ImageSequence.Iterator(image):
                frame.load()
                durations.append(round(frame.info.get("duration", 0)))
                frames.append(to_rgba(frame))
            return Animation(frames, durations, image.info.get("loop"))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is broken or cut off: {error}") from None


def write_gif(
    path: Path, frames: Sequence[np.ndarray], palette: Palette, durations: Sequence[int], loops: int | None = 0
) -> None:
    """Write an animated GIF with one palette in its order, every frame and every duration.

    Pillow's own writer drops frames that equal the one before and reorders palettes; this one only takes its
    compressed pixels. Frames of an opaque palette are cut to the rectangle that changes.

    Args:
        path: where to, whole or not at all.
        frames: index maps, uint8 ``[H, W]``, all of one size, H and W at most 65,535.
        palette: of all frames. GIF knows opaque and transparent: entries of other alphas become opaque.
        durations: milliseconds for each frame; GIF keeps hundredths of a second, rounded so that no error adds up.
        loops: as in `Animation`.
    """
    height, width = frames[0].shape
    bits = max((len(palette) - 1).bit_length(), 1)
    table = palette.colors[:, :3].tobytes().ljust(3 * 2**bits, b"\0")
    parts = [b"GIF89a", struct.pack("<HHBBB", width, height, 0xF0 | (bits - 1), 0, 0), table]
    if loops is not None:
        parts.append(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", loops, 0))
    transparent, previous = palette.transparent, None
    for indices, hundredths in zip(frames, _hundredths(durations), strict=True):
        has_transparency = transparent is not None
        top, left, area = (0, 0, indices) if has_transparency or previous is None else _changed(previous, indices)
        flags = (_CLEAR if has_transparency else _KEEP) << 2 | has_transparency
        parts.append(struct.pack("<BBBBHBB", 0x21, 0xF9, 4, flags, hundredths, transparent or 0, 0))
        parts.append(struct.pack("<BHHHHB", 0x2C, left, top, area.shape[1], area.shape[0], 0))
        parts.append(_compressed(area))
        previous = indices
    parts.append(b"\x3b")
    write_atomically(path, lambda temporary: temporary.write_bytes(b"".join(parts)))


def _hundredths(durations: Sequence[int]) -> list[int]:
    """Milliseconds to hundredths of a second, rounding the times at which frames end, not the durations."""
    ends = np.floor(np.cumsum(durations) / 10 + 0.5).astype(int)
    return np.diff(ends, prepend=0).clip(0, 0xFFFF).tolist()


def _changed(previous: np.ndarray, indices: np.ndarray) -> tuple[int, int, np.ndarray]:
    """The top, the left and the pixels of the smallest rectangle that differs; one pixel where nothing does."""
    rows, columns = np.nonzero(previous != indices)
    if len(rows) == 0:
        return 0, 0, indices[:1, :1]
    top, left = int(rows.min()), int(columns.min())
    return top, left, indices[top : rows.max() + 1, left : columns.max() + 1]


def _compressed(indices: np.ndarray) -> bytes:
    """The image data of a GIF frame (code size and LZW blocks), cut out of a GIF that Pillow writes of it alone."""
    image = Image.fromarray(np.ascontiguousarray(indices), mode="P")
    image.putpalette(bytes(768))  # of the full size, and without transparency: Pillow has no reason to change indices
    buffer = io.BytesIO()
    image.save(buffer, format="GIF", optimize=False, interlace=False)
    data = buffer.getvalue()
    offset = 13 + 3 * 2 ** ((data[10] & 7) + 1)  # behind the head and the color table
    while data[offset] == 0x21:  # extensions
        offset += 2
        while data[offset]:
            offset += data[offset] + 1
        offset += 1
    return data[offset + 10 : -1]
