"""From what a page or a program asks for to the options of sample.py, and to its command line.

The studio has no options of its own: it fills in those of the commands. So what it draws, the
command draws again.
"""

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from tincture.common.errors import InputError, Range
from tincture.common.options import check_options, words_of
from tincture.controls.command import Colors, Drawing, Pictures, Size
from tincture.controls.options import BANK, DRAWN, WHOLE, Canvas, Guidance, Sampling
from tincture.quantization.encoding import differs, encode
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import read_image

from .engine import Engine
from .pictures import name_of

DRAWINGS, SIDES, CALLS = Range(1, 32), Range(4, 256), Range(1, 256)
LARGEST_SPRITE = 512
"""Pixels on a side of what is recolored."""
WORK = 32 * 128 * 128
"""Pixels of all drawings of one request together, at most."""


def colors_of(palette: str, transparent: bool = False) -> Colors:
    """The palette of a request: a name, colors, or what `Engine.own_palettes` names.

    The model's data decide about the transparency of ``train``.

    Raises:
        InputError: it is none of these, or has one entry only, or more than 256.
    """
    words = palette.strip()
    if words in (*BANK, DRAWN):
        return Colors(palette=[words], transparent=transparent and words == DRAWN)
    return Colors(palette=[name_of(words)], transparent=transparent)


def guidance_of(prompt: str = "", class_label: str = "", scale: float | None = None, negative: str = "") -> Guidance:
    """Words, one prompt a line; a class; what to keep away from, with commas between.

    Without a scale they are followed as the model does by itself.
    """
    prompts = [" ".join(line.split()) for line in (prompt or "").splitlines() if line.strip()]
    negatives = tuple(words.strip() for words in (negative or "").split(",") if words.strip())
    return Guidance(
        class_label=class_label or None,
        guidance_scale=float(scale) if scale is not None and (prompts or class_label) else None,
        prompt=prompts or None,
        negative_prompts=negatives,
    )


NO_PICTURES = Pictures()


class Request(NamedTuple):
    """What is drawn, and the command that draws the same."""

    asked: Drawing
    number: int
    command: str


def request_of(
    engine: Engine,
    number: int,
    colors: Colors,
    guidance: Guidance,
    sampling: Sampling,
    size: tuple[int, int],
    pictures: Pictures = NO_PICTURES,
    canvas: Canvas = WHOLE,
    folder: Path | None = None,
) -> Request:
    """Everything that is asked of a drawing, after a look at how much work it is.

    Args:
        engine: which model draws.
        number: of drawings.
        colors, guidance, sampling, pictures, canvas: as sample.py takes them.
        size: width and height of the drawings, pixels.
        folder: where the pictures lie; in the command they go by their names alone.

    Raises:
        InputError: a number is out of range, or options contradict each other or the model.
    """
    CALLS.check("the number of calls", sampling.steps)
    DRAWINGS.check("the number of drawings", number)
    width, height = size
    for name, side in (("the width", width), ("the height", height)):
        SIDES.check(name, side)
    if number * height * width > WORK:
        raise InputError(
            f"{number} drawings of {width}×{height} pixels are more than the studio draws at once ({WORK:,} pixels): "
            "ask for fewer, or for smaller ones"
        )
    is_own = pictures.start is not None or (width, height) == (engine.size, engine.size)
    asked = Drawing(colors, guidance, sampling, Size() if is_own else Size(width, height), pictures, canvas)
    check_options(asked)
    words = ["python", "sample.py", "--checkpoint", engine.name, "--num-images", str(number)]
    command = shlex.join([*words, *words_of(asked), "--output", "runs/drawn"])
    return Request(asked, number, command if folder is None else command.replace(f"{folder}{os.sep}", ""))


def check_sides(path: Path) -> Path:
    """The picture's path, if its sides are those of a sprite; raises InputError otherwise."""
    height, width = read_image(path).shape[:2]
    if max(height, width) > LARGEST_SPRITE:
        raise InputError(f"{path} has {width}×{height} pixels; a sprite here has at most {LARGEST_SPRITE} on a side")
    return path


def check_in_palette(image: IndexedImage, palette: Palette) -> None:
    """Raise InputError if a color of the picture isn't in the palette: none is taken instead."""
    rgba = image.to_rgba()
    if image.indices_in(palette) is None and (wrong := differs(rgba, encode(rgba, palette), palette)).any():
        first = bytes(rgba[wrong][0][:3]).hex()
        raise InputError(
            f"{int(wrong.sum())} of {wrong.size} pixels are not in the palette, such as #{first}; recolor the picture to "
            "that palette first, or leave the palette out to keep the picture's own"
        )


def recolor_command(engine: Engine, palettes: list[str], ways: list[str]) -> str:
    """The command that recolors my/pictures so."""
    names = [name_of(each) for each in palettes]
    needs_model = {"role", "model"} & set(ways)
    words = ["python", "recolor.py", "my/pictures", "--palette", *names, "--by", *ways]
    words += ["--versions", str(len(names) * len(ways))] if len(ways) > 1 else []
    return shlex.join([*words, *(["--checkpoint", engine.name] if needs_model else []), "--output", "runs/recolored"])
