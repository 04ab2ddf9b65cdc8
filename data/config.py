"""What a run says about its data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tincture.common.errors import InputError, Range
from tincture.quantization.palettes.palette import MAX_ENTRIES


@dataclass(frozen=True)
class DataConfig:
    """Which pictures, at which size, in which palettes.

    Args:
        source: where pictures come from: the built-in icons, a folder, or whatever the library datasets reads.
        path: the folder, for source folder. A level of subfolders gives class labels. For source datasets: a name on the
            Hugging Face hub ("user/set"), a folder, a file, or a pattern of files: images, parquet, WebDataset's tar shards.
        subset: of a data set on the hub that has several.
        split: of the data set, for source datasets; this project's own held-out side is a part of it.
        image_column: for source datasets; null for the first column of images.
        label_column: for source datasets; null for the first column of classes, if there is one.
        streaming: for source datasets: read pictures as they are needed, and keep only the few below.
        heldout_images: pictures of a stream to measure on; the others of the held-out side are left out.
        sample_images: training pictures of a stream to which a shared palette is fitted, and whose palettes are known.
        buffer: encoded pictures of a stream, in each process, among which the next one is drawn.
        workers: processes that read and encode a stream, for each process that trains; 0 to do it there.
        size: edge length of the index maps, pixels.
        resize: how pictures get to that size: area averages, nearest keeps pixels whole, crop doesn't scale.
        palette: own gives each picture its own palette, shared fits one to the training split; else a palette's
            name or file.
        min_colors: smallest palette, entries; each picture's size is drawn from min_colors to max_colors.
        max_colors: largest palette, entries, the transparent one included.
        quantizer: the method that chooses palettes.
        heldout_fraction: share of the pictures that training never sees, 0 to 1.
        strict: stop at the first broken picture instead of naming and skipping it.
        cache_dir: where encoded data sets are kept.
    """

    source: Literal["icons", "folder", "datasets"] = "icons"
    path: str | None = None
    subset: str | None = None
    split: str = "train"
    image_column: str | None = None
    label_column: str | None = None
    streaming: bool = False
    heldout_images: int = 1000
    sample_images: int = 2000
    buffer: int = 10_000
    workers: int = 1
    size: int = 16
    resize: Literal["area", "nearest", "crop"] = "area"
    palette: str = "own"
    min_colors: int = 16
    max_colors: int = 16
    quantizer: str = "kmeans"
    heldout_fraction: float = 0.1
    strict: bool = False
    cache_dir: Path = Path("~/.cache/tincture")


RANGES = {
    "size": Range(1, 4096),
    "min_colors": Range(2, MAX_ENTRIES),
    "max_colors": Range(2, MAX_ENTRIES),
    "heldout_images": Range(1, 10**12),
    "sample_images": Range(1, 10**12),
    "buffer": Range(1, 10**12),
    "workers": Range(0, 10_000),
}
"""What the numbers of a data set may be."""


def check_data_config(config: DataConfig) -> None:
    """Raise InputError if a number is out of range, or if the settings contradict each other."""
    for name, allowed in RANGES.items():
        allowed.check(f"data.{name}", getattr(config, name))
    if config.min_colors > config.max_colors:
        raise InputError(f"data.min_colors is {config.min_colors}, above data.max_colors, which is {config.max_colors}")
    if not 0 < config.heldout_fraction < 1:
        raise InputError(f"data.heldout_fraction is {config.heldout_fraction}; it must lie between 0 and 1")
    if config.source == "datasets" and config.path is None:
        raise InputError(
            "data.source datasets needs data.path: a name on the hub, a folder, a file, or a pattern of files"
        )
    if config.streaming and config.source != "datasets":
        raise InputError(f"data.streaming is for data.source datasets, not {config.source}")


def expanded(path: Path, option: str) -> Path:
    """The path, its ``~`` replaced by the user's folder; raises InputError, which names the ``option``, if there is none."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InputError(f"data.{option} is {path}: {error}") from None
