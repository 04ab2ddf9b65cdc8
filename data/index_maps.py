"""A data set of index maps: encoded once, kept as a safetensors file, held as tensors."""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from tincture.common.errors import InputError
from tincture.common.files import write_atomically
from tincture.quantization.encoding import encode
from tincture.quantization.fit import fit_palette
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

from .game_tiles import angband, cataclysm, crawl
from .icons import SIZE, icons
from .image_folder import image_folder
from .near_duplicates import joined
from .resizing import describe_changes
from .sheets import sheets
from .sources import (
    OTHER_LABEL,
    DataConfig,
    EncodedPicture,
    LabelledImage,
    Source,
    SourcePicture,
    expanded,
    is_heldout,
    name_hash,
    report_broken,
    words_of,
)

logger = logging.getLogger(__name__)

ENCODING_VERSION = 8
"""Part of the cache's key: raise it when the same pictures would be encoded otherwise."""

TEXTS = ("label_names", "names", "captions", "credits")
"""The fields of `IndexMaps` that are words, in their order."""

NAMED_BROKEN = 20
"""How many pictures are named that can't be used."""

NAMED_CLASSES = 12
"""How many classes are counted by name when a set is reported."""


@dataclass(frozen=True)
class Batch:
    """Index maps of one size, with their palettes and labels."""

    x_0: Tensor
    """Clean index maps, int64 ``[B, H, W]``."""
    palette: PaletteBatch
    labels: Tensor
    """int64 ``[B]``."""
    captions: Sequence[str]
    """B texts."""


@dataclass(frozen=True)
class IndexMaps:
    """Encoded pictures, such as one side of the split of a data set."""

    indices: Tensor
    """uint8 ``[N, H, W]``, as large as the largest picture. What lies outside a smaller one has no
    meaning."""
    palettes: PaletteBatch
    labels: Tensor
    """int64 ``[N]``."""
    label_names: list[str]
    names: list[str]
    captions: list[str]
    """Words for each picture, empty where there are none."""
    credits: list[str]
    """Who made each picture, and under which license; empty where that isn't known."""
    sizes: Tensor | None = None
    """The edge lengths of pictures that differ in size, int64 ``[N]``. Each picture begins at the
    top left of its index map. None: each fills it."""

    @classmethod
    def of(cls, encoded: Sequence[EncodedPicture], label_names: list[str], entries: int | None = None) -> "IndexMaps":
        """Stack square pictures; palettes are padded to ``entries``, or to the largest one."""
        numbers = {name: number for number, name in enumerate(label_names)}
        sizes = [len(picture.indices) for picture in encoded]
        indices = np.zeros((len(sizes), max(sizes), max(sizes)), np.uint8)
        for row, picture in zip(indices, encoded, strict=True):
            row[: len(picture.indices), : len(picture.indices)] = picture.indices
        return cls(
            torch.from_numpy(indices),
            PaletteBatch.from_palettes([picture.palette for picture in encoded], entries),
            torch.tensor([numbers[picture.label] for picture in encoded]),
            label_names,
            *([getattr(picture, text) for picture in encoded] for text in ("name", "caption", "credit")),
            sizes=torch.tensor(sizes) if len({*sizes}) > 1 else None,
        )

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, rows: Tensor | slice, device: torch.device | str = "cpu") -> Batch:
        """The pictures at ``rows``, int64 ``[B]`` or a slice, all of one size, on ``device``."""
        if self.sizes is not None:
            return self.subset(rows).batch(slice(None), device)
        indices, palettes, labels = (each[rows].to(device) for each in (self.indices, self.palettes, self.labels))
        return Batch(indices.long(), palettes, labels, _at(rows, self.captions))

    def subset(self, rows: Tensor | slice) -> "IndexMaps":
        """The pictures at ``rows``, int64 ``[N]`` or a slice, as a data set."""
        texts = [_at(rows, text) for text in (self.names, self.captions, self.credits)]
        indices, sizes = self.indices[rows], None if self.sizes is None else self.sizes[rows]
        if sizes is not None and len(sizes):
            largest = int(sizes.max())
            indices, sizes = indices[:, :largest, :largest], sizes if sizes.min() < largest else None
        return IndexMaps(indices, self.palettes[rows], self.labels[rows], self.label_names, *texts, sizes)

    def rows_by_size(self) -> dict[int, Tensor]:
        """The rows of the pictures of each size, int64 ``[n]``, in order; the largest size last."""
        if self.sizes is None:
            return {self.indices.shape[-1]: torch.arange(len(self))}
        return {size: torch.nonzero(self.sizes == size)[:, 0] for size in self.sizes.unique().tolist()}

    def random_rows(self, number: int, seed: int) -> Tensor:
        """``number`` different rows, or as many as there are, in random order, int64 ``[N]``.

        In the set's own order, similar pictures stand together.
        """
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:number]

    def palette(self, row: int) -> Palette:
        """One picture's palette, without padding."""
        return Palette(self.palettes.colors[row][self.palettes.valid[row]].numpy())

    def pictures(self, rows: Tensor) -> list[IndexedImage]:
        """The pictures at ``rows``, int64 ``[N]``, each with its palette."""
        sizes = [self.indices.shape[-1]] * len(rows) if self.sizes is None else self.sizes[rows].tolist()
        return [
            IndexedImage(self.indices[row, :size, :size].numpy(), self.palette(row))
            for row, size in zip(rows.tolist(), sizes, strict=True)
        ]


def _at(rows: Tensor | slice, texts: list[str]) -> list[str]:
    return texts[rows] if isinstance(rows, slice) else [texts[row] for row in rows.tolist()]


def _icons(config: DataConfig) -> Source:
    if SIZE not in config.sizes:
        raise InputError(f"icons are {SIZE}×{SIZE}: data.size is {config.size}")
    return icons()


def _folder(config: DataConfig) -> Source:
    if config.path is None:  # refused here: configs/folder32.yaml leaves the path to the command line
        raise InputError("data.source folder needs data.path, the folder of images")
    return image_folder(expanded(Path(config.path), "path"), config.size, config.resize)


def _datasets(config: DataConfig) -> Source:
    from .hugging_face import whole_set  # the library takes seconds to import

    return whole_set(config)


SOURCES: dict[str, Callable[[DataConfig], Source]] = {
    "icons": _icons,
    "folder": _folder,
    "sheets": sheets,
    "crawl": crawl,
    "angband": angband,
    "cataclysm": cataclysm,
    "datasets": _datasets,
}


def open_source(config: DataConfig) -> Source:
    """The source of a set, or its several sources as one.

    Where there are several, a picture without a class of its own has its source's name for one.

    Raises:
        InputError: as each source does.
    """
    if not config.sources:
        return SOURCES[config.source](config)
    parts: dict[str, Source] = {}
    for each in config.sources:
        kind, _, path = each.partition("=")
        if kind not in SOURCES:
            raise InputError(f"data.sources has {each!r}; write SOURCE=PATH, where SOURCE is {', '.join(SOURCES)}")
        is_named = kind in ("folder", "sheets", "datasets")
        name = (words_of(Path(path).stem) if is_named else "") or kind
        parts[name if name not in parts else each] = SOURCES[kind](
            replace(config, source=kind, path=path or None, sources=())
        )

    def images() -> Iterator[SourcePicture | InputError]:
        for name, part in parts.items():
            for image in part.images:
                is_other = not isinstance(image, InputError) and image.label == OTHER_LABEL
                yield replace(image, label=name) if is_other else image

    digest = hashlib.blake2b(" ".join(part.fingerprint for part in parts.values()).encode(), digest_size=16)
    return Source(digest.hexdigest(), sum(part.count for part in parts.values()), images(), by_thing=True)


def load_index_maps(config: DataConfig) -> tuple[IndexMaps, IndexMaps]:
    """Encode a data set, or read it from the cache.

    Returns:
        The training side and the held-out side of the split; of a stream, only a sample of each.

    Raises:
        InputError: the source is missing or empty, or a file is broken while ``strict`` is set.
    """
    if config.streaming:
        from .stream import start_stream  # the library takes seconds to import

        start = start_stream(config)
        return start.pool, start.heldout
    given = given_palette(config)
    source = open_source(config)
    name = "several" if config.sources else config.source
    path = expanded(config.cache_dir, "cache_dir") / f"{name}-{_cache_key(config, source, given)}.safetensors"
    cached = _read_cache(path)
    if cached is None:
        _check_writable(path.parent)  # before all pictures are encoded
        images = decode(source, config.strict)
        left_out = {"left out": source.count - len(images)} if source.count > len(images) else {}
        cached = *_encode(images, config, given), count_changes(images) | left_out
        _write_cache(path, *cached)
    maps, heldout, changes = cached
    training, held_out = (maps.subset(torch.nonzero(heldout == side)[:, 0]) for side in (False, True))
    report_sides(training, held_out, changes, config.sizes)
    return training, held_out


def report_sides(
    training: IndexMaps, heldout: IndexMaps, changes: Mapping[str, int], sizes: Sequence[int], of: str = ""
) -> None:
    """Say how many pictures there are, of which sizes and classes, and how they got to ``sizes``.

    ``of`` is empty if these are all of them.
    """
    counts = torch.bincount(torch.cat([training.labels, heldout.labels]), minlength=len(training.label_names))
    classes = sorted(zip(counts.tolist(), training.label_names, strict=True), reverse=True)
    named = ", ".join(f"{name} {count:,}" for count, name in classes[:NAMED_CLASSES])
    more = f" and {len(classes) - NAMED_CLASSES:,} more" if len(classes) > NAMED_CLASSES else ""
    told = f"; {len(classes):,} classes: {named}{more}" if len(classes) > 1 else ""
    of_size = Counter(size for side in (training, heldout) for size, rows in side.rows_by_size().items() for _ in rows)
    told = "".join(f"; {count:,} of {size}×{size}" for size, count in sorted(of_size.items()) if len(sizes) > 1) + told
    logger.info("%s%d pictures to learn from, %d held out%s", of, len(training), len(heldout), told)
    if any(changes):
        logger.info("%s", describe_changes(changes, sizes))


def given_palette(config: DataConfig) -> Palette | None:
    """The palette that the settings name; nothing where palettes are fitted.

    Raises:
        InputError: it can't be read, or has a single entry.
    """
    if config.palette in ("own", "shared"):
        return None
    palette = read_palette(config.palette)
    if len(palette) < 2:
        raise InputError(f"data.palette {config.palette} has one entry; a palette to draw with has at least 2")
    return palette


def _cache_key(config: DataConfig, source: Source, given: Palette | None) -> str:
    settings = [config.palette, config.min_colors, config.max_colors, config.quantizer, config.heldout_fraction]
    content = [ENCODING_VERSION, source.fingerprint, given.to_hex() if given else None, config.strict, *settings]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=10).hexdigest()


def decode(source: Source, strict: bool) -> list[SourcePicture]:
    """All pictures of a source that can be read.

    Raises:
        InputError: there is none, or one is broken and ``strict`` is set.
    """
    images, broken = [], []
    for image in tqdm(source.images, total=source.count, desc="reading images", unit="image", leave=False):
        if not isinstance(image, InputError):
            images.append(image)
        elif strict:
            raise image
        else:
            broken.append(image)
    for error in broken[:NAMED_BROKEN]:  # not before the bar has gone
        report_broken(error, strict=False)
    if len(broken) > NAMED_BROKEN:
        logger.warning("skipped: %d more", len(broken) - NAMED_BROKEN)
    if not images:
        raise InputError(f"none of the {len(broken)} images can be read")
    return joined(images) if source.by_thing else images


def shared_palette(images: Sequence[LabelledImage], config: DataConfig) -> Palette:
    """One palette for the training pictures of ``images``; InputError if there are none."""
    pixels = [image.pixels for image in images if not is_heldout(image.side, config.heldout_fraction)]
    if not pixels:
        raise InputError("there is no training picture to fit data.palette shared to: see data.heldout_fraction")
    return fit_palette(pixels, config.max_colors, config.quantizer)


def encode_picture(image: SourcePicture, config: DataConfig, given: Palette | None) -> EncodedPicture | None:
    """Quantize a picture to ``given``, or to a palette of its own.

    A palette of its own may have a single color. Then there is nothing to draw, and None is
    returned.
    """
    if isinstance(image, EncodedPicture):
        return image
    palette = given or fit_palette([image.pixels], _palette_size(image.name, config), config.quantizer)
    if len(palette) < 2:
        logger.info("skipped: %s has a single color, so there is nothing to draw", image.name)
        return None
    indices = encode(image.pixels, palette)
    return EncodedPicture(image.name, indices, palette, image.label, image.side, image.caption, image.credit)


def _encode(images: list[SourcePicture], config: DataConfig, given: Palette | None) -> tuple[IndexMaps, Tensor]:
    """All pictures, quantized, and which are held out, bool ``[N]``."""
    if config.palette == "shared":
        given = shared_palette(images, config)
    encoded = [encode_picture(image, config, given) for image in tqdm(images, desc="encoding images", unit="image")]
    kept = [picture for picture in encoded if picture is not None]
    heldout = [is_heldout(picture.side, config.heldout_fraction) for picture in kept]
    if all(heldout) or not any(heldout):
        raise InputError(
            f"all {len(kept)} images fell on one side of the split: add images, or change data.heldout_fraction"
        )
    return IndexMaps.of(kept, sorted({picture.label for picture in kept})), torch.tensor(heldout)


def count_changes(images: Sequence[SourcePicture]) -> Counter[str]:
    """How many pictures were brought to their size in which way (`data.resizing.Resized`)."""
    return Counter(image.change for image in images if isinstance(image, LabelledImage))


def _palette_size(name: str, config: DataConfig) -> int:
    """A size from ``min_colors`` to ``max_colors`` that depends on the name, and not on the set."""
    return config.min_colors + name_hash(name) % (config.max_colors - config.min_colors + 1)


def _write_cache(path: Path, maps: IndexMaps, heldout: Tensor, changes: Mapping[str, int]) -> None:
    tensors = {
        "indices": maps.indices,
        "colors": maps.palettes.colors,
        "valid": maps.palettes.valid,
        "labels": maps.labels,
        "heldout": heldout,
    } | ({} if maps.sizes is None else {"sizes": maps.sizes})
    texts = {name: json.dumps(getattr(maps, name)) for name in TEXTS} | {"changes": json.dumps(changes)}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, texts))


def _read_cache(path: Path) -> tuple[IndexMaps, Tensor, Mapping[str, int]] | None:
    """What `_write_cache` wrote; nothing if there is no such file, or if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            indices, colors, valid, labels, heldout = map(
                file.get_tensor, ("indices", "colors", "valid", "labels", "heldout")
            )
            sizes = file.get_tensor("sizes") if "sizes" in file.keys() else None  # noqa: SIM118  # no mapping
            *texts, changes = (json.loads(file.metadata()[key]) for key in (*TEXTS, "changes"))
    except (OSError, SafetensorError):
        return None
    return IndexMaps(indices, PaletteBatch(colors, valid), labels, *texts, sizes), heldout, changes


def _check_writable(cache: Path) -> None:
    """Raise InputError if the cache's folder is none that can be written to or made."""
    place = next(folder for folder in (cache.absolute(), *cache.absolute().parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise InputError(f"data.cache_dir is {cache}, but {place} is not a folder that can be written to; name another")
