import json
import os
import signal
import time
from collections import Counter
from io import BytesIO

import datasets
import numpy as np
import PIL.Image
import psutil
import pytest

from tincture.common.errors import InputError
from tincture.data.index_maps import load_index_maps
from tincture.data.sources import DataConfig
from tincture.data.stream import Lanes, start_stream


@pytest.fixture
def config(picture_sets, cache_dir):
    def make(kind="parquet", **changes):
        options = {"path": str(picture_sets / kind), "label_column": "cls" if kind == "tar" else None} | changes
        common = {"source": "datasets", "size": 8, "heldout_fraction": 0.3, "cache_dir": cache_dir}
        return DataConfig(**common, streaming=True, heldout_images=10, sample_images=20, **options)

    return make


@pytest.fixture
def training_pictures(picture_sets, cache_dir):
    """The pictures of the training side, as index maps."""
    path = str(picture_sets / "parquet")
    whole = DataConfig(
        source="datasets", path=path, size=8, heldout_fraction=0.3, palette="pico-8", cache_dir=cache_dir
    )
    return Counter(row.numpy().tobytes() for row in load_index_maps(whole)[0].indices)


def epochs(lanes, count):
    """The index maps of each of the first epochs, in their order."""
    found = [[] for _ in range(count)]
    while True:
        epoch, encoded = lanes.next()
        if epoch == count:
            return found
        found[epoch] += [picture.indices.tobytes() for picture in encoded]


def following(lanes, count):
    """As many pictures, by their names, with their index maps, labels and epochs."""
    found = []
    while len(found) < count:
        epoch, encoded = lanes.next()
        found += [(epoch, picture.name, picture.label, picture.indices.tobytes()) for picture in encoded]
    return found


@pytest.mark.parametrize(
    ("kind", "processes", "workers"),
    [
        ("parquet", 1, 0),
        ("parquet", 2, 0),
        ("parquet", 1, 1),
        ("parquet", 1, 2),
        ("parquet", 3, 1),  # as many shards as lanes: each has one
        ("parquet", 2, 2),
        ("tar", 1, 2),
        ("tar", 2, 0),
        ("folder", 1, 2),
        ("folder", 2, 0),
    ],
)
def test_each_epoch_has_each_training_picture_once_and_no_other(config, training_pictures, kind, processes, workers):
    start = start_stream(config(kind, palette="pico-8", workers=workers))
    shares = [epochs(Lanes(start, 0, process, processes), 2) for process in range(processes)]
    for epoch in zip(*shares, strict=True):
        assert sum(map(Counter, epoch), Counter()) == training_pictures


def test_orders_depend_on_the_seed_and_the_epoch_alone(config):
    start = start_stream(config("folder", workers=0))
    one, two = epochs(Lanes(start, 0, 0, 1), 2)
    assert one != two
    first, again, other = (following(Lanes(start, seed, 0, 1), 60) for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize(("kind", "workers"), [("parquet", 2), ("parquet", 3), ("tar", 0), ("folder", 1)])
def test_restored_lanes_go_on_with_the_next_picture(config, kind, workers):
    start = start_stream(config(kind, workers=workers))
    lanes = Lanes(start, 0, 0, 1)
    for _ in range(2):
        following(lanes, 45)
        state = json.loads(json.dumps(lanes.state()))
        expected = following(lanes, 40)
        restored = Lanes(start, 0, 0, 1)
        restored.restore(state)
        assert following(restored, 40) == expected
        lanes = restored


def test_broken_pictures_are_named_once_and_skipped_or_stop_the_run(config, tmp_path, rng, caplog):
    contents = []
    for _ in range(20):
        file = BytesIO()
        PIL.Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(file, "PNG")
        contents.append(file.getvalue())
    contents[3] = contents[3][:50]
    images = [{"bytes": content, "path": f"{row}.png"} for row, content in enumerate(contents)]
    table = datasets.Dataset.from_dict({"image": images}).cast_column("image", datasets.Image())
    table.to_parquet(tmp_path / "some.parquet")
    path = str(tmp_path / "some.parquet")
    start = start_stream(config(path=path, palette="pico-8", workers=1))
    caplog.clear()
    epochs(Lanes(start, 0, 0, 1), 3)
    assert [record.getMessage() for record in caplog.records] == [
        "skipped: 3.png is broken or cut off: image file is truncated"
    ]
    with pytest.raises(InputError, match=r"3\.png is broken"):
        start_stream(config(path=path, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_that_breaks_off_stops_the_run_with_a_line(config, picture_sets, tmp_path, workers):
    for source in (picture_sets / "tar").iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    start = start_stream(config("tar", path=str(tmp_path), workers=workers))
    broken = tmp_path / "1.tar"
    broken.write_bytes(broken.read_bytes()[:9000])
    with pytest.raises(InputError, match=r"the data set .* can't be read: .*end of data"):
        epochs(Lanes(start, 0, 0, 1), 1)


def test_a_process_without_pictures_says_so(config, tmp_path, rng):
    images = [rng.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(6)]
    table = datasets.Dataset.from_dict({"image": images}, datasets.Features({"image": datasets.Image()}))
    table.to_parquet(tmp_path / "few.parquet")
    start = start_stream(config(path=str(tmp_path / "few.parquet"), palette="pico-8", workers=0))
    with pytest.raises(InputError, match=r"no training picture of .* is left for one of the processes"):
        Lanes(start, 0, 7, 8).next()


def test_a_worker_that_is_killed_is_not_waited_for(config):
    start = start_stream(config(workers=2))
    lanes = Lanes(start, 0, 0, 1)
    before = {child.pid for child in psutil.Process().children()}
    lanes.next()
    workers = {child.pid for child in psutil.Process().children()} - before
    assert len(workers) == 2
    started = time.monotonic()
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        os.kill(min(workers), signal.SIGKILL)
        while True:
            lanes.next()
    assert time.monotonic() - started < 60


def test_a_worker_leaves_signals_to_the_process_that_trains(config):
    lanes = Lanes(start_stream(config(workers=1)), 0, 0, 1)
    before = {child.pid for child in psutil.Process().children()}
    lanes.next()
    (worker,) = {child.pid for child in psutil.Process().children()} - before
    os.kill(worker, signal.SIGINT)
    os.kill(worker, signal.SIGTERM)
    time.sleep(0.2)
    following(lanes, 200)
    assert psutil.Process(worker).is_running()
