"""Move pictures to other colors: `python recolor.py my/icons --palette pico-8 --output runs/pico`, their annotations too."""

import shutil
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser
from tqdm import tqdm

from tincture.common import cli
from tincture.common.errors import SEED, InputError, choose
from tincture.common.files import write_json
from tincture.common.output_folder import claimed, recorded_in
from tincture.data.palette_changes import PaletteJitter
from tincture.data.versions import (
    DEFAULT_COLORS,
    JITTER,
    OTHERS,
    AnnotatedPicture,
    Matcher,
    Turn,
    Version,
    VersionMaker,
    find_pictures,
    read_frames,
)
from tincture.quantization.palettes.files import is_picture, named_palettes, read_palette
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette
from tincture.quantization.recolor import GENTLE, recolor_solid

REPORT_FILE = "report.json"
DEFAULT_VERSIONS = 4
WAYS = {
    "areas": "each color goes to a near one; shades that are rare or alike come together",
    "reversible": "one-to-one, with a way back",
    "role": "to the entry that the model's palette encoder finds alike",
    "model": "to the entry that the model expects there",
    JITTER: "without --palette: one random change of all colors and a little noise",
    OTHERS: "without --palette: by areas to the palette of another one of the pictures",
}
MODEL_WAYS = ("role", "model")
NO_PALETTE = (JITTER, OTHERS)


def make_parser() -> ArgumentParser:
    """Every option of the command, with its unit and default."""
    parser = cli.make_parser("Move pictures to other colors and carry their annotations along.")
    add = parser.add_argument
    add(
        "images",
        nargs="+",
        type=Path,
        help="pictures, and folders of pictures in subfolders of any depth; an animation becomes an animated GIF",
    )
    add(
        "--output",
        type=Path,
        required=True,
        help=f"folder for the pictures, each folder by its name, and {REPORT_FILE}",
    )
    add("--overwrite", action="store_true", help="replace what this command wrote into the output folder before")
    add(
        "--palette",
        nargs="+",
        default=[],
        metavar="PALETTE",
        help=f"files, pictures or names ({', '.join(named_palettes())}); each picture takes turns among them",
    )
    add(
        "--by",
        nargs="+",
        default=None,
        metavar="WAY",
        help="how a color finds the one that it becomes. " + "; ".join(f"{way}: {text}" for way, text in WAYS.items())
        + f". If left out, areas with --palette, {JITTER} without. Each picture takes turns among several",
    )  # fmt: skip
    add(
        "--versions",
        type=int | None,
        default=None,
        help=f"of each picture; if left out, one for each --palette, or {DEFAULT_VERSIONS} where chance decides. "
        "Before it gets a palette for the second time, a picture is jittered",
    )
    add(
        "--colors",
        type=int | Literal["all"] | None,
        default=None,
        help=f"entries, 2 to {MAX_ENTRIES}, to which every picture is quantized first; all: none is, and --by {JITTER} changes "
        "the first frame pixel by pixel, without noise; "
        f"if left out, {DEFAULT_COLORS} for pictures of more than {MAX_ENTRIES} colors, and the others keep theirs",
    )
    add(
        "--transparency",
        choices=["auto", "always", "never"],
        default="auto",
        help="whether palettes get a transparent entry. auto: where a picture has transparent pixels; never: these take "
        "the lightest entry, like paper, where the palette has no transparent one",
    )
    add(
        "--distinct",
        type=float,
        default=GENTLE,
        help="by areas and role: what each color of the palette that is used is worth, in shares of the area times squared "
        "distance in OKLab. 0: nearest colors; from 3 on, all colors stay apart that the palette has room for",
    )
    add(
        "--checkpoint",
        type=Path | None,
        default=None,
        help="model of the ways role and model: a folder that train.py wrote",
    )
    add("--seed", type=int, default=0, help=f"a version depends on it and its picture's name ({OTHERS}: on all names)")
    add(
        "--masks",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="parallel folders, whose file of the same relative name (or another suffix) is copied for each version",
    )
    add("--originals", action="store_true", help="copy the pictures themselves too, with their annotations")
    parser.add_class_arguments(PaletteJitter)
    return parser


def main(arguments: list[str]) -> None:
    """Parse, recolor, copy, report."""
    options = make_parser().parse_args(arguments)
    options.by = options.by or (["areas"] if options.palette else [JITTER])
    turns = read_turns(options)
    if options.versions is None:
        options.versions = DEFAULT_VERSIONS if set(options.by) & set(NO_PALETTE) else len(turns)
    jitter = PaletteJitter(**{field.name: getattr(options, field.name) for field in fields(PaletteJitter)})
    check_options(options, turns)
    pictures = find_pictures(options.images, options.masks)
    if OTHERS in options.by and len(pictures) < 2:
        raise InputError(f"--by {OTHERS} needs at least 2 pictures; there is one")
    check_output(options)
    with claimed(options.output, options.overwrite, recorded_in(REPORT_FILE, files_of)) as output:
        check_names(pictures, options)
        maker = VersionMaker(
            pictures,
            turns,
            matchers(options),
            options.versions,
            options.colors,
            options.transparency,
            options.seed,
            jitter,
        )
        records: list[dict] = []
        with (
            output.written_whole() as folder,
            tqdm(pictures, unit="image", disable=None, leave=False) as bar,
        ):
            for picture in bar:
                if options.originals:
                    file = new_name(picture.folder, picture.name, None, picture.path.suffix)
                    shutil.copyfile(picture.path, with_parents(folder / file))
                    records.append(describe(picture, file, 0, None, copy_annotations(picture, None, folder, options)))
                for number, version in enumerate(maker.versions_of(picture), 1):
                    shown = number if is_numbered(options) else None
                    file = new_name(picture.folder, picture.name, shown, version.suffix)
                    version.save(with_parents(folder / file))
                    records.append(
                        describe(picture, file, number, version, copy_annotations(picture, shown, folder, options))
                    )
            write_json(folder / REPORT_FILE, {**cli.describe_run(options), "files": records})
    print(f"{summary(records, len(pictures))}: see {options.output / REPORT_FILE}")


def read_turns(options: Namespace) -> list[Turn]:
    """Every way of ``--by``, those that take a palette once with each.

    Raises:
        InputError: a way is unknown, a palette can't be read or has no opaque entry, or the two don't go together.
    """
    for way in options.by:
        choose("--by", way, WAYS)
    if options.palette and set(options.by) <= set(NO_PALETTE):
        raise InputError(f"--by {' '.join(options.by)} takes no --palette: leave that out, or add --by areas")
    if not options.palette and not set(options.by) <= set(NO_PALETTE):
        way = next(way for way in options.by if way not in NO_PALETTE)
        raise InputError(f"--by {way} needs the palette to move pictures to: name one with --palette")
    palettes = {name: read_target(name, options.colors) for name in options.palette}
    for name, palette in palettes.items():
        if not (palette.colors[:, 3] > 0).any():
            raise InputError(f"{name} has no opaque entry to recolor to")
    turns = []
    for way in options.by:
        turns += [Turn(way)] if way in NO_PALETTE else [Turn(way, *item) for item in palettes.items()]
    return turns


def read_target(name: str, colors: int | None) -> Palette:
    """The palette that ``--palette`` names; a picture of more than 256 colors is quantized as those to recolor are."""
    try:
        return read_palette(name)
    except InputError:
        if is_picture(name) and Path(name).is_file():
            return read_frames(Path(name), colors).image.palette
        raise


def matchers(options: Namespace) -> dict[str, Matcher]:
    """How a color finds its counterpart, by the ways of ``--by``; loads the model if there is one."""
    found: dict[str, Matcher] = {
        "areas": partial(recolor_solid, reversible=False, distinct=options.distinct),
        "reversible": recolor_solid,
    }
    if options.checkpoint is not None:
        from tincture.pipelines.model_recoloring import load_ways

        found |= load_ways(options.checkpoint, options.distinct)
    return found


def check_options(options: Namespace, turns: Sequence[Turn]) -> None:
    """Raise InputError for options that are out of range, contradict each other or do nothing."""
    if options.versions < 1:
        raise InputError(f"--versions is {options.versions}; it must be at least 1")
    if options.colors == "all" and options.by != [JITTER]:
        raise InputError(f"--colors all quantizes nothing, which works by {JITTER} only: leave --palette and --by out")
    if isinstance(options.colors, int) and not 2 <= options.colors <= MAX_ENTRIES:
        raise InputError(f"--colors is {options.colors}; it must be from 2 to {MAX_ENTRIES}, or all")
    if not options.distinct >= 0:
        raise InputError(f"--distinct is {options.distinct}; it must be at least 0")
    SEED.check("--seed", options.seed)
    needs_model = [way for way in options.by if way in MODEL_WAYS]
    if needs_model and options.checkpoint is None:
        raise InputError(f"--by {needs_model[0]} needs a model: name its folder with --checkpoint")
    is_jittered = JITTER in options.by or options.versions > len(turns)
    uses = {
        "checkpoint": bool(needs_model),
        "distinct": bool({"areas", "role", OTHERS} & set(options.by)),
        "transparency": options.by != [JITTER],
        **{field.name: is_jittered for field in fields(PaletteJitter)},
    }
    for name, is_used in uses.items():
        if not is_used and getattr(options, name) != make_parser().get_default(name):
            raise InputError(f"--{name} does nothing by {' and '.join(options.by)}; leave it out")
    taken = {REPORT_FILE, *(path.resolve().name for path in options.images if path.is_dir())}
    for masks in options.masks:
        name = masks.resolve().name
        if not name:
            raise InputError(f"--masks {masks} has no name under which to be written; name a folder in it")
        if name in taken:
            raise InputError(f"--masks {masks} would be written as {name}, which is taken; rename the folder")
        taken.add(name)


def check_output(options: Namespace) -> None:
    """Raise InputError if the output folder holds an input or lies in one."""
    output = options.output.resolve()
    named = [Path(name) for name in options.palette if Path(name).exists()]
    checkpoint = [] if options.checkpoint is None else [options.checkpoint]
    for path in (*options.images, *options.masks, *named, *checkpoint):
        if path.resolve().is_relative_to(output) or (path.is_dir() and output.is_relative_to(path.resolve())):
            raise InputError(f"the output folder {options.output} and the input {path} lie in each other; name another")


def files_of(records: list[dict]) -> list[str]:
    """What was written, of the records of a report."""
    return [name for record in records for name in (record["file"], *record["annotations"])]


def is_numbered(options: Namespace) -> bool:
    """Whether a version's name has a number: where a picture has one file only, it keeps its name."""
    return options.versions > 1 or options.originals


def new_name(folder: str, name: str, number: int | None, suffix: str) -> str:
    """Where a file stands below the output: the name of its picture below its folder, with the version's number."""
    path = Path(folder, name)
    file = (
        path.stem + ("" if number is None else f"-v{number}") + suffix
    )  # a name may be a dot before it has its suffix
    return file if path.parent == Path() else f"{path.parent.as_posix()}/{file}"


def check_names(pictures: Sequence[AnnotatedPicture], options: Namespace) -> None:
    """Raise InputError where files of two pictures would have one name."""
    numbers: list[int | None] = list(range(1, options.versions + 1)) if is_numbered(options) else [None]
    numbers += [None] * options.originals
    taken = {Path(REPORT_FILE).stem: Path(REPORT_FILE)}
    for picture in pictures:
        for folder in (picture.folder, *(path.resolve().name for path in options.masks)):
            for number in numbers:
                # Some file systems don't tell x.png from X.png.
                other = taken.setdefault(new_name(folder, picture.name, number, "").casefold(), picture.path)
                if other != picture.path:
                    raise InputError(
                        f"files for {other} and {picture.path} would have the same name; rename one of them"
                    )


def with_parents(path: Path) -> Path:
    """The path, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def copy_annotations(picture: AnnotatedPicture, number: int | None, folder: Path, options: Namespace) -> list[str]:
    """Copy what belongs to a picture, byte for byte, under its version's name; returns the new files' names."""
    rooms = [picture.folder] * len(picture.sidecars) + [path.resolve().name for path in options.masks]
    files = []
    for room, source in zip(rooms, [*picture.sidecars, *picture.parallels], strict=True):
        files.append(new_name(room, picture.name, number, source.suffix))
        shutil.copyfile(source, with_parents(folder / files[-1]))
    return files


def describe(
    picture: AnnotatedPicture, file: str, number: int, version: Version | None, annotations: list[str]
) -> dict:
    """What report.json says of one file; without a version, of a copy."""
    palette = None if version is None else version.palette()
    return {
        "file": file,
        "source": str(picture.path),
        "version": number,
        "by": "original" if version is None else version.by,
        "palette_of": None if version is None else version.palette_of,
        "palette": None if palette is None else palette.to_hex(),
        "annotations": annotations,
    }


def summary(records: list[dict], pictures: int) -> str:
    """One line for the terminal."""
    copied = sum(len(record["annotations"]) for record in records)
    sources = "1 picture" if pictures == 1 else f"{pictures} pictures"
    return f"{len(records)} files from {sources}, {copied} annotations carried along"


if __name__ == "__main__":
    cli.run(main)
