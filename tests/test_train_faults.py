"""Faults of a training process: signals, kill -9, a second run in one folder. What takes minutes runs with make test-slow."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tincture import train
from tincture.training.checkpoints import list_checkpoints

ROOT = Path(__file__).parent.parent
SMALL = [
    "--model.unet.patch_size",
    "2",
    "--model.unet.channels",
    "[8,32]",
    "--model.unet.blocks",
    "[1,1]",
    "--model.unet.attention",
    "[false,true]",
    "--model.unet.head_channels",
    "8",
    "--model.unet.head_blocks",
    "0",
    "--model.token_channels",
    "32",
    "--model.palette_depth",
    "1",
    "--model.condition_channels",
    "16",
    "--train.batch_size",
    "4",
    "--train.preview_images",
    "1",
    "--train.preview_steps",
    "1",
    "--train.evaluate_every",
    "100000",
    "--track.wandb",
    "false",
]


def command(output, cache_dir, *more):
    words = [
        "train.py",
        "--config",
        "configs/icons16.yaml",
        "--output",
        output,
        "--data.cache_dir",
        cache_dir,
        *SMALL,
        *more,
    ]
    return [sys.executable, *map(str, words)]


def start(output, cache_dir, *more):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(output, cache_dir, *more),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_checkpoint(process, output, count=1):
    deadline = time.monotonic() + 120
    while len(list_checkpoints(output)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "status", "name"), [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "SIGINT")]
)
def test_a_signal_ends_a_run_at_a_whole_step_and_a_second_run_is_refused(
    run, cache_dir, tmp_path, number, status, name
):
    output = tmp_path / "run"
    endless = ["--train.max_minutes", "30", "--train.checkpoint_every", "5"]
    process = start(output, cache_dir, *endless)
    wait_for_checkpoint(process, output)
    refused, _, err = run(train, *command(output, cache_dir, *endless, "--overwrite")[2:])
    assert refused == 2
    assert err.startswith("error: another process is writing to")
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == status
    last = list_checkpoints(output)[-1]
    assert f"stopped by {name}: step {int(last.name[5:])} is saved, go on with --resume" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_weights_that_find_no_room_are_one_line_and_leave_nothing_half_written(cache_dir, tmp_path):
    """A limit on the size of files stands for a full disk: the system refuses to write on, as there."""
    limited = ["import resource, signal, sys, runpy", "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)",
               "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))", "sys.argv = sys.argv[1:]",
               "runpy.run_path('train.py', run_name='__main__')"]  # fmt: skip
    words = command(tmp_path / "run", cache_dir, "--train.max_minutes", "null", "--train.max_steps", "2")
    words[1:1] = ["-c", "; ".join(limited)]
    finished = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].startswith("error: no space is left on the disk")
    assert "Traceback" not in finished.stderr
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
def test_a_full_disk_costs_no_earlier_checkpoint(small_disk, cache_dir, tmp_path):
    """A run that needs room for two more checkpoints gets none, half of one, one and a half, and then enough."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(12):
        picture = Image.new("RGB", (8, 8), (20 * number, 5, 9))
        picture.putpixel((1, 1), (255, 0, 0))
        picture.save(pictures / f"{number}.png")
    data = ["--data.source", "folder", "--data.path", pictures, "--data.size", "8", "--data.min_colors", "2"]
    common = [*data, "--data.heldout_fraction", "0.3", "--train.max_minutes", "null", "--train.checkpoint_every", "2"]
    begin, go_on = [*common, "--train.max_steps", "2"], [*common, "--train.max_steps", "6", "--resume"]
    output, filler = small_disk / "run", small_disk / "filler"
    for place in (tmp_path / "whole", output):
        assert start(place, cache_dir, *begin).wait(600) == 0
    assert start(tmp_path / "whole", cache_dir, *go_on).wait(600) == 0

    size = sum(map(len, contents(list_checkpoints(output)[0]).values()))
    for room in (0.0, 0.5, 1.5):
        before = contents(output / "checkpoints")
        statistics = os.statvfs(small_disk)
        filler.write_bytes(bytes(statistics.f_bavail * statistics.f_frsize - int(room * size)))
        process = start(output, cache_dir, *go_on)
        _, err = process.communicate(timeout=600)
        assert process.returncode == 2, err
        messages = [line for line in err.replace("\r", "\n").splitlines() if line.strip() and "|" not in line]
        assert all(line.startswith("resumed at step") for line in messages[:-1])
        assert messages[-1].startswith("error: no space is left on the disk")
        assert before.items() <= contents(output / "checkpoints").items()
        assert not list((output / "checkpoints").glob(".*"))
        assert len(list_checkpoints(output)) == (2 if room > 1 else 1)
        filler.unlink()

    assert start(output, cache_dir, *go_on).wait(600) == 0
    whole, cut = (list_checkpoints(path)[-1] / "average.safetensors" for path in (tmp_path / "whole", output))
    assert whole.read_bytes() == cut.read_bytes()


@pytest.mark.slow
def test_killed_fifty_times_in_the_midst_of_anything_a_run_ends_with_the_same_weights(cache_dir, tmp_path):
    budget = ["--train.max_minutes", "null", "--train.max_steps", "400", "--train.checkpoint_every", "2"]
    assert start(tmp_path / "whole", cache_dir, *budget).wait(600) == 0
    output, chance = tmp_path / "cut", random.Random(0)
    process = start(output, cache_dir, *budget)
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
        process = start(output, cache_dir, *budget, "--resume")
    assert process.wait(600) == 0
    assert kills >= 40
    whole, cut = (load_file(list_checkpoints(tmp_path / name)[-1] / "average.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(whole[key], cut[key]) for key in whole)
    assert not [path for path in output.rglob(".*") if path.name != ".lock"]
