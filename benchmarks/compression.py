"""Bytes of palette art by this codec and by others: `python -m benchmarks.compression --help`.

Prints the tables of docs/codec.md, of held-out pictures. Needs requirements-benchmarks.txt.
"""

import io
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import imagecodecs
import numpy as np
import oxipng
from PIL import Image

from tincture.benchmarks.context_tables import ContextTables
from tincture.benchmarks.judge import both_sides
from tincture.benchmarks.tables import heading, mean_of, row, with_error
from tincture.codec.arithmetic import Encoder
from tincture.codec.format import decode, encode_pictures
from tincture.codec.index_maps import IndexMap, code_index_maps
from tincture.codec.network import CodecNetwork
from tincture.codec.palettes import code_palettes, set_positions
from tincture.codec.pictures import Picture
from tincture.common import cli
from tincture.data.index_maps import IndexMaps
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage


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


def pictures_of(side: IndexMaps, options: Namespace) -> list[Picture]:
    """Those of a side of the split that are asked for, without an order of their colors."""
    sizes = [side.indices.shape[1]] * len(side) if side.sizes is None else side.sizes.tolist()
    rows = [row for row, size in enumerate(sizes) if size == options.size and options.credit in side.credits[row]]
    order = np.random.default_rng(0).permutation(rows)[: options.most]
    return [
        Picture([side.indices[row, : options.size, : options.size].numpy()], side.palette(row).colors) for row in order
    ]


def besides_pixels(network: CodecNetwork, pictures: Sequence[Picture]) -> np.ndarray:
    """Bytes of each file that aren't its index map's."""
    files = encode_pictures(network, pictures, 0)
    coders = [Encoder() for _ in pictures]
    maps = [
        IndexMap(coder, each.shape, each.colors, each.frames[0]) for coder, each in zip(coders, pictures, strict=True)
    ]
    code_index_maps(network, maps, 0)
    return np.array([len(file) - len(coder.finish()) for file, coder in zip(files, coders, strict=True)])


def main(arguments: list[str]) -> None:
    """Encode held-out pictures in all ways, decode ours again, and print tables."""
    parser = cli.FlagParser("Compare this codec with others on the held-out side of a model's data set.")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/icons16"))
    parser.add_argument("--data", type=Path, help="of encode_dataset.py; the icons if left out")
    parser.add_argument("--credit", default="", help="only pictures whose credit has these words")
    parser.add_argument("--size", type=int, default=16, help="only pictures of this edge length")
    parser.add_argument("--most", type=int, default=1000, help="so many pictures, the first of a random order")
    parser.add_argument("--efforts", type=int, nargs="+", default=[1, 2, 3, 4])
    options = parser.parse_args(arguments)
    fitted, pictures = (pictures_of(side, options) for side in both_sides(options.data))
    network = CodecNetwork(PaletteDiffusionPipeline.from_pretrained(options.checkpoint))
    print(f"{len(pictures)} pictures")

    sizes = {name: [len(write(picture)) for picture in pictures] for name, write in OTHERS.items()}
    sets = [picture.colors[set_positions(picture.colors)] for picture in pictures]
    palettes = [Encoder() for _ in pictures]
    code_palettes(palettes, network.prior, network.sizes, sets)
    palette_bytes = [len(coder.finish()) for coder in palettes]
    speeds: dict[str, tuple[float, float]] = {}
    for effort in options.efforts:
        name, started = f"effort {effort}", time.process_time()
        files = encode_pictures(network, pictures, effort - 1)
        encoded = time.process_time()
        for (back,), picture in zip(decode(network, files), pictures, strict=True):
            assert np.array_equal(rgba(back), rgba(picture))
        sizes[name] = list(map(len, files))
        speeds[name] = len(files) / (encoded - started), len(files) / (time.process_time() - encoded)
    tables = ContextTables([(picture.frames[0], picture.colors) for picture in fitted])
    without = [tables.bits(picture.frames[0], picture.colors) / 8 for picture in pictures]
    sizes["with tables in place of the network"] = besides_pixels(network, pictures) + without

    print(heading("", "bytes", "of JPEG XL's", "of WebP's", "encoded a second", "decoded"))
    for name, each in sizes.items():
        shares = (f"{np.mean(each) / np.mean(sizes[other]):.1%}" for other in ("JPEG XL, effort 10", "WebP lossless"))
        print(row(name, with_error(*mean_of(each), 1), *shares, *(f"{speed:.1f}" for speed in speeds.get(name, ()))))
    print(f"of a file, the palette alone: {with_error(*mean_of(palette_bytes), 1)}")
    print(f"index maps alone, by tables: {with_error(*mean_of(without), 1)}")


if __name__ == "__main__":
    cli.run(main)
