"""Colors of hardware with few bits a channel: the Mega Drive has 3, SNES and GBA have 5."""

import numpy as np

from tincture.common.errors import InputError

ChannelBits = tuple[int, int, int]
"""Bits of red, green and blue, 1 to 8 each."""


def snap(colors: np.ndarray, bits: ChannelBits) -> np.ndarray:
    """Move each color to the nearest one that ``bits`` can express.

    Level q of b bits is ``round(255 q / (2^b - 1))``, so that black and white are always there.

    Args:
        colors: sRGB, uint8 ``[..., 3]``.
        bits: of red, green and blue.

    Returns:
        sRGB, uint8 ``[..., 3]``.

    Raises:
        InputError: a number of bits is not 1 to 8.
    """
    if len(bits) != 3 or not all(1 <= b <= 8 for b in bits):
        raise InputError(f"channel bits are three numbers from 1 to 8, not {','.join(map(str, bits))}")
    top = 2.0 ** np.array(bits) - 1
    return np.round(np.round(colors / 255 * top) / top * 255).astype(np.uint8)


def check_representable(colors: np.ndarray, bits: ChannelBits) -> None:
    """Refuse colors, sRGB uint8 ``[K, 4]``, that ``bits`` can't express.

    Raises:
        InputError: there is one, or the bits are wrong.
    """
    wrong = (snap(colors[:, :3], bits) != colors[:, :3]).any(axis=1)
    if wrong.any():
        color, closest = bytes(colors[wrong][0, :3]).hex(), bytes(snap(colors[wrong][0, :3], bits)).hex()
        raise InputError(f"the kept color {color} can't be shown with {bits} bits; the closest is {closest}")
