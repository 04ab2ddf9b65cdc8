"""Where pictures come from: what a run says about its data, and what every source gives."""

import hashlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from tincture.common.errors import InputError, Range
from tincture.common.options import check_options
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette

logger = logging.getLogger(__name__)

OTHER_LABEL = "other"

ALWAYS_HELD_OUT, ALWAYS_LEARNED = 0, 2**64 - 1
"""Hashes that fall on the held-out side and on the training side, whatever the share is."""

COUNT = Range(1, 10**12)


@dataclass(frozen=True)
class DataConfig:
    """Which pictures, at which size, in which palettes.

    Args:
        source: where pictures come from: the built-in icons, a folder of pictures, sprite sheets,
            the tiles of the games Crawl, Angband and Cataclysm (data/game_tiles.py says how to get
            them), or whatever the library datasets reads.
        path: for source folder, the folder; its subfolders give class labels, or a split (train,
            test) above or below those, and captions. For source datasets, a name on the Hugging
            Face hub ("user/set"), a folder, a file, or a pattern of files: images, parquet,
            WebDataset's tar shards. For sheets, a sheet, the .json or .tsx that describes it, or a
            folder of sheets. For a game, its folder.
        sources: several sources in one set, in the place of source and path, each as SOURCE=PATH:
            [icons, folder=my/sprites, sheets=my/weapons.png].
        cell: for source sheets: the size of the cells of sheets that no file describes, width and
            height in pixels, like 16x16.
        margin: pixels along the edges of such sheets.
        spacing: pixels between their cells.
        subset: of a data set on the hub that has several.
        split: of the data set, for source datasets; this project's own held-out side is a part of
            it.
        image_column: for source datasets; null for the first column of images.
        label_column: for source datasets; null for the first column of classes, if there is one.
        caption_column: for source datasets; null for a column named text or caption, if there is
            one.
        streaming: for source datasets: read pictures as they are needed, and keep only the few
            below.
        heldout_images: pictures of a stream to measure on; no other held-out picture is read.
        sample_images: training pictures of a stream to which a shared palette is fitted, and whose
            palettes are known.
        buffer: encoded pictures of a stream, in each process, among which the next one is drawn.
        workers: processes that read and encode a stream, for each process that trains; 0 to do it
            there.
        size: edge length of the index maps, pixels; or several, such as [16, 24, 32]. Then each
            picture goes, whole, to the smallest that holds it, and only larger ones are resized.
        resize: how pictures get to that size. pad keeps pixels whole and pads with transparency;
            pixel art that was enlarged is reduced. area averages, nearest doesn't mix colors, and
            both crop what is longer than wide. crop doesn't scale. auto is pad for pixel art and
            area for other pictures.
        palette: own gives each picture its own palette, shared fits one to the training split; else
            a palette's name or file.
        min_colors: smallest palette, entries; each picture's size is drawn from min_colors to
            max_colors.
        max_colors: largest palette, entries, the transparent one included.
        quantizer: the method that chooses palettes.
        heldout_fraction: share of the pictures that training never sees, 0 to 1.
        strict: stop at the first broken picture instead of naming and skipping it.
        cache_dir: where encoded data sets are kept.

    Raises:
        InputError: a number is out of range, or settings contradict each other.
    """

    source: Literal["icons", "folder", "sheets", "crawl", "angband", "cataclysm", "datasets"] = "icons"
    path: str | None = None
    sources: tuple[str, ...] = ()
    cell: str | None = None
    margin: Annotated[int, Range(0, 4096)] = 0
    spacing: Annotated[int, Range(0, 4096)] = 0
    subset: str | None = None
    split: str = "train"
    image_column: str | None = None
    label_column: str | None = None
    caption_column: str | None = None
    streaming: bool = False
    heldout_images: Annotated[int, COUNT] = 1000
    sample_images: Annotated[int, COUNT] = 2000
    buffer: Annotated[int, COUNT] = 10_000
    workers: Annotated[int, Range(0, 10_000)] = 1
    size: Annotated[int | tuple[int, ...], Range(1, 4096)] = 16
    resize: Literal["auto", "pad", "area", "nearest", "crop"] = "auto"
    palette: str = "own"
    min_colors: Annotated[int, Range(2, MAX_ENTRIES)] = 16
    max_colors: Annotated[int, Range(2, MAX_ENTRIES)] = 16
    quantizer: str = "kmeans"
    heldout_fraction: float = 0.1
    strict: bool = False
    cache_dir: Path = Path("~/.cache/tincture")

    def __post_init__(self) -> None:
        check_options(self, "data.")
        if self.min_colors > self.max_colors:
            raise InputError(f"data.min_colors is {self.min_colors}, above data.max_colors, which is {self.max_colors}")
        if not 0 < self.heldout_fraction < 1:
            raise InputError(f"data.heldout_fraction is {self.heldout_fraction}; it must lie between 0 and 1")
        if self.source == "datasets" and self.path is None and not self.sources:
            raise InputError(
                "data.source datasets needs data.path: a name on the hub, a folder, a file, or a pattern of files"
            )
        if self.streaming and self.sources:
            raise InputError("data.streaming reads one data set: encode data.sources into one with encode_dataset.py")
        if self.streaming and self.source != "datasets":
            raise InputError(f"data.streaming is for data.source datasets, not {self.source}")
        if not self.sizes:
            raise InputError("data.size names no size")
        if self.cell is not None:
            _ = self.cell_size
        if self.streaming and len(self.sizes) > 1:
            raise InputError(f"a stream has one size, and data.size names {len(self.sizes)}: leave data.streaming out")

    @property
    def cell_size(self) -> tuple[int, int]:
        """Width and height that `cell` names; raises InputError if it names none."""
        found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", self.cell or "")
        if not found:
            raise InputError(f"data.cell is {self.cell}; write width and height in pixels, like 16x16")
        return int(found[1]), int(found[2])

    @property
    def sizes(self) -> tuple[int, ...]:
        """The edge lengths that `size` names, each once, the largest last."""
        return (self.size,) if isinstance(self.size, int) else tuple(sorted(set(self.size)))


def expanded(path: Path | str, option: str) -> Path:
    """The path, ``~`` replaced by the user's folder; raises InputError if there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"data.{option} is {path}: {error}") from None


@dataclass(frozen=True)
class LabelledImage:
    """One picture of a data set: sRGB RGBA, uint8 ``[H, W, 4]``."""

    name: str
    pixels: np.ndarray
    label: str
    side: int
    """A hash below 2⁶⁴ that decides on the side of the split (`is_heldout`). Pictures of one thing
    have the same."""
    change: str = ""
    """What was done to bring it to its size (`data.resizing.Resized`)."""
    caption: str = ""
    """Its words, separated by spaces; empty where there are none."""
    credit: str = ""
    """Who made it, and under which license."""


@dataclass(frozen=True)
class EncodedPicture:
    """One picture of a data set, quantized."""

    name: str
    indices: np.ndarray
    """uint8 ``[H, W]``."""
    palette: Palette
    label: str
    side: int
    caption: str = ""
    credit: str = ""


SourcePicture = LabelledImage | EncodedPicture
"""A picture, or one that was quantized before."""


@dataclass(frozen=True)
class Source:
    """Pictures that are decoded as they are asked for, and what is known about them before."""

    fingerprint: str
    """Changes when the content does; part of the cache's key."""
    count: int
    """How many pictures there are, broken ones included; for the progress bar."""
    images: Iterator[SourcePicture | InputError]
    """Each picture, or what is wrong with its file."""
    by_thing: bool = False
    """Whether near-duplicates stand on one side of the split (`data.near_duplicates`)."""


def report_broken(error: InputError, strict: bool) -> None:
    """Name a broken picture that is skipped; raise the error instead if ``strict``."""
    if strict:
        raise error
    logger.warning("skipped: %s", error)


def name_hash(name: str) -> int:
    """An integer below 2⁶⁴ that depends on the name alone."""
    return int.from_bytes(hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest(), "big")


def words_of(name: str) -> str:
    """The words in a file's or a frame's name: no numbers, no separators, in small letters.

    ``folder--plus`` gives "folder plus", and ``RedDragon_02`` gives "red dragon".
    """
    parts = re.findall(r"[^\W\d_]+", re.sub(r"['’](s\b)?", "", name))
    return " ".join(word for part in parts for word in re.sub(r"(?<=[a-z])(?=[A-Z])", " ", part).lower().split())


def content_hash(pixels: np.ndarray) -> int:
    """An integer below 2⁶⁴ that depends on the pixels alone."""
    return int.from_bytes(hashlib.blake2b(pixels.tobytes(), digest_size=8).digest(), "big")


def is_heldout(value: int, fraction: float) -> bool:
    """Whether a hash below 2⁶⁴ falls into the held-out share.

    This is so on every machine, whatever else the set holds.
    """
    return value < fraction * 2**64
