"""A transform for data loaders: pictures in other colors, with their labels and masks untouched."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.fit import quantize
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import to_rgba

from .palette_changes import PaletteChange, PaletteJitter

ImageLike = Image.Image | torch.Tensor | np.ndarray
"""A Pillow image, a tensor uint8 ``[3 or 4, H, W]``, or an array uint8 ``[H, W, 3 or 4]``."""


def with_alpha(image: IndexedImage, alpha: np.ndarray) -> IndexedImage:
    """The image with another alpha, uint8 ``[H, W]``, in each pixel.

    Colors that it lacks follow its last entry. Where they are too many, entries that no pixel holds
    make room.

    Raises:
        InputError: the pixels have more than 256 colors.
    """
    entries, hidden = image.palette.colors, image.palette.transparent
    pixels = np.concatenate([image.to_rgba()[..., :3], alpha[..., None]], axis=-1)
    pixels[alpha == 0] = 0 if hidden is None else entries[hidden]
    packed, place = np.unique(pixels.view(np.uint32), return_inverse=True)
    colors = packed.view(np.uint8).reshape(-1, 4)
    new = colors[~(colors[:, None] == entries).all(-1).any(-1)]
    palette = Palette(np.concatenate([entries, new]) if len(entries) + len(new) <= MAX_ENTRIES else colors)
    index = (colors[:, None] == palette.colors).all(-1).argmax(axis=1).astype(np.uint8)
    return IndexedImage(index[place].reshape(alpha.shape), palette)


def as_indexed(image: Image.Image, colors: int) -> IndexedImage:
    """A picture of mode P with its own index map; any other one quantized to ``colors`` entries."""
    if image.mode == "P":
        return IndexedImage.from_pil(image)
    return quantize(to_rgba(image), colors)


class PaletteAugmentation:
    """Give each picture another palette, at random.

    ``augment(image)`` returns a picture of the same kind, layout and size. ``augment(image, target,
    …)`` returns a tuple of it and the targets as they are: labels, masks and boxes hold for the new
    picture too. Pillow images of mode P keep it, and their index map where colors are jittered;
    others come back as RGB, or as RGBA if they have alpha, which stays as it is.

    Randomness comes from torch's global generator. It differs between the workers of a
    `DataLoader`, and `torch.manual_seed` repeats it.

    Args:
        ways: one of them is drawn for each picture.
        colors: entries, 2 to 256, to which pictures that are not indexed are quantized first. None:
            `PaletteJitter` changes them in full detail, and is the only way.
        probability: share of pictures that are changed, 0 to 1.

    Raises:
        InputError: an argument is out of range, or a picture is none of these kinds.
    """

    def __init__(
        self, ways: Sequence[PaletteChange] = (PaletteJitter(),), colors: int | None = 64, probability: float = 1.0
    ) -> None:
        if not ways:
            raise InputError("ways to change a palette: give at least one, such as PaletteJitter()")
        if colors is None and not all(isinstance(way, PaletteJitter) for way in ways):
            raise InputError("in full detail (colors=None) only PaletteJitter works; give a number of colors")
        if colors is not None and not 2 <= colors <= MAX_ENTRIES:
            raise InputError(f"colors is {colors}; it must be 2 to {MAX_ENTRIES}, or None for full detail")
        if not 0 <= probability <= 1:
            raise InputError(f"probability is {probability}; it must be between 0 and 1")
        self.ways, self.colors, self.probability = tuple(ways), colors, probability

    def __call__(self, image: ImageLike, *targets: Any) -> Any:
        """The changed picture, or a tuple of it and the targets."""
        rng = np.random.default_rng(int(torch.randint(2**63 - 1, ())))
        if isinstance(image, Image.Image):
            image = self._in_plain_mode(image)
        changed = self._change(image, rng) if rng.random() < self.probability else image
        return (changed, *targets) if targets else changed

    def _in_plain_mode(self, image: Image.Image) -> Image.Image:
        """RGB or RGBA, so that no chance decides on the mode; P stays unless in full detail."""
        if image.mode == "P" and self.colors is not None:
            return image
        if image.mode == "RGBA" or (image.mode == "RGB" and not image.has_transparency_data):
            return image
        pixels = to_rgba(image)
        return Image.fromarray(pixels if image.has_transparency_data else pixels[..., :3].copy())

    def _change(self, image: ImageLike, rng: np.random.Generator) -> ImageLike:
        way = self.ways[rng.integers(len(self.ways))]
        if isinstance(image, Image.Image):
            if image.mode == "P":
                return self._recolored_entries(as_indexed(image, self.colors), way, rng).to_pil()
            pixels = self._recolored(np.array(image.convert("RGBA")), way, rng)
            return Image.fromarray(pixels if image.mode == "RGBA" else pixels[..., :3].copy())
        is_tensor = isinstance(image, torch.Tensor)
        array = image.cpu().numpy().transpose(1, 2, 0) if is_tensor and image.ndim == 3 else np.asarray(image)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (3, 4):
            layout = "[3 or 4, H, W]" if is_tensor else "[H, W, 3 or 4]"
            raise InputError(f"a picture is uint8 {layout}, not {image.dtype} {list(image.shape)}; augment it before")
        rgba = np.concatenate([array, np.full((*array.shape[:2], 1), 255, np.uint8)], axis=-1)[..., :4]
        pixels = np.ascontiguousarray(self._recolored(rgba, way, rng)[..., : array.shape[2]])
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous().to(image.device) if is_tensor else pixels

    def _recolored_entries(self, image: IndexedImage, way: PaletteChange, rng: np.random.Generator) -> IndexedImage:
        """An indexed image in other colors, each pixel's alpha as it is."""
        if isinstance(way, PaletteJitter):
            return way(image, rng)
        solid = image.palette.colors.copy()
        solid[solid[:, 3] > 0, 3] = 255  # as in `_recolored`
        changed = way(IndexedImage(image.indices, Palette(solid)), rng)
        alpha = image.to_rgba()[..., 3]
        return changed if np.array_equal(changed.to_rgba()[..., 3], alpha) else with_alpha(changed, alpha)

    def _recolored(self, rgba: np.ndarray, way: PaletteChange, rng: np.random.Generator) -> np.ndarray:
        """Visible pixels in other colors, everything else as it is; uint8 ``[H, W, 4]``."""
        if self.colors is None and isinstance(way, PaletteJitter):
            changed = way.pixels(rgba, rng)
        else:
            solid = rgba.copy()
            solid[..., 3] = np.where(rgba[..., 3] > 0, 255, 0)  # soft edges have a color, and are shown by their alpha
            changed = way(quantize(solid, self.colors), rng).to_rgba()
        visible = rgba[..., 3:] > 0
        return np.where(visible, np.concatenate([changed[..., :3], rgba[..., 3:]], axis=-1), rgba)
