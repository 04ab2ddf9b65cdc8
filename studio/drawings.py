"""What tabs and tools ask for, each as a `Request`: to draw, repaint, palettize or colorize."""

from pathlib import Path

import numpy as np
from PIL import Image

from tincture.common.errors import InputError
from tincture.controls.command import Colors, Grey, Mean, Pictures, Start, Style, Target
from tincture.controls.options import Canvas, Sampling
from tincture.quantization.pictures.reading import read_image

from .engine import Engine
from .pictures import indexed_at, name_of, palette_of_words, placed
from .requests import Request, check_in_palette, colors_of, guidance_of, request_of

VARYING, VARYING_CALLS = "ancestral", 32
"""The sampler of variations: remasking draws again what the noise had left."""
CLOSE, CLOSE_GRID = "confidence", "cosine"
"""How drawings near a picture are drawn (docs/drawing.md)."""


def to_draw(
    engine: Engine,
    prompt: str,
    palette: str,
    transparent: bool,
    number: int,
    width: int,
    height: int,
    seed: int,
    steps: int,
    guidance_scale: float,
    temperature: float,
    class_label: str = "",
    negative_prompt: str = "",
    sampler: str = "",
    mirror: str = "",
    tile: str = "",
) -> Request:
    """New drawings."""
    return request_of(
        engine,
        number,
        colors_of(palette, transparent),
        guidance_of(prompt, class_label, guidance_scale, negative_prompt),
        Sampling(steps=steps, seed=seed, sampler=sampler or None, temperature=temperature),
        (width or engine.size, height or engine.size),
        canvas=Canvas(mirror or None, tile or None),
    )


def to_repaint(
    engine: Engine,
    folder: Path,
    picture: str,
    mask: str,
    margins: tuple[int, int, int, int],
    strength: float,
    palette: str,
    prompt: str,
    number: int,
    seed: int,
    steps: int,
    guidance_scale: float,
    temperature: float,
    mirror: str = "",
    tile: str = "",
) -> Request:
    """A picture of which a part is drawn anew, all around it, or all of it a little.

    Args:
        engine, folder, prompt, number, seed, steps, guidance_scale, temperature, mirror, tile: as
            for `request_of` and `to_draw`.
        picture: as text.
        mask: a picture as text, white where it is drawn anew; or ``x,y,width,height``; or empty.
        margins: pixels more at the left, top, right and bottom.
        strength: how much of what isn't kept is drawn anew, above 0, at most 1.
        palette: in which it is drawn; the picture's own if empty.
    """
    start = placed(folder, picture)
    image = indexed_at(start)
    wanted = palette_of_words(palette) if palette.strip() else image.palette
    check_in_palette(image, wanted)
    height, width = image.indices.shape
    has_margins, is_varied = any(margins), strength < 1
    if has_margins and min(margins) < 0:
        raise InputError(f"margins are {margins}; they must be at least 0 pixels")
    painted = None
    if mask.strip():
        painted = _box_mask(folder, mask, width, height) or placed(folder, mask, "mask")
    if painted is None and not has_margins and not is_varied:
        raise InputError("nothing is painted: paint what shall be drawn anew, add margins, or lower the strength")
    image.save(start := folder / "picture.png")
    outpaint = ",".join(map(str, margins)) if has_margins else None
    return request_of(
        engine,
        number,
        Colors(palette=[name_of(palette or ",".join(wanted.to_hex()))]),
        guidance_of(prompt, scale=guidance_scale),
        Sampling(
            steps=max(steps, VARYING_CALLS) if is_varied else steps,
            seed=seed,
            sampler=VARYING if is_varied else None,
            temperature=temperature,
        ),
        (width + margins[0] + margins[2], height + margins[1] + margins[3]),
        Pictures(start=Start(start, painted, outpaint, strength if is_varied else None)),
        Canvas(mirror or None, tile or None),
        folder,
    )


def _box_mask(folder: Path, words: str, width: int, height: int) -> Path | None:
    """The mask of a rectangle ``x,y,width,height``; none if ``words`` aren't four numbers."""
    numbers = [word.strip() for word in words[:100].split(",")]
    if len(numbers) != 4 or not all(number.isdecimal() and len(number) < 6 for number in numbers):
        return None
    x, y, w, h = map(int, numbers)
    mask = np.zeros((height, width), np.uint8)
    mask[y : y + h, x : x + w] = 255
    if not mask.any():
        raise InputError(f"the box {words} lies outside of the picture of {width}×{height} pixels")
    Image.fromarray(mask).save(folder / "mask.png")
    return folder / "mask.png"


def to_palettize(
    engine: Engine,
    folder: Path,
    picture: str,
    palette: str,
    width: int,
    fidelity: float,
    prompt: str,
    number: int,
    seed: int,
    steps: int,
    grey: bool = False,
    dither: str = "",
    style: bool = False,
) -> Request:
    """A picture drawn in a palette, near its colors, or near its lightness alone.

    Args:
        engine, folder, prompt, number, seed, steps: as for `to_repaint`.
        picture: as text.
        palette: in which it is drawn.
        width: of the drawing, pixels; the height follows; the picture's own if 0.
        fidelity: how near: 0 not at all.
        grey: only the lightness is wanted: the colors are new.
        dither: a ditherer, which shows the mean of 8 drawings; none if empty.
        style: use the colors in the proportions of the picture.
    """
    path = placed(folder, picture)
    own_height, own_width = read_image(path).shape[:2]
    width = width or own_width
    height = max(round(own_height * width / own_width), 1)
    colors = colors_of(palette)
    if style:
        return request_of(
            engine,
            number,
            Colors(colors.palette, style=Style(path)),
            guidance_of(prompt, scale=2.0),
            Sampling(steps=steps, seed=seed),
            (engine.size, engine.size),
            folder=folder,
        )
    target = Pictures(
        target=None if grey else Target(path, fidelity),
        grey=Grey(path, fidelity if grey else None) if grey else None,
        mean=Mean(dither, 8) if dither else None,
    )
    sampling = Sampling(steps=steps, seed=seed) if grey else Sampling(steps, seed, CLOSE, grid=CLOSE_GRID)
    return request_of(
        engine, number, colors, guidance_of(prompt, scale=2.0), sampling, (width, height), target, folder=folder
    )
