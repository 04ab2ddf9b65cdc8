"""Pictures in other colors: what can be asked of them, and the versions made of each picture."""

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from PIL import Image

from tincture.common.errors import SEED, InputError, Range, choose
from tincture.common.options import OneOf, check_options
from tincture.quantization.encoding import encode
from tincture.quantization.fit import quantize
from tincture.quantization.histogram import OPAQUE_ALPHA, rgba_histogram
from tincture.quantization.options import own_palette
from tincture.quantization.palettes.files import is_picture, named_palettes, read_palette
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette
from tincture.quantization.pictures.animation import read_animation
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage, PngOptions
from tincture.quantization.pictures.reading import read_image
from tincture.quantization.recolor import GENTLE

from .annotated_pictures import AnnotatedPicture
from .palette_changes import PaletteJitter, with_transparency_for
from .sources import name_hash

Matcher = Callable[[IndexedImage, Palette], IndexedImage]
"""Moves an indexed image to another palette, all pixels of a color to one color."""

AREAS, JITTER, OTHERS = "areas", "jitter", "others"
WAYS = {
    AREAS: "each color goes to a near one; shades that are rare or alike come together",
    "reversible": "one-to-one, with a way back",
    "role": "to the entry that the model's palette encoder finds alike",
    "model": "to the entry that the model expects there",
    JITTER: "takes no palette: one random change of all colors and a little noise",
    OTHERS: "takes no palette: by areas to the palette of another one of the pictures",
}
"""How a color finds the one that it becomes, by the names of `Recoloring.by`."""
NEED_MODEL, NEED_NO_PALETTE = {"role", "model"}, {JITTER, OTHERS}

DEFAULT_COLORS, DEFAULT_VERSIONS = 64, 4


class Turn(NamedTuple):
    """One way to recolor, and what to."""

    by: str
    """A name in `WAYS`."""
    name: str | None = None
    """Of the palette, for a way that takes one."""
    palette: Palette | None = None


@dataclass(frozen=True)
class Recoloring:
    """What other colors pictures get.

    Args:
        palette: palettes to move pictures to, in turn. A picture given as a palette is quantized,
            as those to recolor are, where it has more than 256 colors. Files, pictures, colors like
            000,555,fff, or names
        by: how a color finds the one that it becomes, several ways in turn. If left out, areas with
            a palette and jitter without. Ways
        versions: of each picture; if left out, one for each palette, or 4 where chance decides.
            Before it gets a palette for the second time, a picture is jittered.
        colors: entries to which every picture is quantized first, 2 to 256. all: none is, and the
            first frame is jittered pixel by pixel, without noise. If left out, pictures of more
            than 256 colors are quantized to 64, and the others keep theirs.
        transparency: whether a palette gets a transparent entry. auto: where a picture has
            transparent pixels. never: these take the lightest entry, like paper, where there is no
            transparent one.
        distinct: by areas and role, what each color of the palette that is used is worth, in shares
            of the area times squared distance in OKLab. 0: nearest colors. From 3 on, all colors
            stay apart that the palette has room for.
        checkpoint: the model of the ways role and model, a folder that train.py wrote.
        seed: a version depends on it and on its picture's name (others, on all names).
        jitter: how far colors move.
        png: how PNGs are written.

    Raises:
        InputError: an option is out of range, does nothing, or contradicts another one.
    """

    palette: Annotated[list[str] | None, ", ".join(named_palettes())] = field(
        default=None, metadata={"metavar": "PALETTE"}
    )
    by: Annotated[list[str] | None, "; ".join(f"{way} ({text})" for way, text in WAYS.items())] = field(
        default=None, metadata={"metavar": "WAY"}
    )
    versions: Annotated[int | None, Range(1, 10**6)] = None
    colors: int | Literal["all"] | None = None
    transparency: Annotated[str, OneOf(("auto", "always", "never"))] = "auto"
    distinct: Annotated[float, Range(0, float("inf"))] = GENTLE
    checkpoint: Path | None = None
    seed: Annotated[int, SEED] = 0
    jitter: PaletteJitter = field(default_factory=PaletteJitter)
    png: PngOptions = field(default_factory=PngOptions)

    def __post_init__(self) -> None:
        check_options(self)
        for way in self.ways:
            choose("--by", way, WAYS)
        needs_palette = [way for way in self.ways if way not in NEED_NO_PALETTE]
        needs_model = [way for way in self.ways if way in NEED_MODEL]
        if self.palette and not needs_palette:
            raise InputError(f"--by {' '.join(self.ways)} takes no --palette: leave that out, or add --by areas")
        if needs_palette and not self.palette:
            raise InputError(f"--by {needs_palette[0]} needs the palette to move pictures to: name one with --palette")
        if needs_model and self.checkpoint is None:
            raise InputError(f"--by {needs_model[0]} needs a model: name its folder with --checkpoint")
        if self.colors == "all" and self.ways != [JITTER]:
            raise InputError(
                f"--colors all quantizes nothing, which works by {JITTER} only: leave --palette and --by out"
            )
        if isinstance(self.colors, int) and not 2 <= self.colors <= MAX_ENTRIES:
            raise InputError(f"--colors is {self.colors}; it must be from 2 to {MAX_ENTRIES}, or all")
        self._check_idle()

    def _check_idle(self) -> None:
        """Raise InputError for an option that does nothing."""
        jitters = JITTER in self.ways or self.count > len(self.ways) * len(self.palette or [None])
        changed = [each.name for each in fields(PaletteJitter) if getattr(self.jitter, each.name) != each.default]
        idle = {
            "checkpoint": self.checkpoint is not None and not NEED_MODEL & set(self.ways),
            "distinct": self.distinct != GENTLE and not {AREAS, "role", OTHERS} & set(self.ways),
            "transparency": self.transparency != "auto" and self.ways == [JITTER],
            **dict.fromkeys(changed, not jitters),
        }
        for name in (name for name, does_nothing in idle.items() if does_nothing):
            raise InputError(f"--{name} does nothing by {' and '.join(self.ways)}; leave it out")

    @property
    def ways(self) -> list[str]:
        """Names in `WAYS`."""
        return self.by or ([AREAS] if self.palette else [JITTER])

    @property
    def count(self) -> int:
        """Versions of each picture."""
        if self.versions is not None:
            return self.versions
        return DEFAULT_VERSIONS if NEED_NO_PALETTE & set(self.ways) else len(self.ways) * len(self.palette)

    @cached_property
    def turns(self) -> list[Turn]:
        """Every way, those that take a palette once with each.

        Raises:
            InputError: a palette can't be read, or has no opaque entry.
        """
        palettes = {name: _read_target(name, self.colors) for name in self.palette or ()}
        for name, palette in palettes.items():
            if not (palette.colors[:, 3] > 0).any():
                raise InputError(f"{name} has no opaque entry to recolor to")
        turns = []
        for way in self.ways:
            turns += [Turn(way)] if way in NEED_NO_PALETTE else [Turn(way, *item) for item in palettes.items()]
        return turns


def _read_target(name: str, colors: int | None) -> Palette:
    try:
        return read_palette(name)
    except InputError:
        if is_picture(name) and Path(name).is_file():
            return read_frames(Path(name), colors).image.palette
        raise


class Frames(NamedTuple):
    """An indexed picture, or the frames of an animation in one palette."""

    image: IndexedImage
    """The frames, one below the other, so that whatever recolors a picture recolors them alike."""
    durations: list[int]
    """Milliseconds of each frame; one 0 for a still picture."""
    loops: int | None
    """As in `Animation`."""

    @property
    def suffix(self) -> str:
        """Of the file that `save` writes."""
        return ".png" if len(self.durations) == 1 else ".gif"

    def save(self, path: Path, png8: bool = False) -> None:
        """Write a PNG, or a GIF of several frames; ``png8`` is as in `PngOptions`.

        Raises:
            InputError: an animation's palette has a half-transparent entry, which a GIF can't have.
        """
        if len(self.durations) == 1:
            self.image.save(path, png8)
        else:
            indices = np.split(self.image.indices, len(self.durations))
            write_gif(path, indices, self.image.palette, self.durations, self.loops)


def read_frames(path: Path, colors: int | None) -> Frames:
    """Read a picture as an indexed one.

    Args:
        path: its file.
        colors: entries to which every picture is quantized. None: an indexed picture keeps its
            index map and palette, and an animation the palette of its first frame, if that holds
            all frames. Another one keeps its colors if they are at most 256, and gets 64
            otherwise. A still picture keeps its alphas if there is room for all colors with them.
    """
    animation = read_animation(path)
    rgba, own, is_still = np.concatenate(animation.frames), animation.indexed, len(animation.frames) == 1
    if colors is None and own is not None and is_still:
        indexed = own
    elif colors is None and own is not None and own_palette(animation.frames, own, MAX_ENTRIES) is not None:
        indexed = IndexedImage(encode(rgba, own.palette), own.palette)
    elif colors is None and is_still and len(rgba_histogram([rgba])[0]) <= MAX_ENTRIES:
        indexed = quantize(rgba, MAX_ENTRIES, alpha="soft")
    else:
        indexed = quantize(rgba, colors or (MAX_ENTRIES if _has_few_colors(rgba) else DEFAULT_COLORS))
    return Frames(indexed, animation.durations, animation.loops)


def _has_few_colors(rgba: np.ndarray) -> bool:
    solid = np.where(rgba[..., 3:] < OPAQUE_ALPHA, np.uint8(0), rgba | np.array([0, 0, 0, 255], np.uint8))
    return len(np.unique(np.ascontiguousarray(solid).view(np.uint32))) <= MAX_ENTRIES


class Version(NamedTuple):
    """A picture in other colors."""

    picture: Frames | Image.Image
    """In full detail it is a Pillow image."""
    by: str
    """A name in `WAYS`."""
    palette_of: str | None
    """The palette's name, or the name of the other picture that lent its palette."""
    is_unchanged: bool
    """Whether every pixel has the color that it had."""

    @property
    def suffix(self) -> str:
        """Of the file that `save` writes."""
        return self.picture.suffix if isinstance(self.picture, Frames) else ".png"

    @property
    def palette(self) -> Palette | None:
        """What the picture is drawn in; none in full detail."""
        return self.picture.image.palette if isinstance(self.picture, Frames) else None

    def save(self, path: Path, png8: bool = False) -> None:
        """Write the picture; ``png8`` is as in `PngOptions`, and does nothing in full detail."""
        if isinstance(self.picture, Frames):
            self.picture.save(path, png8)
        else:
            self.picture.save(path)


class VersionMaker:
    """Makes recolored versions of each picture. They depend on the seed and on its name.

    Args:
        pictures: all of them: each may lend its palette to others. A new picture changes few of
            these draws.
        asked: what other colors they get.
        matchers: for those names in `WAYS` that take a palette, and for areas, how a picture is
            moved.
    """

    def __init__(
        self, pictures: Sequence[AnnotatedPicture], asked: Recoloring, matchers: Mapping[str, Matcher]
    ) -> None:
        self.asked, self.turns, self.matchers = asked, asked.turns, matchers
        # Pictures by a hash of their names: a draw takes the next one, and adding a picture changes
        # few draws.
        self._ring = sorted((name_hash(picture.name), picture.name, picture.path) for picture in pictures)
        self._used_palettes: dict[Path, Palette] = {}

    def versions_of(self, picture: AnnotatedPicture) -> Iterator[Version]:
        """All versions of a picture, in order."""
        jitter, order = self.asked.jitter, self._rng(picture.name).permutation(len(self.turns))
        source = None if self.asked.colors == "all" else read_frames(picture.path, self.asked.colors)
        for number in range(self.asked.count):
            turn, rng = self.turns[order[number % len(order)]], self._rng(f"{picture.name}/{number + 1}")
            name = None
            if source is None:
                before = read_image(picture.path)
                after = jitter.pixels(before, rng)
                yield Version(_to_pil(after), turn.by, name, _same_colors(after, before))
                continue
            if turn.by == JITTER:
                moved = jitter(source.image, rng)
            else:
                name, palette = self._draw_other(picture, rng) if turn.by == OTHERS else (turn.name, turn.palette)
                # The same palette again would give the same picture again.
                before = source.image if number < len(order) else jitter(source.image, rng)
                move = self.matchers[AREAS if turn.by == OTHERS else turn.by]
                moved = move(before, self._with_transparency(palette, before))
            is_unchanged = _same_colors(moved.to_rgba(), source.image.to_rgba())
            yield Version(source._replace(image=moved), turn.by, name, is_unchanged)

    def _rng(self, text: str) -> np.random.Generator:
        return np.random.default_rng(name_hash(f"{self.asked.seed}/{text}"))

    def _with_transparency(self, palette: Palette, image: IndexedImage) -> Palette:
        if self.asked.transparency == "auto":
            return with_transparency_for(image, palette)
        return palette.with_transparency() if self.asked.transparency == "always" else palette

    def _draw_other(self, picture: AnnotatedPicture, rng: np.random.Generator) -> tuple[str, Palette]:
        """Another picture that has a visible color, and its palette."""
        first = bisect.bisect(self._ring, (int(rng.integers(2**64, dtype=np.uint64)), ""))
        for step in range(len(self._ring)):
            _, name, path = self._ring[(first + step) % len(self._ring)]
            if path != picture.path and ((palette := self._used_palette(path)).colors[:, 3] > 0).any():
                return name, palette
        raise InputError(f"no other picture than {picture.name} has a visible color to lend")

    def _used_palette(self, path: Path) -> Palette:
        """The entries that stand in some pixel of a picture; none can be seen of a broken one."""
        if path not in self._used_palettes:
            try:
                image = read_frames(path, self.asked.colors).image
                colors = image.palette.colors[np.unique(image.indices)]
            except InputError:  # which is told in its own turn
                colors = np.zeros((1, 4), np.uint8)
            self._used_palettes[path] = Palette(colors)
        return self._used_palettes[path]


def _same_colors(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two pictures, RGBA, look the same; what has no alpha has no color."""
    first, second = (np.where(pixels[..., 3:] == 0, np.uint8(0), pixels) for pixels in (first, second))
    return np.array_equal(first, second)


def _to_pil(pixels: np.ndarray) -> Image.Image:
    """RGB, or RGBA if any pixel isn't opaque."""
    return Image.fromarray(pixels if (pixels[..., 3] < 255).any() else pixels[..., :3].copy())
