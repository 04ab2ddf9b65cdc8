import numpy as np
import torch

from evaluation.features import FeatureExtractor
from evaluation.report import image_scalars, table
from quantization.indexed_image import IndexedImage
from quantization.palette import Palette

PALETTE = Palette.from_hex(["000000", "ffffff", "c02040", "20c060"])


def images(rng, number):
    return [IndexedImage(rng.integers(0, 4, (2, 2), np.uint8), PALETTE) for _ in range(number)]


def test_every_measured_value_has_a_standard_error_and_a_line(rng):
    extractor = FeatureExtractor("mean-color", 4, lambda rgb: rgb.mean(dim=(2, 3)), torch.device("cpu"))
    scalars = image_scalars(images(rng, 30), images(rng, 40), extractor)
    measured = {name for name in scalars if "/" in name and not name.endswith("_stderr")}
    assert {"mean-color/frechet", "mean-color/coverage", "colors/color_distance"} <= measured
    assert all(f"{name}_stderr" in scalars for name in measured)
    assert (scalars["drawn_images"], scalars["reference_images"]) == (30, 40)
    lines = table(scalars).splitlines()
    assert len(lines) == len(measured) + 2
    assert all("±" in line for line in lines if "/" in line)
