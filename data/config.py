"""What a run says about its data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class DataConfig:
    """Which pictures, at which size, in which palettes.

    Args:
        source: where pictures come from: the built-in icons, or a folder.
        path: the folder, for source folder. A level of subfolders gives class labels.
        size: edge length of the index maps, pixels.
        resize: how pictures of a folder get to that size: area averages, nearest keeps pixels whole, crop doesn't scale.
        palette: own gives each picture its own palette, shared fits one to the training split; else a palette's
            name or file.
        min_colors: smallest palette, entries; each picture's size is drawn from min_colors to max_colors.
        max_colors: largest palette, entries, the transparent one included.
        quantizer: the method that chooses palettes.
        heldout_fraction: share of the pictures that training never sees, 0 to 1.
        strict: stop at the first broken file instead of naming and skipping it.
        cache_dir: where encoded data sets are kept.
    """

    source: Literal["icons", "folder"] = "icons"
    path: Path | None = None
    size: int = 16
    resize: Literal["area", "nearest", "crop"] = "area"
    palette: str = "own"
    min_colors: int = 16
    max_colors: int = 16
    quantizer: str = "kmeans"
    heldout_fraction: float = 0.1
    strict: bool = False
    cache_dir: Path = Path("~/.cache/tincture")
