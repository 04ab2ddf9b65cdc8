"""What only sample.py asks: options that name files, and the palettes among these.

No torch is needed to make and check them; `reading` makes `Controls` of the other pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tincture.common.errors import SHARE, InputError
from tincture.common.options import OneOf
from tincture.quantization.dither import DITHERERS
from tincture.quantization.fit import choose_colors, fit_palette
from tincture.quantization.palettes.files import is_picture, named_palettes, read_palette
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette
from tincture.quantization.pictures.reading import read_image

from .joint import JointPalettes
from .options import BANK, COUNT, DRAWN, FIDELITIES, SIDE, STRENGTHS, Canvas, DrawnPalette, Guidance, Sampling

Margins = tuple[int, int, int, int]
"""Pixels at the left, top, right and bottom."""

DEFAULT_COLORS = 16


@dataclass(frozen=True)
class Style:
    """The picture whose proportions of colors are wanted.

    Args:
        style: a picture whose colors are used in the same proportions; transparency is left to the
            model where the picture has none.
        style_strength: 0 for any proportions, 1 for those of --style.
    """

    style: Path
    style_strength: Annotated[float, SHARE] = 1.0


@dataclass(frozen=True)
class Strip:
    """Palettes on the way from one to another.

    Args:
        palette_to: the same drawing in palettes from --palette to this one.
        strip: palettes from --palette to --palette-to, both included.
    """

    palette_to: str
    strip: int = 6


@dataclass(frozen=True)
class Colors:
    """Colors.

    Args:
        palette: a file (.hex, .gpl, .pal, …); a picture; colors with commas between them; train or
            heldout, for each image the palette of another picture of the model's data set; drawn,
            for each image a new one that the model draws; if left out, the palette of --init-image,
            --target or --style where there is one, else train; or a name. Of several palettes,
            images are drawn in turn, each prompt in the first of them, then each in the second.
        transparent: add a transparent entry after the last of each palette that has none, but for
            train and heldout; of drawn palettes, one entry is transparent.
        colors: entries to choose from a picture given as --palette: 2 to 256, or auto for as many
            as the picture needs; if left out, 16 where it has over 256 colors, else all of its
            colors. Of drawn palettes, how many entries; as in training if left out.
        keep_colors: colors that drawn palettes must hold.
        palettes: the same drawing in each of these palettes (as for --palette), entries matched.
    """

    palette: Annotated[list[str] | None, ", ".join(named_palettes())] = field(
        default=None, metadata={"flags": ["--palette", "--palette-from"], "metavar": "PALETTE"}
    )
    transparent: bool = False
    colors: str | None = None
    keep_colors: Sequence[str] = field(default=(), metadata={"metavar": "ff0000,00ff00,…"})
    palettes: list[str] | None = field(default=None, metadata={"metavar": "PALETTE"})
    strip: Strip | None = None
    style: Style | None = None

    def names(self) -> list[str]:
        """All that is named as a palette: files, pictures, names."""
        names = [*(self.palette or self.palettes or []), None if self.strip is None else self.strip.palette_to]
        return [name for name in names if name]

    def read(self, names: Sequence[str]) -> list[Palette | DrawnPalette | str] | JointPalettes:
        """The palettes of these ``names``, where train and heldout stay names; or several at once.

        Raises:
            InputError: a palette can't be read, or the options contradict each other.
        """
        if self.keep_colors and DRAWN not in names:
            raise InputError("--keep-colors says what drawn palettes hold: add --palette drawn")
        if self.palettes is not None:
            return JointPalettes.matched([self._read_one(each) for each in self.palettes])
        taken = [name for name in names if name in BANK]
        if taken and (self.colors is not None or (self.transparent and len(taken) == len(names))):
            raise InputError(f"--colors and --transparent need a palette of yours, not --palette {taken[0]}")
        palettes = [
            name if name in BANK else self._drawn() if name == DRAWN else self._read_one(name) for name in names
        ]
        if self.strip is None:
            return palettes
        end = self._read_one(self.strip.palette_to, is_end=True)
        return JointPalettes.strip(palettes[0], end, self.strip.strip)

    def _drawn(self) -> DrawnPalette:
        if self.colors == "auto":
            raise InputError("--colors auto chooses from a picture: give a number for drawn palettes, or leave it out")
        colors = None if self.colors is None else self._count()
        kept = Palette.from_hex(self.keep_colors) if self.keep_colors else None
        return DrawnPalette(colors, self.transparent or None, kept)

    def _read_one(self, name: str, is_end: bool = False) -> Palette:
        if name in (*BANK, DRAWN):
            raise InputError(f"a drawing in several palettes takes palettes of yours, not {name}")
        if is_picture(name) and (self.colors is not None or not _has_few_colors(Path(name))):
            picture = [read_image(Path(name))]
            palette = fit_palette(picture, choose_colors(picture) if self.colors == "auto" else self._count())
        elif self.colors is not None and not is_end:
            raise InputError(f"--colors chooses from a picture, and --palette {name} is none")
        else:
            palette = read_palette(name)
        return palette.with_transparency() if self.transparent else palette

    def _count(self) -> int:
        if self.colors is None:
            return DEFAULT_COLORS
        if not (self.colors.isdecimal() and 2 <= int(self.colors) <= MAX_ENTRIES):
            raise InputError(f"--colors is {self.colors!r}; it must be a number from 2 to {MAX_ENTRIES}, or auto")
        return int(self.colors)


@dataclass(frozen=True)
class Start:
    """The picture to start from.

    Args:
        init_image: a picture to start from, at its own size; colors that aren't in the palette go
            to the nearest entry. Needs --mask, --outpaint or --strength.
        mask: a picture of the init image's size: white (128 or lighter) is drawn anew, black is
            kept bit for bit. In one with transparent holes, these alone are drawn anew.
        outpaint: so many pixels more on each side of the init image, which is kept (but for
            --mask).
        strength: the noise level to which the init image is corrupted before it is drawn again,
            above 0, at most 1, where nothing is left but what is kept; 1 if left out. Small values
            give small variations, but not with the sampler remasking, which draws again what was
            left.
    """

    init_image: Path
    mask: Path | None = None
    outpaint: str | None = field(default=None, metadata={"metavar": "LEFT,TOP,RIGHT,BOTTOM"})
    strength: Annotated[float | None, STRENGTHS] = None

    def __post_init__(self) -> None:
        if self.mask is None and self.outpaint is None and self.strength is None:
            raise InputError("--init-image needs --mask, --outpaint or --strength: nothing else would be left of it")
        if self.outpaint is not None and self.strength not in (None, 1.0):
            raise InputError("--outpaint and --strength contradict each other: the new margins hold nothing to vary")
        if self.outpaint is not None:
            read_margins(self.outpaint)


@dataclass(frozen=True)
class Target:
    """The picture whose colors are wanted.

    Args:
        target: a picture whose colors the drawing shall be near, at its own size or --width and
            --height.
        fidelity: how near: the weight of the squared OKLab distance in nats; 0 for not at all, inf
            for the nearest entries; at the default, a color is known to 1 / sqrt(2 · 300) = 0.04.
    """

    target: Path
    fidelity: Annotated[float, FIDELITIES] = 300.0


@dataclass(frozen=True)
class Grey:
    """The picture whose lightness is wanted.

    Args:
        luminance: a grey picture to color, at its own size or --width and --height; told to the
            model if it was trained for that (--guidance-scale says how strongly), and asked for by
            --luminance-fidelity.
        luminance_fidelity: how near the lightness shall be: the weight of its squared OKLab
            difference in nats; if left out, 0 for a model that is told the luminance, else 1000.
    """

    luminance: Path
    luminance_fidelity: Annotated[float | None, FIDELITIES] = None


@dataclass(frozen=True)
class Mean:
    """The mean of drawings.

    Args:
        dither: don't draw, but dither the mean of --dither-draws drawings to a palette of yours.
        dither_draws: drawings of which --dither shows the mean, for each image.
    """

    dither: Annotated[str, OneOf(DITHERERS)]
    dither_draws: Annotated[int, COUNT] = 16


@dataclass(frozen=True)
class Pictures:
    """Pictures that the drawing starts from, or shall be like."""

    start: Start | None = None
    target: Target | None = None
    grey: Grey | None = None
    mean: Mean | None = None


@dataclass(frozen=True)
class Size:
    """Size.

    Args:
        width: pixels; the model's own size if left out.
        height: pixels; the model's own size if left out.
    """

    width: Annotated[int | None, SIDE] = None
    height: Annotated[int | None, SIDE] = None


@dataclass(frozen=True)
class Drawing:
    """Everything that the command can ask of a drawing.

    Raises:
        InputError: two options contradict each other.
    """

    colors: Colors
    guidance: Guidance
    sampling: Sampling
    size: Size
    pictures: Pictures
    canvas: Canvas

    def __post_init__(self) -> None:
        colors, pictures = self.colors, self.pictures
        if colors.palettes is not None and (colors.palette is not None or colors.strip is not None):
            raise InputError("--palettes names all palettes: leave --palette and --palette-to out")
        if pictures.mean is not None and (colors.palettes is not None or colors.strip is not None):
            raise InputError("--dither needs one palette: leave --palettes and --palette-to out")
        names = self.palette_names
        if colors.palettes is None and (len(names) > 1 or names[0] in (*BANK, DRAWN)):
            one = {"--init-image": pictures.start, "--style": colors.style}
            for flag, asked in {**one, "--palette-to": colors.strip, "--dither": pictures.mean}.items():
                if asked is not None:
                    needed = "a palette of yours" if len(names) == 1 else "one palette"
                    raise InputError(f"{flag} needs {needed}, not {' '.join(names)}: name one with --palette")
        if pictures.start is not None and self.size != Size():
            raise InputError("--width and --height can't be given with --init-image, which has its own size")
        if pictures.mean is not None and pictures.mean.dither != "none" and self.canvas.mirror is not None:
            raise InputError(
                "--dither's patterns aren't symmetric, as --mirror asks: take --dither none, or leave one out"
            )

    @property
    def palette_names(self) -> list[str]:
        """The palettes that are drawn with in turn: that of a picture where none is named."""
        if self.colors.palette is not None:
            return self.colors.palette
        pictures, style = self.pictures, self.colors.style
        if pictures.start is not None:
            return [str(pictures.start.init_image)]
        if pictures.target is not None:
            return [str(pictures.target.target)]
        return ["train" if style is None else str(style.style)]

    def read_palettes(self) -> list[Palette | DrawnPalette | str] | JointPalettes:
        """What is drawn in: palettes in turn, or several at once."""
        return self.colors.read(self.palette_names)


def read_margins(text: str) -> Margins:
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


def _has_few_colors(path: Path) -> bool:
    try:
        read_palette(path)
    except InputError:
        return False
    return True
