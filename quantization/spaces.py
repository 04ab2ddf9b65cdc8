"""The spaces in which distances are measured, and fast formulas of color.py for bytes."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tincture.common.kernels import kernel
from tincture.common.once import once

from .color import LINEAR_TO_LMS, LMS_TO_OKLAB, linear_to_srgb, oklab_to_srgb, srgb_to_linear

LINEAR_OF_BYTE = srgb_to_linear(np.arange(256) / 255).astype(np.float32)
"""Linear light in [0, 1] for each sRGB byte, float32 ``[256]``."""

_ROOTS = 4096
SRGB_OF_ROOT = linear_to_srgb(np.linspace(0, 1, _ROOTS + 1) ** 2).astype(np.float32)
"""sRGB in [0, 1] for evenly spaced square roots of linear light, float32 ``[4097]``: over the root,
the curve is nearly straight."""

_BLOCK = 1 << 13
"""NumPy takes so many colors at once, which a processor's cache holds with all steps' results."""

_TO_LMS = np.array(LINEAR_TO_LMS, np.float32)
_TO_OKLAB = np.array(LMS_TO_OKLAB, np.float32)


@kernel(plain=True, inline="always")
def cube_root(x: np.float32) -> np.float32:
    """Cube root of a float32 ≥ 0, to about one unit in the last place, by Halley's iteration."""
    # A third of the exponent, from the bits; the constant makes the first guess right within 5 %.
    y = np.int32(np.float32(x).view(np.int32) // 3 + 709921077).view(np.float32)
    for _ in range(2):
        cube = y * y * y
        y = y * ((cube + x + x) / (cube + cube + x))
    return y * np.float32(x > np.float32(1e-12))


@kernel(inline="always")
def linear_to_srgb_value(light: np.float32) -> np.float32:
    """One channel's linear light, clipped to [0, 1], in sRGB; a table that is right to 1e-4."""
    return SRGB_OF_ROOT[int(np.sqrt(min(max(light, np.float32(0)), np.float32(1))) * np.float32(_ROOTS) + 0.5)]


@kernel(plain=True, inline="always")
def linear_to_oklab_pixel(
    red: np.float32, green: np.float32, blue: np.float32
) -> tuple[np.float32, np.float32, np.float32]:
    """One color of linear light ≥ 0 in OKLab."""
    m, n = _TO_LMS, _TO_OKLAB
    long = cube_root(m[0, 0] * red + m[0, 1] * green + m[0, 2] * blue)
    medium = cube_root(m[1, 0] * red + m[1, 1] * green + m[1, 2] * blue)
    short = cube_root(m[2, 0] * red + m[2, 1] * green + m[2, 2] * blue)
    return (
        n[0, 0] * long + n[0, 1] * medium + n[0, 2] * short,
        n[1, 0] * long + n[1, 1] * medium + n[1, 2] * short,
        n[2, 0] * long + n[2, 1] * medium + n[2, 2] * short,
    )


def _columns_to_oklab(rgb: np.ndarray, table: np.ndarray) -> np.ndarray:
    """`_bytes_to_oklab` by NumPy."""
    out = np.empty((len(rgb), 3), np.float32)
    for start in range(0, len(rgb), _BLOCK):
        part = slice(start, start + _BLOCK)
        red, green, blue = (table[rgb[part, axis]] for axis in range(3))
        out[part, 0], out[part, 1], out[part, 2] = linear_to_oklab_pixel(red, green, blue)
    return out


@kernel(plain=_columns_to_oklab)
def _bytes_to_oklab(rgb: np.ndarray, table: np.ndarray) -> np.ndarray:
    out = np.empty((len(rgb), 3), np.float32)
    for i in range(len(rgb)):
        lightness, a, b = linear_to_oklab_pixel(table[rgb[i, 0]], table[rgb[i, 1]], table[rgb[i, 2]])
        out[i, 0], out[i, 1], out[i, 2] = lightness, a, b
    return out


def _to_bytes(srgb: np.ndarray) -> np.ndarray:
    return (srgb.clip(0, 1) * 255).round().astype(np.uint8)


class Space(NamedTuple):
    """A color space with Euclidean distances."""

    from_bytes: Callable[[np.ndarray], np.ndarray]
    """sRGB bytes ``[N, 3]`` (further columns are ignored) → coordinates, float32 ``[N, 3]``."""
    to_bytes: Callable[[np.ndarray], np.ndarray]
    """Coordinates, float32 ``[N, 3]`` → the nearest sRGB color, uint8 ``[N, 3]``."""


SPACES: dict[str, Space] = {
    "oklab": Space(
        once(lambda rgb: _bytes_to_oklab(rgb, LINEAR_OF_BYTE)), lambda points: _to_bytes(oklab_to_srgb(points))
    ),
    "srgb": Space(lambda rgb: rgb[:, :3].astype(np.float32) / np.float32(255), _to_bytes),
}


def alpha_coordinates(rgba: np.ndarray, space: Space) -> np.ndarray:
    """Points whose squared distances are the mean of those seen on black and on white.

    A color p of opacity α is α p on black, which is 0 in every space, and α p + (1 - α) w on white.
    So they are those between α (p - w/2, ``|w|``/2): premultiplied colors, and alpha beside them.

    Args:
        rgba: sRGB bytes, uint8 ``[N, 4]``.
        space: where colors are mixed and compared. Opaque ones are as far apart as they are there.

    Returns:
        float32 ``[N, 4]``.
    """
    white = space.from_bytes(np.full((1, 3), 255, np.uint8))
    height = np.full((len(rgba), 1), np.linalg.norm(white) / 2, np.float32)
    return np.concatenate([space.from_bytes(rgba) - white / 2, height], axis=1) * (rgba[:, 3:] / np.float32(255))


def mixing_coordinates(rgb: np.ndarray, space: str) -> np.ndarray:
    """Bytes ``[..., 3]`` in the space where they mix, ``linear`` or one of `SPACES`; float32."""
    if space == "linear":
        return LINEAR_OF_BYTE[rgb]
    return SPACES[space].from_bytes(np.ascontiguousarray(rgb).reshape(-1, 3)).reshape(rgb.shape)
