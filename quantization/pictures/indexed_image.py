"""An indexed image: an index map and its palette, saved as a PNG and read back bit for bit."""

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tincture.common.errors import InputError
from tincture.common.files import write_atomically

from ..palettes.palette import Palette
from .reading import open_image, to_srgb

_LARGE, _BAND = 1 << 17, 16
"""From so many pixels on, so many rows in each of four places say how a PNG is compressed."""


@dataclass(frozen=True)
class PngOptions:
    """PNG files.

    Args:
        png8: a byte for each pixel, as some engines need it, even where the palette has so few
            entries that 1, 2 or 4 bits would do.
    """

    png8: bool = False


def write_png(image: Image.Image, path: Path | str, png8: bool = False) -> None:
    """Write a PNG, whole or not at all; ``png8`` is for an image of mode P, as in `PngOptions`."""
    if png8 and image.mode == "P":
        write_atomically(path, lambda temporary: temporary.write_bytes(_png8(image)))
    else:
        write_atomically(path, lambda temporary: temporary.write_bytes(_encoded(image, _strategy(image))))


def _encoded(image: Image.Image, strategy: int) -> bytes:
    """A PNG as Pillow makes it, with one of zlib's strategies."""
    file = BytesIO()
    image.save(file, format="PNG", optimize=False, compress_type=strategy)
    return file.getvalue()


def _strategy(image: Image.Image) -> int:
    """How to compress a PNG: run lengths take a third of the time, and photographs repeat no more.

    Some rows of a large index map show it. What is drawn or dithered repeats longer patterns.
    """
    if image.mode != "P" or image.width * image.height < _LARGE:
        return zlib.Z_DEFAULT_STRATEGY
    rows = np.asarray(image)
    bands = [rows[round(at * (len(rows) - _BAND)) :][:_BAND] for at in (0.1, 0.35, 0.6, 0.85)]
    sample = Image.fromarray(np.concatenate(bands), mode="P")
    sample.putpalette(image.getpalette())
    strategies = (zlib.Z_RLE, zlib.Z_DEFAULT_STRATEGY)
    return min(strategies, key=lambda strategy: len(_encoded(sample, strategy)))


def _png8(image: Image.Image) -> bytes:
    """A PNG of 8 bits for each index (W3C, "PNG Specification", 11.2); Pillow takes fewer."""
    header = struct.pack(">IIBBBBB", *image.size, 8, 3, 0, 0, 0)
    rows = np.pad(np.asarray(image), ((0, 0), (1, 0)))  # each begins with the filter type 0
    chunks = {b"IHDR": header, b"PLTE": bytes(image.getpalette())}
    chunks |= {b"tRNS": image.info["transparency"]} if "transparency" in image.info else {}
    chunks |= {b"IDAT": zlib.compress(rows.tobytes()), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks.items()
    )


def pillow_of(indices: np.ndarray, colors: np.ndarray) -> Image.Image:
    """A Pillow image of mode P of indices ``[H, W]`` and colors ``[K, 4]``, both uint8."""
    image = Image.fromarray(indices, mode="P")
    image.putpalette(colors[:, :3].tobytes(), "RGB")
    if (colors[:, 3] < 255).any():
        image.info["transparency"] = colors[:, 3].tobytes()
    return image


def entries_of(image: Image.Image) -> np.ndarray:
    """The palette of a Pillow image of mode P as its file holds it, uint8 ``[K, 4]``."""
    entries = np.frombuffer(bytes(image.getpalette("RGBA")), np.uint8).reshape(-1, 4)
    # Some programs write a palette that ends before the largest index. The rest is black.
    colors = np.full((max(len(entries), int(np.asarray(image).max()) + 1), 4), (0, 0, 0, 255), np.uint8)
    colors[: len(entries)] = entries
    transparency = image.info.get("transparency", b"")
    if isinstance(transparency, int):
        colors[transparency : transparency + 1, 3] = 0
    else:
        alpha = np.frombuffer(transparency, np.uint8)[: len(colors)]
        colors[: len(alpha), 3] = alpha
    return colors


@dataclass(frozen=True, eq=False)
class IndexedImage:
    """Indices, uint8 ``[H, W]``, each below the palette's size.

    Raises:
        InputError: the indices' shape or type is wrong, or one of them is not an entry of the
            palette.
    """

    indices: np.ndarray
    palette: Palette

    def __post_init__(self) -> None:
        indices = np.array(self.indices)
        if indices.dtype != np.uint8 or indices.ndim != 2 or indices.size == 0:
            raise InputError(f"an index map is uint8 [H, W], not {indices.dtype} {list(indices.shape)}")
        if indices.max() >= len(self.palette):
            raise InputError(f"index {indices.max()} is not among the palette's {len(self.palette)} entries")
        indices.flags.writeable = False
        object.__setattr__(self, "indices", indices)

    def to_rgba(self) -> np.ndarray:
        """Every pixel's color, uint8 ``[H, W, 4]``."""
        return self.palette.colors[self.indices]

    def indices_in(self, palette: Palette) -> np.ndarray | None:
        """The index map, uint8 ``[H, W]``, if it shows the same picture in another palette.

        So it does if each entry that a pixel holds stands at the same place there. Transparency has
        no color. Otherwise none is returned.
        """
        used = np.unique(self.indices)
        if used[-1] >= len(palette):
            return None
        own, other = self.palette.colors[used], palette.colors[used]
        is_same = (own == other).all(axis=1) | ((own[:, 3] == 0) & (other[:, 3] == 0))
        return self.indices if is_same.all() else None

    def enlarged(self, scale: int) -> "IndexedImage":
        """Every pixel as a square of ``scale`` pixels, in the same palette.

        Raises:
            InputError: ``scale`` is below 1.
        """
        if scale < 1:
            raise InputError(f"the scale is {scale}; it must be at least 1")
        return IndexedImage(self.indices.repeat(scale, axis=0).repeat(scale, axis=1), self.palette)

    def to_pil(self) -> Image.Image:
        """A Pillow image of mode P with this palette, its order and its alpha."""
        return pillow_of(self.indices, self.palette.colors)

    @classmethod
    def from_pil(cls, image: Image.Image) -> "IndexedImage":
        """Take the index map and the palette of a Pillow image of mode P.

        Transparent entries become one, as by `merged`. Colors of an ICC profile become sRGB.

        Raises:
            InputError: the image has no palette (its mode is not P).
        """
        if image.mode != "P":
            raise InputError(f"an indexed image has mode P, not {image.mode}; quantize it first")
        indices = np.asarray(image)
        colors = entries_of(image)
        shown = to_srgb(Image.fromarray(colors[None, :, :3].copy()), image.info.get("icc_profile"))
        colors[:, :3] = np.asarray(shown.convert("RGB"))[0]
        return cls.merged(indices, colors)

    @classmethod
    def merged(cls, indices: np.ndarray, colors: np.ndarray) -> "IndexedImage":
        """Make an indexed image; if several colors are transparent, they become the first of them.

        Args:
            indices: uint8 ``[H, W]``, each below K.
            colors: sRGB RGBA, uint8 ``[K, 4]``; the opaque ones keep their order.
        """
        is_transparent = colors[:, 3] == 0
        first = is_transparent.argmax()
        is_kept = ~is_transparent
        is_kept[first] = True
        places = is_kept.cumsum() - 1
        places[is_transparent] = places[first]
        return cls(places.astype(np.uint8)[indices], Palette(colors[is_kept]))

    def to_png(self) -> bytes:
        """A PNG of mode P, as `save` writes it."""
        image = self.to_pil()
        return _encoded(image, _strategy(image))

    def save(self, path: Path | str, png8: bool = False) -> None:
        """Write a PNG of mode P, whole or not at all; ``png8`` is as in `PngOptions`."""
        write_png(self.to_pil(), path, png8)

    @classmethod
    def load(cls, path: Path | str) -> "IndexedImage":
        """Read a PNG or GIF of mode P; raises InputError if it is broken or has no palette."""
        return cls.from_pil(open_image(path))
