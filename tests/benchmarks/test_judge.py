from pathlib import Path

import numpy as np
import pytest

from tincture.benchmarks.judge import cost_of_mirroring, line, mirrored
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

PALETTE = Palette.from_hex(["000000", "d04030", "ffffff"])


def test_mirroring_costs_nothing_where_both_sides_are_alike_and_gains_what_it_cost_when_undone():
    judge = PaletteDiffusionPipeline.from_pretrained(Path("checkpoints/icons16"))
    rng = np.random.default_rng(0)
    one_sided = IndexedImage(rng.integers(0, 3, (16, 16), dtype=np.uint8), PALETTE)
    both_sides = IndexedImage(
        np.repeat(np.array([[0], [2]], np.uint8), 8, axis=0) + np.zeros((1, 16), np.uint8), PALETTE
    )
    costs = cost_of_mirroring(judge, [one_sided, both_sides], times=2)
    assert costs[1] == 0
    assert abs(costs[0]) > 1e-3
    undone = cost_of_mirroring(judge, [mirrored(one_sided), both_sides], times=2)
    assert undone[0] == pytest.approx(-costs[0], abs=1e-6)


def test_a_line_has_the_mean_its_standard_error_and_the_share_below_zero():
    assert line("some", np.array([0.1, 0.3, -0.1, 0.1])) == "| some | 0.100 ± 0.082 | 25% |"
