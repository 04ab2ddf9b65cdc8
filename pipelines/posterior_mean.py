"""The posterior mean: what many drawings have in common, dithered to their palette.

The mean color over draws from p(image | what was asked) is the best guess in squared error, by
Monte Carlo. It is an entry where drawings agree. Elsewhere it lies between entries, and a dither
shows it. As far as the model and the sampler are exact, drawings of the absorbing process that are
given kept pixels are such draws. Given wishes they are so only nearly (`controls.wishes`), and
given kept pixels, drawings of the other processes are, too (`controls.kept`).
"""

from collections.abc import Sequence

import numpy as np
import torch

from tincture.common.errors import InputError
from tincture.quantization.color import linear_to_srgb, srgb_to_linear
from tincture.quantization.dither import dither
from tincture.quantization.pictures.indexed_image import IndexedImage


def mean_color(images: Sequence[IndexedImage]) -> np.ndarray:
    """The mean of images in linear light, weighted by alpha; sRGB RGBA, uint8 ``[H, W, 4]``."""
    rgba = torch.from_numpy(np.stack([image.to_rgba() for image in images])).double() / 255
    alpha = rgba[..., 3:]
    opacity = alpha.mean(dim=0)
    light = (srgb_to_linear(rgba[..., :3]) * alpha).mean(dim=0) / opacity.where(opacity > 0, 1)
    mean = torch.cat([linear_to_srgb(light), opacity], dim=-1)
    return (mean * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def dithered_means(
    images: Sequence[IndexedImage], draws: int, method: str, keep: np.ndarray | None = None
) -> list[IndexedImage]:
    """Dither the mean of every ``draws`` images, which have one palette, to that palette.

    Dithers only know opaque and transparent pixels, so a half-transparent entry stays where all
    draws have it.

    Args:
        images: the draws of the first result, then those of the second, and so on.
        draws: of each result.
        method: a name in `DITHERERS`.
        keep: pixels that are the same in all draws and stay so, bool ``[H, W]``.

    Raises:
        InputError: the palettes of one result differ.
    """
    results = []
    for first in range(0, len(images), draws):
        some = images[first : first + draws]
        if any(image.palette != some[0].palette for image in some):
            raise InputError("the draws to be averaged have different palettes; give one")
        indices = dither(mean_color(some), some[0].palette, method, exact=True)
        drawn = np.stack([image.indices for image in some])
        alpha = some[0].palette.colors[drawn[0], 3]
        stays = (drawn == drawn[0]).all(axis=0) & (alpha > 0) & (alpha < 255)
        indices = np.where(stays if keep is None else stays | keep, drawn[0], indices)
        results.append(IndexedImage(indices, some[0].palette))
    return results
