import math

import numpy as np
import pytest
import torch

from tincture.common.errors import InputError
from tincture.evaluation.features import FeatureExtractor
from tincture.evaluation.report import features_of, image_scalars, rgba_of, table
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

PALETTE = Palette.from_hex(["000000", "ffffff", "c02040", "20c060"])


def images(rng, number):
    return [IndexedImage(rng.integers(0, 4, (2, 2), np.uint8), PALETTE) for _ in range(number)]


def test_every_measured_value_has_a_standard_error_and_a_line(rng):
    extractor = FeatureExtractor("mean-color", 4, lambda rgb: rgb.mean(dim=(2, 3)), torch.device("cpu"))
    scalars = image_scalars(images(rng, 30), images(rng, 40), images(rng, 25), extractor)
    measured = {name for name in scalars if "/" in name and not name.endswith("_stderr")}
    assert {"mean-color/frechet", "mean-color/coverage", "colors/color_distance"} <= measured
    assert all(f"{name}_stderr" in scalars for name in measured)
    assert {"mean-color/frechet_floor", "mean-color/coverage_floor"} <= measured
    lines = table(scalars).splitlines()
    assert len(lines) == len(measured)
    assert all("±" in line for line in lines if "/" in line)


@pytest.mark.parametrize(("stderr", "printed"), [(math.nan, ["±", "?"]), (math.inf, ["±", "?"]), (0.5, ["±", "0.5"])])
@pytest.mark.parametrize("name", ["heldout/bits_per_pixel", "memorization/share_from_1", "colors/color_distance"])
def test_a_standard_error_that_nobody_knows_is_no_number(name, stderr, printed):
    assert table({name: 1.25, f"{name}_stderr": stderr}).split() == [name, "1.25", *printed]


def test_the_floor_is_that_of_the_other_real_images(rng):
    extractor = FeatureExtractor("mean-color", 4, lambda rgb: rgb.mean(dim=(2, 3)), torch.device("cpu"))
    drawn, reference = images(rng, 30), images(rng, 40)
    scalars = image_scalars(drawn, reference, drawn, extractor)
    assert scalars["mean-color/kernel_floor"] == scalars["mean-color/kernel"]


def test_images_of_several_sizes_are_each_shown_to_the_network_at_their_own(rng):
    extractor = FeatureExtractor("mean-color", 4, lambda rgb: rgb.mean(dim=(2, 3)), torch.device("cpu"))
    mixed = [IndexedImage(rng.integers(0, 4, (side, side), np.uint8), PALETTE) for side in (2, 1, 4, 2, 1)]
    expected = torch.cat([extractor(rgba_of([image])) for image in mixed])
    torch.testing.assert_close(features_of(mixed, extractor), expected)


def test_a_set_that_is_too_small_is_named(rng):
    extractor = FeatureExtractor("mean-color", 4, lambda rgb: rgb.mean(dim=(2, 3)), torch.device("cpu"))
    with pytest.raises(InputError, match="at least 20 other images, not 3"):
        image_scalars(images(rng, 30), images(rng, 40), images(rng, 3), extractor)
