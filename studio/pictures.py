"""Pictures that come and go as text: base64, with or without ``data:image/png;base64,`` before it.

No file of the machine is named by anybody, so none can be read or written.
"""

import base64
import binascii
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.encoding import encode
from tincture.quantization.fit import fit_palette
from tincture.quantization.palettes.files import READERS, named_palettes, read_palette
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import DECODER_ERRORS, FORMATS, IMAGE_SUFFIXES, open_image, to_rgba

MAX_BYTES = 8 << 20
"""Of an uploaded file."""
MAX_PIXELS = 1 << 22
"""Of a picture, all frames together: as many as 2048×2048 has."""

BEFORE_DATA = "data:image/png;base64,"
NAME = "picture"


def content_of(text: str, name: str = NAME) -> bytes:
    """The bytes of a file that came as text.

    Raises:
        InputError: there is none, it is no base64, or it is too large.
    """
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"there is no {name}: give one")
    digits = re.sub(r"^data:[^,]*,", "", text.strip()[:200]) + text.strip()[200:]
    if len(digits) > MAX_BYTES * 4 // 3 + 4:
        raise InputError(f"the {name} is larger than {MAX_BYTES >> 20} MB: make it smaller")
    try:
        return base64.b64decode(digits, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"the {name} is not base64: send the file's bytes so, or as a data URL") from None


def text_of(image: IndexedImage) -> str:
    """An indexed PNG as a data URL, its palette in order."""
    return BEFORE_DATA + base64.b64encode(image.to_png()).decode()


def placed(folder: Path, text: str, name: str = NAME) -> Path:
    """Write a picture that came as text into ``folder``, after a look at its size.

    Raises:
        InputError: it is no picture, broken, or too large.
    """
    content = content_of(text, name)
    suffix = ".png"
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            frames, suffix = getattr(image, "n_frames", 1), f".{image.format.lower()}"
            if image.width * image.height * frames > MAX_PIXELS:
                in_frames = f" in {frames} frames" if frames > 1 else ""
                raise InputError(
                    f"the {name} has {image.width}×{image.height} pixels{in_frames}, and at most {MAX_PIXELS:,} in all "
                    "are taken: make it smaller"
                )
    except InputError:
        raise
    except (*DECODER_ERRORS, Image.DecompressionBombError):
        open_image(name, content)  # says what is wrong
        raise
    path = folder / f"{name}{suffix}"
    path.write_bytes(content)
    return path


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder for the pictures of one request; in errors, its files go by their names alone."""
    with tempfile.TemporaryDirectory(prefix="tincture-studio-") as folder:
        try:
            yield Path(folder)
        except InputError as error:
            raise InputError(str(error).replace(f"{folder}{os.sep}", "")) from None


def indexed_at(path: Path) -> IndexedImage:
    """An indexed picture as it is, or any other with its distinct colors as its palette.

    Raises:
        InputError: it has more than 256 colors.
    """
    image = open_image(path)
    if image.mode == "P":
        return IndexedImage.from_pil(image)
    rgba = to_rgba(image)
    rgba[rgba[..., 3] == 0] = 0
    colors = np.unique(rgba.reshape(-1, 4), axis=0)
    if len(colors) > MAX_ENTRIES:
        raise InputError(
            f"{path} has {len(colors):,} colors, and an indexed picture at most {MAX_ENTRIES}: quantize it first"
        )
    palette = Palette(colors)
    return IndexedImage(encode(rgba, palette), palette)


def palette_of_file(text: str, file_name: str, colors: int, kept: Sequence[str] = ()) -> Palette:
    """The palette that a file holds, or so many colors chosen from a picture that has more.

    Args:
        text: the file as text.
        file_name: its name, of which only the suffix counts.
        colors: entries to choose, 2 to 256.
        kept: entries that stay, ``RRGGBB``; they come first.

    Raises:
        InputError: the file is neither a palette nor a picture.
    """
    suffix = Path(file_name).suffix.lower()
    if suffix not in READERS:
        raise InputError(f"{file_name[:80]!r} is no palette: its name would end in one of {', '.join(READERS)}")
    with workplace() as folder:
        if suffix not in IMAGE_SUFFIXES:
            path = folder / f"palette{suffix}"
            path.write_bytes(content_of(text, "palette"))
            return with_kept(read_palette(path), kept)
        path = placed(folder, text)
        image = open_image(path)
        if image.mode == "P" and not kept and len(found := read_palette(path)) <= colors:
            return found
        return fit_palette([to_rgba(image)], colors, keep=Palette.from_hex(kept) if kept else None)


def with_kept(palette: Palette, kept: Sequence[str]) -> Palette:
    """The kept entries, then those of ``palette`` that they lack."""
    return Palette.from_hex([*kept, *(color for color in palette.to_hex() if color not in kept)])


def palette_of_words(words: str) -> Palette:
    """A built-in palette by its name, or colors with commas, spaces or line breaks between them.

    Raises:
        InputError: it is neither. A file's name is neither, too.
    """
    words = words.strip() if isinstance(words, str) else ""
    if words in named_palettes():
        return read_palette(words)
    colors = [color for color in re.split(r"[\s,;]+", words) if color]
    if not colors:
        raise InputError("there is no palette: give a name, or colors like 1d2b53,ff004d")
    if len(colors) == 1 and not re.fullmatch(r"#?[0-9a-fA-F]{3,8}", colors[0]):
        raise InputError(
            f"no palette {colors[0][:80]!r}; there are {', '.join(named_palettes())}, or colors like 000,ff004d"
        )
    return Palette.from_hex(colors)


def name_of(words: str) -> str:
    """How the commands name this palette, of at least 2 entries: by its name, or by its colors.

    Raises:
        InputError: as for `palette_of_words`; or it has one entry.
    """
    found = palette_of_words(words)
    if len(found) < 2:
        raise InputError("a palette to draw with has at least 2 entries, not 1")
    return words.strip() if words.strip() in named_palettes() else ",".join(found.to_hex())
