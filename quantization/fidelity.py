"""How near an indexed picture is to its original: PSNR, mean ΔE in OKLab, and colors used.

Both pictures are laid on black and on white, as screens lay them, and the two errors are averaged.
So a wrong alpha counts by what is seen of it. Where nothing is transparent, the two are the same.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from tincture.common.threads import over_slices

from .color import linear_to_oklab
from .histogram import as_rgba
from .palettes.palette import Palette
from .spaces import LINEAR_OF_BYTE, linear_to_oklab_pixel

EYE_BLUR = 1.5
"""How the eye mixes dithered pixels: a Gaussian of this deviation, in pixels, in linear light."""

_ROWS = 64


class Fidelity(NamedTuple):
    """How near index maps are to their originals: means over what is visible in all frames.

    They are none where nothing is.
    """

    psnr: float | None
    """Peak signal-to-noise ratio of sRGB bytes, in decibels; infinite for equal pixels."""
    delta_e: float | None
    """Mean Euclidean distance in OKLab, where black and white are 1 apart."""
    colors_used: int
    """Entries that some pixel holds, the transparent one included; those of all palettes."""
    blur: float = 0.0
    """Of both pictures before ΔE was taken, in pixels."""


def fidelity(
    originals: Sequence[np.ndarray],
    indices: Sequence[np.ndarray],
    palette: Palette | Sequence[Palette],
    blur: float = 0.0,
) -> Fidelity:
    """Compare frames with their index maps.

    Args:
        originals: sRGB, uint8 ``[H, W, 3]`` or ``[H, W, 4]`` each. A pixel counts if it is visible
            in the original or as its entry.
        indices: uint8 ``[H, W]`` each, as many as originals.
        palette: of all index maps, or one for each.
        blur: of both before ΔE is taken, in pixels: `EYE_BLUR` where they are dithered. Pixel by
            pixel, a flat wrong color may be nearer than dots that mix to the right one.
    """
    palettes = [palette] * len(indices) if isinstance(palette, Palette) else palette
    used, sums = {each: np.zeros(256, np.bool_) for each in palettes}, np.zeros(3)
    kernel = _gaussian(blur)
    for before, after, own in zip(map(as_rgba, originals), indices, palettes, strict=True):
        used[own] |= np.bincount(after.ravel(), minlength=256) > 0

        def compare(
            start: int, stop: int, before: np.ndarray = before, after: np.ndarray = after, own: Palette = own
        ) -> np.ndarray:
            # The rows around are there to be blurred into these.
            first, last = max(start - len(kernel) // 2, 0), stop + len(kernel) // 2
            rows = before[first:last], own.colors[after[first:last]]
            return _compare(*rows, start - first, stop - first, kernel)

        sums += np.sum(over_slices(compare, len(before), _ROWS), axis=0)
    squares, distances, count = sums
    colors_used = int(sum(map(np.sum, used.values())))
    if count == 0:
        return Fidelity(None, None, colors_used, blur)
    psnr = float(10 * np.log10(255**2 / (squares / (3 * count)))) if squares else float("inf")
    return Fidelity(psnr, float(distances / count), colors_used, blur)


def seen_oklab(rgba: np.ndarray) -> np.ndarray:
    """Colors on black and on white in OKLab, uint8 ``[N, 4]`` → float32 ``[2, N, 3]``."""
    return np.stack(
        [linear_to_oklab(_lay_on(rgba[None], np.float32(ground), LINEAR_OF_BYTE)[1][0]) for ground in (0, 255)]
    )


def _gaussian(deviation: float) -> np.ndarray:
    """The weights of a blur up to four standard deviations, float32, of an odd number."""
    reach = int(4 * deviation + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(deviation, 1e-9)) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def _compare(before: np.ndarray, after: np.ndarray, start: int, stop: int, kernel: np.ndarray) -> np.ndarray:
    """Squared differences of bytes, distances in OKLab and pixels, summed over the rows between."""
    visible = (before[..., 3] > 0) | (after[..., 3] > 0)
    backgrounds = (0.0, 255.0) if min(before[..., 3].min(), after[..., 3].min()) < 255 else (0.0,)
    sums = np.zeros(3)
    for background in backgrounds:
        srgb, light = _lay_on(before, np.float32(background), LINEAR_OF_BYTE)
        other_srgb, other_light = _lay_on(after, np.float32(background), LINEAR_OF_BYTE)
        if len(kernel) > 1:
            light, other_light = _blurred(light, kernel), _blurred(other_light, kernel)
        sums += _sums(srgb, other_srgb, light, other_light, visible, start, stop)
    return sums / len(backgrounds)


@njit(cache=True, nogil=True)
def _lay_on(pixels: np.ndarray, background: np.float32, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels on a gray, in sRGB from 0 to 255 and in linear light, float32 ``[H, W, 3]`` each."""
    height, width = pixels.shape[:2]
    srgb, light = np.empty((height, width, 3), np.float32), np.empty((height, width, 3), np.float32)
    for y in range(height):
        for x in range(width):
            alpha = np.float32(pixels[y, x, 3]) / np.float32(255)
            for axis in range(3):
                byte = pixels[y, x, axis]
                srgb[y, x, axis] = np.float32(byte)
                light[y, x, axis] = table[byte]
                if alpha < 1:
                    value = alpha * np.float32(byte) + (1 - alpha) * background
                    srgb[y, x, axis] = value
                    share = value / 255
                    light[y, x, axis] = share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
    return srgb, light


@njit(cache=True, nogil=True)
def _blurred(light: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Float32 ``[H, W, 3]``, blurred along both axes; the outermost pixels go on beyond edges."""
    height, width = light.shape[:2]
    reach = len(kernel) // 2
    across, out = np.zeros_like(light), np.zeros_like(light)
    for y in range(height):
        for n in range(len(kernel)):
            for x in range(width):
                other = min(max(x + n - reach, 0), width - 1)
                for axis in range(3):
                    across[y, x, axis] += kernel[n] * light[y, other, axis]
    for y in range(height):
        for n in range(len(kernel)):
            other = min(max(y + n - reach, 0), height - 1)
            for x in range(width):
                for axis in range(3):
                    out[y, x, axis] += kernel[n] * across[other, x, axis]
    return out


@njit(cache=True, nogil=True)
def _sums(
    srgb: np.ndarray,
    other_srgb: np.ndarray,
    light: np.ndarray,
    other_light: np.ndarray,
    visible: np.ndarray,
    start: int,
    stop: int,
) -> np.ndarray:
    """What `_compare` sums, of two pictures on one background."""
    squares, distances, count = 0.0, 0.0, 0
    for y in range(start, min(stop, len(visible))):
        for x in range(visible.shape[1]):
            if not visible[y, x]:
                continue
            count += 1
            for axis in range(3):
                squares += (srgb[y, x, axis] - other_srgb[y, x, axis]) ** 2
            first = linear_to_oklab_pixel(light[y, x, 0], light[y, x, 1], light[y, x, 2])
            second = linear_to_oklab_pixel(other_light[y, x, 0], other_light[y, x, 1], other_light[y, x, 2])
            distances += np.sqrt(
                (first[0] - second[0]) ** 2 + (first[1] - second[1]) ** 2 + (first[2] - second[2]) ** 2
            )
    return np.array([squares, distances, float(count)])
