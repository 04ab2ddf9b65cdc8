"""Recolor a data set, annotations carried along: `python augment.py photos --ways jitter others pico-8 --output runs/more`."""

import bisect
import shutil
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jsonargparse import ArgumentParser
from PIL import Image
from tqdm import tqdm

from tincture.common import cli
from tincture.common.errors import InputError
from tincture.common.files import claim_output_folder, folder_written_whole, recorded_in, write_json
from tincture.data.annotated_folder import AnnotatedImage, annotated_images
from tincture.data.palette_jitter import PaletteJitter
from tincture.data.palette_transform import as_indexed, to_palette
from tincture.data.sources import name_hash
from tincture.quantization.fit import quantize
from tincture.quantization.palettes.files import named_palettes, read_palette
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import open_image, read_image, to_rgba
from tincture.quantization.recolor import GENTLE

REPORT_FILE = "augment.json"
IMAGES_FOLDER = "images"
JITTER, OTHERS = "jitter", "others"
DEFAULT_COLORS = 64
JITTER_HELP = {
    "lightness": "added to OKLab lightness, 0 to 1",
    "contrast": "relative change of lightness about middle gray, 0 to 1",
    "chroma": "relative change of chroma, 0 to 1",
    "hue": "turn of hue in degrees, 0 to 180",
    "noise": "standard deviation of what each entry is moved by on its own in OKLab, 0 to 1",
}


class Version(NamedTuple):
    """One picture in other colors."""

    picture: IndexedImage | Image.Image
    palette: Palette | None
    """None: in full detail."""
    other: str | None
    """The image whose palette it has, if it has another one's."""


def make_parser() -> ArgumentParser:
    """Every option of the command, with its unit and default."""
    parser = cli.make_parser("Write each picture of a folder in several recolored versions, with its annotations.")
    add = parser.add_argument
    add("folder", type=Path, help="pictures, in subfolders of any depth; the first frame of an animation")
    add("--output", type=Path, required=True, help=f"folder for {IMAGES_FOLDER}/, parallel folders and {REPORT_FILE}")
    add("--overwrite", action="store_true", help="replace what this command wrote into the output folder before")
    add("--versions", type=int, default=4, help="of each picture")
    add(
        "--ways",
        nargs="+",
        default=[JITTER],
        metavar="WAY",
        help=f"{JITTER}: one random change of all colors and a little noise; {OTHERS}: the palette of another picture "
        f"of the folder; or a palette: a file, a picture or a name ({', '.join(named_palettes())}). "
        "Each picture takes turns among them, and is jittered before it gets another palette from the second turn on",
    )
    add(
        "--colors",
        type=int | None,
        default=None,
        help=f"entries to which pictures that are not indexed are quantized first, 2 to 256; {DEFAULT_COLORS} if left out",
    )
    add("--full-detail", action="store_true", help=f"quantize nothing: {JITTER} pixel by pixel, without noise")
    add(
        "--masks",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="parallel folders, whose file of the same relative name (or another suffix) is copied for each version",
    )
    add("--originals", action="store_true", help="copy the pictures themselves too, with their annotations")
    add(
        "--distinct",
        type=float,
        default=GENTLE,
        help="what each color of another palette that is used is worth, in shares of the area times squared distance "
        "in OKLab. 0: nearest colors; from 3 on, all colors stay apart that the palette has room for",
    )
    for field in fields(PaletteJitter):
        add(f"--{field.name}", type=float, default=field.default, help=f"of {JITTER}: {JITTER_HELP[field.name]}")
    add("--seed", type=int, default=0, help="a version depends on this and its picture's name (others: on all names)")
    return parser


def main(arguments: list[str]) -> None:
    """Parse, recolor, copy, report."""
    options = make_parser().parse_args(arguments)
    check_options(options)
    palettes = {way: read_palette(way) for way in options.ways if way not in (JITTER, OTHERS)}
    for way, palette in palettes.items():
        if not (palette.colors[:, 3] > 0).any():
            raise InputError(f"{way} has no opaque entry to recolor to")
    images = annotated_images(options.folder, options.masks)
    if OTHERS in options.ways and len(images) < 2:
        raise InputError(f"--ways {OTHERS} needs at least 2 pictures; {options.folder} has one")
    claim_output(options)
    check_names(images, options)
    recolorer = Recolorer(images, palettes, options)
    records: list[dict] = []
    with (
        folder_written_whole(options.output) as folder,
        tqdm(images, unit="image", disable=None, leave=False) as bar,
    ):
        for image in bar:
            if options.originals:
                shutil.copyfile(image.path, prepared(folder / IMAGES_FOLDER / image.name))
                files = copy_annotations(image, None, folder, options.masks)
                records.append(describe(image.name, f"{IMAGES_FOLDER}/{image.name}", 0, "original", None, files, None))
            for number, (way, version) in enumerate(recolorer.versions(image), 1):
                file = f"{IMAGES_FOLDER}/{version_name(image.name, number, '.png')}"
                save(version.picture, prepared(folder / file))
                files = copy_annotations(image, number, folder, options.masks)
                records.append(describe(image.name, file, number, way, version, files, options.seed))
        write_json(folder / REPORT_FILE, {**cli.describe_run(options), "files": records})
    print(f"{summary(records, len(images))}: see {options.output / REPORT_FILE}")


def check_options(options: Namespace) -> None:
    """Raise InputError for options that are out of range or contradict each other."""
    if options.versions < 1:
        raise InputError(f"--versions is {options.versions}; it must be at least 1")
    if options.colors is not None and not 2 <= options.colors <= MAX_ENTRIES:
        raise InputError(f"--colors is {options.colors}; it must be from 2 to {MAX_ENTRIES}")
    if options.full_detail and (options.colors is not None or options.ways != [JITTER]):
        raise InputError(f"--full-detail quantizes nothing, so leave --colors out and {JITTER} as the only way")
    for field in fields(PaletteJitter):
        largest, value = (180 if field.name == "hue" else 1), getattr(options, field.name)
        if not 0 <= value <= largest:
            raise InputError(f"--{field.name} is {value}; it must be from 0 to {largest}")
    if not options.distinct >= 0:
        raise InputError(f"--distinct is {options.distinct}; it must be at least 0")
    taken = {IMAGES_FOLDER, REPORT_FILE}
    for masks in options.masks:
        name = masks.resolve().name
        if not name:
            raise InputError(f"--masks {masks} has no name under which to be written; name a folder in it")
        if name in taken:
            raise InputError(f"--masks {masks} would be written as {name}, which is taken; rename the folder")
        taken.add(name)


def claim_output(options: Namespace) -> None:
    """Refuse an output folder that holds an input or lies in one, or that this command didn't write.

    Raises:
        InputError: it does, or it isn't empty and ``--overwrite`` is missing.
    """
    output = options.output.resolve()
    for path in (options.folder, *options.masks, *(Path(way) for way in options.ways if Path(way).exists())):
        if path.resolve().is_relative_to(output) or (path.is_dir() and output.is_relative_to(path.resolve())):
            raise InputError(f"the output folder {options.output} and the input {path} lie in each other; name another")
    claim_output_folder(options.output, options.overwrite, written=recorded_in(REPORT_FILE, files_of))


def files_of(records: list[dict]) -> list[str]:
    """What was written, of the records of a report."""
    return [name for record in records for name in (record["file"], *record["annotations"])]


def version_name(name: str, number: int | None, suffix: str) -> str:
    """Where a version's file stands below its folder: the picture's name with the version's number."""
    path = Path(name)
    return path.with_name(path.stem + (f"-v{number}" if number is not None else "") + suffix).as_posix()


def check_names(images: Sequence[AnnotatedImage], options: Namespace) -> None:
    """Raise InputError where files of two pictures would have one name."""
    taken: dict[str, str] = {}
    for image in images:
        stems = [version_name(image.name, number, "") for number in range(1, options.versions + 1)]
        for stem in stems + [version_name(image.name, None, "")] * options.originals:
            other = taken.setdefault(stem.casefold(), image.name)  # some file systems don't tell x.png from X.png
            if other != image.name:
                raise InputError(f"files for {other} and {image.name} would have the same name; rename one of them")


class Recolorer:
    """Makes versions; keeps the palettes of pictures that lend theirs to others."""

    def __init__(self, images: Sequence[AnnotatedImage], palettes: dict[str, Palette], options: Namespace) -> None:
        self.palettes, self.options = palettes, options
        self.jitter = PaletteJitter(**{field.name: getattr(options, field.name) for field in fields(PaletteJitter)})
        # Pictures by a hash of their names: a draw takes the next one, and adding a picture changes few draws.
        self.ring = sorted((name_hash(image.name), image.name) for image in images)
        paths = {image.name: image.path for image in images}
        self.palette_of = cache(lambda name: used_palette(read_indexed(paths[name], options.colors)))

    def versions(self, image: AnnotatedImage) -> list[tuple[str, Version]]:
        """All versions of a picture, each with the way it was made; they depend on the seed and the name."""
        ways = self.options.ways
        turns = self._rng(image.name).permutation(len(ways))
        full = read_image(image.path) if self.options.full_detail else None
        source = None if self.options.full_detail else read_indexed(image.path, self.options.colors)
        made = []
        for number in range(self.options.versions):
            way, rng = ways[turns[number % len(ways)]], self._rng(f"{image.name}/{number + 1}")
            if full is not None:
                made.append((way, Version(to_pil(self.jitter.pixels(full, rng)), None, None)))
            elif way == JITTER:
                recolored = self.jitter(source, rng)
                made.append((way, Version(recolored, recolored.palette, None)))
            else:
                other = self._draw_other(image.name, rng) if way == OTHERS else None
                palette = self.palettes[way] if other is None else self.palette_of(other)
                # The same palette again would give the same picture again.
                before = source if number < len(ways) else self.jitter(source, rng)
                recolored = to_palette(before, palette, self.options.distinct)
                made.append((way, Version(recolored, recolored.palette, other)))
        return made

    def _rng(self, text: str) -> np.random.Generator:
        return np.random.default_rng(name_hash(f"{self.options.seed}/{text}"))

    def _draw_other(self, name: str, rng: np.random.Generator) -> str:
        """Another picture of the set that has a visible color."""
        first = bisect.bisect(self.ring, (int(rng.integers(2**64, dtype=np.uint64)), ""))
        for step in range(len(self.ring)):
            other = self.ring[(first + step) % len(self.ring)][1]
            if other != name and (self.palette_of(other).colors[:, 3] > 0).any():
                return other
        raise InputError(f"no other picture than {name} has a visible color to lend")


def read_indexed(path: Path, colors: int | None) -> IndexedImage:
    """A picture with its own index map if it is indexed and ``colors`` is none, else quantized to ``colors``."""
    image = open_image(path)
    return as_indexed(image, DEFAULT_COLORS) if colors is None else quantize(to_rgba(image), colors)


def used_palette(image: IndexedImage) -> Palette:
    """The entries that stand in a pixel."""
    return Palette(image.palette.colors[np.unique(image.indices)])


def to_pil(pixels: np.ndarray) -> Image.Image:
    """RGB, or RGBA if any pixel isn't opaque."""
    return Image.fromarray(pixels if (pixels[..., 3] < 255).any() else pixels[..., :3].copy())


def prepared(path: Path) -> Path:
    """The path, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def save(picture: IndexedImage | Image.Image, path: Path) -> None:
    """Write a PNG."""
    (picture.to_pil() if isinstance(picture, IndexedImage) else picture).save(path, format="PNG")


def copy_annotations(
    image: AnnotatedImage, number: int | None, folder: Path, parallel_folders: Sequence[Path]
) -> list[str]:
    """Copy what belongs to a picture, byte for byte, under its version's name; returns the new files' names."""
    rooms = [IMAGES_FOLDER] * len(image.sidecars) + [path.resolve().name for path in parallel_folders]
    files = []
    for room, source in zip(rooms, [*image.sidecars, *image.parallels], strict=True):
        files.append(f"{room}/{version_name(image.name, number, source.suffix)}")
        shutil.copyfile(source, prepared(folder / files[-1]))
    return files


def describe(
    source: str, file: str, number: int, way: str, version: Version | None, annotations: list[str], seed: int | None
) -> dict:
    """What augment.json says of one file."""
    return {
        "file": file,
        "source": source,
        "version": number,
        "way": way,
        "palette_of": version.other if version else None,
        "palette": version.palette.to_hex() if version and version.palette else None,
        "seed": seed,
        "annotations": annotations,
    }


def summary(records: list[dict], images: int) -> str:
    """One line for the terminal."""
    copied = sum(len(record["annotations"]) for record in records)
    pictures = "1 picture" if images == 1 else f"{images} pictures"
    return f"{len(records)} files from {pictures}, {copied} annotations carried along"


if __name__ == "__main__":
    cli.run(main)
