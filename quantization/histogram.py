"""The distinct colors of pictures and how often each occurs, by a table of all 2²⁴ colors.

Every function for pictures takes them through `as_rgba`.
"""

from collections.abc import Sequence

import numpy as np

from tincture.common.errors import InputError
from tincture.common.kernels import is_compiled, kernel
from tincture.common.once import once

OPAQUE_ALPHA = 128
"""Where alpha has no place between opaque and transparent, pixels of at least this are opaque."""

FEW_PIXELS = 1 << 14
"""Up to here, sorting is faster than a table."""

_ROW = 1 << 10
"""Colors in a row of the table: a box of 16 × 8 × 8."""
_FULL = 255
"""A byte's last number. From here the count goes on in a list."""


def as_rgba(image: np.ndarray) -> np.ndarray:
    """A picture, uint8 ``[H, W, 3]`` or ``[H, W, 4]``, as ``[H, W, 4]``; RGB is opaque.

    Raises:
        InputError: it is anything else.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4):
        is_float = image.dtype.kind == "f"
        advice = "scale it to 0 … 255 and round it first" if is_float else "several are a list of such arrays"
        raise InputError(
            f"a picture is sRGB, uint8 [H, W, 3] or [H, W, 4], not {image.dtype} {list(image.shape)}; {advice}"
        )
    return image if image.shape[2] == 4 else np.insert(image, 3, np.uint8(255), axis=2)


@kernel(plain=True, inline="always")
def color_key(red: np.uint8, green: np.uint8, blue: np.uint8) -> np.uint32:
    """A color's place in the table, beside similar colors, which a picture has."""
    r, g, b = np.uint32(red), np.uint32(green), np.uint32(blue)
    box = (r >> np.uint32(4)) << np.uint32(10) | (g >> np.uint32(3)) << np.uint32(5) | b >> np.uint32(3)
    inside = (r & np.uint32(15)) << np.uint32(6) | (g & np.uint32(7)) << np.uint32(3) | b & np.uint32(7)
    return box << np.uint32(10) | inside


@once
def color_keys(image: np.ndarray) -> np.ndarray:
    """Each pixel's `color_key`, uint8 ``[H, W, 4]`` → uint32 ``[H W]``."""
    packed = np.ascontiguousarray(image).reshape(-1, 4).view("<u4")[:, 0]
    byte = np.uint32(255)
    return color_key.plain(packed & byte, packed >> np.uint32(8) & byte, packed >> np.uint32(16) & byte)


def colors_of_keys(keys: np.ndarray) -> np.ndarray:
    """The colors, uint8 ``[N, 3]``, of keys ``[N]``."""
    colors = np.empty((len(keys), 3), np.uint8)
    _key_color.plain(keys, colors.T)
    return colors


def count_sorted(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort keys ``[N]`` in place; the distinct ones, and how often each occurs, int64."""
    keys.sort()
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
    return keys[starts], np.diff(starts, append=len(keys))


@kernel(plain=True, inline="always")
def _key_color(key: int, color: np.ndarray) -> None:
    box = key >> 10
    color[0] = box >> 10 << 4 | key >> 6 & 15
    color[1] = (box >> 5 & 31) << 3 | key >> 3 & 7
    color[2] = (box & 31) << 3 | key & 7


@kernel
def histogram_by_sorting(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The histogram of few pixels, uint8 ``[N, 4]``; returns what `histogram` does."""
    keys = np.empty(len(pixels), np.uint32)
    size = 0
    for i in range(len(pixels)):
        if pixels[i, 3] >= OPAQUE_ALPHA:
            keys[size] = color_key(pixels[i, 0], pixels[i, 1], pixels[i, 2])
            size += 1
    keys = np.sort(keys[:size])
    colors, counts = np.empty((size, 3), np.uint8), np.zeros(size, np.int64)
    size = 0
    for i in range(len(keys)):
        if i == 0 or keys[i] != keys[i - 1]:
            _key_color(keys[i], colors[size])
            size += 1
        counts[size - 1] += 1
    return colors[:size].copy(), counts[:size].copy()


@kernel
def _count(pixels: np.ndarray, table: np.ndarray, used: np.ndarray, overflows: np.ndarray, size: int) -> int:
    """Count the opaque pixels' colors in ``table``.

    A color is listed in ``overflows``, from ``size`` on, each time that its count is full.

    Returns:
        How many colors are listed now.
    """
    for i in range(len(pixels)):
        if pixels[i, 3] >= OPAQUE_ALPHA:
            key = color_key(pixels[i, 0], pixels[i, 1], pixels[i, 2])
            if table[key] == _FULL:
                overflows[size] = key
                size += 1
                table[key] = 0
            table[key] += np.uint8(1)
            used[key // np.uint32(_ROW)] = True
    return size


@kernel
def read_table(table: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The keys that aren't 0, rising, uint32 ``[N]``, and their colors, uint8 ``[N, 3]``."""
    words = table.view(np.uint64)  # eight places at a time, since most are empty
    keys, size = np.empty(np.count_nonzero(used) * _ROW + 1, np.uint32), 0
    for row in np.flatnonzero(used):
        for word in range(row * _ROW // 8, (row + 1) * _ROW // 8):
            if words[word] != 0:
                for key in range(word * 8, word * 8 + 8):
                    keys[size] = key  # overwritten by the next one if this place is empty
                    size += table[key] > 0
    colors = np.empty((size, 3), np.uint8)
    for i in range(size):
        _key_color(keys[i], colors[i])
    return keys[:size].copy(), colors


def distinct_colors(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rising keys, uint32 ``[N]``, and colors, uint8 ``[N, 3]``, of opaque pixels."""
    colors, _ = _histogram(image)
    return color_key.plain(*colors.T), colors


def histogram(images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Count the colors of the opaque pixels of pictures.

    Args:
        images: as for `as_rgba`, each.

    Returns:
        The distinct colors, uint8 ``[N, 3]``, those of a small box together, and how often each
        occurs, int64 ``[N]``.
    """
    if len(images) == 1:
        return _histogram(as_rgba(images[0]))
    return _count_all([as_rgba(image) for image in images])


@once
def _histogram(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`histogram` of one picture."""
    return _count_all([image])


def _count_all(images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """`histogram` of pictures with alpha."""
    if not is_compiled():
        keys = np.concatenate([color_keys(image)[image.reshape(-1, 4)[:, 3] >= OPAQUE_ALPHA] for image in images])
        keys, counts = count_sorted(keys)
        return colors_of_keys(keys), counts
    pixels = [np.ascontiguousarray(image).reshape(-1, 4) for image in images]
    if sum(map(len, pixels)) <= FEW_PIXELS:
        return histogram_by_sorting(np.concatenate(pixels) if len(pixels) != 1 else pixels[0])
    table, used = np.zeros(1 << 24, np.uint8), np.zeros((1 << 24) // _ROW, np.bool_)
    # One list for all pictures: what one of them fills may overflow in the next one, however small.
    overflows, size = np.empty(sum(map(len, pixels)) // _FULL, np.uint32), 0
    for part in pixels:
        size = _count(part, table, used, overflows, size)
    keys, colors = read_table(table, used)
    counts = table[keys].astype(np.int64)
    counts += _FULL * np.bincount(np.searchsorted(keys, overflows[:size]), minlength=len(keys))
    return colors, counts


def rgba_histogram(images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Count the colors of pictures, alpha included; all that is transparent is one color.

    Returns:
        The distinct colors, uint8 ``[N, 4]``, and how often each occurs, int64 ``[N]``.
    """
    pixels = np.concatenate([np.ascontiguousarray(as_rgba(image)).reshape(-1, 4) for image in images])
    packed = np.where(pixels[:, 3] == 0, np.uint32(0), pixels.view(np.uint32)[:, 0])
    distinct, counts = count_sorted(packed)
    return distinct[:, None].view(np.uint8), counts
