"""The command line's controls: their options, and what they ask of the pipeline."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from jsonargparse import ArgumentParser

from tincture.common.errors import InputError, choose
from tincture.quantization.dither import DITHERERS
from tincture.quantization.palettes.luminance import luminance_of_pixels
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.reading import read_image

from .kept import Init
from .options import Controls
from .pictures import read_indices, read_mask, resized, with_margins
from .views import AXES, SIDE, Canvas
from .wishes import ColorWish, LightnessWish, Wish

FIDELITY = 300.0
"""The default of --fidelity: a color of the target is known to 1 / sqrt(2 · 300) = 0.04 in OKLab."""
LUMINANCE_FIDELITY = 1000.0
"""The default of --luminance-fidelity for a model that can't be told the luminance: known to 0.02."""


def add_control_options(parser: ArgumentParser) -> None:
    """Every option of `read_controls`, with its unit and default."""
    add = parser.add_argument_group("what the picture shall be like").add_argument
    add(
        "--init-image",
        type=Path | None,
        default=None,
        help="a picture to start from, at its own size; colors that aren't in the palette go to the nearest entry. "
        "Needs --mask, --outpaint or --strength",
    )
    add(
        "--mask",
        type=Path | None,
        default=None,
        help="a picture of the init image's size: white (128 or lighter) is drawn anew, black is kept bit for bit",
    )
    add(
        "--outpaint",
        type=str | None,
        default=None,
        metavar="LEFT,TOP,RIGHT,BOTTOM",
        help="so many pixels more on each side of the init image, which is kept (but for --mask)",
    )
    add(
        "--strength",
        type=float | None,
        default=None,
        help="the noise level to which the init image is corrupted before it is drawn again, above 0, at most 1 "
        "(nothing is left, but what is kept): small values give small variations, but with the sampler remasking, which "
        "draws again what was left; 1 if left out",
    )
    add(
        "--target",
        type=Path | None,
        default=None,
        help="a picture whose colors the drawing shall be near, at its own size or --width and --height",
    )
    add(
        "--fidelity",
        type=_number,
        default=FIDELITY,
        help="how near: the weight of the squared OKLab distance in nats; 0: not at all, inf: the nearest entries",
    )
    add(
        "--luminance",
        type=Path | None,
        default=None,
        help="a grey picture to color, at its own size or --width and --height; told to the model if it was trained "
        "for that (--guidance-scale says how strongly), and asked for by --luminance-fidelity",
    )
    add(
        "--luminance-fidelity",
        type=_number,
        default=None,
        help="how near the lightness shall be: the weight of its squared OKLab difference in nats; if left out, 0 for a "
        f"model that is told the luminance, else {LUMINANCE_FIDELITY:g}",
    )
    add(
        "--tile",
        type=str | None,
        default=None,
        help=f"repeat without a seam along: {', '.join(AXES)}; tiled.png shows it",
    )
    add("--mirror", type=str | None, default=None, help=f"be symmetric along: {', '.join(AXES)} (x: left to right)")
    add(
        "--window",
        type=int | None,
        default=None,
        help="the network sees overlapping windows of so many pixels; 0: the whole picture at once; if left out, the "
        "model's own size where a picture is given, else 0",
    )
    add(
        "--dither",
        type=str | None,
        default=None,
        help="don't draw, but dither the mean of --dither-draws drawings to the palette: "
        + ", ".join(DITHERERS)
        + "; needs a palette of yours",
    )
    add("--dither-draws", type=int, default=16, help="drawings of which --dither shows the mean, for each image")


def _number(text: str | float | None) -> float | None:
    """A number, or infinity, which jsonargparse's own float doesn't take."""
    return None if text is None else float(text)


def own_palette(options: Namespace) -> Path | None:
    """The picture whose own palette is used where none is named."""
    return options.init_image or options.target


def check_controls(options: Namespace) -> None:
    """Raise InputError if options contradict each other; what can be said before anything is read."""
    if options.init_image is not None:
        if options.mask is None and options.outpaint is None and options.strength is None:
            raise InputError("--init-image needs --mask, --outpaint or --strength: nothing else would be left of it")
        if options.outpaint is not None and options.strength not in (None, 1.0):
            raise InputError("--outpaint and --strength contradict each other: the new margins hold nothing to vary")
        if options.width is not None or options.height is not None:
            raise InputError("--width and --height can't be given with --init-image, which has its own size")
        if options.palette in ("train", "heldout"):
            raise InputError(
                f"--init-image needs one palette, not --palette {options.palette}; without, its own is taken"
            )
    if options.dither is not None:
        choose("dither", options.dither, DITHERERS)
        if options.dither_draws < 1:
            raise InputError(f"--dither-draws is {options.dither_draws}; it must be at least 1")
        if own_palette(options) is None and options.palette in (None, "train", "heldout"):
            raise InputError("--dither needs a palette of yours: name one with --palette")
        if options.mirror is not None and options.dither != "none":
            raise InputError(
                "--dither's patterns aren't symmetric, as --mirror asks: take --dither none, or leave one out"
            )


def read_controls(
    options: Namespace, palette: Palette | None, size: int, is_told: bool
) -> tuple[Controls, int | None, int | None]:
    """Read the pictures that the options name.

    Args:
        options: of the command line, checked by `check_controls`.
        palette: what is drawn with; none if that differs from image to image.
        size: edge length of the model's own pictures, pixels.
        is_told: whether the model was trained with luminance maps.

    Raises:
        InputError: a file can't be read, or sizes or options contradict each other.
    """
    canvas = Canvas(options.mirror, options.tile, _window(options, size))
    init = None
    height, width = options.height, options.width
    if options.init_image is not None:
        init = _read_init(options, palette)
        height, width = init.indices.shape[1:]
    wishes: list[Wish] = []
    must_fit = options.target is not None and options.width is None and options.height is None
    if options.target is not None:
        pixels = _read_picture(options.target, height, width, init is not None)
        height, width = pixels.shape[:2]
        wishes.append(ColorWish(torch.from_numpy(pixels), options.fidelity))
    luminance = None
    if options.luminance is not None:
        pixels = _read_picture(options.luminance, height, width, init is not None or must_fit)
        height, width = pixels.shape[:2]
        luminance = luminance_of_pixels(torch.from_numpy(pixels))
        fidelity = options.luminance_fidelity
        fidelity = (0.0 if is_told else LUMINANCE_FIDELITY) if fidelity is None else fidelity
        wishes += [LightnessWish(luminance, fidelity)]
    return Controls(init, wishes, luminance if is_told else None, canvas=canvas), height, width


def _window(options: Namespace, size: int) -> int | None:
    if options.window is None:
        has_picture = any((options.init_image, options.target, options.luminance))
        return size if has_picture else None
    return options.window or None


def _read_picture(path: Path, height: int | None, width: int | None, must_fit: bool) -> np.ndarray:
    pixels = read_image(path)
    if must_fit and pixels.shape[:2] != (height, width):
        raise InputError(
            f"{path} is {pixels.shape[1]}×{pixels.shape[0]} pixels; the picture to draw is {width}×{height}"
        )
    return resized(pixels, height, width)


def _read_init(options: Namespace, palette: Palette) -> Init:
    indices = read_indices(options.init_image, palette)
    keep = None
    if options.mask is not None:
        keep = ~read_mask(options.mask, *indices.shape)
    if options.outpaint is not None:
        margins = read_margins(options.outpaint)
        keep = with_margins(np.ones(indices.shape, bool) if keep is None else keep, margins, False)
        indices = with_margins(indices, margins, 0)
    return Init(
        torch.tensor(indices),
        None if keep is None else torch.from_numpy(keep),
        1.0 if options.strength is None else options.strength,
    )


def read_margins(text: str) -> tuple[int, int, int, int]:
    """``LEFT,TOP,RIGHT,BOTTOM`` in pixels.

    Raises:
        InputError: these aren't four numbers of 0 or more, or all are 0.
    """
    words = [word.strip() for word in text.split(",")]
    is_short = all(word.isdecimal() and len(word) <= len(str(SIDE.high)) for word in words)
    if len(words) != 4 or not is_short or not 0 < max(map(int, words)) <= SIDE.high:
        raise InputError(
            f"--outpaint takes LEFT,TOP,RIGHT,BOTTOM in pixels, at most {SIDE.high:,} each, not all of them 0, not {text!r}"
        )
    return tuple(map(int, words))
