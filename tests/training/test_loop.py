"""What a step of training learns from, and how."""

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tincture.benchmarks.meters import dispatched
from tincture.common.errors import InputError
from tincture.data.index_maps import load_index_maps
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.models.denoiser import build_denoiser
from tincture.models.text import LEARNED
from tincture.tests.training.tiny_runs import TINY, train, weights
from tincture.training import loop
from tincture.training import run as run_module
from tincture.training.devices import compile_network
from tincture.training.examples import ExampleMaker, cut_batch
from tincture.training.feeds import WholeSet, batch_rows, turn
from tincture.training.optimizers import learning_rate_factor


class NoLiterals(TorchDispatchMode):
    """Fails where numbers of the program become a tensor, which is on the CPU at first."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function is not torch.ops.aten.lift_fresh.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["palette", "index"])
def test_a_compiled_run_is_one_graph_that_needs_no_cpu_and_learns_what_a_plain_run_does(
    config, tmp_path, monkeypatch, kind
):
    is_palette, counters = kind == "palette", torch._dynamo.utils.counters
    options = replace(
        config.train,
        max_steps=10,
        evaluate_every=99,
        mirror=0.5,
        foreign_palettes=0.5 * is_palette,
        mixed_precision="bf16",
    )
    config = replace(
        config,
        data=config.data if is_palette else replace(config.data, palette="pico-8"),
        model=replace(TINY, kind=kind, luminance_dropout=0.5, augmentation_labels=True, text="learned"),
        train=options,
    )
    sides = [replace(side, captions=["a red door"] * len(side)) for side in load_index_maps(config.data)]
    train(config, *sides, tmp_path / "plain")

    def backend(graph, inputs):
        def run(*inputs):
            # What is made without saying where would be on the CPU; here it is nowhere, and no use.
            with torch.device("meta"), NoLiterals():
                return graph(*inputs)

        return run

    monkeypatch.setattr(
        run_module, "compile_where_it_pays", lambda network, *_: compile_network(network, backend=backend)
    )
    counters.clear()
    train(config, *sides, tmp_path / "compiled")
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    plain, compiled = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
    assert plain.keys() == compiled.keys()
    assert all(torch.equal(plain[key], compiled[key]) for key in plain)


def test_a_model_overfits_one_batch(config, sides, tmp_path):
    budget = replace(
        config.train, max_steps=200, batch_size=8, evaluate_every=1000, checkpoint_every=1000, ema_decay=0.9
    )
    unet = replace(TINY.unet, channels=(48, 64), head_channels=48, dropout=0.0)
    model = replace(TINY, unet=unet, class_dropout=0.5)
    images = sides[1].subset(torch.arange(8))
    result = train(replace(config, model=model, train=budget), images, images, tmp_path / "run")
    assert result.mean < 0.05


@pytest.mark.parametrize("told", [True, False])
def test_a_network_is_told_which_of_its_pictures_were_mirrored_if_it_asks(config, sides, told):
    pictures = sides[0].subset(torch.arange(32))
    denoiser = build_denoiser(replace(TINY, augmentation_labels=told), 0, 16)
    process = PaletteScheduler(**config.process.scheduler_options).process
    budget = replace(config.train, batch_size=32, mirror=0.5)
    examples = ExampleMaker(denoiser, process, pictures.palettes, budget, 0, torch.device("cpu"))(pictures, 0, 0)
    labels = examples.conditions.augmentation_labels
    if not told:
        assert labels is None
        return
    mirrored = labels[:, 0] == 1
    assert 5 < mirrored.sum() < 27
    assert (labels[:, 1:] == 0).all()
    x_0 = pictures.indices.long()
    assert torch.equal(examples.x_0, torch.where(mirrored[:, None, None], x_0.flip(2), x_0))


def test_loading_takes_as_few_operations_for_many_pictures_as_for_few(config, sides):
    pool, process = sides[0], PaletteScheduler(**config.process.scheduler_options).process
    denoiser = build_denoiser(TINY, len(pool.label_names), 16)
    reader = build_denoiser(replace(TINY, text=LEARNED), len(pool.label_names), 16, pool.captions)

    def operations(batch_size, denoiser=denoiser, **more):
        options = replace(config.train, batch_size=batch_size, foreign_palettes=0.25, **more)
        make_examples = ExampleMaker(denoiser, process, pool.palettes, options, 0, torch.device("cpu"))
        feed = WholeSet(pool, sides[1], batch_size, seed=0)
        make_examples(feed.pictures(3, slice(None)), 3, 0)  # an epoch's order is drawn, and matrices are made, once
        return dispatched(lambda: make_examples(feed.pictures(3, slice(None)), 3, 0))

    assert operations(64) == operations(16) <= 150
    assert operations(64, reader) == operations(16, reader) <= operations(64) + 15  # words are found once, not per step
    everything = {"unused_entries": 0.6, "mirror": 0.5, "shift": 2, "palette_jitter": 0.3}
    assert operations(64, **everything) == operations(16, **everything) <= 300


def test_a_cut_batch_has_the_examples_of_the_whole_one(config, sides):
    pool, process = sides[0], PaletteScheduler(**config.process.scheduler_options).process
    told = replace(TINY, augmentation_labels=True, class_dropout=0.5, text=LEARNED, text_dropout=0.3)
    denoiser = build_denoiser(told, len(pool.label_names), 16, pool.captions)
    options = replace(config.train, batch_size=20, foreign_palettes=0.5, mirror=0.5, shift=1, palette_jitter=0.3)
    options = replace(options, unused_entries=0.6)
    make_examples = ExampleMaker(denoiser, process, pool.palettes, options, 0, torch.device("cpu"))
    feed = WholeSet(pool, sides[1], 20, seed=0)
    whole = make_examples(feed.pictures(2, slice(None)), 2, 0)
    parts = [make_examples(feed.pictures(2, here), 2, here.start) for here in cut_batch(20, 3)]
    for name in ("x_0", "x_t", "t"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
    for name in ("colors", "valid"):
        assert torch.equal(torch.cat([getattr(part.palette, name) for part in parts]), getattr(whole.palette, name))
    for name in ("class_labels", "augmentation_labels", "words"):
        told = [getattr(part.conditions, name) for part in parts]
        assert torch.equal(torch.cat(told), getattr(whole.conditions, name))


def test_a_loss_that_is_not_finite_stops_the_run(config, sides, tmp_path, monkeypatch):
    factors = torch.tensor([1, 1, math.nan, 1, 1, 1, math.inf, 1])
    monkeypatch.setattr(loop, "hybrid_loss", lambda *_: [torch.ones(8, requires_grad=True) * factors] * 2)
    names = [sides[0].names[row] for row in batch_rows(len(sides[0]), 8, 0, config.seed)[[2, 6]].tolist()]
    with pytest.raises(InputError, match=re.escape("the loss is nan and its gradient's norm")) as error:
        train(config, *sides, tmp_path / "run")
    assert f"at step 0, by {names[0]}, {names[1]}, so training stopped" in str(error.value)


def test_every_epoch_shows_every_image_once_in_another_order():
    rows = torch.cat([batch_rows(10, 4, step, seed=0) for step in range(5)])
    first, second = rows[:10], rows[10:]
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()
    assert torch.equal(batch_rows(10, 4, 3, 0), rows[12:16])


def test_sizes_take_turns_as_often_as_they_have_pictures():
    counts = [10, 600, 90, 300]
    turns = torch.tensor([turn(counts, step, seed=3)[0] for step in range(2000)])
    for which, count in enumerate(counts):
        of_which = (turns == which).cumsum(0)
        expected = torch.arange(1, 2001) * count / 1000
        assert (of_which - expected).abs().max() < 3  # draws at random would be off by tens
        before = [turn(counts, step, 3)[1] for step in torch.nonzero(turns == which)[:, 0].tolist()]
        assert before == list(range(len(before)))
    assert [turn(counts, step, 4)[0] for step in range(50)] != turns[:50].tolist()
    assert turn([10], 7, seed=0) == (0, 7)


def test_a_step_has_pictures_of_one_size_and_each_size_its_own_epochs(mixed):
    pool, heldout = mixed
    feed, fed = WholeSet(pool, heldout, 4, seed=1), {5: [], 8: []}
    for step in range(60):
        pictures = feed.pictures(step, slice(None))
        parts = [name for part in cut_batch(4, 3) for name in feed.pictures(step, part).names]
        assert parts == pictures.names
        fed[pictures.indices.shape[-1]] += pictures.names
    for size, rows in pool.rows_by_size().items():
        names = sorted(pool.names[row] for row in rows.tolist())
        first, second = fed[size][: len(names)], fed[size][len(names) : 2 * len(names)]
        assert sorted(first) == sorted(second) == names
        assert first != second


def test_a_batch_may_be_larger_than_the_data_set():
    assert torch.bincount(batch_rows(3, 7, 0, 0)).tolist() in ([3, 2, 2], [2, 3, 2], [2, 2, 3])


def test_the_learning_rate_rises_and_falls():
    assert learning_rate_factor(0.0, 0.1) == 0
    assert learning_rate_factor(0.05, 0.1) == pytest.approx(0.5, abs=0.01)
    assert learning_rate_factor(0.5, 0.1) == pytest.approx(0.5)
    assert learning_rate_factor(1.0, 0.1) == pytest.approx(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_steps": None}, "no end"),
        ({"batch_size": 0}, r"train\.batch_size is 0"),
        ({"learning_rate": -1.0}, r"train\.learning_rate is -1"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(config, sides, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        train(replace(config, train=replace(config.train, **change)), *sides, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_network_that_would_be_told_nothing_is_refused(config, sides, tmp_path):
    with pytest.raises(InputError, match=r"nothing to tell the network without train\.mirror or train\.shift"):
        train(replace(config, model=replace(TINY, augmentation_labels=True)), *sides, tmp_path / "run")


@pytest.mark.parametrize("name", ["class_dropout", "luminance_dropout"])
def test_a_condition_that_is_never_hidden_is_refused(config, sides, tmp_path, name):
    with pytest.raises(InputError, match=f"model.{name} is 0"):
        train(replace(config, model=replace(TINY, **{name: 0.0})), *sides, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_negative_seed_is_refused(config, sides, tmp_path):
    with pytest.raises(InputError, match="seed is -1"):
        train(replace(config, seed=-1), *sides, tmp_path / "run")


def test_the_time_that_a_resumed_run_still_takes_is_told_by_its_own_speed(monkeypatch):
    meter = loop.Meter(SimpleNamespace(is_first=True, fraction_done=lambda: 0.5))
    bar = meter.bar
    monkeypatch.setattr(bar, "_time", lambda: bar.start_t + 10)
    meter.show(0.6)
    assert "60% " in str(bar)
    assert "00:10<00:40" in str(bar)
