"""Other colors for indexed images: their own palette changed at random, or another palette."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np

from tincture.common.errors import SHARE, InputError, Range
from tincture.common.options import check_options
from tincture.quantization.color import oklab_to_linear, oklab_to_srgb, srgb_to_oklab
from tincture.quantization.conversion import has_place_for_transparency, with_place_for_transparency
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.recolor import GENTLE, recolor_solid

PaletteChange = Callable[[IndexedImage, np.random.Generator], IndexedImage]
"""Gives an image other colors: `PaletteJitter`, `OtherPalettes`, or any function that pickles."""

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

    def apply(self, oklab: np.ndarray) -> np.ndarray:
        """The changed colors, ``[..., 3]``; lightness stays within [0, 1]."""
        lightness = (oklab[..., :1] - 0.5) * self.contrast + 0.5 + self.lightness
        angle = np.deg2rad(self.hue)
        cosine, sine = np.cos(angle) * self.chroma, np.sin(angle) * self.chroma
        turned = oklab[..., 1:] @ np.array([[cosine, sine], [-sine, cosine]])
        return np.concatenate([lightness.clip(0, 1), turned], axis=-1)


def into_gamut(oklab: np.ndarray) -> np.ndarray:
    """Lower the chroma of OKLab colors, ``[..., 3]``, until sRGB can show them; the rest stays."""
    low, high = np.zeros_like(oklab[..., :1]), np.ones_like(oklab[..., :1])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        inside = _in_gamut(_with_chroma(oklab, middle))
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return _with_chroma(oklab, np.where(_in_gamut(oklab), 1.0, low))


def _with_chroma(oklab: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return np.concatenate([oklab[..., :1], oklab[..., 1:] * factor], axis=-1)


def _in_gamut(oklab: np.ndarray) -> np.ndarray:
    linear = oklab_to_linear(oklab)
    return ((linear >= -_GAMUT_SLACK) & (linear <= 1 + _GAMUT_SLACK)).all(axis=-1, keepdims=True)


@dataclass(frozen=True)
class PaletteJitter:
    """Random changes of all colors together, and a little noise.

    Each change is drawn uniformly, up to its strength either way.

    Args:
        lightness: strength of what is added to OKLab lightness, 0 to 1.
        contrast: strength of the relative change of lightness about middle gray, 0 to 1.
        chroma: strength of the relative change of chroma, 0 to 1.
        hue: strength of the turn of hue, degrees, 0 to 180.
        noise: standard deviation of what each entry is moved by on its own in OKLab, 0 to 1.

    Raises:
        InputError: a strength is out of range.
    """

    lightness: Annotated[float, SHARE] = 0.06
    contrast: Annotated[float, SHARE] = 0.15
    chroma: Annotated[float, SHARE] = 0.3
    hue: Annotated[float, Range(0, 180)] = 30.0
    noise: Annotated[float, SHARE] = 0.01

    def __post_init__(self) -> None:
        check_options(self)

    def draw(self, rng: np.random.Generator) -> ColorChange:
        """One change for all colors."""
        lightness, contrast, chroma, hue = rng.uniform(-1, 1, 4)
        return ColorChange(
            1 + contrast * self.contrast, lightness * self.lightness, 1 + chroma * self.chroma, hue * self.hue
        )

    def __call__(self, image: IndexedImage, rng: np.random.Generator) -> IndexedImage:
        """The same index map with another palette. Alpha and the transparent entry stay."""
        colors = image.palette.colors
        change = self.draw(rng)
        noise = rng.normal(0, self.noise, (len(colors), 3))
        moved = np.column_stack([_changed(colors[:, :3], change, noise), colors[:, 3]])
        return IndexedImage(image.indices, Palette(np.where(colors[:, 3:] > 0, moved, colors)))

    def pixels(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A picture, uint8 ``[H, W, 4]``, changed pixel by pixel without noise. Alpha stays."""
        packed = image[..., :3].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        keys, place = np.unique(packed, return_inverse=True)
        colors = np.stack([keys >> 16, keys >> 8 & 255, keys & 255], axis=1).astype(np.uint8)
        changed = _changed(colors, self.draw(rng), np.zeros((1, 3)))
        return np.concatenate([changed[place.reshape(packed.shape)], image[..., 3:]], axis=-1)


def _changed(colors: np.ndarray, change: ColorChange, noise: np.ndarray) -> np.ndarray:
    """Changed colors with what is added to each in OKLab, uint8 ``[N, 3]`` → uint8 ``[N, 3]``."""
    oklab = change.apply(srgb_to_oklab(colors.astype(np.float32) / 255).astype(np.float64)) + noise
    oklab[:, 0] = oklab[:, 0].clip(0, 1)
    return (oklab_to_srgb(into_gamut(oklab)) * 255).round().astype(np.uint8)


@dataclass(frozen=True)
class OtherPalettes:
    """Recolor to one of several palettes, drawn at random.

    Args:
        palettes: at least one, each with an opaque entry. Those without a transparent entry get one
            after their last where a picture needs it.
        distinct: what each color that is used is worth, as for `recolor`; infinite keeps all colors
            apart that the palette has room for.

    Raises:
        InputError: there is no palette, or one of them has no opaque entry.
    """

    palettes: Sequence[Palette]
    distinct: float = GENTLE

    def __post_init__(self) -> None:
        if not self.palettes or not all((palette.colors[:, 3] > 0).any() for palette in self.palettes):
            raise InputError("other palettes to recolor to: give at least one, each with an opaque entry")

    def __call__(self, image: IndexedImage, rng: np.random.Generator) -> IndexedImage:
        """The image in one of the palettes."""
        target = with_transparency_for(image, self.palettes[rng.integers(len(self.palettes))])
        return recolor_solid(image, target, reversible=False, distinct=self.distinct)


def with_transparency_for(image: IndexedImage, palette: Palette) -> Palette:
    """The palette, with a transparent entry after its last if the image needs one.

    256 opaque entries leave no place for it. `recolor` then gives transparent pixels the lightest.
    """
    frames = [image.to_rgba()]
    return with_place_for_transparency(palette, frames) if has_place_for_transparency(palette, frames) else palette
