"""Palettes by name and from files: Lospec `.hex`, and any image with at most 256 colors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .errors import InputError
from .files import write_atomically
from .images import IMAGE_SUFFIXES, open_image, to_rgba
from .indexed_image import IndexedImage
from .palette import MAX_ENTRIES, Palette

NAMED_FOLDER = Path(__file__).parent / "palettes"


def named_palettes() -> list[str]:
    """The built-in palettes' names, which are their slugs on Lospec."""
    return sorted(path.stem for path in NAMED_FOLDER.glob("*.hex"))


def read_palette(name_or_path: str | Path) -> Palette:
    """Look a palette up by its name, or read it from a file by its suffix.

    An indexed image gives its palette as it stands; any other image its distinct colors in the order in which
    they first appear, row by row, all fully transparent pixels as one entry.

    Raises:
        InputError: there is no such name or file, it can't be read, or it holds more than 256 colors.
    """
    path = Path(name_or_path)
    if str(name_or_path) in named_palettes():
        path = NAMED_FOLDER / f"{name_or_path}.hex"
    if not path.is_file():
        raise InputError(
            f"no palette {str(name_or_path)!r}: neither a file nor one of the names {', '.join(named_palettes())}"
        )
    suffix = path.suffix.lower()
    reader = READERS.get(suffix)
    if reader is None:
        raise InputError(f"{path}: a palette file ends in one of {', '.join(READERS)}, not {suffix!r}")
    try:
        return reader(path)
    except InputError as error:
        raise InputError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None


def write_palette(palette: Palette, path: Path) -> None:
    """Write a Lospec `.hex` file: one ``RRGGBB`` a line, ``RRGGBBAA`` where an entry is not opaque.

    Raises:
        InputError: the suffix is not one that can be written.
    """
    if path.suffix.lower() != ".hex":
        raise InputError(f"{path}: palettes are written as .hex, not {path.suffix!r}")
    text = "".join(f"{color}\n" for color in palette.to_hex())
    write_atomically(path, lambda temporary: temporary.write_text(text))


def _read_hex(path: Path) -> Palette:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("not a text file") from None
    return Palette.from_hex(line for line in text.splitlines() if line.strip())


def _read_image_palette(path: Path) -> Palette:
    image = open_image(path)
    if image.mode == "P":
        return IndexedImage.from_pil(image).palette
    pixels = to_rgba(image).reshape(-1, 4)
    pixels[pixels[:, 3] == 0] = 0
    colors, first = np.unique(pixels, axis=0, return_index=True)
    if len(colors) > MAX_ENTRIES:
        raise InputError(f"{len(colors):,} colors, but a palette has at most {MAX_ENTRIES}: quantize it first")
    return Palette(colors[np.argsort(first)])


READERS: dict[str, Callable[[Path], Palette]] = {
    ".hex": _read_hex,
    **dict.fromkeys(sorted(IMAGE_SUFFIXES), _read_image_palette),
}


def is_picture(name_or_path: str | Path) -> bool:
    """Whether a palette would be read from a picture, by the suffix."""
    return Path(name_or_path).suffix.lower() in IMAGE_SUFFIXES
