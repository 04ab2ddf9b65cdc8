"""From pictures to palettes. A method is a file of this folder, and a line of `QUANTIZERS`.

`fit_palette` fits a palette, `quantize` also draws the picture in it, `error_curve` and
`choose_colors` say how many entries pictures need.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tincture.common.errors import InputError, choose
from tincture.common.once import remembered
from tincture.common.threads import over_slices

from ..encoding import encode
from ..fidelity import seen_oklab
from ..histogram import OPAQUE_ALPHA, as_rgba, color_key, count_sorted, histogram, rgba_histogram
from ..palettes.palette import MAX_ENTRIES, Palette
from ..pictures.indexed_image import IndexedImage
from ..spaces import SPACES, Space
from .channel_bits import ChannelBits, check_representable, snap
from .kmeans import kmeans
from .mixtures import fit_mixtures
from .pillow import median_cut_colors, octree_colors
from .rare_hues import keep_rare_hues
from .soft import fit_soft
from .uniform import uniform_colors

if TYPE_CHECKING:
    import torch

Fit = Callable[[np.ndarray, np.ndarray, int, Space, int, np.ndarray], np.ndarray]
"""A method: (distinct colors uint8 [N, 3] in a histogram's order, their counts [N], k < N, the
space, a seed, the colors that the palette has already, uint8 [F, 3]) → at most k more colors, uint8
[≤ k, 3]. All sRGB."""


def _clustering(cluster: Callable[..., np.ndarray]) -> Fit:
    """A method that places centers among points of a space."""

    def fit(colors: np.ndarray, counts: np.ndarray, k: int, space: Space, seed: int, fixed: np.ndarray) -> np.ndarray:
        centers = cluster(space.from_bytes(colors), counts, k, seed, space.from_bytes(fixed))
        return space.to_bytes(centers[len(fixed) :])

    return fit


def _learned(*arguments: Any) -> np.ndarray:
    from .learned import fit_learned  # torch takes seconds to import, and no other method needs it

    return fit_learned(*arguments)


def _with_rare_hues(fit: Fit) -> Fit:
    """The method, but hues that it lost replace similar shades."""

    def keep(colors: np.ndarray, counts: np.ndarray, k: int, space: Space, seed: int, fixed: np.ndarray) -> np.ndarray:
        return keep_rare_hues(colors, counts, fit(colors, counts, k, space, seed, fixed), fixed)

    return keep


QUANTIZERS: dict[str, Fit] = {
    "kmeans": _with_rare_hues(_clustering(kmeans)),
    "learned": _with_rare_hues(_clustering(_learned)),
    "median-cut": lambda colors, counts, k, *_: median_cut_colors(colors, counts, k),
    "octree": lambda colors, counts, k, *_: octree_colors(colors, counts, k),
    "mixtures": _with_rare_hues(fit_mixtures),
    "uniform": lambda colors, counts, k, *_: uniform_colors(k),
    "fixed": lambda colors, *_: colors[:0],  # the kept colors are the palette
}

ALPHAS = ("hard", "soft")
"""Fitted entries are opaque, and one is transparent; or there are also some between."""

FEW_COLORS = 64
"""Pictures of at most so many colors need all of them: somebody chose each, and a rare one is no
less meant."""

_NONE = np.zeros((0, 3), np.uint8)
_ROUNDS = 4
"""How often the places of entries that fell together are filled."""

_CURVE = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""The sizes at which the elbow of the error is looked for."""


def fit_palette(
    images: Sequence[np.ndarray],
    colors: int,
    method: str = "kmeans",
    space: str = "oklab",
    seed: int = 0,
    *,
    keep: Palette | None = None,
    channel_bits: ChannelBits | None = None,
    alpha: str = "hard",
) -> Palette:
    """Choose one palette for one or several pictures.

    If any pixel is transparent, a transparent entry comes first and counts among ``colors``. The
    kept colors follow in their order, then the fitted ones: soft ones from faint to opaque, opaque
    ones from dark to light. Pictures that have few enough colors get exactly those.

    Args:
        images: a list of sRGB arrays, uint8 ``[H, W, 3]`` or ``[H, W, 4]``.
        colors: the largest number of entries, 2 to 256.
        method: a name in `QUANTIZERS`.
        space: a name in `SPACES`, where distances are measured.
        seed: of the method's random start.
        keep: entries that the palette must hold exactly, each once; no fitted entry equals one.
        channel_bits: bits of red, green and blue; such hardware can show every entry.
        alpha: a name in `ALPHAS`. hard: pixels are opaque from alpha 128 on, or else transparent.
            soft: soft pixels get soft entries, as many as `fit_soft` finds that they need, and the
            method fits the opaque ones.

    Raises:
        InputError: ``colors`` is out of range, an image is none, a name is unknown, the kept colors
            are too many, or one of them can't be shown with ``channel_bits``.
    """
    fit, metric = choose("quantizer", method, QUANTIZERS), choose("color space", space, SPACES)
    if method == "fixed" and keep is None:
        raise InputError("the method 'fixed' takes its colors from kept ones; give some")
    soft = _soft_histogram(images) if _is_soft(alpha) else None
    if soft is None:
        distinct, numbers = histogram(images)
    else:
        opaque = np.flatnonzero(soft[0][:, 3] == 255)
        opaque = opaque[np.argsort(color_key.plain(*soft[0][opaque, :3].T))]
        distinct, numbers = soft[0][opaque, :3], soft[1][opaque]

    def find(k: int, fixed: np.ndarray) -> np.ndarray:
        return fit(distinct, numbers, k, metric, seed, fixed)

    def find_soft(k: int, fixed: np.ndarray) -> np.ndarray:
        return np.zeros((0, 4), np.uint8) if soft is None else fit_soft(*soft, k, metric, fixed)

    has_clear = _has_transparency(images, alpha)
    return _assemble(has_clear, distinct, numbers, colors, method, find, keep, channel_bits, find_soft)


def _is_soft(alpha: str) -> bool:
    return choose("kind of alpha", alpha, dict.fromkeys(ALPHAS, alpha)) == "soft"


def _soft_histogram(images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """The colors that aren't transparent, and how often each occurs; none where none is soft."""
    pixels, counts = rgba_histogram(images)
    if not ((pixels[:, 3] > 0) & (pixels[:, 3] < 255)).any():
        return None
    return pixels[pixels[:, 3] > 0], counts[pixels[:, 3] > 0]


def _histogram(images: Sequence[np.ndarray], alpha: str) -> tuple[np.ndarray, np.ndarray]:
    """The colors to be fitted, uint8 ``[N, 4]``, none transparent, and how often each occurs."""
    if _is_soft(alpha) and (soft := _soft_histogram(images)) is not None:
        return soft
    distinct, counts = histogram(images)
    return np.concatenate([distinct, np.full((len(distinct), 1), 255, np.uint8)], axis=1), counts


def quantize(
    image: np.ndarray, colors: int, method: str = "kmeans", space: str = "oklab", seed: int = 0, alpha: str = "hard"
) -> IndexedImage:
    """Fit a palette to one picture and draw the picture in it; arguments as for `fit_palette`."""
    image = as_rgba(image)
    with remembered():  # the image's colors are counted once
        palette = fit_palette([image], colors, method, space, seed, alpha=alpha)
        return IndexedImage(encode(image, palette, space), palette)


def fit_palettes(
    images: Sequence[np.ndarray],
    colors: int,
    method: str = "kmeans",
    space: str = "oklab",
    seed: int = 0,
    *,
    keep: Palette | None = None,
    channel_bits: ChannelBits | None = None,
    device: "torch.device | str | None" = None,
) -> list[Palette]:
    """Choose a palette for each of many pictures, several at a time.

    Args:
        images, colors, method, space, seed, keep, channel_bits: as for `fit_palette`.
        device: where torch does the k-means of all pictures, in batches. If left out, numba works
            on the processor's cores, where it is faster than torch.

    Raises:
        InputError: as for `fit_palette`; or ``device`` comes with another method or kept colors.
    """
    if device is not None:
        if method != "kmeans" or keep is not None:
            raise InputError("on a device only the method 'kmeans' works, without kept colors; leave the device out")
        return _fit_on_device(images, colors, choose("color space", space, SPACES), seed, channel_bits, device)

    def work(start: int, stop: int) -> list[Palette]:
        options = {"keep": keep, "channel_bits": channel_bits}
        return [fit_palette([image], colors, method, space, seed, **options) for image in images[start:stop]]

    return [palette for part in over_slices(work, len(images), 64) for palette in part]


def _fit_on_device(
    images: Sequence[np.ndarray],
    colors: int,
    space: Space,
    seed: int,
    channel_bits: ChannelBits | None,
    device: "torch.device | str",
) -> list[Palette]:
    """`fit_palettes` by `batched_kmeans`: all pictures that lack equally many colors at once."""
    from .batched_kmeans import cluster_sets  # torch takes seconds to import, and only a device needs it

    histograms = [histogram([image]) for image in images]
    wanted = [colors - _has_transparency([image]) for image in images]
    centers: dict[int, np.ndarray] = {}
    for k in set(wanted):
        places = [i for i, (distinct, _) in enumerate(histograms) if wanted[i] == k < len(distinct)]
        sets = [(space.from_bytes(histograms[i][0]), histograms[i][1]) for i in places]
        centers |= dict(zip(places, cluster_sets(sets, k, device), strict=True))
    palettes = []
    for i, image in enumerate(images):
        ready = [keep_rare_hues(*histograms[i], space.to_bytes(centers[i]), _NONE)] if i in centers else []

        def find(k: int, fixed: np.ndarray, i: int = i, ready: list[np.ndarray] = ready) -> np.ndarray:
            # Entries that fell together leave places, which the processor fills.
            return ready.pop() if ready else QUANTIZERS["kmeans"](*histograms[i], k, space, seed, fixed)

        has_clear = _has_transparency([image])
        palettes.append(_assemble(has_clear, *histograms[i], colors, "kmeans", find, None, channel_bits))
    return palettes


Find = Callable[[int, np.ndarray], np.ndarray]
"""A method with its pictures: (k, colors that are there already) → at most k more colors."""


def _assemble(
    has_clear: bool,
    distinct: np.ndarray,
    counts: np.ndarray,
    colors: int,
    method: str,
    find: Find,
    keep: Palette | None,
    bits: ChannelBits | None,
    find_soft: Find = lambda *_: np.zeros((0, 4), np.uint8),
) -> Palette:
    """The palette of pictures: transparency, kept colors, soft ones, then what ``find`` finds."""
    if not 2 <= colors <= MAX_ENTRIES:
        raise InputError(f"a palette is fitted with 2 to {MAX_ENTRIES} colors, not {colors}")
    kept = np.zeros((0, 4), np.uint8) if keep is None else keep.colors
    kept = kept[np.sort(np.unique(kept, axis=0, return_index=True)[1])]  # each once, in their order
    if bits is not None:
        check_representable(kept, bits)
    if (kept[:, 3] > 0).all() and has_clear:
        kept = np.concatenate([np.zeros((1, 4), np.uint8), kept])
    if len(kept) > colors:
        raise InputError(f"{len(kept)} kept colors (transparency included) don't fit among {colors}")
    wanted = 0 if method == "fixed" else colors - len(kept)
    soft = find_soft(wanted, kept)
    if bits is not None:
        soft = _without(np.unique(np.concatenate([snap(soft[:, :3], bits), soft[:, 3:]], axis=1), axis=0), kept)
    fitted = _fill(distinct, counts, wanted - len(soft), method, find, _opaque(kept), bits)
    opaque = np.concatenate([fitted, np.full((len(fitted), 1), 255, np.uint8)], axis=1)
    new = np.concatenate([soft, opaque])
    return Palette(np.concatenate([kept, new[np.lexsort((SPACES["oklab"].from_bytes(new)[:, 0], new[:, 3]))]]))


def _fill(
    colors: np.ndarray,
    counts: np.ndarray,
    wanted: int,
    method: str,
    find: Find,
    kept: np.ndarray,
    bits: ChannelBits | None,
) -> np.ndarray:
    """Find ``wanted`` entries that differ from each other and from the kept ones."""
    # Few enough colors are taken as they are.
    goals = colors if bits is None else _distinct(snap(colors, bits))
    missing = _without(goals, kept) if len(goals) <= MAX_ENTRIES else goals
    if len(missing) <= wanted:
        return missing

    # Two entries may round to the same bytes. The places that this leaves are fitted again.
    found = colors[:0]
    for _ in range(_ROUNDS):
        if len(found) == wanted:
            break
        fixed = np.concatenate([kept, found])
        new = find(wanted - len(found), fixed)
        new = _without(_distinct(new if bits is None else snap(new, bits)), fixed)
        if len(new) == 0:
            break
        found = np.concatenate([found, new])

    # Where hardware shows few colors, most fits fall together. The commonest colors fill up.
    if bits is not None and method != "uniform":
        taken = np.concatenate([kept, found])
        found = np.concatenate([found, _commonest(snap(colors, bits), counts, taken)[: wanted - len(found)]])
    return found


def _has_transparency(images: Sequence[np.ndarray], alpha: str = "hard") -> bool:
    least = 1 if alpha == "soft" else OPAQUE_ALPHA
    return any(bool((as_rgba(image)[..., 3] < least).any()) for image in images)


def _opaque(colors: np.ndarray) -> np.ndarray:
    """The fully opaque ones among uint8 ``[K, 4]``, without their alpha."""
    return colors[colors[:, 3] == 255, :3]


def _commonest(colors: np.ndarray, counts: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """The distinct rows of ``colors`` that aren't taken, the ones of most pixels first."""
    distinct, place = np.unique(colors, axis=0, return_inverse=True)
    order = np.argsort(-np.bincount(place.ravel(), counts), kind="stable")
    return _without(distinct[order], taken)


def _distinct(colors: np.ndarray) -> np.ndarray:
    """The distinct rows of uint8 ``[N, 3]``, sorted."""
    packed, _ = count_sorted(colors.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32))
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8)


def _without(colors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The rows that are none of the others."""
    return colors[~(colors[:, None] == others).all(-1).any(-1)] if len(others) else colors


def error_curve(
    images: Sequence[np.ndarray],
    counts: Sequence[int],
    method: str = "kmeans",
    space: str = "oklab",
    seed: int = 0,
    *,
    keep: Palette | None = None,
    channel_bits: ChannelBits | None = None,
    alpha: str = "hard",
) -> list[float]:
    """The mean ΔE in OKLab, as of `fidelity`, for palettes of each of ``counts`` entries.

    The other arguments are those of `fit_palette`. With hard alpha, opaque pixels alone count.
    """
    distinct, weights = _histogram(images, alpha)
    if len(distinct) == 0:
        return [0.0] * len(counts)
    looks, errors = seen_oklab(distinct), []
    for count in counts:
        palette = fit_palette(images, count, method, space, seed, keep=keep, channel_bits=channel_bits, alpha=alpha)
        labels = encode(distinct[None], palette, space)[0]
        distances = np.linalg.norm(looks - seen_oklab(palette.colors)[:, labels], axis=-1).mean(axis=0)
        errors.append(float(np.average(distances, weights=weights)))
    return errors


def choose_colors(
    images: Sequence[np.ndarray],
    method: str = "kmeans",
    space: str = "oklab",
    seed: int = 0,
    max_error: float | None = None,
    *,
    keep: Palette | None = None,
    channel_bits: ChannelBits | None = None,
    alpha: str = "hard",
) -> int:
    """Find how many entries the pictures need, transparency and kept colors included.

    Args:
        images, method, space, seed, keep, channel_bits, alpha: as for `fit_palette`.
        max_error: the mean ΔE in OKLab that is allowed. The answer is the smallest number that
            bisection finds to reach it, or 256 where none does. If it is left out, pictures of at
            most `FEW_COLORS` colors need them all, and the elbow of the error over the logarithm
            of the number decides on others: the point farthest below the chord (Satopää et al.
            2011, "Finding a 'Kneedle' in a haystack").

    Raises:
        InputError: a name is unknown, ``max_error`` is negative, or as `fit_palette`.
    """
    choose("quantizer", method, QUANTIZERS)
    choose("color space", space, SPACES)
    if max_error is not None and max_error < 0:
        raise InputError(f"the allowed error is at least 0, not {max_error}")
    kept = np.zeros((0, 4), np.uint8) if keep is None else np.unique(keep.colors, axis=0)
    given = len(kept) + (_has_transparency(images, alpha) and bool((kept[:, 3] > 0).all()))
    least = max(given, 2)
    if method == "fixed":
        return least

    def errors_of(counts: Sequence[int]) -> np.ndarray:
        limits = {"keep": keep, "channel_bits": channel_bits, "alpha": alpha}
        return np.array(error_curve(images, counts, method, space, seed, **limits))

    if max_error is None:
        needed = _histogram(images, alpha)[0]
        if channel_bits is not None:
            needed = np.unique(np.concatenate([snap(needed[:, :3], channel_bits), needed[:, 3:]], axis=1), axis=0)
        if len(needed) <= FEW_COLORS:
            return min(max(given + len(_without(needed, kept)), 2), MAX_ENTRIES)
        counts = [count for count in _CURVE if count >= least] or [MAX_ENTRIES]
        return counts[_elbow(np.log(counts), errors_of(counts))]

    # The error falls about evenly over the logarithm of the number, so bisect there.
    low, high = least, MAX_ENTRIES
    while low < high:
        middle = int(np.sqrt(low * high))
        if errors_of([middle])[0] <= max_error:
            high = middle
        else:
            low = middle + 1
    return low


def _elbow(places: np.ndarray, errors: np.ndarray) -> int:
    """Where a falling curve, up to its first exact fit, lies farthest below its chord."""
    exact = np.flatnonzero(errors < 1e-6)
    last = int(exact[0]) if len(exact) else len(places) - 1
    chord = np.interp(places[: last + 1], places[[0, last]], errors[[0, last]])
    return int(np.argmax(chord - errors[: last + 1]))
