"""A data set of index maps: encoded once, kept on disk as one safetensors file, held in memory as tensors."""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
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

from .config import DataConfig, check_data_config, expanded
from .icons import SIZE, icons
from .image_folder import folder
from .sources import EncodedPicture, LabelledImage, Source, name_hash

logger = logging.getLogger(__name__)

ENCODING_VERSION = 3
"""Part of the cache's key: raise it when the same pictures and settings would be encoded otherwise."""


@dataclass(frozen=True)
class Batch:
    """Index maps with their palettes and labels."""

    x_0: Tensor
    """Clean index maps, int64 ``[B, H, W]``."""
    palette: PaletteBatch
    labels: Tensor
    """int64 ``[B]``."""

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on ``device``."""
        return Batch(self.x_0.to(device), self.palette.to(device), self.labels.to(device))


@dataclass(frozen=True)
class IndexMaps:
    """One side of the split of an encoded data set."""

    indices: Tensor
    """uint8 ``[N, H, W]``."""
    palettes: PaletteBatch
    labels: Tensor
    """int64 ``[N]``."""
    label_names: list[str]
    names: list[str]

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, rows: Tensor | slice) -> Batch:
        """The pictures at ``rows``, int64 ``[B]`` or a slice."""
        return Batch(self.indices[rows].long(), self.palettes[rows], self.labels[rows])

    def subset(self, rows: Tensor) -> "IndexMaps":
        """The pictures at ``rows``, int64 ``[N]``, as a data set."""
        names = [self.names[row] for row in rows.tolist()]
        return IndexMaps(self.indices[rows], self.palettes[rows], self.labels[rows], self.label_names, names)

    def random_rows(self, number: int, seed: int) -> Tensor:
        """``number`` different rows, or as many as there are, in random order, int64 ``[N]``: the set's own keeps similar pictures together."""
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:number]

    def palette(self, row: int) -> Palette:
        """One picture's palette, without padding."""
        return Palette(self.palettes.colors[row][self.palettes.valid[row]].numpy())

    def pictures(self, rows: Tensor) -> list[IndexedImage]:
        """The pictures at ``rows``, int64 ``[N]``, each with its palette."""
        return [IndexedImage(self.indices[row].numpy(), self.palette(row)) for row in rows.tolist()]


def _icons(config: DataConfig) -> Source:
    if config.size != SIZE:
        raise InputError(f"icons are {SIZE}×{SIZE}: data.size is {config.size}")
    return icons(config.heldout_fraction)


def _folder(config: DataConfig) -> Source:
    if config.path is None:
        raise InputError("data.source folder needs data.path, the folder of images")
    return folder(expanded(Path(config.path), "path"), config.size, config.resize, config.heldout_fraction)


def _datasets(config: DataConfig) -> Source:
    from .hugging_face import whole_set  # the library takes seconds to import

    return whole_set(config)


SOURCES: dict[str, Callable[[DataConfig], Source]] = {"icons": _icons, "folder": _folder, "datasets": _datasets}


def load_index_maps(config: DataConfig) -> tuple[IndexMaps, IndexMaps]:
    """Encode a data set, or read it from the cache.

    Returns:
        The training side and the held-out side of the split; of a stream, only a sample of each.

    Raises:
        InputError: the settings contradict each other, the source is missing or empty, or a file is broken while
            ``strict`` is set.
    """
    check_data_config(config)
    if config.streaming:
        from .stream import start_stream  # the library takes seconds to import

        start = start_stream(config)
        return start.pool, start.heldout
    given = given_palette(config)
    source = SOURCES[config.source](config)
    path = expanded(config.cache_dir, "cache_dir") / f"{config.source}-{_cache_key(config, source, given)}.safetensors"
    encoded = _read_cache(path)
    if encoded is None:
        _check_writable(path.parent)  # before all pictures are encoded
        encoded = _encode(_decode(source, config.strict), config, given)
        tensors, lists = encoded
        metadata = {key: json.dumps(value) for key, value in lists.items()}
        write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))
    return _side(*encoded, heldout=False), _side(*encoded, heldout=True)


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


def _decode(source: Source, strict: bool) -> list[LabelledImage | EncodedPicture]:
    images, broken = [], []
    for image in tqdm(source.images, total=source.count, desc="reading images", unit="image", leave=False):
        if not isinstance(image, InputError):
            images.append(image)
        elif strict:
            raise image
        else:
            broken.append(image)
    for error in broken:
        logger.warning("skipped: %s", error)
    if not images:
        raise InputError(f"none of the {len(broken)} images can be read")
    return images


Encoded = tuple[dict[str, Tensor], dict[str, list[str]]]
"""What a cache file holds: tensors, and lists of names."""


def shared_palette(images: list[LabelledImage], config: DataConfig) -> Palette:
    """One palette for the pictures of the training side among ``images``; raises InputError if there is none."""
    pixels = [image.pixels for image in images if not image.heldout]
    if not pixels:
        raise InputError("there is no training picture to fit data.palette shared to: see data.heldout_fraction")
    return fit_palette(pixels, config.max_colors, config.quantizer)


def encode_picture(
    image: LabelledImage | EncodedPicture, config: DataConfig, given: Palette | None
) -> EncodedPicture | None:
    """Quantize a picture to ``given``, or to a palette of its own; nothing if that has a single color: there is nothing to draw."""
    if isinstance(image, EncodedPicture):
        return image
    palette = given or fit_palette([image.pixels], _palette_size(image.name, config), config.quantizer)
    if len(palette) < 2:
        logger.info("skipped: %s has a single color, so there is nothing to draw", image.name)
        return None
    return EncodedPicture(image.name, encode(image.pixels, palette), palette, image.label, image.heldout)


def _encode(images: list[LabelledImage | EncodedPicture], config: DataConfig, given: Palette | None) -> Encoded:
    """Quantize every picture."""
    if config.palette == "shared":
        given = shared_palette(images, config)
    encoded = [encode_picture(image, config, given) for image in tqdm(images, desc="encoding images", unit="image")]
    kept = [picture for picture in encoded if picture is not None]
    heldout = [picture.heldout for picture in kept]
    if all(heldout) or not any(heldout):
        raise InputError(
            f"all {len(kept)} images fell on one side of the split: add images, or change data.heldout_fraction"
        )
    label_names = sorted({picture.label for picture in kept})
    batch = PaletteBatch.from_palettes([picture.palette for picture in kept])
    tensors = {
        "indices": torch.from_numpy(np.stack([picture.indices for picture in kept])),
        "colors": batch.colors,
        "valid": batch.valid,
        "labels": torch.tensor([label_names.index(picture.label) for picture in kept]),
        "heldout": torch.tensor(heldout),
    }
    return tensors, {"label_names": label_names, "names": [picture.name for picture in kept]}


def _palette_size(name: str, config: DataConfig) -> int:
    """Draw a size from ``min_colors`` to ``max_colors`` by the picture's name, so that it doesn't change with the set."""
    return config.min_colors + name_hash(name) % (config.max_colors - config.min_colors + 1)


def _read_cache(path: Path) -> Encoded | None:
    """What a cache file holds; nothing if there is none, or if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a dictionary
            return tensors, {key: json.loads(value) for key, value in file.metadata().items()}
    except (OSError, SafetensorError):
        return None


def _check_writable(cache: Path) -> None:
    """Raise InputError if the cache's folder is none that can be written to or made."""
    place = next(folder for folder in (cache.absolute(), *cache.absolute().parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise InputError(f"data.cache_dir is {cache}, but {place} is not a folder that can be written to; name another")


def _side(tensors: dict[str, Tensor], lists: dict[str, list[str]], heldout: bool) -> IndexMaps:
    """One side of the split."""
    rows = torch.nonzero(tensors["heldout"] == heldout)[:, 0]
    palettes = PaletteBatch(tensors["colors"][rows], tensors["valid"][rows])
    names = [lists["names"][row] for row in rows.tolist()]
    return IndexMaps(tensors["indices"][rows], palettes, tensors["labels"][rows], lists["label_names"], names)
