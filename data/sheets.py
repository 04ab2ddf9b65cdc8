"""Sprite sheets: one picture that holds many, cut by the file that says where each of them is.

The files are those of Aseprite's exporter and of TexturePacker (JSON, frames by name or in a list)
and Tiled's tilesets (``.tsx``). A sheet without one is cut into cells of one size. Every picture
keeps its own size until `fit_to_size`.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import ImageColor

from tincture.common.errors import InputError
from tincture.quantization.pictures.reading import IMAGE_SUFFIXES, read_image

from .image_folder import files_below
from .resizing import fit_to_size
from .sources import OTHER_LABEL, DataConfig, LabelledImage, Source, expanded, name_hash, words_of

MAX_VARIANTS = 16
"""A name that more pictures share, apart from their numbers, says what kind they are of, and not
that they are variants of one thing."""

MAX_EDGE = 4096
"""The largest picture that a frame may have been trimmed from, pixels."""


SHEET_WORDS = frozenset({"sheet", "spritesheet", "sprites", "sprite", "tiles", "tile", "tileset", "atlas", "x", "px"})
"""Words in a sheet's name that say nothing of what is on it."""


@dataclass(frozen=True)
class Drawing:
    """A picture of its natural size, and what is known about it."""

    name: str
    pixels: np.ndarray
    """RGBA, uint8 ``[H, W, 4]``."""
    words: str = ""
    """What it shows."""
    kind: tuple[str, ...] = ()
    """Of what kind that is, from the general to the special: ("monster", "undead")."""
    thing: str = ""
    """What its variants have in common, and nothing else does; empty if it has none."""
    credit: str = ""

    @property
    def caption(self) -> str:
        """The words of its kinds that aren't among its own, and these; each once."""
        words = self.words.split()
        kinds = [word for word in " ".join(self.kind).split() if word not in words]
        return " ".join(dict.fromkeys([*kinds, *words]))


def sheets(config: DataConfig) -> Source:
    """All pictures on a sheet, or on the sheets in a folder.

    A picture's caption is its frame's name and tag, or else the name of its sheet. Its label is the
    tag or the folder in its name, or else the sheet. Cells of one color and copies are left out.

    Raises:
        InputError: there is no sheet, a file contradicts its picture, or nothing says where the
            pictures on a sheet are.
    """
    if config.path is None:
        raise InputError("data.source sheets needs data.path: a sheet (a picture, .json or .tsx), or a folder of them")
    path = expanded(Path(config.path), "path")
    if path.is_dir():
        files = [each for each in files_below(path) if each.suffix.lower() in (".json", ".tsx")]
        found = [cut for each in files if (cut := _described(each)) is not None]
        described = {picture for cut in found for picture in cut.pictures}
        pictures = [each for each in files_below(path) if each.suffix.lower() in IMAGE_SUFFIXES]
        loose = [each for each in pictures if each.resolve() not in described]
    elif path.suffix.lower() in IMAGE_SUFFIXES:
        beside = [] if config.cell else [path.with_suffix(suffix) for suffix in (".json", ".tsx")]
        found = [cut for each in beside if each.is_file() and (cut := _described(each)) is not None]
        loose = [] if found else [path]
    else:
        cut = _described(path)
        if cut is None:
            raise InputError(f"{path} doesn't say where the pictures on a sheet are, as Aseprite's JSON or a .tsx does")
        found, loose = [cut], []
    drawings = [drawing for cut in found for drawing in cut.drawings]
    for picture in loose:
        drawings += _grid(picture, config)
    if not drawings:
        raise InputError(f"there is no picture on the sheets in {path}")
    variants = Counter(drawing.thing for drawing in drawings)
    most = min(MAX_VARIANTS, len(drawings) // 2)
    return source_of((each if variants[each.thing] <= most else replace(each, thing="") for each in drawings), config)


def source_of(drawings: Iterable[Drawing], config: DataConfig, pictures_per_label: int = 1) -> Source:
    """Pictures, brought to the sizes of a set.

    Those of one color and copies of an earlier one with a caption are left out. A label is the
    longest beginning of a picture's kinds, at most two, that ``pictures_per_label`` pictures have.
    """
    kept: dict[tuple[tuple[int, ...], bytes], Drawing] = {}
    for drawing in drawings:
        visible = np.where(drawing.pixels[..., 3:] > 0, drawing.pixels, np.uint8(0))
        if (visible == visible[0, 0]).all():
            continue
        content = visible.shape, visible.tobytes()
        if content not in kept or not kept[content].caption:
            kept[content] = replace(drawing, pixels=visible)
    digest = hashlib.blake2b(f"{config.size} {config.resize} {pictures_per_label}".encode(), digest_size=16)
    for drawing in kept.values():
        digest.update(repr((drawing.name, drawing.words, drawing.kind, drawing.thing, drawing.credit)).encode())
        digest.update(drawing.pixels.tobytes())
    frequency = Counter(drawing.kind[:depth] for drawing in kept.values() for depth in (1, 2)[: len(drawing.kind)])

    def images() -> Iterator[LabelledImage | InputError]:
        for drawing in kept.values():
            try:
                # What was drawn for a game is pixel art, however many colors it has.
                resize = "pad" if config.resize == "auto" else config.resize
                pixels, change = fit_to_size(drawing.pixels, config.size, resize)
            except InputError as error:
                yield InputError(f"{drawing.name}: {error}")
                continue
            common = [kind for kind in (drawing.kind[:2], drawing.kind[:1]) if frequency[kind] >= pictures_per_label]
            label = " ".join(dict.fromkeys(" ".join(common[0]).split())) if common else OTHER_LABEL
            side = name_hash(drawing.thing or drawing.name)
            yield LabelledImage(drawing.name, pixels, label, side, change, drawing.caption, drawing.credit)

    return Source(digest.hexdigest(), len(kept), images(), by_thing=True)


def sheet_words(name: str) -> tuple[str, ...]:
    """What kind of pictures are on a sheet, if its name says so: ``weapons-sheet`` has weapons."""
    words = [word for word in words_of(name).split() if word not in SHEET_WORDS]
    return (" ".join(words),) if words else ()


@dataclass(frozen=True)
class _Cut:
    """What a file says is on its pictures."""

    drawings: list[Drawing]
    pictures: set[Path]


def _described(path: Path) -> _Cut | None:
    """The pictures that a file describes; None if it is about something else.

    Raises:
        InputError: the file can't be read, or contradicts its picture.
    """
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix.lower() == ".tsx":
            return _tiled(path, ElementTree.fromstring(text))
        if path.suffix.lower() != ".json":
            return None
        data = json.loads(text)
        if not isinstance(data, dict) or not {"frames", "textures"} & data.keys():
            return None
        return _framed(path, data)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path} can't be read: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} lacks or has in another form what a sheet's file should have: {error}") from None


def _sheet(described_by: Path, name: str | None) -> Path:
    """The picture that a file speaks of."""
    names = [PurePosixPath(name.replace("\\", "/")).as_posix()] if name else []
    tried = [described_by.parent / each for each in (*names, *(Path(each).name for each in names))]
    tried += [described_by.with_suffix(suffix) for suffix in (".png", ".webp", ".gif")] if not names else []
    found = next((each for each in tried if each.is_file()), None)
    if found is None:
        raise InputError(
            f"{described_by} describes the picture {names[0] if names else tried[0].name}, which isn't there"
        )
    return found.resolve()


# Frames in JSON


def _framed(path: Path, data: Mapping[str, Any]) -> _Cut:
    """Frames by name or in a list, on one picture or on several (``textures``)."""
    drawings, pictures = [], set()
    for part in data.get("textures", [data]):
        picture = _sheet(path, part.get("image") or part.get("meta", {}).get("image"))
        pictures.add(picture)
        pixels, frames = read_image(picture), part["frames"]
        named = frames if isinstance(frames, dict) else {str(frame["filename"]): frame for frame in frames}
        tags = _tags(list(named), {**data, **part})
        for name, frame in named.items():
            words, kind = _words_of_frame(name, tags.get(name, ""))
            drawn = _framed_pixels(frame, pixels, f"{path}: the frame {name}")
            thing = f"{path.stem} {kind} {words}" if words else ""
            drawings.append(Drawing(f"{path.stem}/{name}", drawn, words, kind or sheet_words(path.stem), thing))
    return _Cut(drawings, pictures)


def _words_of_frame(name: str, tag: str) -> tuple[str, tuple[str, ...]]:
    """A frame's words, and its kind: its tag, or else the folders in its name."""
    path = PurePosixPath(name.replace("\\", "/"))
    folders = [words for part in path.parent.parts if (words := words_of(part))]
    kind = tuple(filter(None, [words_of(tag)])) or tuple(folders)
    words = words_of(re.sub(r"\.(png|ase|aseprite|webp|gif|bmp)$", "", path.name))
    return words, kind


def _tags(names: Sequence[str], data: Mapping[str, Any]) -> dict[str, str]:
    """The narrowest tag of each frame. One that all frames have says nothing."""
    found = [
        (str(tag["name"]), list(names)[int(tag["from"]) : int(tag["to"]) + 1])
        for tag in data.get("meta", {}).get("frameTags", [])
    ]
    found += [(str(name), list(frames)) for name, frames in data.get("animations", {}).items()]
    tags: dict[str, str] = {}
    for tag, tagged in sorted(found, key=lambda each: -len(each[1])):
        if {*names} - {*tagged}:
            tags |= dict.fromkeys(tagged, tag)
    return tags


def _framed_pixels(frame: Mapping[str, Any], sheet: np.ndarray, shown: str) -> np.ndarray:
    """A frame as it was before it was turned and trimmed."""
    x, y, width, height = (int(frame["frame"][key]) for key in "xywh")
    turned = bool(frame.get("rotated", False))
    drawn = _part(sheet, x, y, *((height, width) if turned else (width, height)), shown)
    if turned:
        drawn = np.rot90(drawn)  # the packer turned it clockwise
    size = frame.get("sourceSize", {"w": width, "h": height})
    place = frame.get("spriteSourceSize", {"x": 0, "y": 0})
    left, top, wide, high = (int(each) for each in (place["x"], place["y"], size["w"], size["h"]))
    if not (0 <= left <= wide - width and 0 <= top <= high - height and max(wide, high) <= MAX_EDGE):
        raise InputError(f"{shown} has {width}×{height} pixels at {left}, {top} of a picture of {wide}×{high}")
    canvas = np.zeros((high, wide, 4), np.uint8)
    canvas[top : top + height, left : left + width] = drawn
    return canvas


def _part(sheet: np.ndarray, x: int, y: int, width: int, height: int, shown: str) -> np.ndarray:
    rows, columns = sheet.shape[:2]
    if not (0 <= x <= columns - width and 0 <= y <= rows - height and width > 0 and height > 0):
        raise InputError(f"{shown} is {width}×{height} pixels at {x}, {y}, and the sheet has {columns}×{rows}")
    return sheet[y : y + height, x : x + width]


# Tiled's tilesets


def _tiled(path: Path, tileset: ElementTree.Element) -> _Cut:
    """The tiles of a ``.tsx``: of one picture, or each a picture of its own.

    A tile's kind is its class, and its words are the values of its properties that are text.
    """
    if tileset.tag != "tileset":
        raise InputError(f"{path} is no tileset of Tiled, but has {tileset.tag}")
    tiles = {int(tile.attrib["id"]): tile for tile in tileset.iter("tile")}
    image = tileset.find("image")
    if image is None:
        pictures = {number: _sheet(path, tile.find("image").get("source")) for number, tile in tiles.items()}  # type: ignore[union-attr]
        pixels = {number: read_image(picture) for number, picture in pictures.items()}
    else:
        picture = _sheet(path, image.get("source"))
        pictures, pixels = {0: picture}, _tiles(path, tileset, image, read_image(picture))
    owners = {
        int(frame.attrib["tileid"]): number for number, tile in tiles.items() for frame in tile.iter("frame")
    }  # the frames of an animated tile are variants of it
    sheet = sheet_words(tileset.get("name", path.stem))
    drawings = []
    for number, drawn in pixels.items():
        tile = tiles.get(number, ElementTree.Element("tile"))
        values = [
            each.get("value", each.text) or ""
            for each in tile.iter("property")
            if each.get("type", "string") == "string"
        ]
        kind = words_of(tile.get("class", tile.get("type", "")))
        thing = f"{path.stem} {owners.get(number, number)}"
        drawings.append(
            Drawing(f"{path.stem}/{number}", drawn, words_of(" ".join(values)), (kind,) if kind else sheet, thing)
        )
    return _Cut(drawings, {*pictures.values()})


def _tiles(
    path: Path, tileset: ElementTree.Element, image: ElementTree.Element, sheet: np.ndarray
) -> dict[int, np.ndarray]:
    width, height = int(tileset.attrib["tilewidth"]), int(tileset.attrib["tileheight"])
    margin, spacing = int(tileset.get("margin", 0)), int(tileset.get("spacing", 0))
    if min(width, height) < 1 or min(margin, spacing) < 0:
        raise InputError(
            f"{path} has tiles of {width}×{height} pixels, a margin of {margin} and a spacing of {spacing}"
        )
    if image.get("trans"):
        color = ImageColor.getrgb("#" + image.attrib["trans"].lstrip("#"))[:3]
        sheet = np.where((sheet[..., :3] == color).all(-1, keepdims=True), np.uint8(0), sheet)
    fitting = max((sheet.shape[1] - 2 * margin + spacing) // (width + spacing), 1)
    columns = int(tileset.get("columns", 0)) or fitting
    rows = max((sheet.shape[0] - 2 * margin + spacing) // (height + spacing), 0)
    return {
        number: _part(
            sheet,
            margin + number % columns * (width + spacing),
            margin + number // columns * (height + spacing),
            width,
            height,
            f"{path}: the tile {number}",
        )
        for number in range(int(tileset.get("tilecount", columns * rows)))
    }


# Cells of one size


def _grid(path: Path, config: DataConfig) -> Iterator[Drawing]:
    """The cells of a sheet of which nothing is known but their size."""
    if config.cell is None:
        raise InputError(
            f"nothing says where the pictures on {path} are: put its .json (Aseprite, TexturePacker) or .tsx (Tiled) "
            f"beside it, or give the size of its cells: --data.cell 16x16"
        )
    width, height = config.cell_size
    sheet, kind = read_image(path), sheet_words(path.stem)
    for length, edge, side in ((sheet.shape[1], width, "wide"), (sheet.shape[0], height, "high")):
        count, rest = divmod(length - 2 * config.margin + config.spacing, edge + config.spacing)
        if count < 1 or rest:
            raise InputError(
                f"{path} is {length} pixels {side}: cells of {config.cell} with data.margin {config.margin} and "
                f"data.spacing {config.spacing} don't divide it"
            )
    for (row, column), drawn in cells(sheet, width, height, config.margin, config.spacing):
        yield Drawing(f"{path.stem}/{row},{column}", drawn, kind=kind)


def cells(
    sheet: np.ndarray, width: int, height: int, margin: int = 0, spacing: int = 0
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """The whole cells of a sheet, row by row: row and column of each, and its pixels."""
    rows, columns = (
        (length - 2 * margin + spacing) // (edge + spacing)
        for length, edge in zip(sheet.shape[:2], (height, width), strict=True)
    )
    for row in range(rows):
        for column in range(columns):
            y, x = margin + row * (height + spacing), margin + column * (width + spacing)
            yield (row, column), sheet[y : y + height, x : x + width]
