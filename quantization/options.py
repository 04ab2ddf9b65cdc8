"""What a person asks of quantize.py: which palette, and how pictures are drawn in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np

from tincture.common.errors import SEED, SHARE, InputError, Range
from tincture.common.options import OneOf

from .conversion import SMOOTHERS, Conversion, convert, has_place_for_transparency, with_place_for_transparency
from .dither import DITHER_SPACES, DITHERERS
from .encoding import differs, encode
from .fit import ALPHAS, QUANTIZERS, choose_colors, fit_palette
from .palettes.choice import rank_palettes
from .palettes.files import named_palettes, read_palette, read_palette_folder
from .palettes.order import ORDERS
from .palettes.palette import MAX_ENTRIES, Palette
from .pictures.animation import Animation
from .pictures.indexed_image import IndexedImage
from .spaces import SPACES

DEFAULT_COLORS = 256
DEFAULT_METHOD = "kmeans"
DEFAULT_DITHERED_METHOD = "mixtures"

OWN = "own palette"
"""Where the palette of an indexed picture comes from if it is left as it is."""

Chooser = Callable[[list[np.ndarray], IndexedImage | None], tuple[Palette, str]]
"""Frames, uint8 [H, W, 4] each, and the first one as its file holds it, if that is indexed → the
one palette for all of them, and where it comes from."""


@dataclass(frozen=True)
class PaletteOptions:
    """The palette, which is fitted unless it is given.

    Args:
        colors: entries to fit, 2 to 256, transparency included; 256 if left out. auto: as many as
            the pictures need, which is all if they have at most 64.
        max_error: for --colors auto: the mean ΔE in OKLab to stay below (black to white is 1). If
            left out, the elbow of the error over the number of colors decides on pictures of more
            than 64.
        method: how a palette is fitted; if left out, kmeans, or mixtures to be dithered.
        palette: a palette to use as it is: a file, a picture, colors like 000,555,fff, or a name.
        best_of: folder of palettes, of which the best fitting one is used.
        keep_colors: colors that a fitted palette must hold.
        channel_bits: only colors of such hardware: 3,3,3 or 5,5,5 bits.
        alpha: of fitted entries. hard: opaque or transparent, from alpha 128 on. soft: shadows and
            soft edges get entries of their own, with alphas between.
        shared: one palette for all pictures.
        per_frame: a palette for each frame of an animation, as a GIF can have it, and not one for
            all.
        space: where distances between colors are measured.
        seed: of the method's random start.

    Raises:
        InputError: one is out of range, or they contradict each other.
    """

    colors: str | None = None
    max_error: Annotated[float | None, Range(0, 1e6)] = None
    method: Annotated[str | None, OneOf(QUANTIZERS)] = None
    palette: Annotated[str | None, ", ".join(named_palettes())] = None
    best_of: Path | None = None
    keep_colors: Sequence[str] = field(default=(), metadata={"metavar": "ff0000,00ff00,…"})
    channel_bits: str | None = None
    alpha: Annotated[str, OneOf(ALPHAS)] = ALPHAS[0]
    shared: bool = False
    per_frame: bool = False
    space: Annotated[str, OneOf(SPACES)] = "oklab"
    seed: Annotated[int, SEED] = 0

    def __post_init__(self) -> None:
        if self.palette is not None and self.best_of is not None:
            raise InputError("--palette names one palette and --best-of a folder of them: give one of the two")
        for name in ("colors", "max_error", "method", "keep_colors", "channel_bits", "alpha") if self.is_given else ():
            if getattr(self, name) not in (None, (), ALPHAS[0]):
                given = "--best-of" if self.palette is None else "--palette"
                raise InputError(f"--{name.replace('_', '-')} says how to fit a palette, but {given} gives one")
        if self.per_frame and (self.shared or self.palette is not None):
            given = "--shared" if self.shared else "--palette"
            raise InputError(f"--per-frame fits a palette to each frame, but {given} is one for all: leave out one")
        is_number = self.colors not in (None, "auto")
        if is_number and not (self.colors.isdecimal() and 2 <= int(self.colors) <= MAX_ENTRIES):
            raise InputError(f"--colors is {self.colors!r}; it must be a number from 2 to {MAX_ENTRIES}, or auto")
        if self.max_error is not None and self.colors != "auto":
            raise InputError("--max-error chooses the number of colors: add --colors auto")

    @property
    def is_given(self) -> bool:
        """Whether the palette is there already."""
        return self.palette is not None or self.best_of is not None

    @property
    def is_free(self) -> bool:
        """Whether a palette that a picture has already may stay."""
        return not self.keep_colors and self.channel_bits is None and self.method not in ("fixed", "uniform")

    @property
    def is_made_for_pictures(self) -> bool:
        """Whether all entries are fitted to the pictures."""
        return not self.is_given and not self.keep_colors and self.method not in ("fixed", "uniform")

    def bits(self) -> tuple[int, int, int] | None:
        """Bits of red, green and blue."""
        if self.channel_bits is None:
            return None
        words = [word.strip() for word in self.channel_bits.split(",")]
        if len(words) != 3 or not all(word in set("12345678") for word in words):
            raise InputError(f"--channel-bits is {self.channel_bits!r}; write three numbers from 1 to 8, like 5,5,5")
        return int(words[0]), int(words[1]), int(words[2])


@dataclass(frozen=True)
class DrawingOptions:
    """How pictures are drawn in it.

    Args:
        dither: how entries mix to look like colors between them.
        strength: of dithering, 0 to 1.
        dither_space: where dithered entries mix.
        smooth: afterwards: remove lone pixels, or take each neighborhood's mode.
        sort: reorder the palette in the end; the picture stays the same.
    """

    dither: Annotated[str, OneOf(DITHERERS)] = "none"
    strength: Annotated[float, SHARE] = 1.0
    dither_space: Annotated[str, OneOf(DITHER_SPACES)] = DITHER_SPACES[0]
    smooth: Annotated[str | None, OneOf(SMOOTHERS)] = None
    sort: Annotated[str | None, OneOf(ORDERS)] = None


def make_chooser(wanted: PaletteOptions, is_dithered: bool) -> Chooser:
    """How the options choose a palette for frames; palette files are read here.

    Raises:
        InputError: a palette or a color can't be read.
    """
    if wanted.palette is not None:
        palette = read_palette(wanted.palette)
        return lambda frames, own=None: (with_place_for_transparency(palette, frames), wanted.palette)
    if wanted.best_of is not None:
        palettes = read_palette_folder(wanted.best_of)

        def pick(frames: list[np.ndarray], own: IndexedImage | None = None) -> tuple[Palette, str]:
            fitting = {name: each for name, each in palettes.items() if has_place_for_transparency(each, frames)}
            best, _ = rank_palettes(frames, fitting or palettes, wanted.space)[0]
            return with_place_for_transparency(palettes[best], frames), best

        return pick
    method = wanted.method or (DEFAULT_DITHERED_METHOD if is_dithered else DEFAULT_METHOD)
    limits = {
        "keep": Palette.from_hex(wanted.keep_colors) if wanted.keep_colors else None,
        "channel_bits": wanted.bits(),
        "alpha": wanted.alpha,
    }

    def fit(frames: list[np.ndarray], own: IndexedImage | None = None) -> tuple[Palette, str]:
        colors = wanted.colors or DEFAULT_COLORS
        if colors == "auto":
            counting = wanted.method or DEFAULT_METHOD
            kind = {"alpha": "soft"} if wanted.is_free and own is not None and own.palette.is_soft else {}
            colors = choose_colors(frames, counting, wanted.space, wanted.seed, wanted.max_error, **limits | kind)
        if own is not None and wanted.is_free and (kept := own_palette(frames, own, int(colors))) is not None:
            return kept, OWN
        return fit_palette(frames, int(colors), method, wanted.space, wanted.seed, **limits), method

    return fit


def convert_chosen(
    original: Animation, choose: Chooser, wanted: PaletteOptions, drawing: DrawingOptions
) -> tuple[Conversion, str]:
    """Choose a palette for a picture, or for each frame, and draw it; also says where from.

    Raises:
        InputError: the palette lacks what the picture needs.
    """
    groups = [[frame] for frame in original.frames] if wanted.per_frame else [original.frames]
    chosen = [choose(group, None if number else original.indexed) for number, group in enumerate(groups)]
    palettes, sources = zip(*chosen, strict=True)
    converted = convert(
        original.frames,
        palettes if wanted.per_frame else palettes[0],
        space=wanted.space,
        method=drawing.dither,
        strength=drawing.strength,
        dither_space=drawing.dither_space,
        exact=not wanted.is_made_for_pictures,
        smoother=drawing.smooth,
        order=drawing.sort,
        own=original.indexed,
    )
    return converted, " and ".join(dict.fromkeys(sources))


def own_palette(frames: Sequence[np.ndarray], own: IndexedImage, colors: int) -> Palette | None:
    """The palette of an indexed picture in its order, if it holds all frames and is small enough.

    Entries that no pixel holds are left out where there are more than ``colors`` with them.
    """
    used = np.zeros(len(own.palette), np.bool_)
    for frame in frames:
        indices = own.indices if frame is frames[0] else encode(frame, own.palette)
        if differs(frame, indices, own.palette).any():
            return None
        used[indices] = True
    if len(own.palette) <= colors:
        return own.palette
    return Palette(own.palette.colors[used]) if used.sum() <= colors else None
