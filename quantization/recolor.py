"""Recoloring: an indexed image moves to another palette, each entry to one that plays its part.

It is a transport between palettes in OKLab (after Rubner, Tomasi and Guibas 2000) that divides no
entry: all pixels of one color get one color. An entry weighs as much as the area that it covers or,
where there must be a way back, as much as any other. An entry of the target may receive any number
of others, but that they come together has a price.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from tincture.common.errors import InputError

from .histogram import OPAQUE_ALPHA
from .metric import NEAR, NEUTRAL, hue_weight
from .palettes.palette import Palette
from .pictures.indexed_image import IndexedImage
from .spaces import SPACES

GENTLE = 3e-4
"""What distinct colors are worth if only rare and similar shades shall come together."""

_APART = 4.0
"""More than any two colors are apart."""

_TIE = 1e-12
"""Far below what one pixel in a million can tell apart, far above the solver's rounding."""


def recolor(
    image: IndexedImage, target: Palette, *, reversible: bool = True, distinct: float = GENTLE, stretch: float = 0.5
) -> IndexedImage:
    """Draw an image in another palette and keep its structure.

    All pixels of one color get one color of ``target``. The transparent entry goes to the
    transparent one. If there is none, it goes to the lightest, like paper. Opaque colors become
    opaque and soft ones soft, as far as ``target`` has such entries. Where it has all of the
    image's colors, no pixel changes its own, and where they stand at the same places, none changes
    its index.

    **Reversible**: the colors that the image uses are matched one-to-one if ``target`` has as many.
    Each color weighs the same. If areas weighed, the largest one would always take the nearest
    color, so that several images would become one, and there would be no way back. Recoloring there
    and back is the identity, pixel by pixel, on three conditions: the image uses every color of its
    palette, ``target`` has at least as many, and it has a transparent entry if the image has one.
    (Colors that the image doesn't use compete on the way back, so leave them out of its palette.)
    If ``target`` has fewer colors than the image uses, all of them are used and some of the image's
    come together.

    **Not reversible**: colors weigh as much as their areas, and those that are rare or alike come
    together rather than change their hue. One-to-one, fifteen blues take fifteen places in a
    palette that has two, and become green and pink. So this way looks better where the palettes
    differ much.

    Args:
        image: with its own palette.
        target: in any order, at least one entry opaque; the result has this palette as it is.
        reversible: the first way or the second one.
        distinct: in the second way, what each color of ``target`` that is used is worth, in shares
            of the area times squared distance in OKLab. 0: every color goes to the nearest one.
            Infinite: one-to-one.
        stretch: how far both palettes' lightness is brought in line, 0 to 1; see `color_costs`.

    Raises:
        InputError: ``target`` has no opaque entry.
    """
    if (kept := image.indices_in(target)) is not None:
        return IndexedImage(kept, target)
    weights = np.bincount(image.indices.ravel(), minlength=len(image.palette)).astype(np.float64)
    if reversible:
        distinct = np.inf
        used = image.palette.colors[weights > 0]
        if target.transparent is not None:
            used = used[used[:, 3] > 0]  # transparency takes no color's place
        places = target.colors[target.colors[:, 3] > 0]
        if len(np.unique(used, axis=0)) <= len(np.unique(places, axis=0)):
            weights = (weights > 0).astype(np.float64)
    mapping = match_palettes(image.palette, target, weights, distinct, stretch)
    return IndexedImage(mapping.astype(np.uint8)[image.indices], target)


def recolor_solid(
    image: IndexedImage, target: Palette, *, reversible: bool = True, distinct: float = GENTLE
) -> IndexedImage:
    """`recolor` an image whose soft pixels become solid in a palette without soft entries.

    As for `encode`, pixels of alpha below 128 become transparent there, the others opaque.
    Arguments and errors are those of `recolor`.
    """
    return recolor(made_solid_for(target, image), target, reversible=reversible, distinct=distinct)


def made_solid_for(target: Palette, image: IndexedImage) -> IndexedImage:
    """The image, its soft entries opaque or transparent if ``target`` has no soft ones."""
    if target.is_soft or not image.palette.is_soft:
        return image
    colors = image.palette.colors.copy()
    colors[:, 3] = np.where(colors[:, 3] >= OPAQUE_ALPHA, 255, 0)
    return IndexedImage.merged(image.indices, colors)


def match_palettes(
    source: Palette,
    target: Palette,
    weights: np.ndarray,
    distinct: float = np.inf,
    stretch: float = 0.5,
    costs: Callable[[Palette, Palette], np.ndarray] | None = None,
) -> np.ndarray:
    """Find the entry of ``target`` for each entry of ``source``; `recolor` says which.

    Args:
        source: N entries.
        target: at least one of them opaque.
        weights: how many pixels each entry of ``source`` has, ``[N]``; for frames that belong
            together, in all frames.
        distinct: what each target color that is used is worth, as for `match_entries`.
        stretch: how far both palettes' lightness is brought in line, as for `color_costs`.
        costs: what to use instead of `color_costs`: a function from two palettes of opaque colors
            to float64 ``[N, M]``, at least 0.

    Returns:
        int64 ``[N]``.

    Raises:
        InputError: ``target`` has no opaque entry.
    """
    if not (target.colors[:, 3] > 0).any():
        raise InputError("the palette to recolor to has no opaque entry")
    if source == target:
        return np.arange(len(source))
    both_clear = (source.colors[:, None, 3] == 0) & (target.colors[:, 3] == 0)
    same = (source.colors[:, None] == target.colors).all(axis=-1) | both_clear  # [N, M]
    if same.any(axis=1)[weights > 0].all():
        return same.argmax(axis=1)

    # Match colors, not entries: what looks the same shall look the same afterwards.
    is_visible, target_visible = source.colors[:, 3] > 0, np.flatnonzero(target.colors[:, 3] > 0)
    colors, color_of_entry = np.unique(source.colors[is_visible], axis=0, return_inverse=True)
    target_colors, first = np.unique(target.colors[target_visible], axis=0, return_index=True)
    areas = np.bincount(color_of_entry, weights[is_visible], minlength=len(colors))
    costs = costs or partial(color_costs, stretch=stretch, symmetric=distinct == np.inf)
    pairs = np.zeros((0, len(target_colors)))
    if len(colors):
        palettes = Palette(colors), Palette(target_colors)
        pairs = costs(*palettes) + softness_costs(*palettes) + _ties(colors, target_colors)

    mapping = np.zeros(len(source), np.int64)
    if is_visible.all() or target.transparent is not None:
        mapping[~is_visible] = target.transparent or 0
        found = match_entries(pairs, areas, distinct)
    else:
        # Transparency competes for the lightest color. To take another would cost it more than all
        # colors together can gain.
        area = weights[~is_visible]
        elsewhere = 10 * max(1.0, weights.sum() / max(area[0], 1))
        paper = SPACES["oklab"].from_bytes(target_colors)[:, 0].argmax()
        row = np.where(np.arange(len(target_colors)) == paper, 0, elsewhere)
        found = match_entries(np.vstack([pairs, row]), np.append(areas, area), distinct)
        mapping[~is_visible] = target_visible[first[paper]]
    mapping[is_visible] = target_visible[first[found[color_of_entry]]]
    return mapping


def _ties(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A tiny cost of each pair, ``[N, M]``, so that no two matchings are equally good.

    It is the same there and back, and depends on the sets of colors, uint8 ``[N, 4]`` and ``[M,
    4]``, but on no palette's order.
    """
    if first.tobytes() > second.tobytes():
        return _ties(second, first).T
    return np.random.default_rng(0).random((len(first), len(second))) * _TIE


def color_costs(source: Palette, target: Palette, stretch: float = 0.5, *, symmetric: bool = True) -> np.ndarray:
    """Squared distances of entries in OKLab, after both palettes' lightness is brought in line.

    Each palette is stretched about the middle of its lightness range, by the range to the power of
    ``-stretch``. So the lightest of pale colors comes nearer to the lightest of any others. Alpha
    is a fourth coordinate.

    Args:
        source: N entries.
        target: M entries.
        stretch: 0: colors as they are; 1: both palettes run from black to white.
        symmetric: whether the costs are the transpose of those from ``target`` to ``source``. Else
            hue counts more for grays of ``source`` to which no other is near (metric.py). It
            doesn't for colors: their shades would become one.

    Returns:
        float64 ``[N, M]``.
    """
    first, second = _aligned(source, stretch), _aligned(target, stretch)
    squares = (first[:, None] - second) ** 2
    costs = squares.sum(axis=2)
    if not symmetric:
        is_gray = np.linalg.norm(first[:, 1:3], axis=1) <= NEUTRAL
        is_far = is_gray & (costs.min(axis=1) > NEAR**2)
        costs[is_far] += (hue_weight(target.colors) ** 2 - 1) * squares[is_far, :, 1:3].sum(axis=2)
    return costs


def softness_costs(source: Palette, target: Palette) -> np.ndarray:
    """What it costs opaque entries to become soft ones, and the other way around, ``[N, M]``."""
    return _APART * ((source.colors[:, None, 3] == 255) != (target.colors[:, 3] == 255))


def _aligned(palette: Palette, stretch: float) -> np.ndarray:
    """Lightness, brought in line, a, b and alpha of each entry, float64 ``[K, 4]``."""
    oklab = SPACES["oklab"].from_bytes(palette.colors).astype(np.float64)
    visible = oklab[palette.colors[:, 3] > 0, 0]
    if len(visible):
        low, high = visible.min(), visible.max()
        span = max(high - low, 0.1)  # a palette of one lightness isn't torn apart
        middle = (1 - stretch) * (low + high) / 2 + stretch / 2
        oklab[:, 0] = (oklab[:, 0] - (low + high) / 2) * span**-stretch + middle
    return np.column_stack([oklab, palette.colors[:, 3] / 255])


def match_entries(costs: np.ndarray, weights: np.ndarray, distinct: float = np.inf) -> np.ndarray:
    """Match each of n entries to one of m: least Σ weight · cost - worth of distinct entries.

    With ``distinct`` infinite and n ≤ m, the matching is one-to-one; with n > m, every target entry
    is used. Entries of weight 0 don't compete for a place: in the end, each goes to its cheapest
    one.

    Args:
        costs: of each pair, finite and at least 0, float64 ``[n, m ≥ 1]``.
        weights: of the n entries, at least 0, float64 ``[n]``; only their ratios matter.
        distinct: what each target entry that is used is worth, at least 0, as a share of the whole
            weight times a cost. 0: every entry goes to its cheapest one.

    Returns:
        The target entry of each entry, int64 ``[n]``.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, and few commands recolor

    mapping = costs.argmin(axis=1)
    used = np.flatnonzero(weights > 0)
    n, m = len(used), costs.shape[1]
    if n == 0 or distinct == 0:
        return mapping
    weighted = (weights[used] / weights.sum())[:, None] * costs[used]

    # Each target entry has one free place. To come together with others there costs what one more
    # distinct entry is worth. So this is an assignment: to a free place, or at that price to the
    # cheapest entry. No two matchings differ by more than all largest costs together, so a price
    # above that is as good as an infinite one.
    price = min(distinct, 1 + weighted.max(axis=1).sum())
    shared = np.repeat(weighted.min(axis=1, keepdims=True) + price, n, axis=1)  # [n, n]
    _, places = linear_sum_assignment(np.concatenate([weighted, shared], axis=1))
    mapping[used] = np.where(places < m, places, mapping[used])
    return mapping
