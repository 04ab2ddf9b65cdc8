"""A swatch: the picture of a palette, one labelled square for each entry."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .palette import Palette

_CHECKS = (204, 255)
"""The grays behind a transparent entry, as in paint programs."""
_PAPER = 255
"""The gray after the last entry."""
_LIGHT = 140
"""The luma, of 255, above which a label is black."""


def swatch(palette: Palette, square: int = 64, columns: int | None = None) -> Image.Image:
    """Draw a palette row by row, each square with its index and its color in hexadecimal digits.

    Args:
        palette: 1 to 256 entries; transparency shows a checkerboard.
        square: the side of a square, in pixels; below 48 the labels are left out.
        columns: squares in a row; 8, or 16 above 64 entries, if left out.

    Returns:
        A picture of mode RGB.
    """
    columns = min(columns or (8 if len(palette) <= 64 else 16), len(palette))
    rows = -(-len(palette) // columns)
    side = np.arange(square) // max(square // 8, 1)
    checks = np.array(_CHECKS, np.float64)[(side[:, None] + side) % 2][..., None]
    canvas = np.full((rows * square, columns * square, 3), _PAPER, np.float64)
    for k, color in enumerate(palette.colors.astype(np.float64)):
        top, left = k // columns * square, k % columns * square
        area = canvas[top : top + square, left : left + square]
        area[:] = checks + (color[:3] - checks) * (color[3] / 255)
    picture = Image.fromarray(canvas.round().astype(np.uint8))
    if square >= 48:
        _label(picture, palette, square, columns)
    return picture


def _label(picture: Image.Image, palette: Palette, square: int, columns: int) -> None:
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=square * 0.19)
    for k, (name, color) in enumerate(zip(palette.to_hex(), palette.colors.tolist(), strict=True)):
        top, left = k // columns * square, k % columns * square
        luma = np.dot(color[:3], (0.299, 0.587, 0.114))
        ink = "black" if luma > _LIGHT or color[3] < 128 else "white"
        draw.text((left + square * 0.07, top + square * 0.04), str(k), ink, font)
        draw.text((left + square * 0.07, top + square * 0.74), name[:6] if color[3] else "alpha 0", ink, font)
