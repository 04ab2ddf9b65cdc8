"""A folder of pictures with what belongs to each: files of the same name beside it and in parallel folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tincture.common.errors import InputError
from tincture.quantization.pictures.reading import IMAGE_SUFFIXES

SIDECAR_SUFFIXES = (".txt", ".json", ".xml")
"""Of annotations that stand beside their picture, as YOLO, LabelMe and Pascal VOC write them."""


@dataclass(frozen=True)
class AnnotatedImage:
    """A picture's file and the files that say something about it."""

    name: str
    """Path below the folder, with forward slashes, suffix included."""
    path: Path
    sidecars: list[Path]
    """Annotations beside it."""
    parallels: list[Path]
    """Its file in each parallel folder, such as a mask."""


def annotated_images(folder: Path, parallel_folders: Sequence[Path] = ()) -> list[AnnotatedImage]:
    """Find all pictures below ``folder``, sorted by name; names that start with a dot are left out.

    In a parallel folder, a picture's file has the same relative name, or else another suffix.

    Raises:
        InputError: a folder is missing, there are no pictures, a parallel folder lies among the pictures, or it has
            no file, or several, for one of them.
    """
    for path in (folder, *parallel_folders):
        if not path.is_dir():
            raise InputError(f"no such folder: {path}")
    for path in parallel_folders:
        if path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path} lies in {folder}, all of whose pictures are taken for images; move it elsewhere")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in found}
    names = {name: path for name, path in names.items() if not any(part[0] == "." for part in name.split("/"))}
    if not names:
        raise InputError(f"no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {folder}")
    return [
        AnnotatedImage(
            name,
            names[name],
            [path for suffix in SIDECAR_SUFFIXES if (path := names[name].with_suffix(suffix)).is_file()],
            [_parallel(name, parallel) for parallel in parallel_folders],
        )
        for name in sorted(names)
    ]


def _parallel(name: str, folder: Path) -> Path:
    exact = folder / name
    if exact.is_file():
        return exact
    same_stem = sorted(path for path in exact.parent.glob("*") if path.stem == exact.stem and path.is_file())
    if len(same_stem) != 1:
        what = "no file" if not same_stem else f"{len(same_stem)} files ({', '.join(p.name for p in same_stem)})"
        raise InputError(f"{folder} has {what} for {name}")
    return same_stem[0]
