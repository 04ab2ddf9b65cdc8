"""Draw docs/pictures/dither-*.png: a gradient and a photograph in eight colors, and the latter in e-paper's, dithered.

From the project's root: ``python -m benchmarks.dither_pictures``.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from tincture.quantization.dither import dither
from tincture.quantization.fit import fit_palette
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

from .quantizers import gradient, photographs, with_alpha

METHODS = ("none", "floyd-steinberg", "atkinson", "sierra", "bayer8", "blue-noise")
SIZE = (300, 200)


def save(rows: list[list[np.ndarray]], palette: Palette, name: str) -> None:
    """Write a sheet of index maps, each pixel doubled."""
    sheet = np.vstack([np.hstack(row) for row in rows]).repeat(2, axis=0).repeat(2, axis=1)
    IndexedImage(sheet, palette).save(Path("docs/pictures") / f"dither-{name}.png")


def main() -> None:
    """Write one picture for each source: the methods row by row, three in a row; then one in a given palette."""
    for name, source in (("gradient", gradient()), ("photograph", photographs()["coffee"])):
        image = with_alpha(np.array(Image.fromarray(source).resize(SIZE, Image.Resampling.LANCZOS)))
        palette = fit_palette([image], 8, "mixtures")
        tiles = [dither(image, palette, method) for method in METHODS]
        save([tiles[:3], tiles[3:]], palette, name)
    palette = read_palette("e-paper-7")
    calm, exact = (dither(image, palette, "floyd-steinberg", exact=exact) for exact in (False, True))
    save([[calm, exact, dither(image, palette, "blue-noise")]], palette, "given")


if __name__ == "__main__":
    main()
