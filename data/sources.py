"""What a data source gives: labelled pictures, each on one side of the train/held-out split."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import Palette

OTHER_LABEL = "other"


@dataclass(frozen=True)
class LabelledImage:
    """One picture of a data set: sRGB RGBA, uint8 ``[H, W, 4]``."""

    name: str
    pixels: np.ndarray
    label: str
    heldout: bool


@dataclass(frozen=True)
class EncodedPicture:
    """One picture of a data set, quantized."""

    name: str
    indices: np.ndarray
    """uint8 ``[H, W]``."""
    palette: Palette
    label: str
    heldout: bool


@dataclass(frozen=True)
class Source:
    """Pictures that are decoded as they are asked for, and what is known about them before."""

    fingerprint: str
    """Changes when the content does; part of the cache's key."""
    count: int
    """How many pictures there are, broken ones included; for the progress bar."""
    images: Iterator[LabelledImage | EncodedPicture | InputError]
    """A picture, quantized by somebody already or not, or what is wrong with its file."""


def name_hash(name: str) -> int:
    """An integer below 2⁶⁴ that depends on the name alone."""
    return int.from_bytes(hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest(), "big")


def content_hash(pixels: np.ndarray) -> int:
    """An integer below 2⁶⁴ that depends on the pixels alone."""
    return int.from_bytes(hashlib.blake2b(pixels.tobytes(), digest_size=8).digest(), "big")


def is_heldout(name: str, fraction: float) -> bool:
    """Assign a name to the held-out side by its hash: the same on every machine, whatever else the set holds."""
    return hash_is_heldout(name_hash(name), fraction)


def hash_is_heldout(value: int, fraction: float) -> bool:
    """Whether a hash below 2⁶⁴ falls into the share of the held-out side."""
    return value < fraction * 2**64
