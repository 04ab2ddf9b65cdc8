import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tincture.benchmarks import scaling, work
from tincture.benchmarks.costs.laws import TERMS, Point, cost, fit, operations_law, residuals
from tincture.benchmarks.costs.plan import Assumptions, Costs, PlannedRun, all_reduce_bytes, estimate
from tincture.benchmarks.meters import operations, tensor_bytes
from tincture.benchmarks.work import Setting, Work
from tincture.models.options import DenoiserConfig, UNetConfig

SMOKE = Path(__file__).parents[2] / "configs" / "icons16-smoke.yaml"
UNET = UNetConfig(channels=(8, 32), blocks=(1, 1), head_channels=8, head_blocks=1)
SMALL = DenoiserConfig(token_channels=32, palette_depth=1, condition_channels=16, unet=UNET)
GRID = [(size**2, entries) for size in (16, 32, 64, 128) for entries in (4, 16, 64, 256)]


def counted(model, size, entries, training=True):
    work = Work(Setting(model, size, entries, images=1))
    return operations(work.learn if training else work.call)


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(scaling, "count", work._count)


def test_a_fit_recovers_the_law_that_costs_follow():
    law = dict(zip(TERMS, (3e4, 2e-3, 40.0, 5e3, 7.0, 1e6), strict=True))
    points = [Point(pixels, entries, cost(law, pixels, entries)) for pixels, entries in GRID]
    found = fit(points, list(TERMS))
    assert found == pytest.approx(law, rel=1e-6)
    assert max(map(abs, residuals(found, points))) < 1e-9


def test_a_fit_leaves_out_terms_that_would_be_negative():
    law = {"pixels": 100.0, "pixels × entries": 2.0}
    points = [Point(pixels, entries, cost(law, pixels, entries) - 300) for pixels, entries in GRID]
    assert fit(points, [*law, "picture"]) == pytest.approx(law, rel=0.02)


@pytest.mark.parametrize(
    ("model", "training"),
    [
        (replace(SMALL, time_conditioning=False, palette_depth=2), True),
        (replace(SMALL, unet=UNetConfig(4, (8, 16, 32), (2, 1, 2), (False, True, True), 8, 16, 2)), True),
        (SMALL, False),
        (replace(SMALL, unet=UNetConfig(1, (8,), (1,), (False,), 8, 8, 0)), False),
    ],
    ids=["without time", "three levels", "drawing", "one level, drawing"],
)
def test_the_derived_law_is_what_is_counted(model, training):
    law = operations_law(model, training)
    for size, entries in ((16, 3), (32, 40)):
        assert counted(model, size, entries, training) == cost(law, size**2, entries)


def test_operations_are_linear_in_pixels_without_attention_and_more_with_it():
    flat = replace(SMALL, unet=replace(UNET, attention=(False, False)))
    for model, curved in ((flat, False), (SMALL, True)):
        small, middle, large = (counted(model, size, 4, training=False) for size in (8, 16, 32))
        slopes = (middle - small) / (16**2 - 8**2), (large - middle) / (32**2 - 16**2)
        assert (slopes[1] > slopes[0]) if curved else slopes[1] == slopes[0]


def test_bytes_of_tensors_are_those_that_live_at_once():
    def run():
        kept = torch.zeros(1000, dtype=torch.float64)
        for _ in range(3):
            torch.zeros(2000, dtype=torch.float64).sum()
        return kept

    assert tensor_bytes(run) == pytest.approx(8 * 3000, abs=200)  # and the sum


def test_a_training_step_holds_two_tensors_of_the_size_of_its_logits():
    def most(size, entries):
        work = Work(Setting(SMALL, size, entries, images=1))
        work.learn()
        return tensor_bytes(work.learn)

    both = (most(48, 256) - most(48, 128)) - (most(32, 256) - most(32, 128))  # what is by pixels or by entries is gone
    assert both / ((48**2 - 32**2) * 128) == pytest.approx(2 * 4, rel=0.01)  # the logits and their gradient, float32


def planned(gpus, **changes):
    run = PlannedRun("a", SMOKE, {}, batch_size=128, images=1280)
    costs = Costs(10**6, 1e12, 0.0, tensor_bytes=1e6, logit_bytes=0.0, seconds={})
    assumed = Assumptions(peak=1.0, peak_float32=1.0, reached=(0.5, 1.0), nvlink=1.0, network=(0.1, 1.0))
    return estimate(run, replace(costs, **changes), assumed, gpus)


def test_estimates_follow_their_formulas():
    few, many = planned(8), planned(64)
    assert few.compute == (16.0, 32.0)  # 16 images of 1 TFLOP at all and at half of 1 TFLOP/s
    assert few.total == (160.0, 320.0)  # ten steps
    assert many.total == (20.0, 40.0)
    assert few.images_per_second == (4.0, 8.0)
    assert few.memory - planned(8, tensor_bytes=0.0).memory == 16e6
    assert many.update == (0.0, 0.0)
    assert planned(64, update_operations=1e12).update == planned(8, update_operations=1e12).update == (1.0, 2.0)


def test_a_sum_over_gpus_sends_twice_the_gradients_at_most():
    assert all_reduce_bytes(100, 1) == 0
    assert all_reduce_bytes(100, 2) == 100
    assert 199 < all_reduce_bytes(100, 400) < 200
    slow = planned(64, weights=10**10, operations=1e6)  # 40 GB of gradients against no work
    assert slow.exchange == (slow.traffic / 1e9, slow.traffic / 1e8)
    assert slow.total == pytest.approx([10 * each for each in slow.exchange])


@pytest.mark.parametrize(("limit", "status"), [(1e6, 0), (0.001, 1)])
def test_the_bound_fails_above_its_limit(run, in_this_process, limit, status):
    found, out, err = run(scaling, "bound", "--config", SMOKE, "--images", 2, "--limit", limit)
    assert found == status
    assert "16×16, 16 entries, batch 2" in out
    assert ("above the bound" in err) == bool(status)


@pytest.mark.slow
def test_a_measurement_leaves_its_figures_and_is_not_overwritten(run, in_this_process, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(scaling, "SIZES", (16, 8))
    monkeypatch.setattr(scaling, "ENTRIES", (4,))
    monkeypatch.setattr(scaling, "CROSSED", ((8, 4),))
    monkeypatch.setattr(scaling, "WIDTHS", (2.0,))
    monkeypatch.setattr(scaling, "PIXELS_A_STEP", 256)
    options = ["measure", "--config", SMOKE, "--rounds", 1, "--output", tmp_path]
    status, out, err = run(scaling, *options)
    assert status == 0, err
    records = json.loads((tmp_path / "scaling.json").read_text())["records"]
    rows = [line for line in out.splitlines() if " M |" in line]
    assert len(rows) == len(records)
    assert all("| 1.000000 |" in row for row in rows)  # operations are those that the law derives
    assert records["width 2.0"]["weights"] > 2 * records["8, 4"]["weights"]
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
    status, _, err = run(scaling, *options)
    assert status == 2
    assert "--overwrite" in err


@pytest.mark.slow
def test_the_memory_of_64_pictures_of_64_pixels_in_64_entries_is_below_the_bound(run):
    status, out, err = run(scaling, "bound", "--config", SMOKE.with_name("folder64.yaml"))
    assert status == 0, err
    assert "64×64, 64 entries, batch 64" in out
