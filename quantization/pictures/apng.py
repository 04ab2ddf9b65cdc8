"""Animated PNG: frames composed as browsers show them.

Pillow decodes the pixels; its composition clears the area of an indexed frame to the first color, mixes indices as if they
were colors, and takes a separate default image for a frame. The format: W3C 2025, "PNG Specification (Third Edition)".
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from .reading import open_image, to_rgba

CLEAR, RESTORE = 1, 2
"""Disposal: what becomes of a frame's area after it was shown. It turns transparent, or is as before; else it stays."""
OVER = 1
"""Blending: a frame is drawn over what its area shows; else in its place."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OF_ALL_FRAMES = (b"PLTE", b"tRNS", b"iCCP")


class _Frame(NamedTuple):
    """A frame's place on the canvas, how it is shown, and its compressed pixels."""

    width: int
    height: int
    left: int
    top: int
    numerator: int
    denominator: int
    disposal: int
    blending: int
    pixels: list[bytes]


def read_apng(path: Path) -> tuple[list[np.ndarray], list[int], int | None]:
    """Read and compose all frames; a default image that is no frame is left out.

    Returns:
        Frames, sRGB RGBA, uint8 ``[H, W, 4]`` each; their durations in milliseconds; how often the animation is
        repeated, 0 for ever, none for once.

    Raises:
        ValueError: the file is cut off, damaged or no animation; an InputError, which is one, where it is a frame.
    """
    try:
        header, common, plays, frames = _parse(path.read_bytes())
    except struct.error as error:
        raise ValueError(f"the data end too early ({error})") from None
    width, height = struct.unpack_from(">II", header)
    canvas = np.zeros((height, width, 4), np.uint8)
    shown, durations = [], []
    for number, frame in enumerate(frames):
        if frame.left + frame.width > width or frame.top + frame.height > height:
            raise ValueError(f"frame {number} reaches out of the picture")
        chunks = [(b"IHDR", struct.pack(">II", frame.width, frame.height) + header[8:]), *common]
        pixels = to_rgba(open_image(path, _png([*chunks, (b"IDAT", b"".join(frame.pixels)), (b"IEND", b"")])))
        before = canvas.copy()
        area = canvas[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
        area[:] = _over(area, pixels) if frame.blending == OVER else pixels
        shown.append(canvas.copy())
        durations.append(round(1000 * frame.numerator / (frame.denominator or 100)))
        if frame.disposal == CLEAR:
            area[:] = 0
        elif frame.disposal == RESTORE:
            canvas = before
    return shown, durations, repeats(plays)


def repeats(plays: int) -> int | None:
    """How often an animation is repeated, 0 for ever, none for once, that is played ``plays`` times, 0 for ever."""
    return plays - 1 if plays > 1 else None if plays else 0


def _over(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    return np.asarray(Image.alpha_composite(Image.fromarray(below), Image.fromarray(above)))


def _parse(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], int, list[_Frame]]:
    """The header, the chunks that hold for all frames, how often to play, and the frames."""
    header, common, plays, count, number = b"", [], 0, 0, 0
    frames: list[_Frame] = []
    for kind, body in _chunks(data):
        if kind == b"IHDR":
            header = body
        elif kind in _OF_ALL_FRAMES:
            common.append((kind, body))
        elif kind == b"acTL":
            count, plays = struct.unpack(">II", body)
        elif kind == b"IDAT" and frames:  # else it is the default image
            frames[0].pixels.append(body)
        elif kind in (b"fcTL", b"fdAT"):
            if struct.unpack_from(">I", body)[0] != number:
                raise ValueError(f"the animation's part {number} is missing")
            number += 1
            if kind == b"fcTL":
                frames.append(_Frame(*struct.unpack(">IIIIHHBB", body[4:]), []))
            elif frames:
                frames[-1].pixels.append(body[4:])
    if not frames or len(frames) != count:
        raise ValueError(f"it holds {len(frames)} of its {count} frames")
    return header, common, plays, frames


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents up to the end of a PNG, their checksums checked."""
    offset, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, offset)
        body = data[offset + 8 : offset + 8 + length]
        if struct.unpack_from(">I", data, offset + 8 + length)[0] != zlib.crc32(kind + body):
            raise ValueError(f"the checksum of a chunk {kind!r} is wrong")
        yield kind, body
        offset += length + 12


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of chunks."""
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return _SIGNATURE + b"".join(parts)
