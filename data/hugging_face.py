"""Whatever the library datasets reads: the hub, parquet, folders of images, WebDataset's tars.

The hash of a picture's pixels, at their final size, decides on its side of the split. So a stream,
of which nobody knows what came before, has the same two sides as the whole set, and equal pictures
stand on one side.
"""

import hashlib
import itertools
import logging
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import fsspec
import numpy as np
from datasets.exceptions import DatasetsError

from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.reading import IMAGE_SUFFIXES

from .image_folder import pictures_below, places_in
from .index_maps import encode_picture
from .resizing import read_to_size
from .sources import (
    OTHER_LABEL,
    DataConfig,
    EncodedPicture,
    LabelledImage,
    Source,
    SourcePicture,
    content_hash,
    expanded,
    report_broken,
)

BUILDERS = {".parquet": "parquet", ".tar": "webdataset"} | dict.fromkeys(IMAGE_SUFFIXES, "imagefolder")
"""The library's reader for files with a suffix; for a folder and the hub it finds out itself."""

ENCODED_COLUMNS = ("name", "content", "indices", "palette")
"""What encode_dataset.py writes in place of the pictures."""

CAPTION_COLUMNS = ("caption", "text")
CREDIT_COLUMN = "credit"
"""Where captions and credits are looked for, and the first and the last what encode_dataset.py
writes."""

CHANGE_COLUMN = "change"
"""What was done to bring a picture to its size; counted, and not written."""

logger = logging.getLogger(__name__)

MAX_SHARDS = 1024
"""Into how many random parts a folder of images is cut, so that each epoch has another order."""

CHUNK = 64
"""Rows that are read and encoded at a time."""

READING_ERRORS = (OSError, ValueError, TypeError, KeyError, EOFError, tarfile.TarError, DatasetsError)
"""What the library raises about files that are missing, broken, or unlike what their names say."""

Rows = dict[str, list[Any]]
"""Some rows of a data set, by column."""


@dataclass(frozen=True)
class Columns:
    """Where what stands in a data set."""

    image: str | None
    """None: the pictures are encoded already, in `ENCODED_COLUMNS`."""
    label: str | None
    class_names: list[str] | None
    """Where the labels are numbers of these."""
    caption: str | None = None
    credit: str | None = None


@dataclass(frozen=True)
class Table:
    """A data set whose pictures are not decoded yet."""

    data: datasets.Dataset | datasets.IterableDataset
    columns: Columns


def open_table(config: DataConfig) -> Table:
    """Find the data set and its columns; reads no picture if ``config.streaming``.

    Raises:
        InputError: there is no such data set, split or column, or it can't be read.
    """
    with reading(config.path):
        data = _open(config)
    features = data.features
    if features is None:
        raise InputError(f"the columns of {config.path} aren't known before it is read; convert it to parquet")
    for option in ("image_column", "label_column", "caption_column"):
        name = getattr(config, option)
        if name is not None and name not in features:
            raise InputError(f"{config.path} has no column {name!r} (data.{option}): it has {', '.join(features)}")
    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    classes = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    label = config.label_column or next(iter(classes), None)
    class_names = features[label].names if label in classes else None
    texts = [name for name, kind in features.items() if getattr(kind, "dtype", None) == "string"]
    caption = config.caption_column or next((name for name in CAPTION_COLUMNS if name in texts and name != label), None)
    credit = CREDIT_COLUMN if CREDIT_COLUMN in texts else None
    if config.image_column is None and set(ENCODED_COLUMNS) <= set(features):
        used = [*ENCODED_COLUMNS, *filter(None, (label, caption, credit))]
        return Table(data.select_columns(used), Columns(None, label, class_names, caption, credit))
    image = config.image_column or next(iter(images), None)
    if image is None:
        raise InputError(
            f"{config.path} has no column of images, but {', '.join(features)}: name the one that holds them with "
            "data.image_column"
        )
    used = [name for name in (image, label, caption, credit, "__key__") if name in features]
    with reading(config.path):
        data = data.select_columns(used).cast_column(image, datasets.Image(decode=False))
    return Table(data, Columns(image, label, class_names, caption, credit))


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn what the library raises about ``path`` into one line."""
    try:
        yield
    except InputError:
        raise
    except READING_ERRORS as error:
        reasons = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"the data set {path} can't be read: {reasons[0]}") from error


def _open(config: DataConfig) -> datasets.Dataset | datasets.IterableDataset:
    path = expanded(Path(config.path), "path")
    local = path.exists() or "*" in config.path
    if local and not path.is_dir():
        suffix = path.suffix.lower()
        if suffix not in BUILDERS:
            raise InputError(f"{config.path} should end with one of {', '.join(sorted(BUILDERS))}")
        source, files = BUILDERS[suffix], {config.split: str(path)}
    else:
        source, files = str(path) if local else config.path, None
    builder = datasets.load_dataset_builder(
        source, config.subset, data_files=files, cache_dir=str(expanded(config.cache_dir, "cache_dir") / "datasets")
    )
    if path.is_dir() and builder.name == "imagefolder":
        _check_split(path, builder, config.split)
    if config.streaming and not (local and builder.name == "imagefolder"):
        return builder.as_streaming_dataset(config.split)
    builder.download_and_prepare()
    data = builder.as_dataset(config.split)
    return _mixed_files(data) if config.streaming else data


def _check_split(folder: Path, builder: datasets.DatasetBuilder, split: str) -> None:
    """Raise InputError if the library leaves pictures out, or takes a split for classes.

    Once a name says train or test, it takes no other pictures. It takes the folder that a picture
    lies in for its class, and doesn't know names such as Train.
    """
    taken = {
        name: [file for file in files if Path(file).suffix.lower() in IMAGE_SUFFIXES]
        for name, files in builder.config.data_files.items()
    }
    found, number = pictures_below(folder), sum(map(len, taken.values()))
    if number < len(found):
        raise InputError(
            f"{folder} holds {len(found)} pictures, but names such as train or test put only {number} of them into a "
            "split: rename those files or folders, or take data.source folder"
        )
    sides = {file.resolve(): place.side for file, place in zip(found, places_in(folder, found), strict=True)}
    for files in taken.values():
        paths = [Path(file).resolve() for file in files]
        deeper = [path for path in paths if path.parent.parent != folder.resolve()]
        if len({sides.get(path) for path in paths}) > 1 or any(path.parent.name == sides[path] for path in deeper):
            raise InputError(
                f"{folder} has a split that the library datasets takes for classes: take data.source folder"
            )
    if others := {name: len(files) for name, files in taken.items() if name != split and files}:
        left = ", ".join(f"{name} ({count:,})" for name, count in others.items())
        logger.info("%s: the split %s is read; left alone are its other splits: %s", folder, split, left)


def _mixed_files(data: datasets.Dataset) -> datasets.IterableDataset:
    """A table of image files, which stand class by class, as a stream of random parts."""
    mixed = data.cast_column("image", datasets.Image(decode=False)).shuffle(seed=0)
    count = min(len(data), MAX_SHARDS)
    edges = [len(data) * part // count for part in range(count + 1)]
    parts = {"data": mixed, "parts": list(itertools.pairwise(edges))}
    return datasets.IterableDataset.from_generator(_table_rows, mixed.features, parts)


def _table_rows(data: datasets.Dataset, parts: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    for start, stop in parts:
        for first in range(start, stop, CHUNK):
            rows = data[first : min(first + CHUNK, stop)]
            yield from (dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True))


def whole_set(config: DataConfig) -> Source:
    """The whole data set; arguments and errors as for `open_table`."""
    table = open_table(config)
    settings = [config.size, config.resize, table.columns.image, table.columns.label, table.columns.caption]
    digest = hashlib.blake2b(f"{table.data._fingerprint} {settings}".encode(), digest_size=16).hexdigest()

    def images() -> Iterator[SourcePicture | InputError]:
        for rows in chunks(table.data, config.path):
            yield from pictures(rows, table.columns, config)

    return Source(digest, len(table.data), images())


def chunks(data: datasets.Dataset | datasets.IterableDataset, path: str) -> Iterator[Rows]:
    """`CHUNK` rows at a time; raises InputError if ``path`` can't be read on."""
    iterator = data.iter(CHUNK)
    while True:
        with reading(path):
            rows = next(iterator, None)
        if rows is None:
            return
        yield rows


def pictures(rows: Rows, columns: Columns, config: DataConfig) -> Iterator[SourcePicture | InputError]:
    """The pictures of some rows at their size; in the place of a broken one stands its InputError.

    Raises:
        InputError: they are encoded already, but for other settings.
    """
    labels = rows[columns.label] if columns.label else []
    for place in range(len(next(iter(rows.values())))):
        label = _label(labels[place], columns.class_names) if columns.label else OTHER_LABEL
        caption, credit = (
            " ".join(str(rows[column][place] or "").split()) if column else ""
            for column in (columns.caption, columns.credit)
        )
        if columns.image is None:
            yield replace(_encoded(rows, place, label, config), caption=caption, credit=credit)
            continue
        key = rows["__key__"][place] if "__key__" in rows else None
        try:
            image = _decoded(rows[columns.image][place], key, label, config)
        except InputError as error:
            yield error
        else:
            yield replace(image, caption=caption, credit=credit)


def _label(value: Any, class_names: list[str] | None) -> str:
    if value is None or (class_names and value == -1):  # -1 stands for an unknown class
        return OTHER_LABEL
    return class_names[value] if class_names else str(value)


def _decoded(image: dict[str, Any] | None, key: str | None, label: str, config: DataConfig) -> LabelledImage:
    if image is None:
        raise InputError(f"a row of {config.path} has no picture{f' ({key})' if key else ''}")
    name = key or _name(image["path"], config)
    content = image["bytes"]
    if content is None:
        content = _read(image["path"])
    shown = Path(name or f"a picture of {config.path}")
    pixels, change = read_to_size(shown, config.size, config.resize, content)
    side = content_hash(pixels)
    return LabelledImage(name or f"{side:016x}", pixels, label, side, change)


def _read(path: str) -> bytes:
    """The content of a file on this machine or, by its address, on the hub."""
    with reading(path):
        if "://" not in path:
            return Path(path).read_bytes()
        with fsspec.open(path, "rb") as file:
            return file.read()


def _name(path: str | None, config: DataConfig) -> str | None:
    """A picture's path below the folder that holds them all, the same wherever that stands."""
    if path is None:
        return None
    root = str(Path(config.path).expanduser().absolute())
    return path.removeprefix(f"{root}/") if path.startswith(root) else path


def _encoded(rows: Rows, place: int, label: str, config: DataConfig) -> SourcePicture:
    name, content, indices, colors = (rows[column][place] for column in ENCODED_COLUMNS)
    try:
        side, indices = int(content, 16), np.frombuffer(indices, np.uint8)
        palette = Palette(np.frombuffer(colors, np.uint8).reshape(-1, 4))
    except (TypeError, ValueError) as error:  # an InputError is one
        raise InputError(f"the encoded picture {name} is damaged: {error}") from None
    if len(indices) and indices.max() >= len(palette):
        raise InputError(f"the encoded picture {name} has the index {indices.max()}, and {len(palette)} entries")
    size = round(len(indices) ** 0.5)
    if size not in config.sizes or size**2 != len(indices):
        raise InputError(f"{name} was encoded at {size}×{size}, but data.size is {config.size}")
    indices = indices.reshape(size, size)
    if config.palette != "own":
        return LabelledImage(name, palette.colors[indices], label, side)
    if len(palette) > config.max_colors:
        raise InputError(f"{name} was encoded with {len(palette)} colors, but data.max_colors is {config.max_colors}")
    return EncodedPicture(name, indices, palette, label, side)


def encode_rows(rows: Rows, columns: Columns, config: DataConfig, given: Palette | None = None) -> dict[str, list[Any]]:
    """Quantize a batch of rows, for `datasets.Dataset.map`, or for ``map_batches`` of a cluster.

    Args:
        rows: undecoded, by column: an image is ``{"bytes": …, "path": …}``.
        columns: which of them are used.
        config: how to encode.
        given: the palette of all pictures; None: each gets its own.

    Returns:
        `ENCODED_COLUMNS`, captions and credits, and the column of labels if there is one: indices
        as H·W bytes, palettes as K·4 bytes of RGBA, and the hash that decides on the side of the
        split.
        Broken pictures, and those whose own palette has a single color, are left out. What was done
        to bring a picture to its size stands in `CHANGE_COLUMN`.

    Raises:
        InputError: a picture is broken and ``config.strict`` is set.
    """
    return encode_pictures(pictures(rows, columns, config), columns, config, given)


def encode_pictures(
    images: Iterable[SourcePicture | InputError], columns: Columns, config: DataConfig, given: Palette | None = None
) -> dict[str, list[Any]]:
    """What `encode_rows` returns, of pictures that were read already."""
    encoded: dict[str, list[Any]] = {name: [] for name in encoded_features(columns)}
    for image in images:
        if isinstance(image, InputError):
            report_broken(image, config.strict)
            continue
        picture = encode_picture(image, config, given)
        if picture is None:
            continue
        side, palette = f"{image.side:016x}", picture.palette.colors.tobytes()
        for name, value in zip(ENCODED_COLUMNS, (picture.name, side, picture.indices.tobytes(), palette), strict=True):
            encoded[name].append(value)
        encoded[CHANGE_COLUMN].append(image.change if isinstance(image, LabelledImage) else "")
        encoded[CAPTION_COLUMNS[0]].append(picture.caption)
        encoded[CREDIT_COLUMN].append(picture.credit)
        if columns.label:
            names, label = columns.class_names, picture.label
            encoded[columns.label].append(label if not names else names.index(label) if label in names else None)
    return encoded


def encoded_features(columns: Columns) -> datasets.Features:
    """The types of what `encode_rows` returns."""
    features = {name: datasets.Value("string") for name in ("name", "content")}
    features |= {name: datasets.Value("binary") for name in ("indices", "palette")}
    features |= {name: datasets.Value("string") for name in (CAPTION_COLUMNS[0], CREDIT_COLUMN, CHANGE_COLUMN)}
    if columns.label:
        names = columns.class_names
        features[columns.label] = datasets.ClassLabel(names=names) if names else datasets.Value("string")
    return datasets.Features(features)
