"""Palettes as text files: Lospec `.hex`, GIMP `.gpl`, JASC `.pal` (Paint Shop Pro) and Paint.NET `.txt`."""

from pathlib import Path

import numpy as np

from tincture.common.errors import InputError
from tincture.common.files import write_atomically

from .palette import Palette


def read_hex(path: Path) -> Palette:
    """Read one ``RRGGBB`` or ``RRGGBBAA`` a line; lines that start with ``;`` or ``//`` are comments."""
    return Palette.from_hex(line for line in _lines(path) if not line.startswith((";", "//")))


def write_hex(palette: Palette, path: Path) -> None:
    """Write one ``RRGGBB`` a line, ``RRGGBBAA`` where an entry is not opaque."""
    _write(path, palette.to_hex())


def read_gpl(path: Path) -> Palette:
    """Read ``red green blue name`` lines in decimals, after a head of ``Name:`` and ``Columns:`` lines.

    The head's ``Channels: RGBA``, which Aseprite writes, announces a fourth number, the alpha.
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
    """Write a GIMP palette; one with an entry that isn't opaque gets Aseprite's line ``Channels: RGBA``."""
    channels = 3 if (palette.colors[:, 3] == 255).all() else 4
    head = ["GIMP Palette", *(["Channels: RGBA"] if channels == 4 else []), f"Name: {path.stem}", "Columns: 16", "#"]
    names = palette.to_hex()
    rows = [" ".join(f"{value:3d}" for value in color[:channels]) for color in palette.colors.tolist()]
    _write(path, [*head, *(f"{row}\t{name}" for row, name in zip(rows, names, strict=True))])


def read_jasc(path: Path) -> Palette:
    """Read ``JASC-PAL``, ``0100``, the number of entries, and as many lines ``red green blue`` or with an alpha."""
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
    """Write a JASC palette with the line ends of Windows; its entries are opaque, others raise InputError."""
    require_opaque(palette, path)
    rows = [" ".join(map(str, color[:3])) for color in palette.colors.tolist()]
    _write(path, ["JASC-PAL", "0100", str(len(palette)), *rows], line_end="\r\n")


def read_paint_net(path: Path) -> Palette:
    """Read one ``AARRGGBB`` (or ``RRGGBB``) a line; a semicolon starts a comment."""
    colors = [line.split(";")[0].strip() for line in _lines(path)]
    return Palette.from_hex(color[2:] + color[:2] if len(color) == 8 else color for color in colors if color)


def write_paint_net(palette: Palette, path: Path) -> None:
    """Write a Paint.NET palette, which that program reads up to its 96th entry."""
    head = ["; paint.net Palette File", "; aarrggbb, one color a line"]
    rows = [f"{a:02X}{r:02X}{g:02X}{b:02X}" for r, g, b, a in palette.colors.tolist()]
    _write(path, [*head, *rows], line_end="\r\n")


def require_opaque(palette: Palette, path: Path) -> None:
    """Raise InputError if a palette with alpha is to be written in a format that has none."""
    if (palette.colors[:, 3] < 255).any():
        raise InputError(f"{path}: {path.suffix} files hold no transparency; write .hex, .gpl, .txt or .png")


def _lines(path: Path) -> list[str]:
    """The lines that aren't blank, stripped; a byte order mark and undecodable names do no harm."""
    data = path.read_bytes()
    if b"\0" in data:
        raise InputError("not a text file")
    return [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines() if line.strip()]


def _is_count(word: str) -> bool:
    """Whether a word is a number without sign, of at most nine digits: Python refuses to read those of thousands."""
    return word.isdecimal() and len(word) <= 9


def _numbers(line: str, words: list[str]) -> list[int]:
    if len(words) not in (3, 4) or not all(_is_count(word) and int(word) <= 255 for word in words):
        raise InputError(f"{line!r} is not a color: write 3 numbers from 0 to 255")
    return [int(word) for word in words] + [255] * (4 - len(words))


def _palette(rows: list[list[int]]) -> Palette:
    return Palette(np.array(rows, np.uint8).reshape(-1, 4))


def _write(path: Path, lines: list[str], line_end: str = "\n") -> None:
    data = "".join(line + line_end for line in lines).encode()
    write_atomically(path, lambda temporary: temporary.write_bytes(data))
