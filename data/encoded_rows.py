"""Encode rows of a Hugging Face data set: the work of one process, whatever spreads it over many."""

import logging
from typing import Any

import datasets

from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import Palette

from .config import DataConfig
from .hugging_face import ENCODED_COLUMNS, Columns, Rows, pictures
from .index_maps import encode_picture
from .sources import content_hash

logger = logging.getLogger(__name__)


def encode_rows(rows: Rows, columns: Columns, config: DataConfig, given: Palette | None = None) -> dict[str, list[Any]]:
    """Quantize a batch of rows, for `datasets.Dataset.map`, or for ``map_batches`` of a cluster.

    Args:
        rows: undecoded, by column: an image is ``{"bytes": …, "path": …}``.
        columns: which of them are used.
        config: how to encode.
        given: the palette of all pictures; None: each gets its own.

    Returns:
        `ENCODED_COLUMNS`, and the column of labels if there is one, with fewer rows where pictures are broken or their own
        palette has a single color: indices as H·W bytes, palettes as K·4 bytes of RGBA, and the hash of the pixels that decides on the side of the split.

    Raises:
        InputError: a picture is broken and ``config.strict`` is set.
    """
    encoded: dict[str, list[Any]] = {
        name: [] for name in (*ENCODED_COLUMNS, *([columns.label] if columns.label else []))
    }
    for image in pictures(rows, columns, config):
        if isinstance(image, InputError):
            if config.strict:
                raise image
            logger.warning("skipped: %s", image)
            continue
        picture = encode_picture(image, config, given)
        if picture is None:
            continue
        values = [
            picture.name,
            f"{content_hash(image.pixels):016x}",
            picture.indices.tobytes(),
            picture.palette.colors.tobytes(),
        ]
        for name, value in zip(ENCODED_COLUMNS, values, strict=True):
            encoded[name].append(value)
        if columns.label:
            names = columns.class_names
            encoded[columns.label].append(_class_number(picture.label, names) if names else picture.label)
    return encoded


def encoded_features(columns: Columns) -> datasets.Features:
    """The types of what `encode_rows` returns."""
    types = ["string", "string", "binary", "binary"]
    features = {name: datasets.Value(kind) for name, kind in zip(ENCODED_COLUMNS, types, strict=True)}
    if columns.label:
        names = columns.class_names
        features[columns.label] = datasets.ClassLabel(names=names) if names else datasets.Value("string")
    return datasets.Features(features)


def _class_number(label: str, names: list[str]) -> int | None:
    return names.index(label) if label in names else None
