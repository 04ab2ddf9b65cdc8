"""Any folder of pictures, brought to one size. Subfolders, where there are some, give labels."""

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tincture.common.errors import InputError
from tincture.quantization.pictures.reading import IMAGE_SUFFIXES

from .resizing import read_to_size
from .sources import ALWAYS_HELD_OUT, ALWAYS_LEARNED, OTHER_LABEL, LabelledImage, Source, name_hash, words_of

logger = logging.getLogger(__name__)

TRAINING = re.compile(r"train(ing)?([-_. ]?(set|split|data|images))?", re.IGNORECASE)
HELD_OUT = re.compile(
    r"(test(ing)?|val|valid|validation|dev|eval|evaluation|hold-?out|held-?out)([-_. ]?(set|split|data|images))?",
    re.IGNORECASE,
)
"""Names of folders that are sides of a split, and not classes."""


def pictures_below(folder: Path) -> list[Path]:
    """All pictures in ``folder`` and its subfolders, sorted.

    Names that begin with a dot are left out, of files and of folders: programs keep copies there.

    Raises:
        InputError: there are no pictures.
    """
    files = [file for file in files_below(folder) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise InputError(f"no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {folder}")
    return files


def files_below(folder: Path) -> list[Path]:
    """All files in ``folder`` and its subfolders, sorted, but for hidden ones."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]


CAPTION_FILES = ("captions.json", "metadata.jsonl")
"""Files that have a caption for each picture of a folder: one JSON object of captions by path, or a
line for each picture, as the library datasets has them (``{"file_name": …, "text": …}``)."""


@dataclass(frozen=True)
class Place:
    """What the folders of a picture's path say about it."""

    label: str
    """The first folder that is no side of a split."""
    side: str | None
    """The folder that is one, if there are such folders."""

    @property
    def is_heldout(self) -> bool:
        """Whether the folder's own split holds the picture out."""
        return self.side is not None and not TRAINING.fullmatch(self.side)


def places_in(folder: Path, files: Sequence[Path]) -> list[Place]:
    """Tell classes from the sides of a split, which may stand above the classes or below them.

    Raises:
        InputError: only some of the folders have the name of a side, or none has to learn from.
    """
    paths = [file.relative_to(folder).parts[:-1] for file in files]
    for depth in (0, 1):
        sides = [path[depth] if len(path) > depth else "" for path in paths]
        trains, held = ({side for side in sides if names.fullmatch(side)} for names in (TRAINING, HELD_OUT))
        others = {*sides} - trains - held
        if held and ((trains and others) or (len(held) > 1 and not trains and not others)):
            found = ", ".join(sorted((trains | held | others) - {""}))
            raise InputError(
                f"{folder} has a split ({found}), but not all pictures are in it, or none is to learn from: name its "
                "folders train and test"
            )
        if trains and not others:
            rest = [path[:depth] + path[depth + 1 :] for path in paths]
            if depth and len({path[0] for path in rest}) == 1 and all(len(path) > 1 for path in rest):
                rest = [path[1:] for path in rest]  # a folder around all of it is no class
            return [Place(path[0] if path else OTHER_LABEL, side) for path, side in zip(rest, sides, strict=True)]
    return [Place(path[0] if path else OTHER_LABEL, None) for path in paths]


def captions_of(folder: Path, files: Sequence[Path], places: Mapping[Path, Place]) -> dict[Path, str]:
    """A caption for each file of a folder.

    They stand in one of `CAPTION_FILES`. If there is none, a picture's caption is the text file of
    its name, or else the words of its path below ``folder``, each once.

    Raises:
        InputError: a caption file can't be read, lacks a picture, or names one that doesn't exist.
    """
    given = next((folder / name for name in CAPTION_FILES if (folder / name).is_file()), None)
    if given is not None:
        return _listed_captions(given, folder, files)
    captions = {}
    for file in files:
        beside, path = file.with_suffix(".txt"), file.relative_to(folder).with_suffix("")
        parts = [part for part in path.parts[:-1] if part != places[file].side]
        captions[file] = (
            " ".join(_text(beside).split())
            if beside.is_file()
            else " ".join(dict.fromkeys(words_of(" ".join([*parts, path.name])).split()))
        )
    return captions


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read: {error}") from None


def _listed_captions(given: Path, folder: Path, files: Sequence[Path]) -> dict[Path, str]:
    try:
        if given.suffix == ".jsonl":
            rows = [json.loads(line) for line in _text(given).splitlines() if line.strip()]
            captions = {row["file_name"]: row["text"] for row in rows}
        else:
            captions = dict(json.loads(_text(given)))
    except (ValueError, KeyError, TypeError) as error:
        form = '{"file_name": …, "text": …}' if given.suffix == ".jsonl" else '{"FILE": "CAPTION", …}'
        raise InputError(f"{given} should hold {form}: {error}") from None
    if not all(isinstance(caption, str) for caption in captions.values()):
        raise InputError(f"{given} has captions that are no text")
    paths = [file.relative_to(folder).as_posix() for file in files]
    for wrong, found in (
        ("has no caption for", sorted({*paths} - captions.keys())),
        ("names pictures that don't exist:", sorted(captions.keys() - {*paths})),
    ):
        if found:
            more = f" and {len(found) - 3:,} more" if len(found) > 3 else ""
            raise InputError(f"{given} {wrong} {', '.join(found[:3])}{more}")
    return {file: " ".join(captions[path].split()) for file, path in zip(files, paths, strict=True)}


def image_folder(path: Path, size: int | Sequence[int], resize: str) -> Source:
    """The pictures below ``path``; in the place of a broken one stands its InputError.

    A picture's label is the first folder of its path below ``path``, and `captions_of` says what
    its caption is. If the folders have a split of their own (`places_in`), what isn't for training
    is held out. Else the hash of that path, without the suffix, decides.

    Raises:
        InputError: ``path`` is not a folder, holds no pictures, or isn't clear about its split
            or its captions.
    """
    if not path.is_dir():
        raise InputError(f"no such folder of images: {path}")
    files = pictures_below(path)
    places = dict(zip(files, places_in(path, files), strict=True))
    has_split = any(place.is_heldout for place in places.values())
    if has_split:
        held = sorted({place.side for place in places.values() if place.is_heldout})
        logger.info("%s has a split of its own: held out is %s", path, ", ".join(held))
    captions = captions_of(path, files, places)
    digest = hashlib.blake2b(f"{size} {resize}".encode(), digest_size=16)
    for file in files:
        digest.update(f"{file.relative_to(path)} {captions[file]}".encode(errors="surrogateescape"))
        digest.update(hashlib.blake2b(file.read_bytes()).digest())

    def images() -> Iterator[LabelledImage | InputError]:
        for file in files:
            try:
                pixels, change = read_to_size(file, size, resize)
            except InputError as error:
                yield error
                continue
            name, place = file.relative_to(path).with_suffix("").as_posix(), places[file]
            side = name_hash(name) if not has_split else ALWAYS_HELD_OUT if place.is_heldout else ALWAYS_LEARNED
            yield LabelledImage(name, pixels, place.label, side, change, captions[file])

    return Source(digest.hexdigest(), len(files), images(), by_thing=True)
