"""The command line's options about colors: palettes, joint palettes, proportions."""

from argparse import Namespace
from pathlib import Path

from jsonargparse import ArgumentParser

from tincture.common.errors import InputError
from tincture.quantization.fit import choose_colors, fit_palette
from tincture.quantization.palettes.files import is_picture, named_palettes, read_palette
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import read_image

from .command import own_palette
from .joint import JointPalettes
from .pictures import read_indices
from .proportions import Proportions

DEFAULT_COLORS = 16


def add_palette_options(parser: ArgumentParser) -> None:
    """The palette that is drawn with."""
    add = parser.add_argument
    add(
        "--palette",
        "--palette-from",
        type=str | None,
        default=None,
        help="a file (.hex, .gpl, .pal, .txt, .act, .ase), a picture, a name ("
        + ", ".join(named_palettes())
        + "), or train / heldout: for each image the palette of another picture of the model's data set; if left out, that of "
        "--init-image, --target or --style where there is one, else train",
    )
    add(
        "--colors",
        type=str | None,
        default=None,
        help="entries to choose from a picture given as --palette: 2 to 256, or auto: as many as the picture needs; "
        f"if left out, {DEFAULT_COLORS} where it has over 256 colors, else all of its colors",
    )
    add("--transparent", action="store_true", help="add a transparent entry after the palette's last, if it has none")


def add_color_options(parser: ArgumentParser) -> None:
    """Every other option of this module, with its unit and default."""
    add = parser.add_argument_group("colors").add_argument
    add(
        "--style",
        type=Path | None,
        default=None,
        help="a picture whose colors are used in the same proportions; transparency is left to the model where it has none",
    )
    add("--style-strength", type=float, default=1.0, help="0: any proportions, 1: those of --style")
    add(
        "--palettes",
        nargs="+",
        default=None,
        metavar="PALETTE",
        help="the same drawing in each of these palettes (as for --palette), entries matched",
    )
    add("--palette-to", type=str | None, default=None, help="the same drawing in palettes from --palette to this one")
    add("--strip", type=int, default=6, help="palettes from --palette to --palette-to, both included")


def check_color_options(options: Namespace) -> None:
    """Raise InputError if options contradict each other; what can be said before anything is read."""
    given = {name: getattr(options, name) is not None for name in ("palettes", "palette_to", "dither", "style")}
    no_palette = options.palette in (None, "train", "heldout")
    if given["palettes"] and (options.palette is not None or given["palette_to"]):
        raise InputError("--palettes names all palettes: leave --palette and --palette-to out")
    if given["palette_to"] and no_palette:
        raise InputError("--palette-to needs a palette of yours to start from: name one with --palette")
    if (given["palettes"] or given["palette_to"]) and given["dither"]:
        raise InputError("--dither needs one palette: leave --palettes and --palette-to out")
    if given["style"] and options.palette in ("train", "heldout"):
        raise InputError(
            f"--style needs one palette, not --palette {options.palette}; without, the picture's own is taken"
        )


def read_single_palette(options: Namespace) -> Palette | None:
    """The palette that is drawn with; none for the model's own ones, and where ``--palettes`` names several.

    Raises:
        InputError: as `choose_palette`.
    """
    if options.palettes is not None:
        return None
    name = options.palette if options.palette is not None else str(own_palette(options) or options.style or "train")
    return choose_palette(name, options.colors, options.transparent)


def choose_palette(name: str, colors: str | None, transparent: bool) -> Palette | None:
    """The palette that ``--palette``, ``--colors`` and ``--transparent`` ask for; none for the model's own ones.

    Raises:
        InputError: the palette can't be read, or the options contradict each other.
    """
    if name in ("train", "heldout"):
        if colors is not None or transparent:
            raise InputError(f"--colors and --transparent need a palette of yours, not --palette {name}")
        return None
    if is_picture(name) and (colors is not None or not _has_few_colors(Path(name))):
        picture = [read_image(Path(name))]
        palette = fit_palette(picture, choose_colors(picture) if colors == "auto" else _number_of_colors(colors))
    elif colors is not None:
        raise InputError(f"--colors chooses from a picture, and --palette {name} is none")
    else:
        palette = read_palette(name)
    return palette.with_transparency() if transparent else palette


def _number_of_colors(colors: str | None) -> int:
    if colors is not None and not (colors.isdecimal() and 2 <= int(colors) <= MAX_ENTRIES):
        raise InputError(f"--colors is {colors!r}; it must be a number from 2 to {MAX_ENTRIES}, or auto")
    return DEFAULT_COLORS if colors is None else int(colors)


def _has_few_colors(path: Path) -> bool:
    try:
        read_palette(path)
    except InputError:
        return False
    return True


def read_joint(options: Namespace, palette: Palette | None) -> JointPalettes | None:
    """The palettes that ``--palettes``, or ``--palette-to`` and ``--strip``, ask for.

    Raises:
        InputError: a palette can't be read, or a strip is too short.
    """
    if options.palettes is not None:
        if {"train", "heldout"} & set(options.palettes):
            raise InputError("--palettes takes palettes of yours, not train or heldout")
        return JointPalettes.matched(
            [choose_palette(name, options.colors, options.transparent) for name in options.palettes]
        )
    if options.palette_to is not None:
        end = choose_palette(options.palette_to, options.colors if is_picture(options.palette_to) else None, False)
        end = end.with_transparency() if options.transparent else end
        return JointPalettes.strip(palette, end, options.strip)
    return None


def read_proportions(options: Namespace, palette: Palette | None) -> Proportions | None:
    """Those of ``--style`` in the palette that is drawn with.

    Raises:
        InputError: the picture can't be read, or the strength is out of range.
    """
    if options.style is None:
        return None
    return Proportions.of(IndexedImage(read_indices(options.style, palette), palette), options.style_strength)


def read_negative_classes(options: Namespace) -> list[str]:
    """The names in ``--negative-class``."""
    return [] if options.negative_class is None else [name.strip() for name in options.negative_class.split(",")]
