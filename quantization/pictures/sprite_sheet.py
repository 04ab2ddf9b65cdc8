"""A sprite sheet: images in rows on one picture, and the JSON by which game engines cut them out.

The JSON has the keys of Aseprite's exporter, in its order (``aseprite --sheet … --data … --format
json-hash --list-tags``, src/app/doc_exporter.cpp). They are TexturePacker's keys, a duration and
tags.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tincture import __version__
from tincture.common.errors import InputError
from tincture.common.files import write_json

from ..palettes.palette import MAX_ENTRIES, Palette
from .indexed_image import IndexedImage, write_png

APP = "Tincture"
TAG = "all"
"""The name of the one animation that goes through all images."""


@dataclass(frozen=True, eq=False)
class SpriteSheet:
    """Images on one picture, and where each stands on it."""

    picture: Image.Image
    """Of mode P, or RGBA if no palette holds the colors of all images."""
    frames: dict[str, dict[str, Any]]
    """The rectangle and the duration of each image by its name, as the JSON has them."""

    def save(self, path: Path | str, png8: bool = False) -> None:
        """Write the picture as a PNG at ``path``, and the JSON beside it, under the same name.

        ``png8`` is as in `PngOptions`.
        """
        path = Path(path)
        write_png(self.picture, path, png8)
        write_json(path.with_suffix(".json"), self.to_json(path.name))

    def to_json(self, picture_name: str) -> dict[str, Any]:
        """The frames, and under ``meta`` what Aseprite says about a picture."""
        meta = {
            "app": APP,
            "version": __version__,
            "image": picture_name,
            "format": "I8" if self.picture.mode == "P" else "RGBA8888",
            "size": {"w": self.picture.width, "h": self.picture.height},
            "scale": "1",
            "frameTags": [{"name": TAG, "from": 0, "to": len(self.frames) - 1, "direction": "forward"}],
        }
        return {"frames": self.frames, "meta": meta}


def make_sprite_sheet(
    images: Mapping[str, IndexedImage],
    columns: int = 8,
    shape_padding: int = 0,
    border_padding: int = 0,
    duration: int = 100,
) -> SpriteSheet:
    """Lay images out row by row.

    The sheet is indexed in `common_palette`, or RGBA if there is none. What lies between the images
    is transparent; if the palette has no transparent entry, it is the first one.

    Args:
        images: at least one, by name. The largest sets the size of every place; an image stands at
            its top left.
        columns: images in a row.
        shape_padding: pixels between images.
        border_padding: pixels along the sheet's edges.
        duration: milliseconds for which each image is shown where the sheet is played as an
            animation.

    Raises:
        InputError: there is no image.
    """
    if not images:
        raise InputError("a sprite sheet needs at least one image")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = max(image.indices.shape[0] for image in images.values())
    width = max(image.indices.shape[1] for image in images.values())
    edges = ((rows, height), (columns, width))
    size = [2 * border_padding + count * edge + (count - 1) * shape_padding for count, edge in edges]

    palette = common_palette(image.palette for image in images.values())
    pixels = [image.to_rgba() if palette is None else _indices_in(palette, image) for image in images.values()]
    background = 0 if palette is None else palette.transparent or 0
    canvas = np.full((*size, *pixels[0].shape[2:]), background, np.uint8)  # [H, W] indices or [H, W, 4] colors
    frames = {}
    for place, (name, drawn) in enumerate(zip(images, pixels, strict=True)):
        y = border_padding + place // columns * (height + shape_padding)
        x = border_padding + place % columns * (width + shape_padding)
        h, w = drawn.shape[:2]
        canvas[y : y + h, x : x + w] = drawn
        frames[name] = {
            "frame": {"x": x, "y": y, "w": w, "h": h},
            "rotated": False,
            "trimmed": False,
            "spriteSourceSize": {"x": 0, "y": 0, "w": w, "h": h},
            "sourceSize": {"w": w, "h": h},
            "duration": duration,
        }
    picture = Image.fromarray(canvas) if palette is None else IndexedImage(canvas, palette).to_pil()
    return SpriteSheet(picture, frames)


def common_palette(palettes: Iterable[Palette]) -> Palette | None:
    """The only palette as it is, or else each color of several once, in order of appearance.

    There is none if the colors are more than 256, or two of them are transparent.
    """
    distinct = list(dict.fromkeys(palettes))
    if len(distinct) == 1:
        return distinct[0]
    colors = list(dict.fromkeys(tuple(color) for palette in distinct for color in palette.colors.tolist()))
    if len(colors) > MAX_ENTRIES or sum(alpha == 0 for *_, alpha in colors) > 1:
        return None
    return Palette(np.array(colors, np.uint8))


def _indices_in(palette: Palette, image: IndexedImage) -> np.ndarray:
    """The image's indices in a palette that holds all colors of its own, uint8 ``[H, W]``."""
    if image.palette == palette:
        return image.indices
    places = {tuple(color): place for place, color in enumerate(palette.colors.tolist())}
    table = np.array([places[tuple(color)] for color in image.palette.colors.tolist()], np.uint8)
    return table[image.indices]
