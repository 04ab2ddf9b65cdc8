"""Ten thousand pictures through the codec and back: `python -m benchmarks.round_trips --help`.

They are held-out pictures, and pictures of chance: of many shapes, with 1 to 256 entries that
repeat, stand unused, or are more or less transparent. All must come back to the bit.
"""

import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tincture.benchmarks.judge import both_sides
from tincture.codec.format import decode, encode_pictures
from tincture.codec.network import CodecNetwork
from tincture.codec.pictures import Picture
from tincture.common import cli
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline

OF_A_SHAPE = 20
LARGEST = (100, 200)
"""Height and width."""
SMALLER, SHARE = (64, 64), 0.97
"""So many shapes are no larger."""


def by_chance(generator: np.random.Generator, height: int, width: int) -> Picture:
    """A picture of as many areas as chance says, or of noise."""
    size = int(2 ** generator.uniform(0, 8))
    colors = np.dstack([generator.integers(0, 256, (1, size, 3)), np.full((1, size), 255)])[0].astype(np.uint8)
    if generator.random() < 0.3:  # entries repeat
        colors = colors[generator.integers(0, size, size)]
    if generator.random() < 0.4:  # some are transparent, or half so
        rows = generator.integers(0, size, generator.integers(1, 4))
        colors[rows, 3] = generator.choice([0, 0, 128, 254], len(rows))
    used = generator.permutation(size)[: generator.integers(1, size + 1)]
    if generator.random() < 0.2:
        indices = generator.choice(used, (height, width))
    else:
        points = generator.uniform(0, 1, (2, generator.integers(1, 40))) * [[height], [width]]
        down, right = np.mgrid[:height, :width]
        near = ((down[..., None] - points[0]) ** 2 + (right[..., None] - points[1]) ** 2).argmin(-1)
        indices = generator.choice(used, points.shape[1])[near]
    return Picture([indices.astype(np.uint8)], colors, is_indexed=bool(generator.random() < 0.8))


def heldout(data: Path | None, most: int) -> list[Picture]:
    """Pictures of the held-out side, at their own sizes."""
    _, side = both_sides(data)
    rows = side.random_rows(len(side), 0)[:most]
    return [Picture([image.indices], image.palette.colors, True) for image in side.pictures(rows)]


def differ(picture: Picture, back: Picture) -> bool:
    """Whether anything of a still picture has changed."""
    shown = (each.colors[each.frames[0]] for each in (picture, back))
    if picture.is_indexed != back.is_indexed or not np.array_equal(*shown):
        return True
    pairs = ((picture.frames[0], back.frames[0]), (picture.colors, back.colors))
    return picture.is_indexed and not all(map(np.array_equal, *zip(*pairs, strict=True)))


def main(arguments: list[str]) -> None:
    """Encode and decode, batch by batch."""
    parser = cli.FlagParser("Encode pictures, decode them, and compare.")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/icons16"))
    parser.add_argument("--data", type=Path, help="of encode_dataset.py: its held-out pictures, besides icons")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--most", type=int, default=500, help="held-out pictures of each set")
    parser.add_argument("--effort", type=int, default=1)
    options = parser.parse_args(arguments)
    pictures = heldout(None, options.most)
    if options.data is not None:
        pictures += heldout(options.data, options.most)
    generator, real = np.random.default_rng(0), len(pictures)
    while len(pictures) < options.pictures:
        most = SMALLER if generator.random() < SHARE else LARGEST
        shape = [int(side ** generator.uniform(0, 1) + 0.5) for side in most]
        pictures += [by_chance(generator, *shape) for _ in range(OF_A_SHAPE)]
    pictures = pictures[: options.pictures]

    network = CodecNetwork(PaletteDiffusionPipeline.from_pretrained(options.checkpoint))
    wrong, size, kept, started = 0, 0, 0, time.process_time()
    for first in tqdm(range(0, len(pictures), 120)):
        batch = pictures[first : first + 120]
        files = encode_pictures(network, batch, options.effort - 1)
        for picture, (back,) in zip(batch, decode(network, files), strict=True):
            is_kept = not isinstance(back, Picture)
            kept += is_kept
            wrong += is_kept or differ(picture, back)
        size += sum(map(len, files))
    shapes, entries = {each.shape for each in pictures}, {len(each.colors) for each in pictures}
    print(
        f"{len(pictures):,} pictures, {real:,} of them real; {len(shapes):,} shapes, {len(entries)} sizes of palettes"
    )
    print(f"{wrong} came back otherwise, {kept} of them as files; {size:,} bytes")
    print(f"{(time.process_time() - started) / 60:.0f} minutes of processor time")


if __name__ == "__main__":
    cli.run(main)
