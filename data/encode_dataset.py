"""Encode a data set once for all runs to come: `python -m data.encode_dataset --data.path photographs --data.size 32 --output encoded --num-proc 8`.

What this writes, parquet in random order, is itself a set for ``data.source: datasets``, read without quantizing anything again. A
picture is on the side of the split where it would be if it were read from the original.
"""

import functools
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets

import cli
from quantization.errors import InputError
from quantization.files import claim_output_folder, folder_written_whole
from quantization.palette import Palette

from .config import DataConfig
from .hugging_face import ENCODED_COLUMNS, Columns, Rows, open_table, pictures, reading
from .index_maps import check_data_config, encode_picture, given_palette
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
        `ENCODED_COLUMNS`, and the column of labels if there is one, with fewer rows where pictures are broken or have a single
        color: indices as H·W bytes, palettes as K·4 bytes of RGBA, and the hash of the pixels that decides on the side of the split.

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


def main(arguments: Sequence[str]) -> None:
    """Parse, encode over processes, write."""
    parser = cli.make_parser(
        "Encode a data set of pictures as index maps with palettes, in parquet, for data.source datasets."
    )
    parser.add_class_arguments(DataConfig, "data")
    parser.add_argument("--output", type=Path, required=True, help="folder for the parquet files")
    parser.add_argument("--num-proc", type=int, default=1, help="processes that encode")
    parser.add_argument(
        "--shards", type=int, default=16, help="files; best a multiple of the processes that will read them"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an encoded set in the output folder")
    parsed = parser.parse_args(arguments)
    if parsed.num_proc < 1 or parsed.shards < 1:
        raise InputError("--num-proc and --shards are at least 1")
    # It is read whole, if only once; the table stays on the disk.
    config = replace(parser.instantiate(parsed).data, source="datasets", streaming=False)
    check_data_config(config)
    if config.palette == "shared":
        raise InputError("one palette for all: fit it with quantize.py --shared, and name its file with data.palette")
    claim_output_folder(parsed.output, parsed.overwrite, marker=("an encoded set", _file_name(0)))
    table = open_table(config)
    if table.columns.image is None:
        raise InputError(f"{config.path} is encoded already")
    work = functools.partial(encode_rows, columns=table.columns, config=config, given=given_palette(config))
    with reading(config.path):
        encoded = table.data.map(
            work,
            batched=True,
            batch_size=256,
            remove_columns=table.data.column_names,
            features=encoded_features(table.columns),
            num_proc=parsed.num_proc if parsed.num_proc > 1 else None,
            desc="encoding images",
        )
    if len(encoded) == 0:
        raise InputError(f"no picture of {config.path} can be used")
    mixed = encoded.shuffle(seed=0)
    shards = min(parsed.shards, len(mixed))
    with folder_written_whole(parsed.output) as folder:
        for number in range(shards):
            mixed.shard(shards, number).to_parquet(folder / _file_name(number))
    print(
        f"{len(mixed)} of {len(table.data)} pictures are in {parsed.output}: train with --data.source datasets and this data.path"
    )


def _file_name(number: int) -> str:
    return f"train-{number:05d}.parquet"


def _class_number(label: str, names: list[str]) -> int | None:
    return names.index(label) if label in names else None


if __name__ == "__main__":
    cli.run(main)
