"""Wishes about pixels: a palette is a finite set, so "near this color" is a number for each entry.

With the bias -F · d², p(entry) becomes p(entry | what is drawn so far) · exp(-F d²). The model is
the prior, the wish is a Gaussian likelihood of variance 1 / 2F, and each pixel is drawn from its
own posterior.

The drawing as a whole is only nearly drawn from the posterior, because what is asked of pixels that
aren't drawn yet doesn't count. An example: two pixels are always equal, two entries are equally
likely, and 4.6 nats are asked of the second pixel. In the posterior, the wanted entry has the
probability 1 / (1 + e^-4.6) = 0.990. Drawn in random order, it has (0.990 + 0.5) / 2 = 0.745: half
of the time the first pixel goes first, and nothing is asked of it. Kept pixels (controls/kept.py)
are seen from the start, so in the absorbing process they are truly given.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tincture.common.errors import InputError
from tincture.quantization.color import srgb_to_oklab
from tincture.quantization.histogram import OPAQUE_ALPHA
from tincture.quantization.metric import NEAR, hue_weight
from tincture.quantization.palettes.batch import PaletteBatch, on_black_and_white
from tincture.quantization.palettes.luminance import TRANSPARENT, entry_luminance

from .options import FIDELITIES

INFINITE = 1e20
"""The nats of an infinite fidelity: more than any model says, and yet a number. Where such wishes
contradict each other (about both halves of a mirror, or about color and lightness), the entry that
misses them least is drawn, which infinity couldn't tell."""

TRANSPARENT_DISTANCE = 2.0
"""The squared distance of an opaque color from transparency; two opaque colors have at most 1."""


class Wish(Protocol):
    """Something asked of every pixel."""

    shape: tuple[int, int, int]
    """Images, height and width; one image stands for as many as are drawn."""

    def bias(self, palette: PaletteBatch, images: slice) -> Tensor:
        """What to add to the logits of ``images``, whose palettes these are: ``[B, K, H, W]``."""
        ...


@dataclass(frozen=True, eq=False)
class ColorWish:
    """Be near these colors: -fidelity · squared distance in OKLab.

    At a fidelity of 0 the drawing is free. At infinity each pixel has the nearest entry, as
    `quantization.encoding.encode` finds it; the model decides between entries that are equally
    near, and where infinite wishes contradict each other, the entry that misses them least is
    drawn.

    Args:
        pixels: sRGB RGBA, uint8 ``[H, W, 4]`` for all images or ``[N, H, W, 4]``. Transparent
            pixels ask for the transparent entry; where the palette has none, they count as white.
        fidelity: in nats, 0 or more; infinity is allowed.

    Raises:
        InputError: the shape or the fidelity is wrong.
    """

    pixels: Tensor
    fidelity: float

    def __post_init__(self) -> None:
        pixels = torch.as_tensor(self.pixels)
        if pixels.dtype != torch.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] != 4:
            raise InputError(f"a target is uint8 [H, W, 4] or [N, H, W, 4], not {pixels.dtype} {list(pixels.shape)}")
        FIDELITIES.check("the fidelity", self.fidelity)
        object.__setattr__(self, "pixels", pixels.view(-1, *pixels.shape[-3:]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """See `Wish`."""
        return tuple(self.pixels.shape[:3])

    def bias(self, palette: PaletteBatch, images: slice) -> Tensor:
        """See `Wish`."""
        pixels = _of(self.pixels, images).to(palette.colors.device)
        return _bias(color_distances(palette, pixels), self.fidelity, palette)


@dataclass(frozen=True, eq=False)
class LightnessWish:
    """Be this light, in whatever color: -fidelity · squared difference of OKLab lightness.

    Args:
        luminance: float ``[H, W]`` for all images or ``[N, H, W]``, as in
            `quantization.palettes.luminance`; nothing is asked where it is not a number.
        fidelity: in nats, 0 or more; infinity is allowed.

    Raises:
        InputError: the shape or the fidelity is wrong.
    """

    luminance: Tensor
    fidelity: float

    def __post_init__(self) -> None:
        luminance = torch.as_tensor(self.luminance)
        if not luminance.is_floating_point() or luminance.ndim not in (2, 3):
            raise InputError(f"a luminance is float [H, W] or [N, H, W], not {luminance.dtype} {list(luminance.shape)}")
        FIDELITIES.check("the fidelity", self.fidelity)
        object.__setattr__(self, "luminance", luminance.view(-1, *luminance.shape[-2:]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """See `Wish`."""
        return tuple(self.luminance.shape)

    def bias(self, palette: PaletteBatch, images: slice) -> Tensor:
        """See `Wish`."""
        luminance = _of(self.luminance, images).to(palette.colors.device)
        return _bias(lightness_distances(palette, luminance), self.fidelity, palette)


def color_distances(palette: PaletteBatch, pixels: Tensor) -> Tensor:
    """Squared distances of pixels from each entry, in OKLab, float ``[B, K, H, W]``.

    What is opaque, transparent or soft is as `quantization.encoding` says. Where no entry is near
    an opaque pixel, hue counts more, as in `quantization.metric`. Soft pixels are measured on black
    and on white. Transparency is 0 from itself and `TRANSPARENT_DISTANCE` from all that is opaque.
    Opaque pixels are as far from entries that aren't among `opaque_entries`.

    Args:
        palette: the entries.
        pixels: RGBA, uint8 ``[B or 1, H, W, 4]``.
    """
    # Entries: transparent, or one of those for opaque pixels.
    alpha = palette.colors[..., 3].int() * palette.valid  # [B, K]
    clear = (alpha == 0) & palette.valid
    most = alpha.amax(dim=1, keepdim=True)
    solid = alpha >= torch.where(most == 255, 255, torch.where(most >= OPAQUE_ALPHA, OPAQUE_ALPHA, 1))
    has_soft = ((alpha > 0) & (alpha < 255)).any(dim=1)[:, None, None]

    # Pixels: opaque, transparent, or soft if there are soft entries.
    opacity = pixels[..., 3].int()  # [B, H, W]
    opacity = torch.where(has_soft, opacity, (opacity >= OPAQUE_ALPHA) * 255)
    is_white = (opacity == 0) & ~clear.any(dim=1)[:, None, None]
    opacity = opacity.masked_fill(is_white, 255)
    oklab = srgb_to_oklab((pixels[..., :3].float() / 255).masked_fill(is_white[..., None], 1.0))  # [B, H, W, 3]
    entries = palette.oklab()

    distances = _squared_distances(palette, oklab.flatten(1, 2), solid & palette.valid)
    distances = distances.unflatten(2, oklab.shape[1:3])  # [B, K, H, W]
    distances = distances.where(solid[:, :, None, None], TRANSPARENT_DISTANCE)
    to_clear = torch.where(clear, 0.0, TRANSPARENT_DISTANCE)[:, :, None, None]
    distances = distances.where(opacity[:, None] > 0, to_clear)
    is_between = (opacity > 0) & (opacity < 255)
    if is_between.any():
        seen, wanted = on_black_and_white(entries, alpha), on_black_and_white(oklab, opacity)
        soft = (seen[:, :, None, None] - wanted[:, None]).square().sum(dim=-1)
        distances = soft.where(is_between[:, None], distances)
    return distances


def _squared_distances(palette: PaletteBatch, points: Tensor, is_open: Tensor) -> Tensor:
    """Squared distances from each entry, by which quantization/metric.py finds the nearest one.

    Args:
        palette: the entries.
        points: colors in OKLab, float32 ``[B or 1, N, 3]``.
        is_open: which entries may be taken, ``[B, K]``.

    Returns:
        float32 ``[B, K, N]``. Distances in OKLab; but of a point that is near to no open entry,
        those in which hue counts more, divided by the largest one if that is above 1.
    """
    oklab = palette.oklab()
    squares = (oklab[:, :, None] - points[:, None]).square()  # [B, K, N, 3]
    plain = squares.sum(dim=-1)
    known = zip(palette.colors.cpu().numpy(), is_open.cpu().numpy(), strict=True)
    weights = oklab.new_tensor([hue_weight(entries[rows]) for entries, rows in known])[:, None, None]
    is_near = (plain.masked_fill(~is_open[:, :, None], torch.inf).amin(dim=1, keepdim=True) <= NEAR**2) | (weights == 1)
    hued = squares[..., 0] + weights**2 * squares[..., 1:].sum(dim=-1)
    return plain.where(is_near, hued / hued.amax(dim=1, keepdim=True).clamp_min(1))


def lightness_distances(palette: PaletteBatch, luminance: Tensor) -> Tensor:
    """Squared differences from each entry's lightness, ``[B, K, H, W]``; 0 where it is unknown.

    A transparent pixel counts as the lightest color where the palette has no transparent entry.

    Args:
        palette: the entries.
        luminance: of pixels, float ``[B or 1, H, W]``.
    """
    entries = entry_luminance(palette)
    has_clear = ((entries == TRANSPARENT) & palette.valid).any(dim=1)[:, None, None]
    luminance = torch.where((luminance == TRANSPARENT) & ~has_clear, 1.0, luminance)
    # A transparent entry stands at -1, at least as far from all others as black is from white.
    return (entries[:, :, None, None] - luminance[:, None]).square().nan_to_num(0.0)


def _bias(distances: Tensor, fidelity: float, palette: PaletteBatch) -> Tensor:
    if fidelity < INFINITE:
        return -fidelity * distances
    least = distances.masked_fill(~palette.valid[:, :, None, None], torch.inf).min(dim=1, keepdim=True).values
    return -INFINITE * (distances - least).clamp_min(0)  # 0 for all entries that are equally near


def _of(values: Tensor, images: slice) -> Tensor:
    return values if len(values) == 1 else values[images]
