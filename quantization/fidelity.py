"""How near an indexed picture is to its original: PSNR, mean ΔE in OKLab, and colors used.

Both pictures are laid on black and on white, as screens lay them, and the two errors are averaged.
So a wrong alpha counts by what is seen of it. Where nothing is transparent, the two are the same.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tincture.common.kernels import kernel
from tincture.common.threads import over_slices

from .color import srgb_to_linear, srgb_to_oklab
from .histogram import as_rgba, color_keys, colors_of_keys, count_sorted, histogram
from .palettes.palette import Palette
from .spaces import LINEAR_OF_BYTE, SPACES, linear_to_oklab_pixel

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
    used: dict[Palette, np.ndarray] = {each: np.zeros(256, np.bool_) for each in palettes}
    squares, distances, count = 0.0, 0.0, 0
    for before, after, own in zip(map(as_rgba, originals), indices, palettes, strict=True):
        colors, entries, counts = _pairs(before, after)
        used[own][entries] = True
        is_visible = (_alpha(colors) > 0) | (own.colors[entries, 3] > 0)
        if not is_visible.all():
            colors, entries, counts = colors[is_visible], entries[is_visible], counts[is_visible]
        counts = counts.astype(np.float64)
        count += counts.sum()
        grounds = (0, 255) if (_alpha(colors) < 255).any() or (own.colors[entries, 3] < 255).any() else (0,)
        for ground in grounds:
            shown = _laid_on(own.colors, ground)
            off = _laid_on(colors, ground) - shown.take(entries, axis=0)
            squares += (counts @ (off * off)).sum() / len(grounds)
            if blur:
                lights = _light_on(before, ground), _light_on(own.colors, ground)[after]
                visible = (before[..., 3] > 0) | (own.colors[after, 3] > 0)
                distances += _blurred_distances(*lights, visible, _gaussian(blur)) / len(grounds)
            else:
                off = _oklab_on(colors, ground) - _oklab_on(own.colors, ground).take(entries, axis=0)
                distances += counts @ np.sqrt(np.einsum("na,na->n", off, off)) / len(grounds)
    colors_used = int(sum(map(np.sum, used.values())))
    if count == 0:
        return Fidelity(None, None, colors_used, blur)
    psnr = float(10 * np.log10(255**2 / (squares / (3 * count)))) if squares else float("inf")
    return Fidelity(psnr, float(distances / count), colors_used, blur)


def seen_oklab(rgba: np.ndarray) -> np.ndarray:
    """Colors on black and on white in OKLab, uint8 ``[N, 4]`` → float32 ``[2, N, 3]``."""
    return np.stack([_oklab_on(rgba, ground) for ground in (0, 255)])


def _pairs(image: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct pairs of a pixel's color and its entry, and how often each occurs.

    Colors are uint8 ``[N, 4]``, or ``[N, 3]`` where all are opaque.
    """
    if (image[..., 3] < 255).any():
        keys = np.ascontiguousarray(image).reshape(-1, 4).view("<u4")[:, 0].astype(np.uint64)
        keys, counts = count_sorted(keys << np.uint64(8) | indices.ravel())
        return (keys >> np.uint64(8)).astype("<u4")[:, None].view(np.uint8), keys.astype(np.uint8), counts
    keys, counts = count_sorted(color_keys(image) << np.uint32(8) | indices.ravel())
    # Without dithering each color has one entry: these are the histogram's colors, in its order.
    colors = histogram([image])[0]
    if len(colors) != len(keys):
        colors = colors_of_keys(keys >> np.uint32(8))
    return colors, keys.astype(np.uint8), counts


def _alpha(colors: np.ndarray) -> np.ndarray:
    return colors[..., 3] if colors.shape[-1] == 4 else np.full(colors.shape[:-1], 255, np.uint8)


def _laid_on(rgba: np.ndarray, ground: int) -> np.ndarray:
    """Colors on a gray, uint8 ``[..., 3 or 4]`` → sRGB from 0 to 255, float32 ``[..., 3]``."""
    colors = rgba[..., :3].astype(np.float32)
    if (_alpha(rgba) < 255).any():
        alpha = rgba[..., 3:] / np.float32(255)
        colors = alpha * colors + (1 - alpha) * np.float32(ground)
    return colors


def _light_on(rgba: np.ndarray, ground: int) -> np.ndarray:
    """Likewise in linear light, float32."""
    light, soft = LINEAR_OF_BYTE[rgba[..., :3]], _alpha(rgba) < 255
    light[soft] = srgb_to_linear(_laid_on(rgba[soft], ground) / 255)
    return light


def _oklab_on(rgba: np.ndarray, ground: int) -> np.ndarray:
    """Likewise in OKLab, float32."""
    points, soft = SPACES["oklab"].from_bytes(rgba), _alpha(rgba) < 255
    if soft.any():
        points = points.copy()
        points[soft] = srgb_to_oklab(_laid_on(rgba[soft], ground) / 255)
    return points


def _gaussian(deviation: float) -> np.ndarray:
    """The weights of a blur up to four standard deviations, float32, of an odd number."""
    reach = int(4 * deviation + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(deviation, 1e-9)) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def _blurred_distances(light: np.ndarray, other: np.ndarray, visible: np.ndarray, weights: np.ndarray) -> float:
    """The sum of distances in OKLab of two pictures of linear light, blurred, where visible."""
    reach, width = len(weights) // 2, light.shape[1]
    pads = ((reach, reach), (reach, reach), (0, 0))  # the outermost pixels go on beyond edges
    light, other = (np.pad(each, pads, mode="edge").reshape(len(each) + 2 * reach, -1) for each in (light, other))

    def work(start: int, stop: int) -> float:
        rows = slice(start, stop + 2 * reach)
        pair = (_blurred(each[rows], weights).reshape(-1, width, 3) for each in (light, other))
        return _distances(*pair, visible[start:stop])

    return sum(over_slices(work, len(visible), _ROWS))


@kernel
def _blurred(light: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Float32 ``[H, 3 W]``, blurred along both axes, without the margins that this takes."""
    margin = len(weights) - 1
    height, width = light.shape[0] - margin, light.shape[1] - 3 * margin
    down, out = np.zeros(light.shape[1], np.float32), np.zeros((height, width), np.float32)
    for y in range(height):
        down[:] = 0
        for n in range(len(weights)):
            for x in range(len(down)):
                down[x] += weights[n] * light[y + n, x]
        for n in range(len(weights)):
            for x in range(width):
                out[y, x] += weights[n] * down[x + 3 * n]
    return out


@kernel
def _distances(light: np.ndarray, other: np.ndarray, visible: np.ndarray) -> float:
    """The sum of distances in OKLab where visible, of linear light, float32 ``[H, W, 3]`` each."""
    total = 0.0
    for y in range(visible.shape[0]):
        for x in range(visible.shape[1]):
            if visible[y, x]:
                first = linear_to_oklab_pixel(light[y, x, 0], light[y, x, 1], light[y, x, 2])
                second = linear_to_oklab_pixel(other[y, x, 0], other[y, x, 1], other[y, x, 2])
                total += np.sqrt(
                    (first[0] - second[0]) ** 2 + (first[1] - second[1]) ** 2 + (first[2] - second[2]) ** 2
                )
    return total
