"""Which entry is nearest to a color; and where a palette is coarse, hue counts more.

In a palette of black, white and red, a dark gray is nearer to red than to black: steps of lightness
are as long as the way to red. But people see at once that a gray turned red. So far matches, those
of more than `NEAR`, are judged again, with all that lies across the gray axis (a and b in OKLab)
multiplied by `hue_weight`: the least number by which the grays between a palette's neutrals go to
neutrals. It is 1 where a palette has enough grays, no strong colors or no neutrals. Near matches
never change.

On many coarse palettes this is better than a constant weight, HyAB and CIEDE2000:
`python -m benchmarks.quantizers sparse`.
"""

import numpy as np

from .nearest import nearest
from .spaces import SPACES, mixing_coordinates

NEAR = 0.1
"""In OKLab: a nearer entry is taken as it is, since it looks about like the color."""
NEUTRAL = 0.04
"""The most chroma in OKLab of an entry that counts as a gray."""
_TINTED, _STRONG = 0.06, 0.12
"""A gray may become an entry of the first chroma, but of the second one none; between, in part."""
_GRAYS = 65
"""So many grays are tried between the darkest and the lightest neutral."""
_AXES = {"oklab": np.array([1, 0, 0], np.float32)} | dict.fromkeys(("srgb", "linear"), np.full(3, 3**-0.5, np.float32))
"""The direction of the grays in each space."""
_CASTS = {"oklab": 0.015, "srgb": 0.045, "linear": 0.045}
"""How far from the axis pictures have their grays."""


def hue_weight(colors: np.ndarray, space: str = "oklab") -> float:
    """How many times distances across the gray axis count in a palette, in far matches.

    Args:
        colors: the palette's opaque entries, sRGB bytes ``[K, 3]``; further columns are ignored.
        space: where distances are measured, ``linear`` or a name in `SPACES`.

    Returns:
        At least 1, and at most about 5.
    """
    grays = neutrals(colors)
    if len(grays) < 2:
        return 1.0
    points, axis = mixing_coordinates(colors[:, :3], space), _AXES[space]
    along = points @ axis
    across = np.linalg.norm(points - along[:, None] * axis, axis=1)
    strength = np.clip((_chroma(colors) - _TINTED) / (_STRONG - _TINTED), 0, 1)
    return _least_weight(along[grays], along, across, strength, _CASTS[space])


def neutrals(colors: np.ndarray) -> np.ndarray:
    """Which of the entries, sRGB bytes ``[K, 3]``, count as grays, int64."""
    return np.flatnonzero(_chroma(colors) <= NEUTRAL)


def _chroma(colors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(SPACES["oklab"].from_bytes(colors)[:, 1:], axis=1)


def _least_weight(grays: np.ndarray, along: np.ndarray, across: np.ndarray, strength: np.ndarray, cast: float) -> float:
    """The least weight w ≥ 1 by which all grays keep away from strong entries.

    A gray at g with a cast t shall be no nearer to an entry than to the nearest neutral:
    (g - along)² + w² (across - t)² ≥ gap² + w² t².
    """
    along, across, strength = (each[strength > 0] for each in (along, across, strength))
    tried = np.linspace(grays.min(), grays.max(), _GRAYS)[:, None]
    gaps = np.abs(grays - tried).min(axis=1, keepdims=True)
    lacking = (strength * gaps) ** 2 - (tried - along) ** 2  # [grays, K]
    near = np.minimum(cast, across / 4)  # dark colors lie near the axis of sRGB
    return float(np.sqrt((lacking / (across**2 - 2 * across * near)).max(initial=1.0)))


def stretch_hue(points: np.ndarray, weight: float, space: str = "oklab") -> np.ndarray:
    """Points ``[..., 3]`` with what lies across the gray axis multiplied by ``weight``; float32."""
    axis = _AXES[space]
    return points @ (weight * np.eye(3, dtype=np.float32) + np.float32(1 - weight) * np.outer(axis, axis))


def nearest_entries(colors: np.ndarray, entries: np.ndarray, space: str = "oklab") -> np.ndarray:
    """Find each color's entry; the first one wins a tie.

    Args:
        colors: sRGB bytes ``[N, 3]``; further columns are ignored.
        entries: likewise, ``[K, 3]``, K ≥ 1.
        space: a name in `SPACES`, where distances are measured.

    Returns:
        Positions among the entries, int64 ``[N]``.
    """
    to_space, oklab = SPACES[space].from_bytes, SPACES["oklab"].from_bytes
    points, centers = to_space(colors), to_space(entries)
    labels, squares = nearest(points, centers)
    weight = hue_weight(entries, space)
    if weight == 1:
        return labels
    if space != "oklab":
        squares = ((oklab(colors) - oklab(entries)[labels]) ** 2).sum(axis=1)
    far = np.flatnonzero(squares > NEAR**2)
    if len(far):
        labels[far] = nearest(stretch_hue(points[far], weight, space), stretch_hue(centers, weight, space))[0]
    return labels
