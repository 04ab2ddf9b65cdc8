"""Feeds: the same pictures and the same weights, however often a run is interrupted."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tincture import train as command
from tincture.common.errors import InputError
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.data.sources import DataConfig
from tincture.data.stream import Lanes, start_stream
from tincture.models.options import DenoiserConfig, UNetConfig
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.training import loop
from tincture.training.checkpoints import list_checkpoints
from tincture.training.feeds import ShuffleBuffer, StreamFeed, WholeSet, dead_workers_reported
from tincture.training.run_config import RunConfig, TrackConfig, TrainConfig

ROOT = Path(__file__).parent.parent.parent
BATCH = slice(0, 8)


@pytest.fixture
def data(picture_sets, cache_dir):
    def make(kind="parquet", **changes):
        options = {"source": "datasets", "path": str(picture_sets / kind), "size": 8, "heldout_fraction": 0.3}
        options |= {"streaming": True, "heldout_images": 8, "sample_images": 20, "buffer": 25, "cache_dir": cache_dir}
        return DataConfig(**options | changes)

    return make


def batches(feed, steps, positions=BATCH):
    return [feed.pictures(step, positions) for step in steps]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        assert one.names == other.names
        assert torch.equal(one.indices, other.indices)
        assert torch.equal(one.palettes.colors, other.palettes.colors)
        assert torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("buffer", [1, 25, 1000])
def test_all_of_an_epoch_are_fed_before_any_is_fed_again(data, buffer):
    training, heldout = load_index_maps(data(streaming=False))
    feed = StreamFeed(start_stream(data(workers=0, buffer=buffer)), seed=0)
    count = len(training)
    fed = [name for pictures in batches(feed, range(3 * count // 8 + 1)) for name in pictures.names]
    for start in (0, count, 2 * count):
        assert sorted(fed[start : start + count]) == sorted(training.names)
    assert not set(fed) & set(heldout.names)
    assert fed[:count] != fed[count : 2 * count]


def test_a_small_set_is_not_encoded_again_and_again_to_fill_the_buffer(data):
    feed = StreamFeed(start_stream(data(workers=0, buffer=10_000)), seed=0)
    feed.pictures(0, BATCH)
    assert len(feed.state()["epoch"]) < 3 * 90


@pytest.mark.parametrize(("kind", "workers"), [("parquet", 0), ("tar", 2)])
def test_a_restored_feed_goes_on_with_the_same_batches(data, kind, workers, tmp_path):
    start = start_stream(data(kind, workers=workers, label_column="cls" if kind == "tar" else None))
    feed = StreamFeed(start, seed=3)
    for cut in (3, 11):  # in the first epoch and in the second
        batches(feed, range(cut - 3, cut))
        save_file(feed.state(), tmp_path / "feed.safetensors")
        other = StreamFeed(start_stream(start.config), seed=3)
        other.restore(load_file(tmp_path / "feed.safetensors"), cut)
        steps = range(cut, cut + 5)
        assert_same(batches(feed, steps), batches(other, steps))


def test_processes_share_a_stream(data):
    start = start_stream(data(workers=1))
    training, _ = load_index_maps(data(streaming=False))
    halves = [StreamFeed(start, 0, process, 2) for process in (0, 1)]
    fed = []
    for process, feed in enumerate(halves):
        batches_of_one = batches(feed, range(80), slice(process, process + 1))
        names = [pictures.names[0] for pictures in batches_of_one]
        fed.append(set(names))
    assert not fed[0] & fed[1]
    assert fed[0] | fed[1] == set(training.names)


def test_a_checkpoint_of_other_processes_or_other_data_is_refused(data, picture_sets, tmp_path):
    state = StreamFeed(start_stream(data(workers=0)), 0, 0, 2).state()
    with pytest.raises(InputError, match="the places of 2 processes in the stream, not of 1"):
        StreamFeed(start_stream(data(workers=0)), 0).restore(state, 0)
    with pytest.raises(InputError, match="the places of fewer processes"):
        StreamFeed(start_stream(data(workers=0)), 0).restore({}, 0)
    other = data(workers=0, path=str(picture_sets / "parquet" / "train-1.parquet"))
    with pytest.raises(InputError, match="holds other pictures than when the run began"):
        StreamFeed(start_stream(other), 0, 0, 2).restore(state, 0)


def test_a_damaged_state_is_refused(data):
    start = start_stream(data(workers=0))
    feed = StreamFeed(start, 0)
    feed.pictures(0, BATCH)
    state = feed.state()
    damaged = [
        state | {"indices": state["indices"][:, :4]},
        state | {"labels": state["labels"][1:]},
        state | {"names": state["names"][:-3]},
        state | {"lanes": state["lanes"][:-3]},
        {key: value for key, value in state.items() if key != "epoch"},
    ]
    for each in damaged:
        with pytest.raises(InputError, match="place in the stream is damaged"):
            StreamFeed(start, 0).restore(each, 1)


def numbered(start, stop):
    """Pictures of which each part says which one it is."""
    numbers = torch.arange(start, stop)
    indices = numbers.to(torch.uint8).view(-1, 1, 1).expand(-1, 2, 2).clone()
    colors = numbers.to(torch.uint8).view(-1, 1, 1).expand(-1, 3, 4).clone()
    names = [f"{number} ☂\n" for number in numbers.tolist()]
    captions, credits = ([f"{kind} {number}" for number in numbers.tolist()] for kind in ("caption", "credit"))
    return IndexMaps(indices, PaletteBatch(colors, colors[..., 0] >= 0), numbers, ["a"], names, captions, credits)


def numbers(pictures):
    """Which ones they are; all parts must agree."""
    found = pictures.labels
    assert torch.equal(pictures.indices, found.to(torch.uint8).view(-1, 1, 1).expand(-1, 2, 2))
    assert torch.equal(pictures.palettes.colors[:, 0, 0], found.to(torch.uint8))
    assert pictures.names == [f"{number} ☂\n" for number in found.tolist()]
    assert pictures.captions == [f"caption {number}" for number in found.tolist()]
    assert pictures.credits == [f"credit {number}" for number in found.tolist()]
    return found.tolist()


def test_a_run_whose_captions_changed_cannot_be_resumed():
    pool, heldout = numbered(0, 4), numbered(4, 6)
    state = WholeSet(pool, heldout, 2, 0).state()
    WholeSet(numbered(0, 4), heldout, 2, 0).restore(state, 1)
    changed = replace(heldout, captions=["caption 4", "dragon"])
    with pytest.raises(InputError, match="the data have changed"):
        WholeSet(pool, changed, 2, 0).restore(state, 1)


@pytest.fixture
def buffer():
    buffer = ShuffleBuffer(numbered(0, 1))
    buffer.add(numbered(0, 20), 0)
    buffer.add(numbered(20, 50), 0)
    buffer.add(numbered(50, 60), 1)
    return buffer


def test_each_picture_is_drawn_once_and_the_older_epoch_first(buffer):
    assert buffer.epochs == 2
    drawn = [numbers(buffer.take(15, seed)) for seed in range(4)]
    assert len(buffer) == 0
    flat = [number for batch in drawn for number in batch]
    assert sorted(flat) == list(range(60))
    assert set(flat[50:]) == set(range(50, 60))
    assert flat[:50] != sorted(flat[:50])


def test_all_are_equally_likely_to_be_next():
    counts = Counter()
    for seed in range(500):
        buffer = ShuffleBuffer(numbered(0, 1))
        buffer.add(numbered(0, 10), 0)
        counts.update(numbers(buffer.take(2, seed)))
    assert min(counts.values()) > 65  # expected: 100 ± 9
    assert max(counts.values()) < 135


def test_a_restored_buffer_gives_the_same_pictures(buffer):
    buffer.take(17, 0)
    other = ShuffleBuffer(numbered(0, 1))
    other.restore(buffer.state())
    for each in (buffer, other):
        each.add(numbered(60, 90), 1)
    assert [numbers(buffer.take(20, seed)) for seed in range(3)] == [numbers(other.take(20, seed)) for seed in range(3)]


def test_a_state_is_not_changed_by_what_is_drawn_later(buffer):
    other = ShuffleBuffer(numbered(0, 1))
    other.restore(buffer.state())
    before = {key: value.clone() for key, value in other.state().items()}
    buffer.take(30, 0)
    assert all(torch.equal(value, before[key]) for key, value in other.state().items())


def tiny(data):
    unet = UNetConfig(channels=(32, 32), blocks=(1, 1), head_channels=32, head_blocks=1, dropout=0.1)
    steps = {"max_steps": 12, "batch_size": 8, "palette_prior_steps": 1, "evaluate_every": 100, "checkpoint_every": 5}
    return RunConfig(
        data=data,
        model=DenoiserConfig(token_channels=32, palette_depth=1, condition_channels=16, unet=unet),
        train=TrainConfig(**steps, preview_images=1, preview_steps=1),
        track=TrackConfig(wandb=False),
    )


def test_an_interrupted_run_over_a_stream_ends_with_the_same_weights(data, tmp_path):
    config = tiny(data(workers=1))

    def train(output, **options):
        start = start_stream(config.data)
        loop.train(config, StreamFeed(start, config.seed), start.heldout, tmp_path / output, **options)
        return load_file(list_checkpoints(tmp_path / output)[-1] / "average.safetensors")

    whole = train("whole")
    asked = iter([None] * 6 + [15])
    with pytest.raises(loop.StoppedBySignalError):
        train("cut", stop=lambda: next(asked, 15))
    assert [path.name for path in list_checkpoints(tmp_path / "cut")][-1] == "step-00000007"
    resumed = train("cut", resume=True)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert not list((tmp_path / "cut" / "checkpoints").glob(".*"))


def test_the_command_trains_on_a_stream_and_goes_on_with_it(run, data, tmp_path):
    config = tiny(data(kind="folder", workers=1))
    options = [f"--config={tmp_path / 'config.yaml'}", f"--output={tmp_path / 'run'}"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
    status, out, err = run(command, *options)
    assert status == 0, err
    assert "held-out bits per pixel" in out
    status, out, err = run(command, *options, "--resume", "--train.max_steps=14")
    assert status == 0, err
    assert list_checkpoints(tmp_path / "run")[-1].name == "step-00000014"
    status, _, err = run(command, *options, "--resume", "--data.workers=2")
    assert status == 2
    assert "data.workers would change" in err


def test_a_dead_worker_is_one_line(data, monkeypatch):
    def dies(self):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    monkeypatch.setattr(Lanes, "next", dies)
    feed = StreamFeed(start_stream(data(workers=0)), 0)
    with pytest.raises(InputError, match=r"data died .*pid 7.* is killed"), dead_workers_reported():
        feed.pictures(0, BATCH)
    with pytest.raises(RuntimeError, match="else"), dead_workers_reported():
        raise RuntimeError("something else")


def start(config, output, *more, processes=1):
    """The command in processes of its own."""
    path = output.parent / f"{output.name}.yaml"
    path.write_text(yaml.safe_dump(config.to_dict()))
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    words = [sys.executable, *launcher, "train.py", f"--config={path}", f"--output={output}", *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_share_a_stream_and_go_on_with_it(data, tmp_path):
    config = tiny(data(workers=1))
    config = replace(config, train=replace(config.train, batch_size=16))
    process = start(config, tmp_path / "whole", processes=2)
    assert process.wait(300) == 0, process.stderr.read()
    first = tmp_path / "whole" / "checkpoints" / "step-00000010"
    assert sorted(path.name for path in first.glob("feed-*")) == ["feed-00000.safetensors", "feed-00001.safetensors"]
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "step-00000012")
    process = start(config, tmp_path / "resumed", "--resume", processes=2)
    assert process.wait(300) == 0, process.stderr.read()
    ends = [
        load_file(tmp_path / name / "checkpoints" / "step-00000012" / "average.safetensors")
        for name in ("whole", "resumed")
    ]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    feeds = [load_file(first / f"feed-0000{process}.safetensors") for process in (0, 1)]
    names = [set(json.loads(feed["names"].numpy().tobytes())) for feed in feeds]
    assert not names[0] & names[1]
    process = start(config, tmp_path / "resumed", "--resume", "--train.max_steps=13")
    assert process.wait(300) == 2
    assert "the places of 2 processes in the stream, not of 1" in process.stderr.read()


@pytest.mark.slow
def test_a_run_whose_worker_is_killed_ends_with_a_line(data, tmp_path):
    config = tiny(data(workers=2))
    config = replace(config, train=replace(config.train, max_steps=100_000))
    process = start(config, tmp_path / "run")
    while not list_checkpoints(tmp_path / "run"):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    workers = psutil.Process(process.pid).children()
    workers[-1].kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in err
    assert err.count("error: a process that reads data died (DataLoader worker (pid") == 1
