"""The tiles of three free games, each with words.

- Crawl (CC0): the pictures of https://github.com/crawl/tiles, a release unpacked or a clone.
- Angband: David Gervais' 32×32 (CC BY 3.0) and Adam Bolt's 16×16 tiles (free for any use), with the
  names of the game's text files. Debian's packages angband and angband-data have both: the path is
  the folder that they were unpacked into, or ``/``.
- Cataclysm: Dark Days Ahead (CC BY-SA 3.0): its ``gfx`` folder, as in Debian's package
  cataclysm-dda-data (``/usr/share/games/cataclysm-dda/gfx``), or one tileset in it.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tincture.common.errors import InputError
from tincture.quantization.pictures.reading import read_image

from .image_folder import pictures_below
from .sheets import Drawing, cells, source_of
from .sources import DataConfig, Source, expanded, words_of

PICTURES_PER_LABEL = 20
"""A class of fewer pictures is counted to the more general one."""


def crawl(config: DataConfig) -> Source:
    """The tiles of Dungeon Crawl Stone Soup: their paths are their captions.

    Raises:
        InputError: the folder isn't theirs, or a picture can't be read.
    """
    root = _folder_of(config, "the folder of Crawl's tiles")
    marks = sorted(root.rglob("dngn"))
    if not marks or not (marks[0].parent / "mon").is_dir():
        raise InputError(f"{root} holds no tiles of Crawl: there is no folder mon beside one dngn")
    root = marks[0].parent
    return source_of((_crawl_tile(root, file) for file in pictures_below(root)), config, PICTURES_PER_LABEL)


def angband(config: DataConfig) -> Source:
    """The two tile sets of Angband: the names are those of its preferences and edit files.

    Tiles that the game has no name for are taken without a caption.

    Raises:
        InputError: the folder has no tiles of Angband, or a file can't be read.
    """
    root = _folder_of(config, "the folder that Angband is unpacked in")
    places = [root / place for place in ("usr/share/angband", "etc/angband", "lib") if (root / place).is_dir()] or [
        root
    ]
    files = {file.name: file for place in places for file in sorted(place.rglob("*")) if file.suffix in ANGBAND_FILES}
    if "monster.txt" not in files or not any(
        sheet.picture in files and sheet.tiles in files for sheet in ANGBAND_SHEETS
    ):
        raise InputError(f"{root} holds no tiles of Angband: it has no 32x32.png, graf-dvg.prf or monster.txt")
    names = _angband_names(files)
    found = (
        _angband_tiles(sheet, files, names) for sheet in ANGBAND_SHEETS if {sheet.picture, sheet.tiles} <= files.keys()
    )
    return source_of((drawing for drawings in found for drawing in drawings), config, PICTURES_PER_LABEL)


def cataclysm(config: DataConfig) -> Source:
    """The tilesets of Cataclysm: Dark Days Ahead: ids and the game's names are the captions.

    Raises:
        InputError: the folder has no tileset, or a file can't be read.
    """
    root = _folder_of(config, "the gfx folder of Cataclysm, or one tileset in it")
    files = [file for file in sorted(root.rglob("tile_config.json")) if "tiles-new" in _json(file)]
    if not files:
        raise InputError(f"{root} holds no tileset of Cataclysm: there is no tile_config.json with tiles")
    names = _cataclysm_names(root)
    found = (_tileset(file, names) for file in files)
    return source_of((drawing for drawings in found for drawing in drawings), config, PICTURES_PER_LABEL)


def _folder_of(config: DataConfig, what: str) -> Path:
    if config.path is None:
        raise InputError(f"data.source {config.source} needs data.path, {what}")
    path = expanded(Path(config.path), "path")
    if not path.is_dir():
        raise InputError(f"data.path is {path}, but there is no such folder")
    return path


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path} can't be read: {error}") from None


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise InputError(f"{path} can't be read: {error}") from None


# Crawl

CRAWL_FOLDERS = {
    "mon": "monster",
    "dngn": "dungeon",
    "gui/spells": "spell",
    "gui": "icon",
    "misc/blood": "dungeon/blood",
    "misc": "icon",
    "UNUSED/armour": "item/armour",
    "UNUSED/emissaries": "monster",
    "UNUSED/features": "dungeon",
    "UNUSED/floor": "dungeon/floor",
    "UNUSED/food": "item/food",
    "UNUSED/gui": "icon",
    "UNUSED/monsters": "monster",
    "UNUSED/other": "effect",
    "UNUSED/spells": "spell",
    "UNUSED/weapons": "item/weapon",
    "UNUSED/worn": "player",
    "player/base": "player/race",
    "player/hand1": "player/weapon",
    "player/hand2": "player/shield",
}
"""What the folders of Crawl hold, in words that people use."""

_WORDS = """
aberr aberration|abilities ability|altars altar|animals animal|art artefact|bardings barding|bplate breastplate|brands
brand|commands command|demons demon|doors door|draco draconian|dragons dragon|drchead draconian head|drcwing draconian
wing|ench enchantment|eyes eye|felids cat|fem female|gateways gateway|icons icon|invocations invocation|kiku
kikubaaqudgha|lshield large shield|monsters monster|num number|numbers number|panlord demon lord|runes rune|shields
shield|shops shop|simulacra simulacrum|skeletons skeleton|skills skill|spectrals spectral|spells spell|spwpn artefact|
statues statue|tentacles tentacle|traps trap|trees tree|tso shining one|urand artefact|vaults vault|zombies zombie
"""
CRAWL_WORDS = dict(each.split(maxsplit=1) for each in " ".join(_WORDS.split()).replace("| ", "|").split("|"))
"""Abbreviations and plurals in Crawl's paths."""

CRAWL_COLOR = re.compile(
    "(light|dark|pale)?(black|blue|brown|cyan|gold|gr[ae]y|green|magenta|orange|pink|purple|red|silver|white|yellow)"
)
"""Words by which names of one thing in several colors differ."""

CRAWL_CREDIT = "Dungeon Crawl Stone Soup tiles by the Crawl artists, CC0 1.0"


def _crawl_tile(root: Path, file: Path) -> Drawing:
    path = file.relative_to(root).with_suffix("").as_posix()
    folder, _, stem = path.rpartition("/")
    known = next((each for each in (folder, *_beginnings(folder)) if each in CRAWL_FOLDERS), None)
    shown = folder if known is None else CRAWL_FOLDERS[known] + folder.removeprefix(known)
    kind = [_crawl_words(part) for part in shown.split("/") if part != "misc"]
    words = _crawl_words(re.sub(r"_f$", " female", re.sub(r"_m$", " male", stem)))
    thing = " ".join(["crawl", folder, *(word for word in words.split() if not CRAWL_COLOR.fullmatch(word))])
    return Drawing(path, read_image(file), words, tuple(filter(None, kind)), thing, CRAWL_CREDIT)


def _beginnings(folder: str) -> Iterator[str]:
    """The folders above, the nearest first."""
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder


def _crawl_words(name: str) -> str:
    return " ".join(CRAWL_WORDS.get(word, word) for word in words_of(name).split() if len(word) > 1)


# Angband

ANGBAND_FILES = {".png", ".prf", ".txt"}


class AngbandSheet(NamedTuple):
    """A sheet, its file of tiles, and those that this one includes."""

    picture: str
    edge: int
    tiles: str
    included: tuple[str, ...]
    credit: str


ANGBAND_SHEETS = (
    AngbandSheet(
        "32x32.png", 32, "graf-dvg.prf", ("flvr-dvg.prf", "xtra-dvg.prf"), "Angband tiles by David Gervais, CC BY 3.0"
    ),
    AngbandSheet(
        "16x16.png",
        16,
        "graf-new.prf",
        ("flvr-new.prf", "xtra-new.prf"),
        "Angband tiles by Adam Bolt, free for any use",
    ),
)

ANGBAND_EFFECTS = {"elec": "lightning", "pois": "poison", "disen": "disenchantment", "confu": "confusion"}
"""What the game calls spells' effects."""


class _Named(NamedTuple):
    words: str
    kind: tuple[str, ...]


def _angband_names(files: Mapping[str, Path]) -> dict[tuple[str, str], _Named]:
    """What the game calls its monsters (R), terrains (F) and flavors (L), by letter and number."""
    names = {}
    monster = ""
    for line in _text(files["monster.txt"]).splitlines():
        if line.startswith("N:"):
            _, monster, name = line.split(":", 2)
            names["R", monster] = _Named(words_of(name), ("monster",))
        elif line.startswith("T:") and ("R", monster) in names:
            names["R", monster] = names["R", monster]._replace(kind=("monster", words_of(line[2:])))
    for line in _text(files["terrain.txt"]).splitlines() if "terrain.txt" in files else ():
        if line.startswith("N:"):
            _, number, name = line.split(":", 2)
            names["F", number] = _Named(words_of(name), ("dungeon",))
    kind = ""
    for line in _text(files["flavor.txt"]).splitlines() if "flavor.txt" in files else ():
        parts = line.split(":")
        if parts[0] == "kind":
            kind = words_of(parts[1])
        elif parts[0] in ("flavor", "fixed"):
            words = words_of(parts[-1]) if parts[0] == "fixed" or len(parts) > 3 else ""
            names["L", parts[1]] = _Named(f"{words} {kind}".strip(), ("item", kind))
    return names


def _angband_tiles(
    sheet: AngbandSheet, files: Mapping[str, Path], names: Mapping[tuple[str, str], _Named]
) -> Iterator[Drawing]:
    """Every cell of a sheet, with the first name that the game's files have for it."""
    named: dict[tuple[int, int], _Named] = {}
    for name in (sheet.tiles, *sheet.included):
        if name in files:
            for place, what in _angband_places(_text(files[name]), names):
                named.setdefault(place, what)
    edge = sheet.edge
    for (row, column), cell in cells(read_image(files[sheet.picture]), edge, edge):
        words, kind = named.get((row, column), _Named("", ()))
        thing = f"angband {edge} {words}" if words else ""
        yield Drawing(f"{sheet.picture}/{row},{column}", cell, words, kind, thing, sheet.credit)


def _angband_places(text: str, names: Mapping[tuple[str, str], _Named]) -> Iterator[tuple[tuple[int, int], _Named]]:
    """Row and column of what a file of preferences places, and what that is."""
    comment = condition = ""
    for line in text.splitlines():
        if line.startswith("#"):
            comment = line.strip("# ")
        if line.startswith("?:"):
            condition = " ".join(re.findall(r"EQU \$(?:CLASS|RACE) ([\w-]+)", line))
        parts = line.split(":")
        if parts[0] not in ("F", "R", "K", "L", "GF") or len(parts) < 4:
            continue
        try:
            row, column = (int(part, 16) - 0x80 for part in parts[-2:])
        except ValueError:
            continue  # a letter of a font
        known = names.get((parts[0], parts[1]))
        if parts[0] == "R" and parts[1] == "0":
            known = _Named(words_of(" ".join(reversed(condition.split()))) or "player", ("player",))
        elif parts[0] == "K":
            words = words_of(comment if parts[2].isdigit() else parts[2])
            known = _Named(words, ("item", words_of(parts[1])) if words_of(parts[1]) else ("item",))
        elif parts[0] == "GF":
            words = words_of(parts[1]).split()
            known = _Named(" ".join(ANGBAND_EFFECTS.get(word, word) for word in words), ("effect",))
        yield (row, column), known or _Named(words_of(comment), ("dungeon",) if parts[0] == "F" else ())


# Cataclysm

CATACLYSM_KINDS = {
    "corpse": ("corpse",),
    "f": ("furniture",),
    "fd": ("field",),
    "mon": ("monster",),
    "overlay": ("overlay",),
    "t": ("terrain",),
    "tr": ("trap",),
    "vp": ("vehicle part",),
}
"""What the beginnings of ids say."""


def _cataclysm_names(root: Path) -> dict[str, _Named]:
    """The game's names and types of things, by their ids; nothing where its data don't lie near."""
    near = (each / place for each in (root, *root.parents[:2]) for place in ("json", "data/json"))
    folder = next((each for each in near if each.is_dir()), None)
    names = {}
    for file in sorted(folder.rglob("*.json")) if folder else ():
        entries = _json(file)
        for entry in entries if isinstance(entries, list) else [entries]:
            name, kind = entry.get("name"), str(entry.get("type", ""))
            if isinstance(name, dict):
                name = name.get("str") or name.get("str_sp")
            ids = entry.get("id") if isinstance(entry.get("id"), list) else [entry.get("id")]
            if isinstance(name, str) and kind not in CATACLYSM_OTHER_TYPES:
                names |= {
                    each: _Named(words_of(name), ("item", words_of(kind))) for each in ids if isinstance(each, str)
                }
    return names


CATACLYSM_OTHER_TYPES = frozenset({"snippet", "recipe", "mapgen", "overmap_terrain", "npc", "scenario", "technique"})
"""Types of data whose ids aren't those of pictures."""


def _tileset(file: Path, names: Mapping[str, _Named]) -> Iterator[Drawing]:
    """The sprites of a tileset that have ids. They are numbered through all of its sheets."""
    data, credit = _json(file), _cataclysm_credit(file.parent)
    try:
        edges = data["tile_info"][0]["width"], data["tile_info"][0]["height"]
        ids: dict[int, list[str]] = defaultdict(list)
        for sheet in data["tiles-new"]:
            for tile in sheet.get("tiles", ()):
                for number, each in _sprites_of(tile):
                    ids[number].append(each)
        sprites = (
            sprite
            for sheet in data["tiles-new"]
            for _, sprite in cells(
                read_image(file.parent / sheet["file"]),
                sheet.get("sprite_width", edges[0]),
                sheet.get("sprite_height", edges[1]),
            )
        )
        for number, sprite in enumerate(sprites):
            if number in ids:
                yield _cataclysm_tile(file.parent.name, number, sprite, ids[number], names, credit)
    except (KeyError, TypeError, AttributeError, ZeroDivisionError, IndexError) as error:
        raise InputError(f"{file} lacks or has in another form what a tileset should have: {error!r}") from None


def _sprites_of(tile: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """The numbers of a tile's sprites, and the first of its ids."""
    first = tile["id"] if isinstance(tile["id"], str) else next(iter(tile["id"]), "")
    for number in _numbers(tile.get("fg", tile.get("bg", ()))):
        yield number, first
    for part in tile.get("additional_tiles", ()):
        for number, piece in _sprites_of(part):
            yield number, f"{first} {piece}"


def _numbers(given: Any) -> Iterator[int]:
    """A sprite's number, several, or weighted ones."""
    if isinstance(given, int):
        yield given
    elif isinstance(given, dict):
        yield from _numbers(given.get("sprite", ()))
    else:
        for each in given:
            yield from _numbers(each)


def _cataclysm_tile(
    tileset: str, number: int, pixels: np.ndarray, ids: Sequence[str], names: Mapping[str, _Named], credit: str
) -> Drawing:
    first, _, piece = min(ids, key=lambda each: " " in each).partition(" ")
    thing, _, season = first.partition("_season_")
    start, _, rest = thing.partition("_")
    kind = CATACLYSM_KINDS.get(start, ())
    if start == "overlay":
        how = re.match(r"(?:(?:fe)?male_)?(worn|wielded|mutation|effect)_", rest)
        kind, rest = (*kind, *([how[1]] if how else ())), rest[how.end() :] if how else rest
    known = next((names[each] for each in (thing, rest) if each in names), None)
    words = known.words if known is not None and known.words else words_of(rest if kind else thing)
    kind = kind or (known.kind if known is not None else ("item",))
    base = re.sub(r"_\d+$", "", thing)
    shown = " ".join(word for word in f"{words} {words_of(season)} {words_of(piece)}".split() if len(word) > 1)
    return Drawing(f"{tileset}/{number} {first}", pixels, shown, kind, f"{tileset} {base}", credit)


def _cataclysm_credit(folder: Path) -> str:
    """Who to credit a tileset to."""
    about = folder / "tileset.txt"
    name = re.search(r"^VIEW: *(.+?) *$", _text(about), re.MULTILINE) if about.is_file() else None
    return f"{name[1] if name else folder.name} tileset of Cataclysm: Dark Days Ahead, CC BY-SA 3.0"
