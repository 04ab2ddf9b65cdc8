import json
import math
import re
import shutil
import struct
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import wandb
from PIL import Image
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode
from wandb.proto import wandb_internal_pb2

from tincture import evaluate
from tincture.benchmarks.meters import dispatched
from tincture.common.errors import InputError
from tincture.controls.options import Guidance, Sampling
from tincture.data.index_maps import load_index_maps
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.models.denoiser import build_denoiser
from tincture.models.options import DenoiserConfig, UNetConfig
from tincture.models.text import LEARNED
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.files import read_palette
from tincture.training import loop
from tincture.training import run as run_module
from tincture.training.checkpoints import list_checkpoints
from tincture.training.devices import compile_network
from tincture.training.examples import ExampleMaker, cut_batch
from tincture.training.feeds import WholeSet, batch_rows, turn
from tincture.training.optimizers import learning_rate_factor
from tincture.training.run_config import ProcessConfig, RunConfig, TrackConfig, TrainConfig
from tincture.training.tracking import Tracker

TINY = DenoiserConfig(
    token_channels=32,
    palette_depth=1,
    condition_channels=32,
    unet=UNetConfig(channels=(32, 32), blocks=(1, 1), head_channels=32, head_blocks=1, dropout=0.1),
)


@pytest.fixture
def config(few_pictures):
    return RunConfig(
        data=few_pictures,
        model=TINY,
        train=TrainConfig(
            max_steps=8, batch_size=8, evaluate_every=4, checkpoint_every=4, preview_images=2, preview_steps=2
        ),
        track=TrackConfig(wandb=False),
    )


@pytest.fixture(scope="module")
def sides(few_pictures):
    return load_index_maps(few_pictures)


def train(config, pictures, heldout, output, **options):
    feed = WholeSet(pictures, heldout, config.train.batch_size, config.seed)
    return loop.train(config, feed, heldout, output, **options)


def weights(output):
    folder = list_checkpoints(output)[-1]
    return {
        f"{name}.{key}": value
        for name in ("denoiser", "average", "optimizer")
        for key, value in load_file(folder / f"{name}.safetensors").items()
    }


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_ends_with_the_same_weights(config, sides, tmp_path, monkeypatch, optimizer):
    config = replace(config, train=replace(config.train, optimizer=optimizer))
    train(config, *sides, tmp_path / "whole")

    save = run_module.save_checkpoint

    def save_and_stop(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_module, "save_checkpoint", save_and_stop)
        train(config, *sides, tmp_path / "cut")
    assert [path.name for path in list_checkpoints(tmp_path / "cut")] == ["step-00000004"]

    torch.manual_seed(99)  # a new process starts with other generators
    torch.rand(10)
    train(config, *sides, tmp_path / "cut", resume=True)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


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


def test_a_run_leaves_a_pipeline_metrics_and_previews(config, sides, tmp_path):
    result = train(config, *sides, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["heldout/bits_per_pixel"] == result.mean
    assert lines[-1]["heldout/bits_per_pixel_stderr"] == result.stderr
    assert len(list((tmp_path / "run" / "previews").glob("*.png"))) == 2
    images = PaletteDiffusionPipeline.from_pretrained(tmp_path / "run")(
        2, sampling=Sampling(2), guidance=Guidance("even")
    ).images
    assert len(images) == 2
    saved = load_file(tmp_path / "run" / "denoiser" / "diffusion_pytorch_model.safetensors")
    average = weights(tmp_path / "run")
    assert all(torch.equal(value, average[f"average.module.{key}"]) for key, value in saved.items())


@pytest.mark.parametrize("kind", ["uniform", "color-heat"])
def test_a_model_of_each_process_draws_by_the_process_that_it_was_trained_for(config, sides, tmp_path, kind):
    process = ProcessConfig(kind=kind, schedule="cosine", width=0.3, leap=0.2)
    loss = replace(config.train, cross_entropy=0.1)
    result = train(replace(config, process=process, train=loss), *sides, tmp_path / "run")
    assert 0 < result.mean < 10
    pipeline = PaletteDiffusionPipeline.from_pretrained(tmp_path / "run")
    assert (pipeline.scheduler.config.process, pipeline.scheduler.config.schedule) == (kind, "cosine")
    assert pipeline.scheduler.config.fitted_knots[-1] == 1
    if kind == "color-heat":
        assert (pipeline.scheduler.process.width, pipeline.scheduler.process.leap) == (0.3, 0.2)
    assert len(pipeline(2, sampling=Sampling(3, sampler="stratified-hazard", grid="fitted")).images) == 2


@pytest.mark.parametrize(("count", "size"), [(1, (28, 28)), (9, (210, 54)), (40, (210, 132)), (64, (210, 210))])
def test_a_run_shows_what_it_learns_from(config, sides, tmp_path, count, size):
    pictures = sides[0].subset(torch.arange(64) % 3)
    train(
        replace(config, train=replace(config.train, max_steps=1)),
        pictures.subset(torch.arange(count)),
        sides[1],
        tmp_path,
    )
    with Image.open(tmp_path / "data.png") as sheet:
        assert sheet.size == size
        shown = {color for _, color in sheet.getcolors()}
    colors = {tuple(color[:3]) for row in range(min(count, 3)) for color in pictures.palette(row).colors.tolist()}
    assert shown == colors | {(255, 255, 255)}


def test_an_index_model_trains_on_one_palette_and_draws_with_it(config, tmp_path):
    data = replace(config.data, palette="pico-8")
    index_config = replace(config, data=data, model=replace(TINY, kind="index"))
    train(index_config, *load_index_maps(data), tmp_path / "run")
    pipeline = PaletteDiffusionPipeline.from_pretrained(tmp_path / "run")
    assert pipeline.denoiser.config.num_entries == 16
    assert pipeline(1, sampling=Sampling(2)).images[0].palette == read_palette("pico-8")
    with pytest.raises(InputError, match="knows 16 indices"):
        pipeline(1, read_palette("endesga-32"), Sampling(2))


def test_metrics_of_steps_that_were_lost_are_dropped_on_resume(config, sides, tmp_path):
    output = tmp_path / "run"
    train(config, *sides, output)
    with (output / "metrics.jsonl").open("a") as file:
        file.write('{"step": 100, "train/bits_per_pixel": 1}\n{"step": 9, "tra')
    train(replace(config, train=replace(config.train, max_steps=12)), *sides, output, resume=True)
    steps = [json.loads(line)["step"] for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 12


def constant_estimates(bits):
    return run_module.Estimates(torch.linspace(0.1, 1, 8).view(1, 8), torch.full((1, 8), bits))


def test_the_best_is_kept_even_between_checkpoints(config, sides, tmp_path, monkeypatch):
    measured = iter([3.0, 1.0, 2.0, 2.5, 2.6])
    monkeypatch.setattr(run_module, "heldout_estimates", lambda *_, **__: constant_estimates(next(measured)))
    rarely = replace(config, train=replace(config.train, max_steps=4, evaluate_every=1, checkpoint_every=100))
    train(rarely, *(replace(side, label_names=["all"]) for side in sides), tmp_path / "run")
    assert [path.name[-1] for path in list_checkpoints(tmp_path / "run")] == ["2", "4"]


def test_the_last_two_checkpoints_and_the_best_are_kept(config, sides, tmp_path, monkeypatch):
    measured = iter([3.0, 1.0, 2.0, 2.5, 2.6, 2.7])
    monkeypatch.setattr(run_module, "heldout_estimates", lambda *_, **__: constant_estimates(next(measured)))
    often = replace(config, train=replace(config.train, max_steps=5, evaluate_every=1, checkpoint_every=1))
    train(often, *(replace(side, label_names=["all"]) for side in sides), tmp_path / "run")
    assert [path.name[-1] for path in list_checkpoints(tmp_path / "run")] == ["2", "4", "5"]


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


def test_each_start_of_a_run_is_recorded(config, sides, tmp_path):
    train(config, *sides, tmp_path / "run")
    longer = replace(config, train=replace(config.train, max_steps=9))
    train(longer, *sides, tmp_path / "run", resume=True)
    starts = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert [start["step"] for start in starts] == [0, 8]
    assert starts[0]["packages"]["torch"] == torch.__version__
    assert starts[0]["code"] is None or len(starts[0]["code"]["commit"]) == 40


def leveldb_records(content, block=32768, header=7):
    """The records of a wandb file: LevelDB's log format behind a header of seven bytes."""
    place, whole = header, b""
    while place + header <= len(content):
        left = block - place % block
        if left < header:
            place += left
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + header])
        whole += content[place + header : place + header + length]
        place += header + length
        if kind in (1, 4):  # a full record, or the last part of one
            yield whole
            whole = b""


def test_the_offline_wandb_run_holds_config_scalars_and_sheets(config, sides, tmp_path):
    train(replace(config, track=TrackConfig(wandb=True, project="test")), *sides, tmp_path)
    wandb.teardown()  # its service writes in the background; this waits for it
    (log,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    config_keys, history_keys = set(), set()
    for data in leveldb_records(log.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        config_keys |= {item.key for item in record.run.config.update} | {i.key for i in record.config.update}
        history_keys |= {item.key or "/".join(item.nested_key) for item in record.history.item}
    assert {"seed", "data", "model", "process", "train"} <= config_keys
    assert any("heldout/bits_per_pixel" in key for key in history_keys)
    assert any("sheets" in key for key in history_keys)
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/images/sheets/*.png"))


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


@pytest.fixture(scope="module")
def mixed(sides):
    """Both sides with pictures of 8×8 and of 5×5."""
    return [replace(side, sizes=torch.tensor([8, 8, 5]).repeat(20)[: len(side)]) for side in sides]


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


def test_a_resumed_run_over_several_sizes_ends_with_the_same_weights(config, mixed, tmp_path):
    data = replace(config.data, size=(5, 8))
    config = replace(config, data=data, train=replace(config.train, preview_images=3))
    train(config, *mixed, tmp_path / "whole")
    asked = iter([None] * 4 + [15])
    with pytest.raises(loop.StoppedBySignalError):
        train(config, *mixed, tmp_path / "cut", stop=lambda: next(asked, 15))
    train(config, *mixed, tmp_path / "cut", resume=True)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert {f"heldout/bits_per_pixel_at_{size}" for size in (5, 8)} <= lines[-1].keys()
    assert PaletteDiffusionPipeline.from_pretrained(tmp_path / "whole").config.size == 8
    others = [replace(mixed[0], sizes=mixed[0].sizes.flip(0)), mixed[1]]
    with pytest.raises(InputError, match="the data have changed since the run began"):
        train(config, *others, tmp_path / "whole", resume=True)


def test_a_preview_is_told_captions_in_the_palettes_of_their_held_out_pictures(config, mixed, tmp_path, monkeypatch):
    pool, heldout = mixed
    pool = replace(pool, captions=["red door", "blue sea"] * (len(pool) // 2) + ["sea"] * (len(pool) % 2))
    heldout = replace(heldout, captions=(["the Red door qqqq", "", "seas", "qqqq", "blue"] * 20)[: len(heldout)])
    config, calls = replace(config, model=replace(TINY, text=LEARNED), data=replace(config.data, size=(5, 8))), []
    drawn = SimpleNamespace(images=[])
    monkeypatch.setattr(
        PaletteDiffusionPipeline, "__call__", lambda _, *told, **more: calls.append((*told, more)) or drawn
    )

    def told(size, heldout):
        run = run_module.Run(config, WholeSet(pool, heldout, 8, seed=0), heldout, tmp_path)
        run.preview(size, slice(2, 42))
        number, palettes, _, more = calls.pop()
        assert (number, more["height"], more["width"]) == (40, size, size)
        return palettes, more["prompt"]

    known = {"the Red door qqqq": "red door", "seas": "seas", "blue": "blue"}
    for size, rows in heldout.rows_by_size().items():
        shown = {(heldout.palette(row).to_hex()[0], known.get(heldout.captions[row])) for row in rows.tolist()}
        palettes, prompts = told(size, heldout)
        drawn_of = zip((palette.to_hex()[0] for palette in palettes), prompts, strict=True)
        assert {*drawn_of} == {each for each in shown if each[1]}
    assert told(5, replace(heldout, captions=[""] * len(heldout))) == ("heldout", None)


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


def test_checkpoints_stand_in_the_order_of_their_steps(tmp_path):
    names = ["step-00000007", "step-99999999", "step-100000000"]
    for name in names[::-1]:
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert [path.name for path in list_checkpoints(tmp_path)] == names


def test_a_negative_seed_is_refused(config, sides, tmp_path):
    with pytest.raises(InputError, match="seed is -1"):
        train(replace(config, seed=-1), *sides, tmp_path / "run")


@pytest.mark.parametrize("left", ["nothing", "a record", "half a checkpoint", "steps that are lost"])
def test_a_run_that_left_no_checkpoint_begins_anew_and_says_so(config, sides, tmp_path, caplog, left):
    config = replace(config, train=replace(config.train, max_steps=2, evaluate_every=2))
    output = tmp_path / "run"
    output.mkdir()
    if left == "a record":
        (output / "environment.json").write_text("[]")
    elif left == "half a checkpoint":
        (output / "checkpoints" / ".writing-step-00000004-x").mkdir(parents=True)
    elif left == "steps that are lost":
        (output / "metrics.jsonl").write_text('{"step": 1, "train/bits_per_pixel": 9}\n')
    with caplog.at_level("INFO"):
        train(config, *sides, output, resume=True)
    assert f"there is no checkpoint to resume in {output}: the run begins anew" in caplog.messages
    assert [path.name for path in list_checkpoints(output)] == ["step-00000002"]
    assert {json.loads(line)["step"] for line in (output / "metrics.jsonl").read_text().splitlines()} == {2}
    assert not list(output.rglob(".writing-*"))


def test_a_run_that_has_ended_is_not_measured_again(config, sides, tmp_path, monkeypatch, caplog):
    config = replace(config, train=replace(config.train, max_steps=2, evaluate_every=2))
    result = train(config, *sides, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch, caplog.at_level("INFO"):
        patch.setattr(run_module, "heldout_estimates", lambda *_, **__: pytest.fail("measured again"))
        for steps in (2, 1):
            shorter = replace(config, train=replace(config.train, max_steps=steps))
            assert train(shorter, *sides, tmp_path, resume=True) == result
    assert "the run has ended already" in caplog.text
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    (tmp_path / "metrics.jsonl").unlink()  # nobody knows the result any more
    assert train(config, *sides, tmp_path, resume=True) == result
    train(replace(config, train=replace(config.train, max_steps=3)), *sides, tmp_path, resume=True)
    assert [path.name[-1] for path in list_checkpoints(tmp_path)] == ["2", "3"]


@pytest.mark.parametrize("moment", ["at its first checkpoint", "between two", "in its last evaluation", "later on"])
def test_a_run_can_be_drawn_with_at_any_time_and_so_can_a_checkpoint(config, sides, tmp_path, monkeypatch, moment):
    calls, stop_at = [], {"at its first checkpoint": 2, "between two": 3, "in its last evaluation": 4, "later on": 6}
    config = replace(config, train=replace(config.train, max_steps=4, evaluate_every=100, checkpoint_every=2))
    measure = run_module.heldout_estimates

    def killed(*_, **__):
        raise KeyboardInterrupt

    def stop():
        calls.append(1)
        if len(calls) == stop_at[moment]:
            raise KeyboardInterrupt

    if moment == "later on":  # a run that had ended got a larger budget
        train(config, *sides, tmp_path)
        calls += [1] * 4
        config = replace(config, train=replace(config.train, max_steps=9, checkpoint_every=1))
    elif moment == "in its last evaluation":
        monkeypatch.setattr(run_module, "heldout_estimates", killed)
    with pytest.raises(KeyboardInterrupt):
        train(config, *sides, tmp_path, resume=moment == "later on", stop=stop)
    monkeypatch.setattr(run_module, "heldout_estimates", measure)

    latest = list_checkpoints(tmp_path)[-1]
    assert latest.name[-1] == {"at its first checkpoint": "2", "between two": "2", "in its last evaluation": "4"}.get(
        moment, "6"
    )
    average = load_file(latest / "average.safetensors")
    shutil.copytree(latest, tmp_path / "elsewhere" / "mine")
    for folder in (tmp_path, latest, tmp_path / "elsewhere" / "mine"):
        pipeline = PaletteDiffusionPipeline.from_pretrained(folder)
        state = pipeline.denoiser.state_dict()
        assert all(torch.equal(value, average[f"module.{name}"]) for name, value in state.items())
        assert pipeline.config.label_names == ["even", "odd"]
        assert len(pipeline(1, "heldout", Sampling(2), Guidance("odd")).images) == 1
        assert evaluate.saved_config(folder)[0].path == config.data.path


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_read_again(config, sides, tmp_path, monkeypatch):
    config = replace(config, train=replace(config.train, max_steps=2, checkpoint_every=1))
    train(config, *sides, tmp_path)
    (tmp_path / "model_index.json").unlink()
    first, last = list_checkpoints(tmp_path)
    away, read = tmp_path / "away", []
    last.rename(away)
    load = PaletteDiffusionPipeline._load.__func__

    def replaced(cls, folder):
        read.append(folder)
        if folder == first:  # the run goes on, and removes this one
            away.rename(last)
            shutil.rmtree(first)
        return load(cls, folder)

    monkeypatch.setattr(PaletteDiffusionPipeline, "_load", classmethod(replaced))
    PaletteDiffusionPipeline.from_pretrained(tmp_path)
    assert read == [first, last]


def test_a_checkpoint_that_can_not_be_drawn_with_is_said(config, sides, tmp_path):
    with pytest.raises(InputError, match=r"the first after train\.checkpoint_every steps"):
        PaletteDiffusionPipeline.from_pretrained(tmp_path)
    train(replace(config, train=replace(config.train, max_steps=2)), *sides, tmp_path)
    (tmp_path / "model_index.json").unlink()
    (checkpoint,) = list_checkpoints(tmp_path)
    (checkpoint / "average.safetensors").write_bytes(b"damaged")
    for folder in (tmp_path, checkpoint):
        with pytest.raises(InputError, match="step-00000002 is damaged"):
            PaletteDiffusionPipeline.from_pretrained(folder)
    (checkpoint / "model_index.json").unlink()
    for folder in (tmp_path, checkpoint):
        with pytest.raises(InputError, match="step-00000002 is of an earlier version, which can only be resumed"):
            PaletteDiffusionPipeline.from_pretrained(folder)


def test_a_run_goes_on_with_its_own_pictures_only(config, sides, tmp_path):
    pictures, heldout = sides
    train(config, pictures, heldout, tmp_path)
    others = replace(pictures, indices=pictures.indices.flip(-1))
    for changed in ((others, heldout), (pictures, replace(heldout, indices=heldout.indices.flip(-1)))):
        with pytest.raises(InputError, match="the data have changed since the run began"):
            train(config, *changed, tmp_path, resume=True)
    for folder in list_checkpoints(tmp_path):  # as runs were left before there was a digest
        (folder / "feed-00000.safetensors").unlink()
    train(config, others, heldout, tmp_path, resume=True)


def test_the_last_step_is_saved_before_it_is_measured(config, sides, tmp_path, monkeypatch):
    config = replace(config, train=replace(config.train, max_steps=3, evaluate_every=100, checkpoint_every=100))

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_module, "heldout_estimates", killed)
        train(config, *sides, tmp_path)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000003"]


@pytest.mark.parametrize(
    ("left", "resume", "expected"),
    [
        ([], True, None),
        (["offline-run-20260102_030405-abc123"], True, "abc123"),
        (["run-20260103_000000-later", "offline-run-20260102_235959-first"], True, "first"),
        (["run-20260102_030405-with-a-dash"], True, "with-a-dash"),
        (["run-20260102_030405-old", "run-id"], True, "kept"),
        (["run-20260102_030405-old", "run-id"], False, None),
    ],
)
def test_a_resumed_run_goes_on_with_its_wandb_run(tmp_path, monkeypatch, left, resume, expected):
    """Runs of earlier versions left its id in the names of wandb's folders only."""
    (tmp_path / "wandb").mkdir()
    for name in left:
        (tmp_path / "wandb" / name).write_text("kept\n") if name == "run-id" else (tmp_path / "wandb" / name).mkdir()
    given = {}
    monkeypatch.setattr(wandb, "init", lambda **options: given.update(options) or SimpleNamespace(id="begun"))
    Tracker(tmp_path, {}, "test", 3, resume)
    assert given["id"] == expected
    assert given["resume"] == (None if expected is None else "allow")
    assert (tmp_path / "wandb" / "run-id").read_text() == "begun\n"


def test_wandb_itself_goes_on_with_the_run(tmp_path):
    for start in range(2):
        tracker = Tracker(tmp_path, {}, "test", resume=start > 0)
        tracker.close()
    names = [folder.name.split("-") for folder in (tmp_path / "wandb").glob("offline-run-*")]
    ids = {identity for _, _, _, identity, *_ in names}  # two runs of one second get a number behind it
    assert ids == {(tmp_path / "wandb" / "run-id").read_text().strip()}


def test_numbers_that_are_not_finite_are_null_in_the_metrics(tmp_path):
    Tracker(tmp_path, {}, None).scalars(3, {"a": math.nan, "b": math.inf, "c": 1.5})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 3, "a": null, "b": null, "c": 1.5}\n'


def test_a_damaged_checkpoint_is_named(config, sides, tmp_path):
    train(config, *sides, tmp_path)
    (list_checkpoints(tmp_path)[-1] / "optimizer.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(InputError, match="can't be resumed"):
        train(config, *sides, tmp_path, resume=True)


def test_the_time_that_a_resumed_run_still_takes_is_told_by_its_own_speed(monkeypatch):
    meter = loop.Meter(SimpleNamespace(is_first=True, fraction_done=lambda: 0.5))
    bar = meter.bar
    monkeypatch.setattr(bar, "_time", lambda: bar.start_t + 10)
    meter.show(0.6)
    assert "60% " in str(bar)
    assert "00:10<00:40" in str(bar)
