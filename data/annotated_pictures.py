"""Pictures with what belongs to them: annotations beside them, and masks in parallel folders.

New versions of a picture are written where it would be copied to: a picture under its own name, a
folder under its name with all that is in it. Annotations are copied along.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tincture.common.errors import InputError

from .image_folder import pictures_below

SIDECAR_SUFFIXES = (".txt", ".json", ".xml")
"""Of annotations that stand beside their picture, as YOLO, LabelMe and Pascal VOC write them."""


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture's file and the files that say something about it."""

    name: str
    """Its path below the folder that was named, with forward slashes, suffix included."""
    path: Path
    folder: str
    """The name of the folder that was named; empty for a picture that was named itself."""
    annotations: list[tuple[str, Path]]
    """Each with the name of the folder that it is copied to."""

    def new_name(self, folder: str, number: int | None, suffix: str) -> str:
        """Where a version's file stands below the output; without a number, the picture's own."""
        path = Path(folder, self.name)
        # A name may be a dot, so it is no path before it has its suffix.
        file = path.stem + ("" if number is None else f"-v{number}") + suffix
        return file if path.parent == Path() else f"{path.parent.as_posix()}/{file}"

    def copy_itself(self, output: Path) -> str:
        """Copy the picture, byte for byte; returns its new name."""
        return _copied(self.path, output, self.new_name(self.folder, None, self.path.suffix))

    def copy_annotations(self, output: Path, number: int | None) -> list[str]:
        """Copy what belongs to the picture under a version's name; returns the new names."""
        return [
            _copied(source, output, self.new_name(folder, number, source.suffix)) for folder, source in self.annotations
        ]


def _copied(source: Path, output: Path, name: str) -> str:
    (output / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, output / name)
    return name


def find_pictures(inputs: Sequence[Path], parallel_folders: Sequence[Path] = ()) -> list[AnnotatedPicture]:
    """Find pictures and what belongs to them.

    Args:
        inputs: pictures, and folders of pictures (`pictures_below`).
        parallel_folders: each has a file for every picture, of the same relative name or with
            another suffix.

    Raises:
        InputError: an input or a folder is missing, a folder holds no pictures, or a parallel
            folder lies among the pictures, has no name of its own, or has no file, or several, for
            one of them.
    """
    for path in inputs:
        if not path.exists():
            raise InputError(f"no such picture or folder: {path}")
    _check_parallel_folders([path for path in inputs if path.is_dir()], parallel_folders)
    found = []
    for path in inputs:
        folder, files = (path.resolve().name, pictures_below(path)) if path.is_dir() else ("", [path])
        names = {file.relative_to(path).as_posix() if path.is_dir() else file.name: file for file in files}
        for name, file in sorted(names.items()):
            beside = [(folder, file.with_suffix(suffix)) for suffix in SIDECAR_SUFFIXES]
            annotations = [(room, sidecar) for room, sidecar in beside if sidecar.is_file()]
            annotations += [(parallel.resolve().name, _parallel_file(name, parallel)) for parallel in parallel_folders]
            found.append(AnnotatedPicture(name, file, folder, annotations))
    return found


def _check_parallel_folders(folders: list[Path], parallel_folders: Sequence[Path]) -> None:
    taken = {folder.resolve().name for folder in folders}
    for parallel in parallel_folders:
        if not parallel.is_dir():
            raise InputError(f"no such folder: {parallel}")
        for folder in folders:
            if parallel.resolve().is_relative_to(folder.resolve()):
                raise InputError(
                    f"{parallel} lies in {folder}, all of whose pictures are taken for images; move it elsewhere"
                )
        name = parallel.resolve().name
        if not name:
            raise InputError(f"{parallel} has no name under which to be written; name a folder in it")
        if name in taken:
            raise InputError(f"{parallel} would be written as {name}, which is taken; rename the folder")
        taken.add(name)


def _parallel_file(name: str, folder: Path) -> Path:
    """The file for a picture in a parallel folder."""
    exact = folder / name
    if exact.is_file():
        return exact
    same_stem = sorted(path for path in exact.parent.glob("*") if path.stem == exact.stem and path.is_file())
    if len(same_stem) != 1:
        what = "no file" if not same_stem else f"{len(same_stem)} files ({', '.join(p.name for p in same_stem)})"
        raise InputError(f"{folder} has {what} for {name}")
    return same_stem[0]


def check_names(pictures: Sequence[AnnotatedPicture], numbers: Sequence[int | None], report: str) -> None:
    """Raise InputError where two files, the ``report`` among them, would have one name."""
    taken = {Path(report).stem: Path(report)}
    for picture in pictures:
        for folder in {picture.folder, *(folder for folder, _ in picture.annotations)}:
            for number in numbers:
                # Some file systems don't tell x.png from X.png.
                other = taken.setdefault(picture.new_name(folder, number, "").casefold(), picture.path)
                if other != picture.path:
                    raise InputError(
                        f"files for {other} and {picture.path} would have the same name; rename one of them"
                    )
