import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import evaluate
import train
from data.index_maps import IndexMaps
from quantization.indexed_image import IndexedImage
from quantization.palette import Palette, PaletteBatch

SMOKE = str(Path(__file__).parent.parent / "configs" / "icons16-smoke.yaml")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, cache_dir):
    output = tmp_path_factory.mktemp("run") / "model"
    options = ["--config", SMOKE, "--output", output, "--data.cache_dir", cache_dir, "--track.wandb", "false"]
    train.main([str(option) for option in options])
    return output


def test_a_model_is_judged_by_likelihood_features_and_colors(run, checkpoint, tmp_path):
    output = tmp_path / "evaluation.json"
    options = ["--checkpoint", checkpoint, "--output", output, "--num-samples", 20, "--steps", 2, "--times", 1]
    options += ["--metrics", "bits-per-pixel", "images"]
    status, out, _ = run(evaluate, *options)
    assert status == 0
    record = json.loads(output.read_text())
    metrics = record["metrics"]
    assert record["options"]["num_samples"] == metrics["drawn_images"] == 20
    assert 0 < metrics["heldout/bits_per_pixel"] < 8
    assert metrics["efficientnet-lite0/frechet"] > 20  # two sets of icons are no nearer, and this model knows nothing
    assert metrics["efficientnet-lite0/coverage"] < 0.5
    assert 0 < metrics["colors/color_distance"] < 1
    assert all(math.isfinite(value) for value in metrics.values())
    assert all(name in out for name in metrics if not name.endswith("_stderr"))
    assert run(evaluate, *options)[0] == 2


def test_copies_of_training_pictures_are_counted(rng):
    palettes = PaletteBatch(torch.zeros(60, 4, 4, dtype=torch.uint8), torch.ones(60, 4, dtype=torch.bool))
    indices = torch.from_numpy(rng.integers(0, 4, (60, 8, 8), np.uint8))

    def side(rows):
        return IndexMaps(indices[rows], palettes[rows], torch.zeros(60, dtype=torch.long)[rows], ["all"], [""] * 60)

    training, heldout = side(slice(0, 40)), side(slice(40, 60))
    palette = Palette.from_hex(["000000", "444444", "888888", "ffffff"])
    drawn = [IndexedImage(each, palette) for each in rng.integers(0, 4, (10, 8, 8), np.uint8)]
    copies = [IndexedImage(indices[row].numpy(), palette) for row in range(10)]
    assert evaluate.memorization_scalars(drawn + copies, training, heldout)["memorization/share_above"] >= 0.5
    assert evaluate.memorization_scalars(drawn, training, heldout)["memorization/share_above"] < 0.5


def test_mistakes_are_one_line(run, checkpoint, tmp_path):
    output = ["--output", tmp_path / "a.json"]
    status, _, err = run(evaluate, "--checkpoint", checkpoint, *output, "--num-samples", 5, "--steps", 1)
    assert status == 2
    assert "at least 20 must be drawn" in err
    status, _, err = run(evaluate, "--checkpoint", tmp_path, *output)
    assert status == 2
    assert err.startswith("error: ")
    assert not (tmp_path / "a.json").exists()
