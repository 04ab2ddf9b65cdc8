"""The palette files of other programs; `files.READERS` and `files.WRITERS` name them by suffix.

Text: Lospec's `.hex`, GIMP's `.gpl`, JASC's `.pal` (Paint Shop Pro) and Paint.NET's `.txt`. Binary:
Adobe's color table `.act` (Photoshop) and swatch exchange `.ase`.
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tincture.common.errors import InputError
from tincture.common.files import write_atomically

from ..color import linear_to_srgb
from .palette import Palette


def read_hex(path: Path) -> Palette:
    """Read one ``RRGGBB`` or ``RRGGBBAA`` a line; ``;`` and ``//`` start comments."""
    return Palette.from_hex(line for line in _lines(path) if not line.startswith((";", "//")))


def write_hex(palette: Palette, path: Path) -> None:
    """Write one ``RRGGBB`` a line, ``RRGGBBAA`` where an entry is not opaque."""
    _write_lines(path, palette.to_hex())


def read_gpl(path: Path) -> Palette:
    """Read lines of ``red green blue name``, after a head of ``Name:`` and ``Columns:``.

    Aseprite writes ``Channels: RGBA`` into the head where a fourth number, the alpha, follows.
    """
    lines = _lines(path)
    if not lines or not lines[0].startswith("GIMP Palette"):
        raise InputError("not a GIMP palette: its first line is not 'GIMP Palette'")
    channels, rows = 3, []
    for line in lines[1:]:
        if line.lower().replace(" ", "") == "channels:rgba":
            channels = 4
        elif not line.startswith("#") and not line.lower().startswith(("name:", "columns:", "channels:")):
            rows.append(_numbers(line, line.split()[:channels]))
    return _palette(rows)


def write_gpl(palette: Palette, path: Path) -> None:
    """Write a GIMP palette, with Aseprite's ``Channels: RGBA`` if an entry isn't opaque."""
    channels = 3 if (palette.colors[:, 3] == 255).all() else 4
    head = ["GIMP Palette", *(["Channels: RGBA"] if channels == 4 else []), f"Name: {path.stem}", "Columns: 16", "#"]
    names = palette.to_hex()
    rows = [" ".join(f"{value:3d}" for value in color[:channels]) for color in palette.colors.tolist()]
    _write_lines(path, [*head, *(f"{row}\t{name}" for row, name in zip(rows, names, strict=True))])


def read_jasc(path: Path) -> Palette:
    """Read ``JASC-PAL``, ``0100``, the number of entries, and ``red green blue [alpha]`` lines."""
    if path.read_bytes()[:4] == b"RIFF":
        raise InputError("a Microsoft (RIFF) palette, not a JASC one; save it as .act, .gpl or JASC .pal")
    lines = _lines(path)
    if len(lines) < 3 or lines[0] != "JASC-PAL" or not _is_count(lines[2]):
        raise InputError("not a JASC palette: it begins with the lines 'JASC-PAL', '0100' and the number of entries")
    count, rows = int(lines[2]), lines[3:]
    if len(rows) < count:
        raise InputError(f"{count} entries are announced, but {len(rows)} follow: the file is cut off")
    return _palette([_numbers(row, row.split()) for row in rows[:count]])


def write_jasc(palette: Palette, path: Path) -> None:
    """Write a JASC palette with the line ends of Windows; it holds opaque entries only."""
    _require_opaque(palette, path)
    rows = [" ".join(map(str, color[:3])) for color in palette.colors.tolist()]
    _write_lines(path, ["JASC-PAL", "0100", str(len(palette)), *rows], line_end="\r\n")


def read_paint_net(path: Path) -> Palette:
    """Read one ``AARRGGBB`` or ``RRGGBB`` a line; a semicolon starts a comment."""
    colors = [line.split(";")[0].strip() for line in _lines(path)]
    return Palette.from_hex(color[2:] + color[:2] if len(color) == 8 else color for color in colors if color)


def write_paint_net(palette: Palette, path: Path) -> None:
    """Write a Paint.NET palette, which that program reads up to its 96th entry."""
    head = ["; paint.net Palette File", "; aarrggbb, one color a line"]
    rows = [f"{a:02X}{r:02X}{g:02X}{b:02X}" for r, g, b, a in palette.colors.tolist()]
    _write_lines(path, [*head, *rows], line_end="\r\n")


def _lines(path: Path) -> list[str]:
    """The lines that aren't blank, stripped; a byte order mark and undecodable names do no harm."""
    data = path.read_bytes()
    if b"\0" in data:
        raise InputError("not a text file")
    return [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines() if line.strip()]


def _write_lines(path: Path, lines: list[str], line_end: str = "\n") -> None:
    _write(path, "".join(line + line_end for line in lines).encode())


def _write(path: Path, data: bytes) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def _is_count(word: str) -> bool:
    return word.isdecimal() and len(word) <= 9  # Python refuses to read numbers of thousands of digits


def _numbers(line: str, words: list[str]) -> list[int]:
    if len(words) not in (3, 4) or not all(_is_count(word) and int(word) <= 255 for word in words):
        raise InputError(f"{line!r} is not a color: write 3 numbers from 0 to 255")
    return [int(word) for word in words] + [255] * (4 - len(words))


def _palette(rows: list[list[int]]) -> Palette:
    return Palette(np.array(rows, np.uint8).reshape(-1, 4))


def _require_opaque(palette: Palette, path: Path) -> None:
    if (palette.colors[:, 3] < 255).any():
        raise InputError(f"{path}: {path.suffix} files hold no transparency; write .hex, .gpl, .txt or .png")


_TABLE_BYTES = 256 * 3
_NO_TRANSPARENCY = 0xFFFF


def read_act(path: Path) -> Palette:
    """Read 256 entries of 3 bytes and the trailer, if there is one.

    The trailer holds the number of entries and the position of the transparent one.
    """
    data = path.read_bytes()
    if len(data) not in (_TABLE_BYTES, _TABLE_BYTES + 4):
        raise InputError(f"a color table has {_TABLE_BYTES} or {_TABLE_BYTES + 4} bytes, not {len(data)}")
    trailer = data[_TABLE_BYTES:]
    count, transparent = struct.unpack(">HH", trailer) if trailer else (256, _NO_TRANSPARENCY)
    colors = np.full((256, 4), 255, np.uint8)
    colors[:, :3] = np.frombuffer(data[:_TABLE_BYTES], np.uint8).reshape(-1, 3)
    if transparent < 256:
        colors[transparent, 3] = 0
    return Palette(colors[: count or 256])


def write_act(palette: Palette, path: Path) -> None:
    """Write a color table with its trailer; it can't hold half-transparent entries."""
    if ((palette.colors[:, 3] > 0) & (palette.colors[:, 3] < 255)).any():
        raise InputError(f"{path}: .act files hold one fully transparent entry and no half-transparent ones")
    transparent = _NO_TRANSPARENCY if palette.transparent is None else palette.transparent
    table = palette.colors[:, :3].tobytes().ljust(_TABLE_BYTES, b"\0")
    _write(path, table + struct.pack(">HH", len(palette), transparent))


_COLOR_BLOCK = 0x0001
_PROCESS_COLOR = 2


def read_ase(path: Path) -> Palette:
    """Read the swatches of all groups in their order; CMYK, Lab and gray ones become sRGB."""
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
    """Write RGB swatches, named by their hexadecimal digits; they are opaque."""
    _require_opaque(palette, path)
    blocks = []
    for name, color in zip(palette.to_hex(), palette.colors.tolist(), strict=True):
        text = f"{name}\0".encode("utf-16-be")
        body = struct.pack(">H", len(text) // 2) + text + b"RGB "
        body += struct.pack(">3fH", *(value / 255 for value in color[:3]), _PROCESS_COLOR)
        blocks.append(struct.pack(">HI", _COLOR_BLOCK, len(body)) + body)
    _write(path, b"ASEF" + struct.pack(">HHI", 1, 0, len(blocks)) + b"".join(blocks))


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


_LAB_WHITE = np.array([0.96422, 1.0, 0.82521])  # D50
# XYZ under D50 → linear sRGB, by Bradford's adaptation (Lindbloom).
_XYZ_TO_LINEAR = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)


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
