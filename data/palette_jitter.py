"""Palette jitter: one random change of all colors in OKLab, which keeps their relations, and a little noise for each."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from tincture.common.errors import SHARE, Range
from tincture.quantization.color import oklab_to_linear, oklab_to_srgb, srgb_to_oklab
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

_HALVINGS = 12  # of the interval in which the largest chroma lies: to 1/4096 of it
_GAMUT_SLACK = 1e-4  # of linear light, far below half a step of a byte; white itself misses the gamut by rounding


class ColorChange(NamedTuple):
    """A change of colors in OKLab that is the same for all of them."""

    contrast: float
    """By which lightness is multiplied, about the middle gray of lightness 0.5."""
    lightness: float
    """What is added to lightness then, where black and white are 1 apart."""
    chroma: float
    """By which chroma is multiplied."""
    hue: float
    """By which hue is turned, in degrees, from red towards yellow."""

    def apply(self, oklab: torch.Tensor) -> torch.Tensor:
        """The changed colors, ``[..., 3]``; lightness stays within [0, 1]."""
        lightness = (oklab[..., :1] - 0.5) * self.contrast + 0.5 + self.lightness
        angle = np.deg2rad(self.hue)
        cosine, sine = np.cos(angle) * self.chroma, np.sin(angle) * self.chroma
        turn = torch.tensor([[cosine, sine], [-sine, cosine]], dtype=oklab.dtype)
        return torch.cat([lightness.clamp(0, 1), oklab[..., 1:] @ turn], dim=-1)


def into_gamut(oklab: torch.Tensor) -> torch.Tensor:
    """Lower the chroma of colors that sRGB can't show until it can; lightness and hue stay. ``[..., 3]``."""
    low, high = torch.zeros_like(oklab[..., :1]), torch.ones_like(oklab[..., :1])
    fits = _in_gamut(oklab)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        inside = _in_gamut(torch.cat([oklab[..., :1], oklab[..., 1:] * middle], dim=-1))
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return torch.cat([oklab[..., :1], oklab[..., 1:] * torch.where(fits, 1.0, low)], dim=-1)


def _in_gamut(oklab: torch.Tensor) -> torch.Tensor:
    linear = oklab_to_linear(oklab)
    return ((linear >= -_GAMUT_SLACK) & (linear <= 1 + _GAMUT_SLACK)).all(dim=-1, keepdim=True)


@dataclass(frozen=True)
class PaletteJitter:
    """Random changes of colors; each is drawn uniformly, up to the given strength either way.

    Args:
        lightness: added to OKLab lightness, 0 to 1.
        contrast: relative change of lightness about middle gray, 0 to 1.
        chroma: relative change of chroma, 0 to 1.
        hue: turn of hue, degrees, 0 to 180.
        noise: standard deviation of what each entry is moved by on its own in OKLab, 0 to 1.

    Raises:
        InputError: a strength is out of range.
    """

    lightness: float = 0.06
    contrast: float = 0.15
    chroma: float = 0.3
    hue: float = 30.0
    noise: float = 0.01

    def __post_init__(self) -> None:
        for name in ("lightness", "contrast", "chroma", "noise"):
            SHARE.check(name, getattr(self, name))
        Range(0, 180).check("hue", self.hue)

    def draw(self, rng: np.random.Generator) -> ColorChange:
        """One change for all colors."""
        lightness, contrast, chroma, hue = rng.uniform(-1, 1, 4)
        return ColorChange(
            1 + contrast * self.contrast, lightness * self.lightness, 1 + chroma * self.chroma, hue * self.hue
        )

    def __call__(self, image: IndexedImage, rng: np.random.Generator) -> IndexedImage:
        """The same index map with another palette; alpha and the transparent entry stay as they are."""
        colors = image.palette.colors
        change = self.draw(rng)
        noise = rng.normal(0, self.noise, (len(colors), 3))
        moved = np.where(
            colors[:, 3:] > 0, np.column_stack([_change(colors[:, :3], change, noise), colors[:, 3]]), colors
        )
        return IndexedImage(image.indices, Palette(moved))

    def pixels(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A picture in full detail, changed pixel by pixel without noise; uint8 ``[H, W, 4]``, alpha as it is."""
        packed = image[..., :3].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        keys, place = np.unique(packed, return_inverse=True)
        colors = np.stack([keys >> 16, keys >> 8 & 255, keys & 255], axis=1).astype(np.uint8)
        changed = _change(colors, self.draw(rng), np.zeros((1, 3)))
        return np.concatenate([changed[place.reshape(packed.shape)], image[..., 3:]], axis=-1)


def _change(colors: np.ndarray, change: ColorChange, noise: np.ndarray) -> np.ndarray:
    """Changed colors with what is added to each in OKLab, uint8 ``[N, 3]`` → uint8 ``[N, 3]``."""
    oklab = change.apply(srgb_to_oklab(torch.from_numpy(colors.copy())).double()) + torch.from_numpy(noise)
    oklab[:, 0].clamp_(0, 1)
    return (oklab_to_srgb(into_gamut(oklab)) * 255).round().to(torch.uint8).numpy()
