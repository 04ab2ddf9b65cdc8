"""The palette files of other programs; `files.READERS` and `files.WRITERS` name them by suffix.

Text: Lospec's `.hex`, GIMP's `.gpl`, JASC's `.pal` (Paint Shop Pro) and Paint.NET's `.txt`. Binary:
Microsoft's `.pal` and that of consoles, Adobe's color table `.act` (Photoshop), and swatches:
Adobe's `.ase` and `.aco`, Krita's `.kpl`.
"""

import colorsys
import string
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tincture.common.errors import InputError
from tincture.common.files import write_atomically

from ..color import linear_to_srgb
from ..pictures.reading import to_srgb
from .palette import Palette

if TYPE_CHECKING:
    from zipfile import ZipFile

MAX_FILE_BYTES = 1 << 22
"""Of palette files other than pictures. 256 colors with long names take a hundredth of it."""
MAX_UNPACKED_BYTES = 4 * MAX_FILE_BYTES
"""Of a zip: a printer's ICC profile takes a tenth of it."""


def read_hex(path: Path) -> Palette:
    """Read a color a line, as `Palette.from_hex` does; ``;`` and ``//`` start comments."""
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


def read_pal(path: Path) -> Palette:
    """Read one of three kinds of file: JASC's text, Microsoft's RIFF, or the bytes of a console."""
    data = path.read_bytes()
    if data[:4] == b"RIFF":
        return _read_riff(data)
    is_text = not data.strip(string.printable.encode()) or b"JASC-PAL" in data[:11]
    return _read_jasc(path) if is_text else _read_raw(data)


def _read_jasc(path: Path) -> Palette:
    """Read ``JASC-PAL``, ``0100``, the number of entries, and ``red green blue [alpha]`` lines."""
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
    for color in colors:
        if 0 < len(color) < 6:
            raise InputError(f"{color!r} is not a color: write AARRGGBB or RRGGBB")
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


def _opaque(colors: np.ndarray) -> Palette:
    """A palette of opaque entries, uint8 ``[K, 3 or more]``."""
    return Palette(np.concatenate([colors[:, :3], np.full((len(colors), 1), 255, np.uint8)], axis=1))


def _read_riff(data: bytes) -> Palette:
    """Read the LOGPALETTE in the chunk ``data``: a version, a number, and 4 bytes an entry.

    The fourth byte is a flag for Windows ("Multimedia Programming Interface", 1991).
    """
    offset = 12
    try:
        while data[offset : offset + 4] != b"data":
            (length,) = struct.unpack_from("<I", data, offset + 4)
            offset += 8 + length + length % 2
        _, count = struct.unpack_from("<2H", data, offset + 8)
    except struct.error:
        raise InputError("a RIFF file without the colors of a palette: it is cut off, or something else") from None
    entries = data[offset + 12 : offset + 12 + 4 * count]
    if len(entries) < 4 * count:
        raise InputError(f"{count} entries are announced, but {len(entries) // 4} follow: the file is cut off")
    return _opaque(np.frombuffer(entries, np.uint8).reshape(-1, 4))


_NES_COLORS, _NES_BYTES = 64, 8 * 64 * 3
_VGA_MAX = 63


def _read_raw(data: bytes) -> Palette:
    """Read 3 bytes an entry, as emulators and games keep palettes.

    If no byte is above 63, they are the 6 bits of a VGA. An NES file of 1,536 bytes has its 64
    colors, and these again for each emphasis (nesdev.org, ".pal").
    """
    if len(data) % 3:
        raise InputError(f"neither a JASC nor a Microsoft palette, nor 3 bytes for each entry: it has {len(data)}")
    colors = np.frombuffer(data, np.uint8).reshape(-1, 3)
    if len(data) == _NES_BYTES:
        colors = colors[:_NES_COLORS]
    if len(colors) and colors.max() <= _VGA_MAX:
        colors = (colors * (255 / _VGA_MAX)).round().astype(np.uint8)
    return _opaque(colors)


_TABLE_BYTES = 256 * 3
_NO_TRANSPARENCY = 0xFFFF


def read_act(path: Path) -> Palette:
    """Read entries of 3 bytes: 256 as Photoshop writes them, or fewer as other programs do.

    After 256 entries there may be a trailer: the number of entries and the position of the
    transparent one.
    """
    data = path.read_bytes()
    if len(data) != _TABLE_BYTES + 4 and (len(data) % 3 or not 0 < len(data) <= _TABLE_BYTES):
        raise InputError(
            f"a color table has 3 bytes for each entry, {_TABLE_BYTES} at most, or {_TABLE_BYTES + 4}, not {len(data)}"
        )
    trailer = data[_TABLE_BYTES:]
    count, transparent = struct.unpack(">HH", trailer) if trailer else (0, _NO_TRANSPARENCY)
    colors = _opaque(np.frombuffer(data[:_TABLE_BYTES], np.uint8).reshape(-1, 3)).colors.copy()
    if transparent < len(colors):
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
    return _of_swatches(swatches)


def _of_swatches(swatches: list[np.ndarray]) -> Palette:
    """A palette of colors in sRGB in [0, 1]."""
    return _opaque((np.nan_to_num(np.array(swatches)).reshape(-1, 3).clip(0, 1) * 255).round().astype(np.uint8))


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
    return _xyz_to_srgb(_LAB_WHITE * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)))


def _xyz_to_srgb(xyz: np.ndarray) -> np.ndarray:
    return linear_to_srgb((_XYZ_TO_LINEAR @ xyz).clip(0, 1))


_MODELS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "RGB": (3, lambda rgb: rgb),
    "CMYK": (4, lambda cmyk: (1 - cmyk[:3]) * (1 - cmyk[3])),
    "LAB": (3, _lab_to_srgb),
    "GRAY": (1, lambda gray: gray.repeat(3)),
}
"""Color model → how many numbers it has, and how they become sRGB (CMYK without an ink profile)."""


def read_aco(path: Path) -> Palette:
    """Read Photoshop's swatches.

    A file has them without names, then once more with names (Adobe, "Photoshop File Formats": Color
    Swatches), or one of the two.
    """
    data, swatches, offset = path.read_bytes(), [], 4
    try:
        version, count = struct.unpack_from(">2H", data)
        if version not in (1, 2):
            raise InputError(f"not a Photoshop swatch file: its version is {version}, not 1 or 2")
        for _ in range(count):
            space, *numbers = struct.unpack_from(">5H", data, offset)
            if space not in _ACO_SPACES:
                raise InputError(f"a swatch is of the color space {space}, an ink maker's own: save it as RGB")
            swatches.append(_ACO_SPACES[space](np.array(numbers)))
            offset += 10
            if version == 2:
                offset += 4 + 2 * struct.unpack_from(">I", data, offset)[0]  # the name in UTF-16
    except struct.error:
        raise InputError("the Photoshop swatch file is cut off") from None
    return _of_swatches(swatches)


_ACO_SPACES: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    0: lambda n: (n[:3] >> 8) / 255,  # programs write 8 bits v as 257 v or as 256 v
    1: lambda n: np.array(colorsys.hsv_to_rgb(*n[:3] / 65535)),
    2: lambda n: _MODELS["CMYK"][1](1 - n / 65535),  # 0 is all ink
    7: lambda n: _lab_to_srgb(n[:3].astype(np.int16) / [10000, 100, 100]),
    8: lambda n: (n[:1] / 10000).repeat(3),
}
"""Color space → how its four numbers of 16 bits become sRGB in [0, 1]."""


def read_kpl(path: Path) -> Palette:
    """Read Krita's swatches group by group, and each group row by row, as Krita shows them.

    A file is a zip of ``colorset.xml``, of the ICC profiles that its colors mean, and of their
    names, ``profiles.xml`` (docs.krita.org, "The Krita Palette format KPL").
    """
    from xml.parsers.expat import ExpatError  # not above: only Krita's palettes need these
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as archive:
            files = archive.namelist()
            if sum(file.file_size for file in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise InputError("it unpacks to far more than a palette needs")
            elements = _elements(archive, "colorset.xml")
            named = _elements(archive, "profiles.xml") if "profiles.xml" in files else []
            file_of = {values.get("name"): values.get("filename") for _, values in named}
            spaces = {values.get("space") for _, values in elements}
            profiles = {name: archive.read(file_of[name]) for name in spaces if file_of.get(name) in files}
        return _of_swatches(_kpl_swatches(elements, profiles))
    except (BadZipFile, LookupError, ValueError, EOFError, RuntimeError, zlib.error, ExpatError) as error:
        reason = str(error) if isinstance(error, InputError) else "it is broken or cut off"
        raise InputError(f"not a Krita palette that can be read: {reason}") from None


def _elements(archive: "ZipFile", name: str) -> list[tuple[str, dict[str, str]]]:
    """Every element of an XML file that declares no entities: its name and attributes, in order."""
    from xml.parsers.expat import ParserCreate

    found: list[tuple[str, dict[str, str]]] = []

    def refuse(*_: object) -> None:
        raise InputError(f"its {name} declares entities")

    parser = ParserCreate()
    parser.StartElementHandler = lambda element, attributes: found.append((element, attributes))
    parser.EntityDeclHandler = refuse
    parser.Parse(archive.read(name), True)
    return found


def _kpl_swatches(elements: list[tuple[str, dict[str, str]]], profiles: dict[str, bytes]) -> list[np.ndarray]:
    """The colors in sRGB in [0, 1]; Krita writes a group column by column."""
    group, swatches = 0, []
    for element, values in elements:
        if element == "Group":
            group += 1
        elif element == "ColorSetEntry":
            swatches.append({"place": (group, 0, 0)})
        elif element == "Position":
            swatches[-1]["place"] = (group, int(values["row"]), int(values["column"]))
        elif element in _KPL_MODELS:
            numbers = np.array([float(values[name]) for name in _KPL_MODELS[element]])
            swatches[-1]["color"] = _kpl_color(element, numbers, values.get("space", ""), profiles)
        elif element not in ("Colorset", "ColorSet"):
            raise InputError(f"a swatch is of the unknown color model {element!r}")
    return [swatch["color"] for swatch in sorted(swatches, key=lambda swatch: swatch["place"])]


def _kpl_color(model: str, numbers: np.ndarray, space: str, profiles: dict[str, bytes]) -> np.ndarray:
    if model == "XYZ":
        return _xyz_to_srgb(numbers)
    if model == "Lab":
        return _lab_to_srgb(numbers / [100, 1, 1])
    if space.startswith("sRGB") and "-g10" in space:  # linear light, for which 8 bits would be too few
        return linear_to_srgb(numbers.clip(0, 1))
    if space not in profiles:
        return _MODELS[model.removeprefix("s").upper()][1](numbers)
    mode = {3: "RGB", 4: "CMYK", 1: "L"}[len(numbers)]
    pixel = Image.new(mode, (1, 1), tuple((np.nan_to_num(numbers).clip(0, 1) * 255).round().astype(int).tolist()))
    return np.array(to_srgb(pixel, profiles[space]).convert("RGB"))[0, 0] / 255


_KPL_MODELS = {"sRGB": "rgb", "RGB": "rgb", "CMYK": "cmyk", "Gray": "g", "Lab": "Lab", "XYZ": "xyz"}
"""Color model → the names of its numbers."""
