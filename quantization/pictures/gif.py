"""Animated GIF: frames are composed as browsers show them, and written with every duration.

Pillow compresses and decodes the pixels, and nothing more. When it reads, it shows the background
color where browsers show nothing, enlarges the canvas to frames that reach out of it, and takes no
notice of damage between blocks. When it writes, it drops frames that equal the one before and
reorders palettes. The format is in CompuServe 1990, "Graphics Interchange Format, Version 89a".
"""

import logging
import struct
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tincture.common.errors import InputError
from tincture.common.files import write_atomically

from ..palettes.palette import MAX_ENTRIES, Palette
from .canvas import Canvas, Disposal

logger = logging.getLogger(__name__)

KEEP, CLEAR, RESTORE = 1, 2, 3
"""A frame's disposal, as numbered in the file."""

_DISPOSALS = {CLEAR: Disposal.CLEAR, RESTORE: Disposal.RESTORE}
_EXTENSION, _FRAME, _END = 0x21, 0x2C, 0x3B
_CONTROL, _APPLICATION = 0xF9, 0xFF
_SHORTEST = 2
"""The shortest hundredths of a second that browsers show as they are; of fewer they make 10."""
_LARGEST = 0xFFFF
"""The largest size, duration and number of repeats that GIF can hold."""
_RAMP = np.arange(256, dtype=np.uint8).repeat(3).tobytes()


def read_gif(path: Path | str) -> tuple[list[np.ndarray], list[int], int | None]:
    """Read and compose all frames.

    Returns:
        Frames, sRGB RGBA, uint8 ``[H, W, 4]`` each; their durations in milliseconds; how often the
        animation is repeated, 0 for ever, none for once.

    Raises:
        ValueError: the file is cut off or no GIF, or its frames have too many pixels; OSError, from
            the decoder, if pixels are missing.
    """
    return _compose(Path(path).read_bytes())


def first_frame(data: bytes) -> np.ndarray:
    """The first frame in the bytes of a file, uint8 ``[H, W, 4]``; errors as in `read_gif`."""
    return _compose(data, most=1)[0][0]


def _compose(data: bytes, most: int | None = None) -> tuple[list[np.ndarray], list[int], int | None]:
    """`read_gif`, of at most so many frames."""
    try:
        return _read_blocks(data, most)
    except (IndexError, struct.error) as error:
        raise ValueError(f"the data end too early ({error})") from None


def _read_blocks(data: bytes, most: int | None) -> tuple[list[np.ndarray], list[int], int | None]:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    global_table, offset = _color_table(data, 13, flags)
    canvas = Canvas(height, width)
    frames: list[np.ndarray] = []
    durations: list[int] = []
    loops, disposal, hundredths, transparent = None, KEEP, 0, None
    while offset < len(data) and data[offset] != _END and len(frames) != most:
        # An extension: how the next frame is shown, or how often the animation is repeated.
        if data[offset] == _EXTENSION:
            kind, (blocks, end) = data[offset + 1], _sub_blocks(data, offset + 2)
            if kind == _CONTROL:
                control, hundredths, index = struct.unpack_from("<BHB", blocks)
                disposal, transparent = control >> 2 & 7, index if control & 1 else None
            elif kind == _APPLICATION and blocks.startswith(b"NETSCAPE2.0\x01"):
                loops = struct.unpack_from("<H", blocks, 12)[0]

        # A frame: its place, its own colors if it has some, and its pixels.
        elif data[offset] == _FRAME:
            left, top, *size, flags = struct.unpack_from("<HHHHB", data, offset + 1)
            own_table, start = _color_table(data, offset + 10, flags)
            _, end = _sub_blocks(data, start + 1)
            indices = _decompress(data[start:end], size[0], size[1], flags & 0x40)
            if Image.MAX_IMAGE_PIXELS and (len(frames) + 1) * width * height > 2 * Image.MAX_IMAGE_PIXELS:
                raise ValueError(f"over {len(frames):,} frames have too many pixels")
            table = global_table if own_table is None else own_table
            if table is None:
                raise OSError("a frame has no colors")
            if transparent is not None:
                table = table.copy()
                table[transparent] = 0
            frames.append(canvas.show(table[indices], left, top, _DISPOSALS.get(disposal, Disposal.KEEP)))
            durations.append(10 * hundredths)
            disposal, hundredths, transparent = KEEP, 0, None

        # A stray end of blocks, which every program skips.
        elif data[offset] == 0:
            end = offset + 1
        else:
            raise ValueError(f"unknown block {data[offset]:#x}")
        offset = end
    if not frames:
        raise ValueError("it holds no frame")
    return frames, durations, loops


def _color_table(data: bytes, offset: int, flags: int) -> tuple[np.ndarray | None, int]:
    """The colors that flags announce, then black, uint8 ``[256, 4]``; and the offset after them."""
    if not flags & 0x80:
        return None, offset
    end = offset + 3 * 2 ** ((flags & 7) + 1)
    table = np.full((256, 4), 255, np.uint8)
    table[:, :3] = np.frombuffer(data[offset:end].ljust(768, b"\0"), np.uint8).reshape(-1, 3)
    return table, end


def _sub_blocks(data: bytes, offset: int) -> tuple[bytes, int]:
    """The content of blocks up to an empty one, each after its length; and the offset after it."""
    parts = []
    while length := data[offset]:
        parts.append(data[offset + 1 : offset + 1 + length])
        offset += length + 1
    return b"".join(parts), offset + 1


def _decompress(data: bytes, width: int, height: int, interlaced: int) -> np.ndarray:
    """The indices of a frame, uint8 ``[H, W]``, decoded by Pillow as a GIF of its own in grays."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + _RAMP
    descriptor = struct.pack("<BHHHHB", _FRAME, 0, 0, width, height, interlaced)
    with Image.open(BytesIO(head + descriptor + data + b";"), formats=("GIF",)) as image:
        return np.array(image)


def write_gif(
    path: Path | str,
    frames: Sequence[np.ndarray],
    palette: Palette | Sequence[Palette],
    durations: Sequence[int],
    loops: int | None = 0,
) -> None:
    """Write an animation in one palette, in its order, or each frame in its own.

    Frames of one opaque palette are cut to the rectangle that changes.

    Args:
        path: where to, whole or not at all.
        frames: index maps, uint8 ``[H, W]``, all of one size.
        palette: of all frames, or one for each; its entries are opaque or transparent.
        durations: milliseconds for each frame. GIF keeps hundredths of a second; they are rounded
            so that no error adds up.
        loops: how often the animation is repeated: 0 for ever, none for once; more than 65,535
            become 65,535.

    Raises:
        InputError: a frame is wider or higher than 65,535 pixels, or an entry is half transparent.
    """
    height, width = frames[0].shape
    if max(height, width) > _LARGEST:
        raise InputError(f"a GIF is at most {_LARGEST:,} pixels wide and high, not {width:,} × {height:,}")
    palettes = [palette] * len(frames) if isinstance(palette, Palette) else list(palette)
    for each in set(palettes):
        check_gif_palette(each)
    is_shared, has_transparency = len(set(palettes)) == 1, any(p.transparent is not None for p in palettes)

    hundredths = _hundredths(durations)
    if len(frames) > 1 and min(hundredths) < _SHORTEST:
        _hint_at_short_frames()

    # The header: the size, the common palette, the number of repeats.
    flags, table = _stored_table(palettes[0], len(palettes[0]) - 1) if is_shared else (0, b"")
    parts = [b"GIF89a", struct.pack("<HHBBB", width, height, 0x70 | flags, 0, 0), table]
    if loops is not None:
        parts.append(
            struct.pack("<BBB11sBBHB", _EXTENSION, _APPLICATION, 11, b"NETSCAPE2.0", 3, 1, min(loops, _LARGEST), 0)
        )

    # A frame: how it is shown, its place and its own palette, its pixels.
    # Where something is transparent, each frame is whole, and the canvas is cleared after it,
    # because a frame can't draw "nothing".
    previous = None
    for indices, own, duration in zip(frames, palettes, hundredths, strict=True):
        is_whole = has_transparency or not is_shared or previous is None
        top, left, area = (0, 0, indices) if is_whole else _changed(previous, indices)
        hidden = _hidden_index(own) if has_transparency else None
        control = (CLEAR if has_transparency else KEEP) << 2 | (hidden is not None)
        flags, table = (0, b"") if is_shared else _stored_table(own, max(len(own) - 1, hidden or 0))
        parts.append(struct.pack("<BBBBHBB", _EXTENSION, _CONTROL, 4, control, duration, hidden or 0, 0))
        parts.append(struct.pack("<BHHHHB", _FRAME, left, top, area.shape[1], area.shape[0], flags) + table)
        parts.append(_compress(area))
        previous = indices
    parts.append(bytes([_END]))
    write_atomically(path, lambda temporary: temporary.write_bytes(b"".join(parts)))


@cache  # once for all files of a command
def _hint_at_short_frames() -> None:
    logger.warning(
        "frames under 20 milliseconds are written, but browsers show them for 100: 20 is the least they show"
    )


def check_gif_palette(palette: Palette) -> None:
    """Raise InputError if an entry is neither opaque nor transparent; GIF knows nothing else."""
    between = [color for color in palette.to_hex() if len(color) == 8 and not color.endswith("00")]
    if between:
        raise InputError(f"a GIF's colors are opaque or transparent, but the palette holds {between[0]} (RRGGBBAA)")


def _hidden_index(palette: Palette) -> int | None:
    """The transparent entry, or else an index that no pixel holds; none if all 256 are opaque.

    A browser clears a frame's area to nothing. Pillow does so only if the frame announces a
    transparent index.
    """
    after = len(palette) if len(palette) < MAX_ENTRIES else None
    return after if palette.transparent is None else palette.transparent


def _stored_table(palette: Palette, last: int) -> tuple[int, bytes]:
    """Flags and colors of a table that reaches to the index ``last``, black after our own."""
    bits = max(last.bit_length(), 1)
    return 0x80 | (bits - 1), palette.colors[:, :3].tobytes().ljust(3 * 2**bits, b"\0")


def _hundredths(durations: Sequence[int]) -> list[int]:
    """Milliseconds to hundredths of a second; what is rounded is the times at which frames end."""
    ends = np.floor(np.cumsum(durations) / 10 + 0.5).astype(int)
    return np.diff(ends, prepend=0).clip(0, _LARGEST).tolist()


def _changed(previous: np.ndarray, indices: np.ndarray) -> tuple[int, int, np.ndarray]:
    """Top, left and pixels of the smallest rectangle that differs; one pixel where nothing does."""
    rows, columns = np.nonzero(previous != indices)
    if len(rows) == 0:
        return 0, 0, indices[:1, :1]
    top, left = int(rows.min()), int(columns.min())
    return top, left, indices[top : rows.max() + 1, left : columns.max() + 1]


def _compress(indices: np.ndarray) -> bytes:
    """A frame's code size and LZW blocks, cut out of a GIF that Pillow writes of it alone."""
    image = Image.fromarray(np.ascontiguousarray(indices), mode="P")
    image.putpalette(bytes(768))  # of the full size and opaque, so that Pillow has no reason to change indices
    buffer = BytesIO()
    image.save(buffer, format="GIF", optimize=False, interlace=False)
    data = buffer.getvalue()
    _, offset = _color_table(data, 13, data[10])
    while data[offset] == _EXTENSION:
        _, offset = _sub_blocks(data, offset + 2)
    return data[offset + 10 : -1]
