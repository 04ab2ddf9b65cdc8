"""Palettes by name, by their colors, from files of ten kinds, and from pictures of few colors."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from tincture.common.errors import InputError, did_you_mean

from ..pictures.gif import read_gif
from ..pictures.indexed_image import IndexedImage
from ..pictures.reading import IMAGE_SUFFIXES, open_image, to_rgba
from . import formats
from .palette import MAX_ENTRIES, Palette

NAMED_FOLDER = Path(__file__).parent / "named"


def named_palettes() -> list[str]:
    """The built-in palettes by their slugs on Lospec, which lacks `rgb-332` and `e-paper-7`."""
    return sorted(path.stem for path in NAMED_FOLDER.glob("*.hex"))


def read_palette(name_or_path: str | Path) -> Palette:
    """Look a palette up by its name, read it from a file by its suffix, or take colors as they are.

    Such colors have commas between them: ``000,555,aaa,fff`` or ``ff004d,29adff80``.

    An indexed image gives its palette as it stands, with its first fully transparent entry only.
    Any other image gives its distinct colors in the order in which they first appear, row by row;
    all fully transparent pixels are one color.

    Raises:
        InputError: there is no such name or file, it can't be read, it holds more than 256 colors,
            or one of the colors is none.
    """
    path = Path(name_or_path)
    if _is_list_of_colors(name_or_path):
        return Palette.from_hex(str(name_or_path).split(","))
    if str(name_or_path) in named_palettes():
        path = NAMED_FOLDER / f"{name_or_path}.hex"
    if not path.is_file():
        name, names = str(name_or_path), named_palettes()
        raise InputError(
            f"no palette {name!r}{did_you_mean(name, names)}: neither a file nor one of the names {', '.join(names)} "
            "nor colors like 000,ff004d"
        )
    suffix = path.suffix.lower()
    reader = READERS.get(suffix)
    if reader is None:
        raise InputError(f"{path}: a palette file ends in one of {', '.join(READERS)}, not {suffix!r}")
    if suffix not in IMAGE_SUFFIXES and path.stat().st_size > formats.MAX_FILE_BYTES:
        raise InputError(f"{path} is far longer than a palette of {MAX_ENTRIES} colors")
    try:
        return reader(path)
    except InputError as error:
        raise InputError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from None


def read_palette_folder(folder: Path | str) -> dict[str, Palette]:
    """Read every palette file and picture of a folder, by its file name.

    Raises:
        InputError: there is no such folder, none of its files is a palette, or one of them can't
            be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"no such folder of palettes: {folder}")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in READERS and path.is_file())
    if not paths:
        raise InputError(f"{folder} holds no palette: its files would end in one of {', '.join(READERS)}")
    return {path.name: read_palette(path) for path in paths}


def write_palette(palette: Palette, path: Path | str) -> None:
    """Write a palette in the format that the suffix names, whole or not at all.

    Raises:
        InputError: the suffix is not one of `WRITERS`, or its format can't hold the palette's
            transparency.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"{path}: a palette is written as one of {', '.join(WRITERS)}, not {path.suffix!r}")
    writer(palette, path)


def is_picture(name_or_path: str | Path) -> bool:
    """Whether a palette would be read from a picture, by the suffix."""
    return Path(name_or_path).suffix.lower() in IMAGE_SUFFIXES


def paths_of(names: Iterable[str | Path | None]) -> list[Path]:
    """The files that are read for palettes of these names, if there are such files."""
    return [Path(name) for name in names if name and not _is_list_of_colors(name)]


def _is_list_of_colors(name_or_path: str | Path) -> bool:
    return "," in str(name_or_path) and Path(name_or_path).suffix.lower() not in READERS


def _read_picture(path: Path) -> Palette:
    image = open_image(path)
    if image.mode == "P":
        indexed = IndexedImage.from_pil(image)
        return without_filling(indexed, path).palette if path.suffix.lower() == ".gif" else indexed.palette
    pixels = to_rgba(image).reshape(-1, 4)
    pixels[pixels[:, 3] == 0] = 0
    colors, first = np.unique(pixels, axis=0, return_index=True)
    if len(colors) > MAX_ENTRIES:
        raise InputError(f"{len(colors):,} colors, but a palette has at most {MAX_ENTRIES}: quantize it first")
    return Palette(colors[np.argsort(first)])


def without_filling(image: IndexedImage, path: Path) -> IndexedImage:
    """The first frame of a GIF without the entries that only fill its table up to a power of two.

    Those are black, or the last color again, and no pixel uses them.
    """
    colors, used = image.palette.colors, int(image.indices.max()) + 1
    filling = colors[-1]
    begin = len(colors)
    while begin > used and np.array_equal(colors[begin - 1], filling):
        begin -= 1
    if begin < len(colors) and not (colors[:begin] == filling).all(1).any():
        # The last color is an entry itself; black is one only if a frame shows it.
        is_black = np.array_equal(filling, [0, 0, 0, 255])
        if not is_black or any((frame == filling).all(axis=-1).any() for frame in read_gif(path)[0]):
            begin += 1
    return IndexedImage(image.indices, Palette(colors[:begin]))


def _write_picture(palette: Palette, path: Path) -> None:
    """An indexed PNG of one row, a pixel for each entry, as Lospec draws a palette at 1×."""
    IndexedImage(np.arange(len(palette), dtype=np.uint8)[None], palette).save(path)


READERS: dict[str, Callable[[Path], Palette]] = {
    ".hex": formats.read_hex,
    ".gpl": formats.read_gpl,
    ".pal": formats.read_pal,
    ".txt": formats.read_paint_net,
    ".act": formats.read_act,
    ".ase": formats.read_ase,
    ".aco": formats.read_aco,
    ".kpl": formats.read_kpl,
    **dict.fromkeys(sorted(IMAGE_SUFFIXES), _read_picture),
}

WRITERS: dict[str, Callable[[Palette, Path], None]] = {
    ".hex": formats.write_hex,
    ".gpl": formats.write_gpl,
    ".pal": formats.write_jasc,
    ".txt": formats.write_paint_net,
    ".act": formats.write_act,
    ".ase": formats.write_ase,
    ".png": _write_picture,
}
