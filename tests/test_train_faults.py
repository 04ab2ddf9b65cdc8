"""Faults of a training process: signals, kill -9, a full disk, a second run in one folder."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tincture import train
from tincture.training.checkpoints import list_checkpoints

ROOT = Path(__file__).parent.parent
SMALL = [
    "--model.unet.patch_size=2",
    "--model.unet.channels=[8,32]",
    "--model.unet.blocks=[1,1]",
    "--model.unet.attention=[false,true]",
    "--model.unet.head_channels=8",
    "--model.unet.head_blocks=0",
    "--model.token_channels=32",
    "--model.palette_depth=1",
    "--model.condition_channels=16",
    "--train.batch_size=4",
    "--train.preview_images=1",
    "--train.preview_steps=1",
    "--train.evaluate_every=100000",
    "--track.wandb=false",
]


@pytest.fixture
def options(few_pictures_options):
    """Of train.py, but for the output and when to stop."""
    return [*few_pictures_options, *SMALL]


def start(output, *words):
    """The command as a process of its own."""
    command = [sys.executable, "train.py", "--output", str(output), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_checkpoint(process, output, count=1):
    deadline = time.monotonic() + 120
    while len(list_checkpoints(output)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "status", "name"),
    [pytest.param(signal.SIGTERM, 143, "SIGTERM", marks=pytest.mark.slow), (signal.SIGINT, 130, "SIGINT")],
)
def test_a_signal_ends_a_run_at_a_whole_step_and_a_second_run_is_refused(run, options, tmp_path, number, status, name):
    output = tmp_path / "run"
    endless = [*options, "--train.max_minutes=30", "--train.checkpoint_every=5"]
    process = start(output, *endless)
    wait_for_checkpoint(process, output)
    refused, _, err = run(train, "--output", output, *endless, "--overwrite")
    assert refused == 2
    assert err.startswith("error: another process is writing to")
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == status
    last = list_checkpoints(output)[-1]
    assert f"stopped by {name}: step {int(last.name[5:])} is saved, go on with --resume" in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.fixture
def small_files_only():
    """A limit on the size of files, which stands for a full disk."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files_only")
def test_weights_that_find_no_room_are_one_line_and_leave_nothing_half_written(run, options, tmp_path):
    status, _, err = run(train, *options, "--train.max_steps=2", "--output", tmp_path / "run")
    assert status == 2
    assert err.splitlines()[-1].startswith("error: no space is left on the disk")
    assert (tmp_path / "run" / "config.yaml").exists()
    assert not [path for path in (tmp_path / "run").rglob("*") if path.suffix == ".safetensors"]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 MB in memory; for root, where mounting is allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=False).returncode != 0:
        pytest.skip("mounting a file system is not permitted here")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.slow
def test_a_full_disk_costs_no_earlier_checkpoint(small_disk, options, tmp_path):
    """A run that needs room for two more checkpoints gets it for 0, 0.5, 1.5, and then for both."""
    common = [*options, "--train.checkpoint_every=2"]
    begin, go_on = [*common, "--train.max_steps=2"], [*common, "--train.max_steps=6", "--resume"]
    output, filler = small_disk / "run", small_disk / "filler"
    for place in (tmp_path / "whole", output):
        assert start(place, *begin).wait(600) == 0
    assert start(tmp_path / "whole", *go_on).wait(600) == 0

    size = sum(map(len, contents(list_checkpoints(output)[0]).values()))
    for room in (0.0, 0.5, 1.5):
        before = contents(output / "checkpoints")
        statistics = os.statvfs(small_disk)
        filler.write_bytes(bytes(statistics.f_bavail * statistics.f_frsize - int(room * size)))
        process = start(output, *go_on)
        _, err = process.communicate(timeout=600)
        assert process.returncode == 2, err
        messages = [line for line in err.replace("\r", "\n").splitlines() if line.strip() and "|" not in line]
        assert all(line.startswith("resumed at step") for line in messages[:-1])
        assert messages[-1].startswith("error: no space is left on the disk")
        assert before.items() <= contents(output / "checkpoints").items()
        assert not list((output / "checkpoints").glob(".*"))
        assert len(list_checkpoints(output)) == (2 if room > 1 else 1)
        filler.unlink()

    assert start(output, *go_on).wait(600) == 0
    whole, cut = (list_checkpoints(path)[-1] / "average.safetensors" for path in (tmp_path / "whole", output))
    assert whole.read_bytes() == cut.read_bytes()


@pytest.mark.slow
def test_killed_fifty_times_in_the_midst_of_anything_a_run_ends_with_the_same_weights(options, tmp_path):
    budget = [*options, "--train.max_steps=400", "--train.checkpoint_every=2"]
    assert start(tmp_path / "whole", *budget).wait(600) == 0
    output, chance = tmp_path / "cut", random.Random(0)
    process = start(output, *budget)
    kills = 0
    while kills < 50:
        before = {path.name for path in list_checkpoints(output)}
        deadline = time.monotonic() + 120
        # Writing checkpoints takes most of the time at this size, so most kills fall into one.
        while process.poll() is None and {path.name for path in list_checkpoints(output)} == before:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.15))
        if process.poll() is not None:
            break
        process.kill()
        process.communicate()
        kills += 1
        process = start(output, *budget, "--resume")
    assert process.wait(600) == 0
    assert kills >= 40
    whole, cut = (load_file(list_checkpoints(tmp_path / name)[-1] / "average.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(whole[key], cut[key]) for key in whole)
    assert not list(output.rglob(".*"))
