import json
import math
from dataclasses import replace

import pytest
import torch

from tincture import evaluate
from tincture.data import index_maps
from tincture.evaluation import report
from tincture.quantization.palettes.files import read_palette


@pytest.fixture
def few_pictures(monkeypatch):
    """Of the icons, on each side."""
    load = index_maps.load_index_maps
    monkeypatch.setattr(
        index_maps, "load_index_maps", lambda data: [side.subset(torch.arange(100)) for side in load(data)]
    )


@pytest.mark.usefixtures("few_pictures")
def test_a_model_is_judged_by_likelihood_features_colors_and_copies(run, checkpoint, tmp_path):
    output, plots = tmp_path / "evaluation.json", tmp_path / "plots"
    options = ["--checkpoint", checkpoint, "--output", output, "--num-samples", 20, "--steps", 2, "--times", 1]
    options += ["--plots", plots, "--wandb"]
    status, out, _ = run(evaluate, *options)
    assert status == 0
    record = json.loads(output.read_text())
    metrics, samples = record["metrics"], record["samples"]
    assert record["options"]["num_samples"] == samples["drawn_images"] == samples["floor_images"] == 20
    assert 0 < metrics["heldout/bits_per_pixel"] < 8
    floor = metrics["efficientnet-lite0/frechet_floor"]
    assert (
        metrics["efficientnet-lite0/frechet"] > floor > 20
    )  # two sets of icons are no nearer, and this model is untrained
    assert metrics["efficientnet-lite0/coverage"] < metrics["efficientnet-lite0/coverage_floor"]
    assert 0 < metrics["colors/color_distance"] < 1
    assert metrics["memorization/share_above"] < 0.1  # noise is no copy
    assert all(math.isfinite(value) for value in metrics.values())
    assert all(name.endswith("_stderr") or f"{name}_stderr" in metrics for name in metrics)
    assert all(name in out for name in metrics if not name.endswith("_stderr"))
    figures = {"agreement.png", "bits-over-time.png", "closest-pairs.png", "metrics.png"}
    assert {path.name for path in plots.iterdir()} == figures
    assert list(tmp_path.glob("wandb/offline-run-*"))
    assert run(evaluate, *options)[0] == 2


def test_drawings_in_given_palettes_are_compared_with_pictures_moved_to_them_each_at_its_size(
    run, checkpoint, tmp_path, monkeypatch
):
    load = index_maps.load_index_maps

    def few(data):
        return [replace(side.subset(torch.arange(24)), sizes=torch.tensor([16, 9] * 12)) for side in load(data)]

    drawn = []
    compare = report.image_scalars
    monkeypatch.setattr(index_maps, "load_index_maps", few)
    monkeypatch.setattr(report, "image_scalars", lambda *sides: (drawn.append(sides[:3]), compare(*sides))[1])
    output = tmp_path / "evaluation.json"
    options = ["--checkpoint", checkpoint, "--output", output, "--num-samples", 20, "--steps", 2]
    options += ["--metrics", "images", "memorization", "--palettes", "pico-8", "nintendo-gameboy-bgb", "--transparent"]
    status, _, err = run(evaluate, *options)
    assert status == 0, err
    metrics = json.loads(output.read_text())["metrics"]
    assert {name for name in metrics if name.startswith("palettes/")} == {
        f"palettes/{name}" for name in metrics if name.startswith(("efficientnet", "colors"))
    }
    named = [read_palette(name).with_transparency() for name in ("pico-8", "nintendo-gameboy-bgb")]
    for side in drawn[1]:
        assert [image.palette for image in side] == [named[number % 2] for number in range(len(side))]
    for own, given in zip(*(sides[0] for sides in drawn), strict=True):
        assert own.indices.shape == given.indices.shape
    assert {image.indices.shape for sides in drawn for side in sides for image in side} == {(9, 9), (16, 16)}


def test_exact_bits_are_below_the_raw_ones_and_the_mixture_below_the_mean(run, checkpoint, tmp_path):
    output = tmp_path / "evaluation.json"
    options = ["--checkpoint", checkpoint, "--output", output, "--metrics", "exact-bits-per-pixel"]
    status, _, _ = run(evaluate, *options, "--exact-images", 2, "--orders", 2)
    assert status == 0
    record = json.loads(output.read_text())
    assert record["samples"]["exact_images"] == 2
    metrics = record["metrics"]
    assert 0 < metrics["heldout/exact_bits_per_pixel_mixture"] <= metrics["heldout/exact_bits_per_pixel"] < 6


def test_mistakes_are_one_line(run, checkpoint, tmp_path):
    output = ["--output", tmp_path / "a.json"]
    status, _, err = run(evaluate, "--checkpoint", checkpoint, *output, "--num-samples", 5, "--steps", 1)
    assert status == 2
    assert "at least 20 must be drawn" in err
    status, _, err = run(evaluate, "--checkpoint", checkpoint, *output, "--orders", 0)
    assert (status, err) == (2, "error: --orders is 0; it must be from 1 to 1,000,000\n")
    status, _, err = run(evaluate, "--checkpoint", checkpoint, *output, "--seed", -1)
    assert (status, err) == (2, "error: --seed is -1; it must be from 0 to 9,223,372,036,854,775,807\n")
    status, _, err = run(evaluate, "--checkpoint", checkpoint, *output, "--seed", 2**63)
    assert (status, err) == (2, f"error: --seed is {2**63}; it must be from 0 to 9,223,372,036,854,775,807\n")
    for wrong, message in (
        (("--sampler", "typo"), "unknown --sampler 'typo'"),
        (("--palettes", "pico-8", "pico-9"), "no palette 'pico-9'"),
        (("--transparent",), "--transparent does nothing without --palettes"),
        (("--palettes", "pico-8", "--metrics", "memorization"), "--palettes are for the metric images"),
        (("--guidance-scale", 2), "--guidance-scale is for the metric words"),
        (("--sampler", "stratified-hazard"), "needs a process without a mask"),
        (("--steps", 0), "--steps is 0"),
        (("--top-p", 7), "--top-p is 7"),
        (("--output", tmp_path / "a.json" / "deeper.json"), "can't be made"),
    ):
        (tmp_path / "a.json").write_text("kept")
        status, out, err = run(evaluate, "--checkpoint", checkpoint, "--overwrite", *output, *wrong)
        assert (status, out, len(err.splitlines())) == (2, "", 1)
        assert message in err
    (tmp_path / "a.json").unlink()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    status, _, err = run(evaluate, "--checkpoint", checkpoint, *output, "--plots", tmp_path / "mine")
    assert status == 2
    assert "is not empty" in err
    status, _, err = run(evaluate, "--checkpoint", tmp_path, *output)
    assert status == 2
    assert err.startswith("error: ")
    assert not (tmp_path / "a.json").exists()


def test_a_set_too_small_to_compare_with_is_said_before_anything_is_drawn_and_its_bits_are_measured(
    run, checkpoint, tmp_path, monkeypatch
):
    load = index_maps.load_index_maps
    monkeypatch.setattr(
        index_maps, "load_index_maps", lambda data: (load(data)[0], load(data)[1].subset(torch.arange(1)))
    )
    few = ["--checkpoint", checkpoint, "--output", tmp_path / "few.json", "--num-samples", 20, "--steps", 1]
    status, out, err = run(evaluate, *few)
    assert (status, out) == (2, "")
    assert "1 held out: leave it out with --metrics bits-per-pixel memorization" in err
    status, _, err = run(evaluate, *few, "--metrics", "bits-per-pixel", "memorization", "--times", 1)
    assert status == 0, err
    text = (tmp_path / "few.json").read_text()
    metrics = json.loads(text, parse_constant=pytest.fail)["metrics"]  # NaN is no JSON
    assert metrics["memorization/heldout_share_from_1"] in (0, 1)
    assert metrics["memorization/heldout_share_from_1_stderr"] is None  # of one image
    assert "memorization/share_above" not in metrics
