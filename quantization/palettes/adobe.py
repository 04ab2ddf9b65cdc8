"""Palettes of Adobe's programs: the color table `.act` of Photoshop and the swatch exchange `.ase`."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tincture.common.errors import InputError
from tincture.common.files import write_atomically

from ..color import linear_to_srgb
from .palette import Palette
from .text import require_opaque

TABLE_BYTES = 256 * 3
NO_TRANSPARENCY = 0xFFFF
_COLOR_BLOCK = 0x0001
_PROCESS_COLOR = 2
_LAB_WHITE = np.array([0.96422, 1.0, 0.82521])  # D50
# XYZ under D50 → linear sRGB, by Bradford's adaptation (Lindbloom).
_XYZ_TO_LINEAR = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)


def read_act(path: Path) -> Palette:
    """Read 256 entries of 3 bytes and, if it is there, the trailer: their number and the transparent one's position."""
    data = path.read_bytes()
    if len(data) not in (TABLE_BYTES, TABLE_BYTES + 4):
        raise InputError(f"a color table has {TABLE_BYTES} or {TABLE_BYTES + 4} bytes, not {len(data)}")
    count, transparent = struct.unpack(">HH", data[TABLE_BYTES:]) if len(data) > TABLE_BYTES else (256, NO_TRANSPARENCY)
    colors = np.full((256, 4), 255, np.uint8)
    colors[:, :3] = np.frombuffer(data[:TABLE_BYTES], np.uint8).reshape(-1, 3)
    if transparent < 256:
        colors[transparent, 3] = 0
    return Palette(colors[: count or 256])


def write_act(palette: Palette, path: Path) -> None:
    """Write a color table with its trailer; half-transparent entries, which it can't hold, raise InputError."""
    if ((palette.colors[:, 3] > 0) & (palette.colors[:, 3] < 255)).any():
        raise InputError(f"{path}: .act files hold one fully transparent entry and no half-transparent ones")
    transparent = NO_TRANSPARENCY if palette.transparent is None else palette.transparent
    table = palette.colors[:, :3].tobytes().ljust(TABLE_BYTES, b"\0")
    data = table + struct.pack(">HH", len(palette), transparent)
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def read_ase(path: Path) -> Palette:
    """Read the swatches of all groups in their order; CMYK, Lab and gray ones are converted to sRGB."""
    data = path.read_bytes()
    if data[:4] != b"ASEF":
        hint = "; this is an Aseprite sprite: export its palette" if data[4:6] == b"\xe0\xa5" else ""
        raise InputError(f"not a swatch exchange file{hint}")
    try:
        swatches = [_swatch(block) for kind, block in _blocks(data) if kind == _COLOR_BLOCK]
    except struct.error:
        raise InputError("the swatch exchange file is cut off") from None
    colors = np.full((len(swatches), 4), 255, np.uint8)
    colors[:, :3] = (np.nan_to_num(np.array(swatches)).reshape(-1, 3).clip(0, 1) * 255).round()
    return Palette(colors)


def write_ase(palette: Palette, path: Path) -> None:
    """Write RGB swatches named by their hexadecimal digits; entries that aren't opaque raise InputError."""
    require_opaque(palette, path)
    blocks = []
    for name, color in zip(palette.to_hex(), palette.colors.tolist(), strict=True):
        text = f"{name}\0".encode("utf-16-be")
        body = struct.pack(">H", len(text) // 2) + text + b"RGB "
        body += struct.pack(">3fH", *(value / 255 for value in color[:3]), _PROCESS_COLOR)
        blocks.append(struct.pack(">HI", _COLOR_BLOCK, len(body)) + body)
    data = b"ASEF" + struct.pack(">HHI", 1, 0, len(blocks)) + b"".join(blocks)
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each block's type and content, after the head of 12 bytes."""
    (count,) = struct.unpack_from(">I", data, 8)
    offset = 12
    for _ in range(count):
        kind, length = struct.unpack_from(">HI", data, offset)
        yield kind, data[offset + 6 : offset + 6 + length]
        offset += 6 + length


def _swatch(block: bytes) -> np.ndarray:
    """A color block (a name in UTF-16, a color model, its numbers) as sRGB in [0, 1]."""
    (name_length,) = struct.unpack_from(">H", block)
    start = 2 + 2 * name_length
    model = block[start : start + 4].decode("latin-1").strip().upper()
    if model not in _MODELS:
        raise InputError(f"a swatch is of the unknown color model {model!r}")
    count, to_srgb = _MODELS[model]
    return to_srgb(np.array(struct.unpack_from(f">{count}f", block, start + 4), np.float64))


def _lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """CIE Lab under D50, with lightness in [0, 1], to sRGB (CIE 15:2004)."""
    y = (100 * lab[0] + 16) / 116
    f = np.array([y + lab[1] / 500, y, y - lab[2] / 200])
    xyz = _LAB_WHITE * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return linear_to_srgb((_XYZ_TO_LINEAR @ xyz).clip(0, 1))


_MODELS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "RGB": (3, lambda rgb: rgb),
    "CMYK": (4, lambda cmyk: (1 - cmyk[:3]) * (1 - cmyk[3])),
    "LAB": (3, _lab_to_srgb),
    "GRAY": (1, lambda gray: gray.repeat(3)),
}
"""Color model → how many numbers it has, and how they become sRGB (CMYK without an ink profile)."""
