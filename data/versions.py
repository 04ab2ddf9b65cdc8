"""Pictures in other colors: pictures with what belongs to them, and the recolored versions that are made of each."""

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.fit import quantize
from tincture.quantization.histogram import OPAQUE_ALPHA
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette
from tincture.quantization.pictures.animation import check_gif_palette, read_animation
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import open_image, read_image

from .image_folder import pictures_below
from .palette_changes import PaletteJitter, with_transparency_for
from .sources import name_hash

SIDECAR_SUFFIXES = (".txt", ".json", ".xml")
"""Of annotations that stand beside their picture, as YOLO, LabelMe and Pascal VOC write them."""

DEFAULT_COLORS = 64
"""Entries to which pictures of more than 256 colors are quantized."""

JITTER, OTHERS = "jitter", "others"

Matcher = Callable[[IndexedImage, Palette], IndexedImage]
"""Moves an indexed image to another palette, all pixels of a color to one color."""


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture's file and the files that say something about it."""

    name: str
    """Its path below the folder that was named, with forward slashes, suffix included."""
    path: Path
    folder: str
    """The name of the folder that was named; empty for a picture that was named itself."""
    sidecars: list[Path]
    """Annotations beside it."""
    parallels: list[Path]
    """Its file in each parallel folder, such as a mask."""


def find_pictures(inputs: Sequence[Path], parallel_folders: Sequence[Path] = ()) -> list[AnnotatedPicture]:
    """Find pictures and what belongs to them.

    Args:
        inputs: pictures, and folders of pictures (`pictures_below`).
        parallel_folders: each has a file for every picture, of the same relative name or with another suffix.

    Raises:
        InputError: an input or a folder is missing, a folder holds no pictures, or a parallel folder lies among
            the pictures, or has no file, or several, for one of them.
    """
    for parallel in parallel_folders:
        if not parallel.is_dir():
            raise InputError(f"no such folder: {parallel}")
    found: list[AnnotatedPicture] = []
    for path in inputs:
        if not path.exists():
            raise InputError(f"no such picture or folder: {path}")
        if path.is_dir():
            for parallel in parallel_folders:
                if parallel.resolve().is_relative_to(path.resolve()):
                    raise InputError(
                        f"{parallel} lies in {path}, all of whose pictures are taken for images; move it elsewhere"
                    )
            names = {file.relative_to(path).as_posix(): file for file in pictures_below(path)}
        else:
            names = {path.name: path}
        for name, file in sorted(names.items()):
            sidecars = [sidecar for suffix in SIDECAR_SUFFIXES if (sidecar := file.with_suffix(suffix)).is_file()]
            parallels = [_file_beside(name, parallel) for parallel in parallel_folders]
            folder = path.resolve().name if path.is_dir() else ""
            found.append(AnnotatedPicture(name, file, folder, sidecars, parallels))
    return found


def _file_beside(name: str, folder: Path) -> Path:
    """The file for a picture in a parallel folder."""
    exact = folder / name
    if exact.is_file():
        return exact
    same_stem = sorted(path for path in exact.parent.glob("*") if path.stem == exact.stem and path.is_file())
    if len(same_stem) != 1:
        what = "no file" if not same_stem else f"{len(same_stem)} files ({', '.join(p.name for p in same_stem)})"
        raise InputError(f"{folder} has {what} for {name}")
    return same_stem[0]


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

    def save(self, path: Path) -> None:
        """Write a PNG, or a GIF of several frames, whole or not at all.

        Raises:
            InputError: an animation's palette has a half-transparent entry, which a GIF can't have.
        """
        if len(self.durations) == 1:
            self.image.save(path)
        else:
            check_gif_palette(self.image.palette)
            indices = np.split(self.image.indices, len(self.durations))
            write_gif(path, indices, self.image.palette, self.durations, self.loops)


def read_frames(path: Path, colors: int | None) -> Frames:
    """Read a picture with at most 256 colors.

    Args:
        path: its file.
        colors: entries to which every picture is quantized. None: an indexed picture keeps its index map
            and palette, another one its colors if they are at most 256; it is quantized to 64 otherwise.
    """
    animation = read_animation(path)
    rgba = np.concatenate(animation.frames)
    if colors is None and len(animation.frames) == 1 and (image := open_image(path)).mode == "P":
        indexed = IndexedImage.from_pil(image)
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
    """As in its `Turn`."""
    palette_of: str | None
    """The palette's name, or the name of the other picture that lent its palette."""

    @property
    def suffix(self) -> str:
        """Of the file that `save` writes."""
        return self.picture.suffix if isinstance(self.picture, Frames) else ".png"

    def save(self, path: Path) -> None:
        """Write a PNG, or a GIF of several frames."""
        self.picture.save(path)

    def palette(self) -> Palette | None:
        """What the picture is drawn in; none in full detail."""
        return self.picture.image.palette if isinstance(self.picture, Frames) else None


class Turn(NamedTuple):
    """One way to recolor, and what to."""

    by: str
    """`JITTER`, `OTHERS`, or the name of a matcher."""
    name: str | None = None
    """Of the palette, for a matcher."""
    palette: Palette | None = None


@dataclass
class VersionMaker:
    """Makes recolored versions of each picture; they depend on the seed and the picture's name, not on order.

    Args:
        pictures: all of them: each may lend its palette to others. A new picture changes few of these draws.
        turns: each picture takes turns among them, in an order of its own. From its second round on it is jittered
            first: the same palette again would give the same picture again.
        matchers: by name; those that ``turns`` name, and areas for `OTHERS`.
        versions: of each picture.
        colors: as for `read_frames`; "all": nothing is quantized, and the first frame jittered pixel by pixel.
        transparency: whether a palette without a transparent entry gets one: auto, where a picture has transparent
            pixels and the palette a place for it; always; or never.
        seed: of what is random.
        jitter: how far colors move.
    """

    pictures: Sequence[AnnotatedPicture]
    turns: Sequence[Turn]
    matchers: Mapping[str, Matcher]
    versions: int
    colors: int | str | None
    transparency: str
    seed: int
    jitter: PaletteJitter

    def __post_init__(self) -> None:
        # Pictures by a hash of their names: a draw takes the next one, and adding a picture changes few draws.
        self._ring = sorted((name_hash(picture.name), picture.name, picture.path) for picture in self.pictures)
        self._used_palette = cache(self._read_used_palette)

    def versions_of(self, picture: AnnotatedPicture) -> Iterator[Version]:
        """All versions of a picture, in order."""
        order = self._rng(picture.name).permutation(len(self.turns))
        source = None if self.colors == "all" else read_frames(picture.path, self.colors)
        for number in range(self.versions):
            turn, rng = self.turns[order[number % len(order)]], self._rng(f"{picture.name}/{number + 1}")
            if source is None:
                yield Version(_to_pil(self.jitter.pixels(read_image(picture.path), rng)), turn.by, None)
            elif turn.by == JITTER:
                yield Version(source._replace(image=self.jitter(source.image, rng)), turn.by, None)
            else:
                name, palette = self._draw_other(picture, rng) if turn.by == OTHERS else (turn.name, turn.palette)
                before = source.image if number < len(order) else self.jitter(source.image, rng)
                move = self.matchers["areas" if turn.by == OTHERS else turn.by]
                moved = move(before, self._with_place(palette, before))
                yield Version(source._replace(image=moved), turn.by, name)

    def _rng(self, text: str) -> np.random.Generator:
        return np.random.default_rng(name_hash(f"{self.seed}/{text}"))

    def _with_place(self, palette: Palette, image: IndexedImage) -> Palette:
        """The palette with a transparent entry where ``transparency`` wants it."""
        if self.transparency == "auto":
            return with_transparency_for(image, palette)
        return palette.with_transparency() if self.transparency == "always" else palette

    def _draw_other(self, picture: AnnotatedPicture, rng: np.random.Generator) -> tuple[str, Palette]:
        """The palette of another picture that has a visible color, and that picture's name."""
        first = bisect.bisect(self._ring, (int(rng.integers(2**64, dtype=np.uint64)), ""))
        for step in range(len(self._ring)):
            _, name, path = self._ring[(first + step) % len(self._ring)]
            if path != picture.path and ((palette := self._used_palette(path)).colors[:, 3] > 0).any():
                return name, palette
        raise InputError(f"no other picture than {picture.name} has a visible color to lend")

    def _read_used_palette(self, path: Path) -> Palette:
        """The entries that stand in some pixel of a picture."""
        image = read_frames(path, self.colors).image
        return Palette(image.palette.colors[np.unique(image.indices)])


def _to_pil(pixels: np.ndarray) -> Image.Image:
    """RGB, or RGBA if any pixel isn't opaque."""
    return Image.fromarray(pixels if (pixels[..., 3] < 255).any() else pixels[..., :3].copy())
