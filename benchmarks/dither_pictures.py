"""Draw docs/pictures/dither-*.png: a gradient and a photograph in eight colors, by several ditherers.

From the project's root: ``python -m benchmarks.dither_pictures``.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from quantization.dithering import dither
from quantization.indexed_image import IndexedImage
from quantization.quantizers import fit_palette

from .quantizers import gradient, photographs, with_alpha

METHODS = ("none", "floyd-steinberg", "atkinson", "sierra", "bayer8", "blue-noise")
SIZE = (300, 200)


def main() -> None:
    """Write one picture for each source: the methods row by row, three in a row."""
    for name, source in (("gradient", gradient()), ("photograph", photographs()["coffee"])):
        image = with_alpha(np.array(Image.fromarray(source).resize(SIZE, Image.Resampling.LANCZOS)))
        palette = fit_palette([image], 8, "mixtures")
        tiles = [dither(image, palette, method) for method in METHODS]
        sheet = np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])]).repeat(2, axis=0).repeat(2, axis=1)
        IndexedImage(sheet, palette).save(Path("docs/pictures") / f"dither-{name}.png")


if __name__ == "__main__":
    main()
