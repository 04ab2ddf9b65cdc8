"""Bytes of palette art by this codec and by others: `python -m benchmarks.compression icons`.

Prints the tables of docs/codec.md. Needs requirements-benchmarks.txt.
"""

import hashlib
import io
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import imagecodecs
import numpy as np
import oxipng
import zopfli
from PIL import Image

from tincture.benchmarks.context_tables import ContextTables
from tincture.benchmarks.tables import heading, mean_of, row, with_error
from tincture.codec.arithmetic import Encoder
from tincture.codec.format import decode, encode_pictures
from tincture.codec.index_maps import EFFORTS, IndexMap, code_index_maps
from tincture.codec.network import CodecNetwork
from tincture.codec.palettes import code_palettes, set_positions
from tincture.codec.pictures import Picture
from tincture.common import cli
from tincture.common.errors import choose
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.data.sources import DataConfig
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage

ICONS = DataConfig(palette="own", min_colors=16, max_colors=16)


def rgba(picture: Picture) -> np.ndarray:
    """What a picture shows, uint8 ``[H, W, 4]``, without a fourth channel if all is opaque."""
    shown = picture.colors[picture.frames[0]]
    return np.ascontiguousarray(shown if (shown[..., 3] < 255).any() else shown[..., :3])


def pillow(picture: Picture, indexed: bool = True, **options: object) -> bytes:
    """The file that Pillow writes."""
    file = io.BytesIO()
    image = (
        IndexedImage.merged(picture.frames[0], picture.colors).to_pil() if indexed else Image.fromarray(rgba(picture))
    )
    image.save(file, **options)
    return file.getvalue()


def smallest_png(picture: Picture) -> bytes:
    """Oxipng's, with zopfli as its deflater."""
    return oxipng.optimize_from_memory(
        pillow(picture, format="PNG"), level=6, deflate=oxipng.Deflaters.zopfli(15), strip=oxipng.StripChunks.all()
    )


def gif(picture: Picture) -> bytes:
    """This project's GIF."""
    with TemporaryDirectory() as folder:
        image = IndexedImage.merged(picture.frames[0], picture.colors)
        write_gif(Path(folder, "picture.gif"), [image.indices], image.palette, [0])
        return Path(folder, "picture.gif").read_bytes()


OTHERS: dict[str, Callable[[Picture], bytes]] = {
    "PNG": lambda picture: pillow(picture, format="PNG"),
    "GIF": gif,
    "PNG, oxipng and zopfli": smallest_png,
    "WebP lossless": lambda picture: pillow(picture, False, format="WEBP", lossless=True, method=6, quality=100),
    "JPEG XL, effort 10": lambda picture: imagecodecs.jpegxl_encode(rgba(picture), lossless=True, effort=10),
}
