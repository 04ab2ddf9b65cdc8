"""A contact sheet: images side by side, each pixel enlarged, transparency over a checkerboard."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from .indexed_image import IndexedImage

CHECKER = np.array([[0xE4, 0xD6], [0xD6, 0xE4]], np.uint8)
BACKGROUND = 0xFF


def contact_sheet(images: Sequence[IndexedImage], columns: int = 8, scale: int = 3, gap: int = 2) -> Image.Image:
    """Lay images out row by row.

    Args:
        images: at least one; the largest sets the size of every place.
        columns: images in a row.
        scale: screen pixels for one pixel of an image.
        gap: screen pixels between images.

    Returns:
        An RGB picture.
    """
    columns = min(columns, len(images))
    height = max(image.indices.shape[0] for image in images) * scale
    width = max(image.indices.shape[1] for image in images) * scale
    rows = -(-len(images) // columns)
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), BACKGROUND, np.uint8)
    for place, image in enumerate(images):
        picture = over_checkerboard(image).repeat(scale, axis=0).repeat(scale, axis=1)
        top, left = (gap + (place // columns) * (height + gap), gap + (place % columns) * (width + gap))
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return Image.fromarray(canvas)


def repeated(image: IndexedImage, rows: int, columns: int) -> IndexedImage:
    """The image side by side with itself, without a gap."""
    return IndexedImage(np.tile(image.indices, (rows, columns)), image.palette)


def over_checkerboard(image: IndexedImage) -> np.ndarray:
    """The image before a checkerboard whose squares are 4 pixels wide; uint8 ``[H, W, 3]``."""
    rgba = image.to_rgba()
    rows, columns = np.indices(rgba.shape[:2]) // 4 % 2
    alpha = rgba[..., 3:] / 255
    return (rgba[..., :3] * alpha + CHECKER[rows, columns][..., None] * (1 - alpha)).round().astype(np.uint8)
