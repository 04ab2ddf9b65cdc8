"""From pictures to palettes: `fit_palette` by one of several methods; and both at once, `quantize`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from tincture.common.errors import InputError, choose
from tincture.common.threads import over_slices

from ..encoding import encode
from ..histogram import OPAQUE_ALPHA, histogram
from ..nearest import nearest
from ..palettes.palette import MAX_ENTRIES, Palette
from ..pictures.indexed_image import IndexedImage
from ..spaces import SPACES, Space
from .batched_kmeans import cluster_sets
from .channel_bits import ChannelBits, check_representable, snap
from .kmeans import kmeans
from .learned import fit_learned
from .mixtures import fit_mixtures
from .pillow_methods import median_cut_colors, octree_colors
from .uniform import uniform_colors

__all__ = ["QUANTIZERS", "SPACES", "choose_colors", "encode", "error_curve", "fit_palette", "fit_palettes", "quantize"]

Fit = Callable[[np.ndarray, np.ndarray, int, Space, int, np.ndarray], np.ndarray]
"""Distinct colors uint8 [N, 3], their counts [N], k < N, the space, a seed, colors that are in the palette already
uint8 [F, 3] → at most k more colors, uint8 [≤ k, 3]. All sRGB."""


def _clustering(cluster: Callable[..., np.ndarray]) -> Fit:
    """A quantizer that places centers among points."""

    def fit(colors: np.ndarray, counts: np.ndarray, k: int, space: Space, seed: int, fixed: np.ndarray) -> np.ndarray:
        centers = cluster(space.from_bytes(colors), counts, k, seed, space.from_bytes(fixed))
        return space.to_bytes(centers[len(fixed) :])

    return fit


QUANTIZERS: dict[str, Fit] = {
    "kmeans": _clustering(kmeans),
    "learned": _clustering(fit_learned),
    "median-cut": lambda colors, counts, k, *_: median_cut_colors(colors, counts, k),
    "octree": lambda colors, counts, k, *_: octree_colors(colors, counts, k),
    "mixtures": fit_mixtures,
    "uniform": lambda colors, counts, k, *_: uniform_colors(k),
    "fixed": lambda colors, *_: colors[:0],  # the kept colors are the palette
}

_ROUNDS = 4  # of filling the places of entries that fell together


def fit_palette(
    images: Sequence[np.ndarray],
    colors: int,
    method: str = "kmeans",
    space: str = "oklab",
    seed: int = 0,
    *,
    keep: Palette | None = None,
    channel_bits: ChannelBits | None = None,
) -> Palette:
    """Choose one palette for one or several pictures.

    A transparent entry comes first if any pixel is transparent and counts among ``colors``; then the kept colors in
    their order; then the fitted ones, from dark to light. Pictures that have few enough colors get exactly those.

    Args:
        images: sRGB RGBA, uint8 ``[H, W, 4]`` each.
        colors: the largest number of entries, 2 to 256.
        method: a name in `QUANTIZERS`.
        space: a name in `SPACES`, where distances are measured.
        seed: of the method's random start.
        keep: entries that the palette must hold exactly, each once; no fitted entry equals one of them.
        channel_bits: bits of red, green and blue; every entry is a color that such hardware can show.

    Raises:
        InputError: ``colors`` is out of range, a name is unknown, the kept colors are too many, or one of them
            can't be shown with ``channel_bits``.
    """
    fit, metric = choose("quantizer", method, QUANTIZERS), choose("color space", space, SPACES)
    if method == "fixed" and keep is None:
        raise InputError("the method 'fixed' takes its colors from kept ones; give some")
    return _assemble(fit, images, *histogram(images), colors, metric, seed, keep, channel_bits)


def _assemble(
    fit: Fit,
    images: Sequence[np.ndarray],
    distinct: np.ndarray,
    counts: np.ndarray,
    colors: int,
    metric: Space,
    seed: int,
    keep: Palette | None,
    channel_bits: ChannelBits | None,
) -> Palette:
    """The palette of pictures from their histogram: transparency, kept colors, then what ``fit`` finds."""
    if not 2 <= colors <= MAX_ENTRIES:
        raise InputError(f"a palette is fitted with 2 to {MAX_ENTRIES} colors, not {colors}")
    kept = np.zeros((0, 4), np.uint8) if keep is None else keep.colors
    kept = kept[np.sort(np.unique(kept, axis=0, return_index=True)[1])]  # each once, in their order
    if channel_bits is not None:
        check_representable(kept, channel_bits)
    if (kept[:, 3] > 0).all() and any((image[..., 3] < OPAQUE_ALPHA).any() for image in images):
        kept = np.concatenate([np.zeros((1, 4), np.uint8), kept])
    if len(kept) > colors:
        raise InputError(f"{len(kept)} kept colors (transparency included) don't fit among {colors}")
    fitted = _fill(fit, distinct, counts, colors - len(kept), metric, seed, kept[kept[:, 3] == 255, :3], channel_bits)
    fitted = fitted[np.argsort(SPACES["oklab"].from_bytes(fitted)[:, 0], kind="stable")]
    opaque = np.concatenate([fitted, np.full((len(fitted), 1), 255, np.uint8)], axis=1)
    return Palette(np.concatenate([kept, opaque]))


def fit_palettes(
    images: Sequence[np.ndarray],
    colors: int,
    method: str = "kmeans",
    space: str = "oklab",
    seed: int = 0,
    *,
    keep: Palette | None = None,
    channel_bits: ChannelBits | None = None,
    device: torch.device | str | None = None,
) -> list[Palette]:
    """Choose a palette for each of many pictures, several at a time.

    Args:
        images, colors, method, space, seed, keep, channel_bits: as for `fit_palette`.
        device: where torch does the k-means of all pictures, in batches. None: on the processor's cores with numba,
            which is faster there.

    Raises:
        InputError: as for `fit_palette`; or ``device`` comes with another method or with kept colors.
    """
    if device is not None:
        if method != "kmeans" or keep is not None:
            raise InputError("on a device only the method 'kmeans' works, without kept colors; leave the device out")
        return _fit_on_device(images, colors, space, seed, channel_bits, device)

    def work(start: int, stop: int) -> list[Palette]:
        part = images[start:stop]
        return [
            fit_palette([image], colors, method, space, seed, keep=keep, channel_bits=channel_bits) for image in part
        ]

    return [palette for part in over_slices(work, len(images), 64) for palette in part]


def _fit_on_device(
    images: Sequence[np.ndarray],
    colors: int,
    space: str,
    seed: int,
    channel_bits: ChannelBits | None,
    device: torch.device | str,
) -> list[Palette]:
    """`fit_palettes` by `batched_kmeans`: all pictures that lack equally many colors at once."""
    metric = choose("color space", space, SPACES)
    histograms = [histogram([image]) for image in images]
    wanted = [colors - bool((image[..., 3] < OPAQUE_ALPHA).any()) for image in images]
    centers: dict[int, np.ndarray] = {}
    for k in set(wanted):
        places = [i for i, (distinct, _) in enumerate(histograms) if wanted[i] == k < len(distinct)]
        sets = [(metric.from_bytes(histograms[i][0]), histograms[i][1]) for i in places]
        centers |= dict(zip(places, cluster_sets(sets, k, device), strict=True))
    palettes = []
    for i, image in enumerate(images):
        ready = [metric.to_bytes(centers[i])] if i in centers else []

        def fit(*arguments: Any, ready: list[np.ndarray] = ready) -> np.ndarray:
            return ready.pop() if ready else QUANTIZERS["kmeans"](*arguments)  # places of entries that fell together

        palettes.append(_assemble(fit, [image], *histograms[i], colors, metric, seed, None, channel_bits))
    return palettes


def _fill(
    fit: Fit,
    colors: np.ndarray,
    counts: np.ndarray,
    wanted: int,
    space: Space,
    seed: int,
    kept: np.ndarray,
    bits: ChannelBits | None,
) -> np.ndarray:
    """Fit until ``wanted`` entries differ from each other and from the kept ones, or nothing new is found.

    Where hardware shows few colors, most fits fall together; the commonest colors that are left out then fill the places.
    """
    goals = colors if bits is None else _unique(snap(colors, bits))
    missing = _without(goals, kept) if len(goals) <= MAX_ENTRIES else goals
    if len(missing) <= wanted:
        return missing if fit is not QUANTIZERS["fixed"] else colors[:0]
    found = colors[:0]
    for _ in range(_ROUNDS):
        if len(found) == wanted:
            break
        fixed = np.concatenate([kept, found])
        new = fit(colors, counts, wanted - len(found), space, seed, fixed)
        new = _without(_unique(new if bits is None else snap(new, bits)), fixed)
        if len(new) == 0:
            break
        found = np.concatenate([found, new])
    if bits is not None and fit not in (QUANTIZERS["fixed"], QUANTIZERS["uniform"]):
        taken = np.concatenate([kept, found])
        found = np.concatenate([found, _commonest(snap(colors, bits), counts, taken)[: wanted - len(found)]])
    return found


def _commonest(colors: np.ndarray, counts: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """The distinct rows of ``colors`` that aren't among those taken, the ones of most pixels first."""
    distinct, place = np.unique(colors, axis=0, return_inverse=True)
    order = np.argsort(-np.bincount(place.ravel(), counts), kind="stable")
    return _without(distinct[order], taken)


def _unique(colors: np.ndarray) -> np.ndarray:
    """The distinct rows of uint8 ``[N, 3]``, sorted."""
    packed = np.unique(colors.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32))
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8)


def _without(colors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The rows that are none of the others."""
    return colors[~(colors[:, None] == others).all(-1).any(-1)] if len(others) else colors


def quantize(
    image: np.ndarray, colors: int, method: str = "kmeans", space: str = "oklab", seed: int = 0
) -> IndexedImage:
    """Fit a palette to one picture and encode the picture with it; arguments as for `fit_palette`."""
    palette = fit_palette([image], colors, method, space, seed)
    return IndexedImage(encode(image, palette, space), palette)


def error_curve(
    images: Sequence[np.ndarray],
    counts: Sequence[int],
    method: str = "kmeans",
    space: str = "oklab",
    seed: int = 0,
    *,
    keep: Palette | None = None,
    channel_bits: ChannelBits | None = None,
) -> list[float]:
    """The mean OKLab ΔE over the opaque pixels, for palettes of each of ``counts`` entries; other arguments as above."""
    distinct, weights = histogram(images)
    if len(distinct) == 0:
        return [0.0] * len(counts)
    points, metric = SPACES["oklab"].from_bytes(distinct), choose("color space", space, SPACES)
    errors = []
    for count in counts:
        palette = fit_palette(images, count, method, space, seed, keep=keep, channel_bits=channel_bits)
        entries = palette.colors[palette.colors[:, 3] > 0]
        labels = nearest(metric.from_bytes(distinct), metric.from_bytes(entries))[0]
        distances = np.linalg.norm(points - SPACES["oklab"].from_bytes(entries)[labels], axis=1)
        errors.append(float(np.average(distances, weights=weights)))
    return errors


FEW_COLORS = 64
"""Pictures of at most so many colors need all of them: somebody chose each, and a rare one is no less meant."""

_CURVE = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def choose_colors(
    images: Sequence[np.ndarray],
    method: str = "kmeans",
    space: str = "oklab",
    seed: int = 0,
    max_error: float | None = None,
    *,
    keep: Palette | None = None,
    channel_bits: ChannelBits | None = None,
) -> int:
    """Find how many entries the pictures need, transparency and kept colors included.

    Args:
        images: sRGB RGBA, uint8 ``[H, W, 4]`` each.
        method: a name in `QUANTIZERS`.
        space: a name in `SPACES`, where distances are measured.
        seed: of the method's random start.
        max_error: the mean OKLab ΔE that is allowed; the answer is the smallest number that bisection finds to reach
            it, or 256 where none does. None: all colors of pictures that have at most `FEW_COLORS`; else the elbow of
            the error over the logarithm of the number, which is the point farthest below the chord (Satopää et al.
            2011, "Finding a 'Kneedle' in a haystack").
        keep, channel_bits: as for `fit_palette`, with which the palette will be fitted.

    Raises:
        InputError: a name is unknown, ``max_error`` is negative, or as `fit_palette`.
    """
    choose("quantizer", method, QUANTIZERS)
    choose("color space", space, SPACES)
    limits = {"keep": keep, "channel_bits": channel_bits}
    distinct = histogram(images)[0]
    has_clear = any((image[..., 3] < OPAQUE_ALPHA).any() for image in images)
    kept = np.zeros((0, 4), np.uint8) if keep is None else np.unique(keep.colors, axis=0)
    given = len(kept) + (has_clear and bool((kept[:, 3] > 0).all()))
    least = max(given, 2)
    if method == "fixed":
        return least
    if max_error is None:
        wanted = distinct if channel_bits is None else _unique(snap(distinct, channel_bits))
        if len(wanted) <= FEW_COLORS:
            return min(max(given + len(_without(wanted, kept[kept[:, 3] == 255, :3])), 2), MAX_ENTRIES)
        places = [count for count in _CURVE if count >= least] or [MAX_ENTRIES]
        errors = np.array(error_curve(images, places, method, space, seed, **limits))
        exact = np.flatnonzero(errors < 1e-6)
        last = int(exact[0]) if len(exact) else len(places) - 1
        place = np.log(np.array(places[: last + 1]))
        chord = np.interp(place, place[[0, -1]], errors[[0, last]])
        return places[int(np.argmax(chord - errors[: last + 1]))]
    if max_error < 0:
        raise InputError(f"the allowed error is at least 0, not {max_error}")
    low, high = least, MAX_ENTRIES
    while low < high:
        middle = int(np.sqrt(low * high))
        if error_curve(images, [middle], method, space, seed, **limits)[0] <= max_error:
            high = middle
        else:
            low = middle + 1
    return low
