"""What a run leaves, and how it goes on."""

import json
import math
import shutil
import struct
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import wandb
from PIL import Image
from safetensors.torch import load_file
from wandb.proto import wandb_internal_pb2

from tincture import evaluate
from tincture.common.errors import InputError
from tincture.controls.options import Guidance, Sampling
from tincture.data.index_maps import load_index_maps
from tincture.models.text import LEARNED
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.files import read_palette
from tincture.tests.training.tiny_runs import TINY, train, weights
from tincture.training import loop
from tincture.training import run as run_module
from tincture.training.checkpoints import list_checkpoints
from tincture.training.feeds import WholeSet
from tincture.training.run_config import ProcessConfig, TrackConfig
from tincture.training.tracking import Tracker


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


def test_checkpoints_stand_in_the_order_of_their_steps(tmp_path):
    names = ["step-00000007", "step-99999999", "step-100000000"]
    for name in names[::-1]:
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert [path.name for path in list_checkpoints(tmp_path)] == names


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
