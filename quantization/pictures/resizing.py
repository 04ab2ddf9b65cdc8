"""Pictures of any size brought to a wanted one: in linear light, or pixel art in whole pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from PIL import Image

from tincture.common.errors import InputError
from tincture.common.options import OneOf

from ..color import linear_to_srgb
from ..encoding import differs, encode
from ..fit import FEW_COLORS
from ..histogram import histogram
from ..spaces import LINEAR_OF_BYTE
from .animation import Animation
from .indexed_image import IndexedImage

MAX_EDGE = 32_767
"""Pixels; a picture of more may not fit into the memory."""


@dataclass(frozen=True)
class Resizing:
    """The size that pictures get before all else.

    Args:
        size: width and height in pixels, like 800x480. Pixel art (at most 64 colors) is scaled by
            whole numbers, where it can be.
        resize: cover fills the size, and cuts off what sticks out; fit stays inside, so that one
            edge may be shorter; exact stretches.

    Raises:
        InputError: the size is none.
    """

    size: str
    resize: Annotated[str, OneOf(("cover", "fit", "exact"))] = "cover"

    def __post_init__(self) -> None:
        words = self.size.lower().split("x")
        if len(words) != 2 or not all(word.isdecimal() and 1 <= int(word) <= MAX_EDGE for word in words):
            raise InputError(f"--size is {self.size!r}; write width and height, 1 to {MAX_EDGE:,}, like 800x480")

    def __call__(self, animation: Animation) -> Animation:
        """Resize all frames; an indexed picture stays one if no color becomes another."""
        frames, indexed = self.resized(animation.frames), animation.indexed
        if frames[0] is animation.frames[0]:
            return animation
        if indexed is not None:
            indices = encode(frames[0], indexed.palette)
            is_same = not differs(frames[0], indices, indexed.palette).any()
            indexed = IndexedImage(indices, indexed.palette) if is_same else None
        return replace(animation, frames=frames, indexed=indexed)

    def resized(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Resize frames, sRGB RGBA, uint8 ``[H, W, 4]``, all of one size."""
        wanted = [int(word) for word in self.size.lower().split("x")]
        own = [frames[0].shape[1], frames[0].shape[0]]
        if wanted == own:
            return list(frames)
        is_pixel_art = len(histogram(frames)[0]) <= FEW_COLORS

        # How many times as large each edge becomes.
        scales = [edge / now for edge, now in zip(wanted, own, strict=True)]
        if self.resize != "exact":
            scale = max(scales) if self.resize == "cover" else min(scales)
            if is_pixel_art and scale > 1:
                scale = np.ceil(scale) if self.resize == "cover" else np.floor(scale)
            scales = [scale, scale]
        is_whole = is_pixel_art and all(max(scale, 1 / scale).is_integer() for scale in map(float, scales))

        # What is shown of the picture, and how large. What sticks out is cut off on both sides.
        if self.resize == "fit":
            wanted = [max(1, round(now * scale)) for now, scale in zip(own, scales, strict=True)]
            box = (0, 0, *own)
        else:
            edges = list(zip(own, wanted, scales, strict=True))
            starts = [max(0, (now * scale - edge) // 2) / scale for now, edge, scale in edges]
            ends = [min(now, start + edge / scale) for start, (now, edge, scale) in zip(starts, edges, strict=True)]
            box = (*starts, *ends)
        # The box takes every pixel as it is, or the mean of a square. Hamming's window is as sharp
        # as it gets without halos beside edges.
        filter_ = Image.Resampling.BOX if is_whole else Image.Resampling.HAMMING
        return [_resampled(frame, (wanted[0], wanted[1]), filter_, box) for frame in frames]


def _resampled(
    frame: np.ndarray, size: tuple[int, int], filter_: Image.Resampling, box: tuple[float, float, float, float]
) -> np.ndarray:
    """Resample a part of a frame, uint8 ``[H, W, 4]``; transparent pixels lend no color."""

    def scaled(values: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(values).resize(size, filter_, box))

    alpha = frame[..., 3].astype(np.float32) / 255
    weights = scaled(alpha)
    out = np.empty((size[1], size[0], 4), np.uint8)
    for axis in range(3):
        light = scaled(LINEAR_OF_BYTE[frame[..., axis]] * alpha) / np.maximum(weights, 1e-6)
        out[..., axis] = (linear_to_srgb(light.clip(0, 1)) * 255).round()
    out[..., 3] = (weights * 255).round()
    out[out[..., 3] == 0] = 0
    return out
