"""Write pictures as few bytes, and read them back.

`python compress.py encode art/*.png --checkpoint checkpoints/sprites --output runs/small`

A model that was trained says how likely each pixel is, so pictures that it finds likely take few
bytes. They come back as they were, to the last pixel (docs/codec.md).
"""

from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tincture.common import cli
from tincture.common.errors import InputError
from tincture.common.output_folder import check_apart, claimed, progress, recorded_in
from tincture.data.annotated_pictures import find_pictures
from tincture.pipelines.folders import model_in

if TYPE_CHECKING:
    from tincture.codec.format import Part
    from tincture.codec.network import CodecNetwork

REPORT_FILE, SUFFIX = "report.json", ".tnct"

TOGETHER = 64
"""Files that the network sees at once."""


def make_parser() -> cli.FlagParser:
    """Every option of the command, with its unit and default."""
    parser = cli.FlagParser("Write pictures as few bytes by a model's probabilities, and read them back as they were.")
    add = parser.add_argument
    add("way", choices=("encode", "decode"), help="to .tnct files, or back to pictures")
    add("files", nargs="+", type=Path, help="pictures, or folders of them, which become one file each; or .tnct files")
    add("--output", type=Path, required=True, help=f"folder for the files, and {REPORT_FILE}")
    add("--overwrite", action="store_true", help="replace what this command wrote into the output folder before")
    add("--checkpoint", type=Path, help="the model; to decode, that which encoded")
    add(
        "--effort",
        type=int,
        choices=(1, 2, 3, 4),
        default=3,
        help="with 1, 2 and 3 the model is asked 4, 8 and 16 times about a picture, which makes smaller files; 4 tries "
        "eight orders, which takes eight times as long to encode and no longer to decode",
    )
    add("--any-order", action="store_true", help="keep the colors of indexed pictures and not their palette's order")
    return parser


def main(arguments: list[str]) -> None:
    """Parse, encode or decode, report."""
    options = make_parser().parse_args(arguments)
    encodes = options.way == "encode"
    for path in options.files:
        if not path.exists():
            raise InputError(f"no such file: {path}")
        if path.is_dir() and not encodes:
            raise InputError(f"{path} is a folder; name the {SUFFIX} files in it")
    names = [path.resolve().name if path.is_dir() else path.stem for path in options.files]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InputError(
                f"two inputs would both be called {name!r}; give them to two commands, or name their folder"
            )
    check_apart(options.output, options.files)
    if options.checkpoint is not None:
        model_in(options.checkpoint)  # a missing one is said before torch is loaded
    elif encodes:
        raise InputError("encoding takes a model: add --checkpoint")
    with claimed(options.output, options.overwrite, recorded_in(REPORT_FILE, files_of)) as output:
        run = cli.describe_run(options)
        make = Encoding(options) if encodes else Decoding(options)
        records = output.filled(
            list(zip(options.files, names, strict=True)),
            lambda path, name: partial(make.save, path, name),
            REPORT_FILE,
            lambda done: {**run, "files": done.records, "errors": done.errors},
        )
    print(f"{summary(records, encodes)}: see {options.output / REPORT_FILE}")


class Ahead:
    """Inputs that are worked on together, and written in their turn.

    Args:
        options: of the command.
    """

    def __init__(self, options: Namespace) -> None:
        self.options, self._done = options, {}
        self._network: CodecNetwork | None = None

    @property
    def network(self) -> "CodecNetwork":
        """The model, loaded when it is first needed."""
        if self._network is None:
            if self.options.checkpoint is None:
                raise InputError("this file was made with a model: add --checkpoint")
            from tincture.codec.network import CodecNetwork
            from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline

            self._network = CodecNetwork(PaletteDiffusionPipeline.from_pretrained(self.options.checkpoint))
        return self._network

    def result(self, path: Path) -> Any:
        """What came of an input; raises the InputError that it raised."""
        if path not in self._done:
            files = [each for each in self.options.files if not each.is_dir()]
            first = files.index(path)
            self._done = self.work(files[first : first + TOGETHER])
        if isinstance(found := self._done[path], InputError):
            raise found
        return found

    def work(self, paths: Sequence[Path]) -> dict[Path, Any]:
        """A result, or an InputError, for each of ``paths``."""
        raise NotImplementedError


class Encoding(Ahead):
    """Pictures, or folders of them, become .tnct files."""

    def work(self, paths: Sequence[Path]) -> dict[Path, Any]:
        """The file of each picture, and the picture."""
        from tincture.codec.format import encode_pictures

        read = {path: tried(lambda path=path: self.read(path)) for path in paths}
        good = {path: each for path, each in read.items() if not isinstance(each, InputError)}
        made = encode_pictures(self.network, list(good.values()), self.options.effort - 1)
        return read | {path: (content, good[path]) for path, content in zip(good, made, strict=True)}

    def read(self, path: Path, name: str = "") -> "Part":
        """A picture, without the order of its palette if that isn't asked for."""
        from tincture.codec.pictures import Picture, read_picture, without_order

        picture = read_picture(path, name)
        return without_order(picture) if isinstance(picture, Picture) and self.options.any_order else picture

    def save(self, path: Path, name: str, folder: Path) -> list[dict]:
        """Write the file; returns what the report says of it."""
        if path.is_dir():
            content, before, pictures = self.folder(path)
        else:
            content, picture = self.result(path)
            before, pictures = path.stat().st_size, [picture]
        (folder / f"{name}{SUFFIX}").write_bytes(content)
        stored = {each.name or path.name: each.reason for each in pictures if hasattr(each, "reason")}
        return [
            {
                "file": f"{name}{SUFFIX}",
                "source": str(path),
                "pictures": len(pictures),
                "bytes_before": before,
                "bytes": len(content),
                "kept_as_files": stored,
            }
        ]

    def folder(self, path: Path) -> tuple[bytes, int, list["Part"]]:
        """A folder's file, the bytes that its pictures took, and the pictures."""
        from tincture.codec.format import encode_folder

        found = find_pictures([path])
        stems = Counter(PurePosixPath(each.name).with_suffix("") for each in found)
        short = {each.name: PurePosixPath(each.name).with_suffix("") for each in found}
        pictures = [
            self.read(each.path, each.name if stems[short[each.name]] > 1 else short[each.name].as_posix())
            for each in progress(found, "image")
        ]
        content = encode_folder(self.network, pictures, self.options.effort - 1, progress=True)
        return content, sum(each.path.stat().st_size for each in found), pictures


class Decoding(Ahead):
    """.tnct files become pictures, or folders of them."""

    def work(self, paths: Sequence[Path]) -> dict[Path, Any]:
        """The pictures of each file."""
        from tincture.codec.format import decode, needs_network

        contents = {path: path.read_bytes() for path in paths}
        takes_model = {path: tried(lambda path=path: needs_network(contents[path]), path) for path in paths}
        network = self.network if True in takes_model.values() else None
        try:  # all together, if all are whole
            return dict(zip(paths, decode(network, list(contents.values())), strict=True))
        except InputError:
            return {path: tried(lambda path=path: decode(network, [contents[path]])[0], path) for path in paths}

    def save(self, path: Path, name: str, folder: Path) -> list[dict]:
        """Write the pictures; returns what the report says of each."""
        records = []
        for part in self.result(path):
            inside = PurePosixPath(part.name)
            if inside.is_absolute() or ".." in inside.parts:
                raise InputError(f"{path}: it is damaged")
            place = folder / name / inside if part.name else folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            written = part.save(place)
            records.append({"file": written.relative_to(folder).as_posix(), "source": str(path)})
        return records


def tried(work: Callable[[], Any], path: Path | None = None) -> Any:
    """What ``work`` returns, or the InputError that it raises, which names ``path``."""
    try:
        return work()
    except InputError as error:
        return error if path is None else InputError(f"{path}: {error}")


def files_of(records: list[dict]) -> list[str]:
    """What was written, of the records of a report."""
    return [record["file"] for record in records]


def summary(records: list[dict], encodes: bool) -> str:
    """One line for the terminal."""
    if not encodes:
        return f"{len(records)} pictures"
    before, after = (sum(record[key] for record in records) for key in ("bytes_before", "bytes"))
    kept = sum(len(record["kept_as_files"]) for record in records)
    told = f", {kept} kept as they were" if kept else ""
    pictures = sum(record["pictures"] for record in records)
    return f"{pictures} pictures, {before:,} bytes before and {after:,} now ({after / before:.0%}){told}"


if __name__ == "__main__":
    cli.run(main)
