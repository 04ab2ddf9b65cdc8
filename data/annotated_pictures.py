"""Pictures with what belongs to them: annotations beside them, and masks in parallel folders.

New versions of a picture are written where it would be copied to: a picture under its own name, a
folder under its name with all that is in it. Annotations are copied along, and masks are turned
upright where their picture is.
"""

import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tincture.common.errors import InputError
from tincture.common.files import write_atomically
from tincture.quantization.pictures.reading import IMAGE_SUFFIXES, open_beside, orientation_beside, upright

logger = logging.getLogger(__name__)

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

    def copy_annotations(self, output: Path, number: int | None, beside_itself: bool = False) -> list[str]:
        """Copy what belongs to the picture under a version's name; returns the new names.

        Versions are upright, so a mask that has to be turned with its picture becomes an upright
        PNG. ``beside_itself`` says that the files stand beside the picture as it is, not beside a
        version.
        """
        names = []
        for folder, source in self.annotations:
            if beside_itself or not self._is_turned(source):
                names.append(_copied(source, output, self.new_name(folder, number, source.suffix)))
            else:
                names.append(self.new_name(folder, number, ".png"))
                write_atomically(output / names[-1], partial(open_beside(source, self.path).save, format="PNG"))
        return names

    def _is_turned(self, mask: Path) -> bool:
        is_mask = mask.suffix.lower() in IMAGE_SUFFIXES
        return is_mask and upright(self.path)[0] != 1 and orientation_beside(mask, self.path) != 1

    def check_turned(self) -> None:
        """Raise InputError if the picture is turned and an annotation can't be turned with it."""
        if not self.annotations:
            return
        orientation, size = upright(self.path)
        for _, source in self.annotations if orientation != 1 else []:
            if source.suffix.lower() in IMAGE_SUFFIXES:
                orientation_beside(source, self.path)
                own = upright(source)[1]
                if size not in (own, own[::-1]):
                    raise InputError(
                        f"{source} is {own[0]}×{own[1]} pixels, which doesn't fit {self.path}: that is turned by its "
                        f"EXIF orientation to {size[0]}×{size[1]}"
                    )
            elif (stated := _stated_size(source)) is not None and stated != size:
                raise InputError(
                    f"{source} says {stated[0]}×{stated[1]} pixels, but {self.path} is turned by its EXIF orientation "
                    f"to {size[0]}×{size[1]}: save the picture upright, and annotate that"
                )
            elif stated is None:
                logger.info("%s is turned upright; places in %s are taken to be of that", self.path, source)


_STATED_SIDES = [re.compile(rf'(?:"image{side}"\s*:|<{side.lower()}>)\s*(\d+)') for side in ("Width", "Height")]


def _stated_size(annotation: Path) -> tuple[int, int] | None:
    """The picture's width and height as LabelMe's JSON and Pascal VOC's XML say it."""
    text = annotation.read_text(encoding="utf-8", errors="replace")
    found = [pattern.search(text) for pattern in _STATED_SIDES]
    return (int(found[0][1]), int(found[1][1])) if all(found) else None


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
        if path.is_dir():
            from .image_folder import pictures_below  # not above: it knows all about training data

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
