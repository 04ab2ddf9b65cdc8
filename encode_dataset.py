"""Encode a data set once for all runs: `python encode_dataset.py --data.path set --output encoded`.

The parquet files that this writes, in random order, are themselves a set for ``data.source:
datasets``, of which nothing is quantized again. They keep captions, labels and credits. A picture
stands on the same side of the split as in the original set; of several sources in one set, those
that show one thing stand on one side.
"""

from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from tincture.common import cli
from tincture.common.errors import InputError
from tincture.common.output_folder import claimed
from tincture.data.resizing import describe_changes
from tincture.data.sources import OTHER_LABEL, DataConfig, expanded

if TYPE_CHECKING:
    from datasets import Dataset

    from tincture.common.configs import ConfigParser

PART = 64
"""Pictures that a process encodes at a time."""


def make_parser() -> "ConfigParser":
    """Every option of the command, with its unit and default."""
    parser = cli.make_parser("Encode a data set of pictures as index maps with palettes, for data.source datasets.")
    parser.add_class_arguments(DataConfig, "data")
    parser.set_defaults({"data.source": "datasets"})
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder for the parquet files")
    add("--num-proc", type=int, default=1, help="processes that encode")
    add("--shards", type=int, default=16, help="files; best a multiple of the processes that will read them")
    add("--overwrite", action="store_true", help="replace an encoded set in the output folder")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Parse, encode, write."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    config = settings_of(options, parser.instantiate(options).data)
    paths = [each.partition("=")[2] for each in config.sources] or [config.path or ""]
    inputs = [expanded(Path(name), "path") for path in filter(None, paths) for name in (path, *glob(path))]  # noqa: PTH207  # absolute ones too
    with claimed(options.output, options.overwrite, encoded_files, inputs) as output:
        is_table = config.source == "datasets" and not config.sources
        encoded, read, changes = (encode_table if is_table else encode_source)(config, options.num_proc)
        shards = min(options.shards, len(encoded))
        with output.written_whole() as folder:
            for number in range(shards):
                encoded.shard(shards, number).to_parquet(folder / f"train-{number:05d}.parquet")
    print(
        f"{len(encoded)} of {read} pictures are in {options.output}: "
        "train with --data.source datasets and this data.path"
    )
    if any(changes):
        print(describe_changes(changes, config.sizes))


def encoded_files(folder: Path) -> list[str]:
    """The names of what this command wrote into a folder."""
    return [file.name for file in folder.glob("train-*.parquet")]


def settings_of(options: Namespace, given: DataConfig) -> DataConfig:
    """The settings to read with: a set is read whole, even if it will be streamed later.

    Raises:
        InputError: a number is too small, or the settings are none for encoding.
    """
    if options.num_proc < 1 or options.shards < 1:
        raise InputError("--num-proc and --shards are at least 1")
    if given.palette == "shared":
        raise InputError("one palette for all: fit it with quantize.py --shared, and name its file with data.palette")
    return replace(given, streaming=False)


def encode_table(config: DataConfig, processes: int) -> tuple["Dataset", int, Counter[str]]:
    """Encode all pictures that can be used.

    Returns:
        They in random order, how many were read, and how many were brought to their size in which
        way.

    Raises:
        InputError: the set can't be read, is encoded already, or holds no picture that can be used.
    """
    from tincture.data.hugging_face import CHANGE_COLUMN, encode_rows, encoded_features, open_table, reading  # slow
    from tincture.data.index_maps import given_palette

    table = open_table(config)
    if table.columns.image is None:
        raise InputError(f"{config.path} is encoded already")
    with reading(config.path):
        encoded = table.data.map(
            partial(encode_rows, columns=table.columns, config=config, given=given_palette(config)),
            batched=True,
            batch_size=256,
            remove_columns=table.data.column_names,
            features=encoded_features(table.columns),
            num_proc=processes if processes > 1 else None,
            desc="encoding images",
            load_from_cache_file=False,  # its key knows the config, but not the code
        )
    if len(encoded) == 0:
        raise InputError(f"no picture of {config.path} can be used")
    return _shuffled(encoded), len(table.data), Counter(encoded[CHANGE_COLUMN])


def encode_source(config: DataConfig, processes: int) -> tuple["Dataset", int, Counter[str]]:
    """`encode_table` for other sources. They are read as a whole, to find near-duplicates."""
    from datasets import Dataset  # slow, as the next ones

    from tincture.data.hugging_face import CHANGE_COLUMN, Columns, encode_pictures, encoded_features
    from tincture.data.index_maps import decode, given_palette, open_source

    source = open_source(config)
    images = decode(source, config.strict)
    classes = sorted({image.label for image in images} - {OTHER_LABEL})
    columns = Columns(None, "label" if classes else None, classes or None)
    parts = [images[start : start + PART] for start in range(0, len(images), PART)]
    work = partial(encode_pictures, columns=columns, config=config, given=given_palette(config))
    rows: dict[str, list[object]] = {name: [] for name in encoded_features(columns)}
    with ProcessPoolExecutor(processes) if processes > 1 else nullcontext() as pool:
        for part in tqdm((pool.map if pool else map)(work, parts), total=len(parts), desc="encoding images"):
            for name, values in part.items():
                rows[name] += values
    if not rows["name"]:
        raise InputError(f"none of the {len(images)} pictures can be used: each has a single color")
    encoded = Dataset.from_dict(rows, encoded_features(columns))
    return _shuffled(encoded), source.count, Counter(encoded[CHANGE_COLUMN])


def _shuffled(encoded: "Dataset") -> "Dataset":
    from tincture.data.hugging_face import CHANGE_COLUMN

    return encoded.remove_columns(CHANGE_COLUMN).shuffle(seed=0, load_from_cache_file=False)


if __name__ == "__main__":
    cli.run(main)
