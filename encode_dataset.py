"""Encode a data set once for all runs to come: `python encode_dataset.py --data.path photographs --data.size 32 --output encoded --num-proc 8`.

What this writes, parquet in random order, is itself a set for ``data.source: datasets``, read without quantizing anything again. A
picture is on the side of the split where it would be if the original were read with ``data.source: datasets``.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from glob import glob
from pathlib import Path

from tincture.common import cli
from tincture.common.errors import InputError
from tincture.common.output_folder import claimed
from tincture.data.config import DataConfig, check_data_config, expanded
from tincture.data.encoded_rows import encode_rows, encoded_features
from tincture.data.hugging_face import open_table, reading
from tincture.data.index_maps import given_palette


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
    given = parser.instantiate(parsed).data
    if given.source == "folder":
        raise InputError(
            "pictures are read with data.source datasets, which splits them by their pixels; folder, which splits them by their "
            "names, would hold out others: leave data.source out, and train with datasets"
        )
    # It is read whole, if only once; the table stays on the disk.
    config = replace(given, source="datasets", streaming=False)
    check_data_config(config)
    if config.palette == "shared":
        raise InputError("one palette for all: fit it with quantize.py --shared, and name its file with data.palette")
    inputs = [expanded(Path(name), "path") for name in (str(config.path), *glob(str(config.path)))]  # noqa: PTH207  # absolute ones too
    with claimed(parsed.output, parsed.overwrite, _encoded_files, inputs) as output:
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
                load_from_cache_file=False,  # its key knows the config, but not the code
            )
        if len(encoded) == 0:
            raise InputError(f"no picture of {config.path} can be used")
        mixed = encoded.shuffle(seed=0, load_from_cache_file=False)
        shards = min(parsed.shards, len(mixed))
        with output.written_whole() as folder:
            for number in range(shards):
                mixed.shard(shards, number).to_parquet(folder / _file_name(number))
    print(
        f"{len(mixed)} of {len(table.data)} pictures are in {parsed.output}: train with --data.source datasets and this data.path"
    )


def _encoded_files(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("train-*.parquet")]


def _file_name(number: int) -> str:
    return f"train-{number:05d}.parquet"


if __name__ == "__main__":
    cli.run(main)
