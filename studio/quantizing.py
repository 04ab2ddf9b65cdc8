"""A picture or an animation, reduced to a palette: the file, its error, the command."""

import shlex
from pathlib import Path
from typing import NamedTuple

from tincture.common.options import check_options, words_of
from tincture.quantization.options import DrawingOptions, PaletteOptions, convert_chosen, make_chooser
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.animation import read_animation
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage

from .pictures import name_of


class Quantized(NamedTuple):
    """What became of a picture."""

    content: bytes
    suffix: str
    """``.png``, or ``.gif`` for an animation."""
    first: IndexedImage
    """The first frame."""
    palette: Palette
    delta_e: float
    """Mean error in OKLab, where black and white are 1 apart; of a dithered picture, blurred."""
    command: str


def quantized_file(
    folder: Path, path: Path, colors: int, palette: str = "", method: str = "", dither: str = "none"
) -> Quantized:
    """Reduce the picture at ``path``.

    Args:
        folder: where the result is made.
        path: a picture or an animation.
        colors: entries of a fitted palette.
        palette: a name or colors, instead of a fitted one.
        method: a name in `QUANTIZERS`, for a fitted one.
        dither: a name in `DITHERERS`.

    Raises:
        InputError: a name or a number is wrong, or the palette lacks what the picture needs.
    """
    if palette.strip():
        wanted = PaletteOptions(palette=name_of(palette))
    else:
        wanted = PaletteOptions(colors=str(colors), method=method or None)
    drawing = DrawingOptions(dither=dither)
    check_options(wanted)
    check_options(drawing)
    original = read_animation(path)
    (indices, palettes, error), _ = convert_chosen(original, make_chooser(wanted, dither != "none"), wanted, drawing)
    first = IndexedImage(indices[0], palettes[0])
    if len(indices) == 1:
        content, suffix = first.to_png(), ".png"
    else:
        write_gif(folder / "quantized.gif", indices, palettes, original.durations, original.loops)
        content, suffix = (folder / "quantized.gif").read_bytes(), ".gif"
    words = ["python", "quantize.py", path.name, *words_of(wanted), *words_of(drawing), "--output", "runs/quantized"]
    return Quantized(content, suffix, first, palettes[0], error.delta_e or 0.0, shlex.join(words))
