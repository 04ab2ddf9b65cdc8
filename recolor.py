"""Move pictures to other colors: `python recolor.py my/icons --palette pico-8 --output runs/pico`.

Their annotations are carried along.
"""

from argparse import Namespace
from functools import partial
from pathlib import Path

from tincture.common import cli
from tincture.common.errors import InputError
from tincture.common.options import add_options, read_options
from tincture.common.output_folder import Save, check_apart, claimed, recorded_in
from tincture.data.annotated_pictures import AnnotatedPicture, check_names, find_pictures
from tincture.data.versions import OTHERS, Matcher, Recoloring, Version, VersionMaker
from tincture.pipelines.folders import model_in
from tincture.quantization.palettes.files import paths_of
from tincture.quantization.recolor import recolor_solid

REPORT_FILE = "report.json"


def make_parser() -> cli.FlagParser:
    """Every option of the command, with its unit and default."""
    parser = cli.FlagParser("Move pictures to other colors and carry their annotations along.")
    add = parser.add_argument
    add(
        "images",
        nargs="+",
        type=Path,
        help="pictures, and folders of pictures in subfolders of any depth; an animation becomes an animated GIF",
    )
    add("--output", type=Path, required=True, help=f"where to copy recolored pictures and folders, and {REPORT_FILE}")
    add("--overwrite", action="store_true", help="replace what this command wrote into the output folder before")
    add_options(parser, Recoloring)
    add = parser.add_argument_group("Annotations").add_argument
    add(
        "--masks",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="parallel folders, whose file of the same relative name (or another suffix) is copied for each version",
    )
    add("--originals", action="store_true", help="copy the pictures themselves too, with their annotations")
    return parser


def main(arguments: list[str]) -> None:
    """Parse, recolor, copy, report."""
    options = make_parser().parse_args(arguments)
    asked = read_options(Recoloring, options)
    pictures = find_pictures(options.images, options.masks)
    if OTHERS in asked.ways and len(pictures) < 2:
        raise InputError(f"--by {OTHERS} needs at least 2 pictures; there is one")
    named = [path for path in paths_of(options.palette or ()) if path.exists()]
    named += [] if options.checkpoint is None else [options.checkpoint]
    check_apart(options.output, [*options.images, *options.masks, *named])
    # A picture of which one file is written keeps its name.
    numbers = list(range(1, asked.count + 1)) if asked.count > 1 or options.originals else [None]
    check_names(pictures, [*numbers, *[None] * options.originals], REPORT_FILE)
    with claimed(options.output, options.overwrite, recorded_in(REPORT_FILE, files_of)) as output:
        maker = VersionMaker(pictures, asked, matchers(asked))
        run = cli.describe_run(options)

        def recolored(_: Path, picture: AnnotatedPicture) -> Save:
            picture.check_turned()
            versions = list(zip(numbers, maker.versions_of(picture), strict=True))
            return partial(save, picture, versions, options)

        records = output.filled(
            [(picture.path, picture) for picture in pictures],
            recolored,
            REPORT_FILE,
            lambda done: {**run, "files": done.records, "errors": done.errors},
        )
    print(f"{summary(records, len(pictures))}: see {options.output / REPORT_FILE}")


def save(
    picture: AnnotatedPicture, versions: list[tuple[int | None, Version]], options: Namespace, folder: Path
) -> list[dict]:
    """Write a picture's versions, and itself on request; returns a record of each file."""
    records = []
    if options.originals:
        file, annotations = picture.copy_itself(folder), picture.copy_annotations(folder, None, True)
        records.append(describe(picture, file, 0, None, annotations))
    for number, version in versions:
        file = picture.new_name(picture.folder, number, version.suffix)
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        version.save(folder / file, options.png8)
        annotations = picture.copy_annotations(folder, number)
        records.append(describe(picture, file, number or 1, version, annotations))
    return records


def matchers(asked: Recoloring) -> dict[str, Matcher]:
    """How a picture is moved to a palette, by the name of the way; loads the model."""
    found: dict[str, Matcher] = {
        "areas": partial(recolor_solid, reversible=False, distinct=asked.distinct),
        "reversible": recolor_solid,
    }
    if asked.checkpoint is not None:
        model_in(asked.checkpoint)  # a missing one is said before torch is loaded
        from tincture.pipelines.model_recoloring import load_ways

        found |= load_ways(asked.checkpoint, asked.distinct)
    return found


def files_of(records: list[dict]) -> list[str]:
    """What was written, of the records of a report."""
    return [name for record in records for name in (record["file"], *record["annotations"])]


def describe(
    picture: AnnotatedPicture, file: str, number: int, version: Version | None, annotations: list[str]
) -> dict:
    """What the report says of one file; without a version, of a copy."""
    palette = None if version is None else version.palette
    return {
        "file": file,
        "source": str(picture.path),
        "version": number,
        "by": "original" if version is None else version.by,
        "palette_of": None if version is None else version.palette_of,
        "palette": None if palette is None else palette.to_hex(),
        "unchanged": version is None or version.is_unchanged,
        "annotations": annotations,
    }


def summary(records: list[dict], pictures: int) -> str:
    """One line for the terminal."""
    copied = sum(len(record["annotations"]) for record in records)
    sources = "1 picture" if pictures == 1 else f"{pictures} pictures"
    unchanged = sum(record["unchanged"] and record["by"] != "original" for record in records)
    same = f", {unchanged} of them unchanged (they had these colors)" if unchanged else ""
    return f"{len(records)} files from {sources}{same}, {copied} annotations carried along"


if __name__ == "__main__":
    cli.run(main)
