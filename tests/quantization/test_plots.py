import numpy as np
import pytest
from PIL import Image

from tincture.quantization.palettes.files import read_palette
from tincture.quantization.plots import plot_quantization


def test_the_figure_shows_the_pictures_and_the_palette(tmp_path, rng):
    pytest.importorskip("matplotlib")
    palette = read_palette("nintendo-gameboy-bgb").with_transparency()
    indices = rng.integers(0, 5, (16, 24)).astype(np.uint8)
    plot_quantization(tmp_path / "p.png", palette.colors[indices], indices, palette, [2, 4], [0.1, 0.0], 4)
    with Image.open(tmp_path / "p.png") as image:
        drawn = set(map(tuple, np.array(image.convert("RGB")).reshape(-1, 3).tolist()))
    assert {tuple(color[:3]) for color in palette.colors[:4].tolist()} <= drawn
