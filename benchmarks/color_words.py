"""Whether color words pick entries of the palette: `python -m benchmarks.color_words --help`.

Things are drawn with a color's name before their own and without, in the same palettes and from the
same seeds. Of the pixels that have a hue at all, how many have the named one?
"""

from pathlib import Path

import numpy as np

from tincture.benchmarks.tables import heading, mean_of, row, with_error
from tincture.common import cli
from tincture.controls.options import Sampling
from tincture.pipelines.drawing import in_turn
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.color import srgb_to_oklab
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.pictures.indexed_image import IndexedImage

COLORS = {"red": "e02020", "yellow": "f0d020", "green": "30a030", "blue": "2040e0", "purple": "9030c0"}
"""Words, and a color that everybody would call so."""

LEAST_CHROMA = 0.05
"""In OKLab, of a color that has a hue."""


def hues(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chroma, and the direction of the hue as a unit vector, of uint8 ``[N, 3]``."""
    ab = srgb_to_oklab(rgb)[:, 1:]
    chroma = np.linalg.norm(ab, axis=1)
    return chroma, ab / np.maximum(chroma, 1e-9)[:, None]


def share(image: IndexedImage, word: str) -> float | None:
    """Of an image's pixels with a hue, the share nearest to the word's; none if all are gray."""
    prototypes = hues(np.array([list(bytes.fromhex(each)) for each in COLORS.values()], np.uint8))[1]
    colors = image.palette.colors[image.indices.ravel()]
    chroma, own = hues(colors[colors[:, 3] > 0][:, :3])
    own = own[chroma > LEAST_CHROMA]
    return float(((own @ prototypes.T).argmax(axis=1) == list(COLORS).index(word)).mean()) if len(own) else None


def main(arguments: list[str]) -> None:
    """Draw, and print a table."""
    parser = cli.FlagParser("Measure whether color words pick entries of the palette.")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/sprites"))
    parser.add_argument("--things", nargs="+", default=["robe", "potion", "dragon", "book"])
    parser.add_argument("--palettes", nargs="+", default=["pico-8", "endesga-32", "sweetie-16", "dawnbringer-16"])
    parser.add_argument("--number", type=int, default=8, help="drawings of a thing, the palettes in turn")
    parser.add_argument("--steps", type=int, default=32)
    options = parser.parse_args(arguments)
    pipeline = PaletteDiffusionPipeline.from_pretrained(options.checkpoint)
    palettes = in_turn([read_palette(each).with_transparency() for each in options.palettes], options.number)

    def draw(words: str) -> list[IndexedImage]:
        return pipeline(options.number, palettes, Sampling(options.steps), prompt=words).images

    plain = [image for thing in options.things for image in draw(thing)]
    print(heading("word", "pixels of that hue, told it", "not told"))
    for word in COLORS:
        told = [image for thing in options.things for image in draw(f"{word} {thing}")]
        shares = ([each for image in side if (each := share(image, word)) is not None] for side in (told, plain))
        print(row(word, *(with_error(*mean_of(each), 2) for each in shares)))


if __name__ == "__main__":
    cli.run(main)
