"""Several processes, started as a user would, do what one process does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType
from PIL import Image
from safetensors.torch import load_file

from tincture import sample, train
from tincture.training.checkpoints import list_checkpoints
from tincture.training.examples import cut_batch

ROOT = Path(__file__).parent.parent
MODEL = [
    "--model.unet.patch_size=2",
    "--model.unet.channels=[8,32]",
    "--model.unet.blocks=[1,1]",
    "--model.unet.attention=[false,true]",
    "--model.unet.head_channels=8",
    "--model.unet.head_blocks=0",
    "--model.token_channels=32",
    "--model.palette_depth=1",
    "--model.condition_channels=16",
    "--model.luminance_dropout=0.5",
    "--train.max_minutes=null",
    "--train.max_steps=6",
    "--train.palette_prior_steps=1",
    "--train.checkpoint_every=3",
    "--train.batch_size=24",
    "--train.mirror=0.5",
    "--model.augmentation_labels=true",
    "--train.preview_images=3",
    "--train.preview_steps=2",
    "--track.wandb=false",
]


def launch(*words):
    """Run a command in two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def processes_of(folder):
    return json.loads((folder / "environment.json").read_text())[-1]["processes"]


@pytest.fixture(scope="module")
def runs(few_pictures_options, tmp_path_factory):
    """The same training by one process, by one in parts, by two, and by one that takes over."""
    folder = tmp_path_factory.mktemp("runs")
    words = [*few_pictures_options, *MODEL]
    for name, more in (("one", []), ("accumulated", ["--train.accumulation=3"])):
        train.main([*map(str, words), *more, "--output", str(folder / name)])
    finished = launch("train.py", *words, "--output", folder / "two")
    assert finished.returncode == 0, finished.stderr
    assert processes_of(folder / "two") == 2 * processes_of(folder / "one")
    shutil.copytree(folder / "two", folder / "taken over")
    shutil.rmtree(list_checkpoints(folder / "taken over")[-1])
    train.main(["--output", str(folder / "taken over"), "--resume"])
    assert finished.stdout.count("held-out bits per pixel") == 1
    return folder


def flat(folder, file):
    """All tensors of a checkpoint's file as one vector."""
    tensors = load_file(list_checkpoints(folder)[-1] / f"{file}.safetensors")
    return torch.cat([tensors[key].flatten().double() for key in sorted(tensors) if not key.endswith(".step")])


@pytest.mark.parametrize("other", ["accumulated", "two", "taken over"])
def test_a_step_may_be_cut_in_parts_and_shared_without_changing_the_weights(runs, other):
    """Up to rounding, which AdamW magnifies where a gradient is nothing else, in whole vectors."""
    folders = runs / "one", runs / other
    for file in ("denoiser", "average", "optimizer"):  # the optimizer's moments know the scale of the gradients
        one, several = (flat(folder, file) for folder in folders)
        assert (one - several).norm() < 1e-3 * one.norm()
    metrics = [[json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] for folder in folders]
    for one, several in zip(*metrics, strict=True):
        assert several == pytest.approx(one, rel=1e-3)


def test_two_processes_draw_the_same_images_as_one(runs, tmp_path):
    words = ["--checkpoint", str(runs / "one"), "--num-images", "5", "--steps", "4", "--batch-size", "2", "--seed", "3"]
    sample.main([*words, "--output", str(tmp_path / "one")])
    finished = launch("sample.py", *words, "--output", tmp_path / "two")
    assert finished.returncode == 0, finished.stderr
    names = sorted(path.name for path in (tmp_path / "one").glob("*.png"))
    assert len(names) == 6
    assert names == sorted(path.name for path in (tmp_path / "two").glob("*.png"))
    for name in names:
        one, two = (Image.open(tmp_path / folder / name) for folder in ("one", "two"))
        assert one.tobytes() == two.tobytes()
        assert one.getpalette() == two.getpalette()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.source=folder", "--data.path=nowhere"], "error: no such folder of images: nowhere"),
        pytest.param(["--train.batch_size=0"], "error: train.batch_size is 0; it must be", marks=pytest.mark.slow),
        pytest.param(["--config=nowhere.yaml"], "error: the config nowhere.yaml can't be read", marks=pytest.mark.slow),
    ],
)
def test_a_mistake_of_two_processes_is_one_line_before_the_launchers_own(tmp_path, words, message):
    """The first process alone reads the data, while the other one waits at a barrier."""
    finished = launch("train.py", "--config=icons16-smoke", "--track.wandb=false", "--output", tmp_path / "run", *words)
    assert finished.returncode != 0
    assert finished.stderr.count(message) == 2  # torchrun repeats it where it says which process failed
    own = finished.stderr.split("Traceback")[0].splitlines()
    said = [line for line in own if "torch/distributed/elastic" not in line and "OMP_NUM_THREADS" not in line]
    assert [line[: len(message)] for line in said] == [message]
    assert "[rank" not in finished.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "accelerate").glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_its_configs(path):
    config = load_config_from_file(str(path))
    assert config.distributed_type == DistributedType.MULTI_GPU
    assert config.num_processes == 8 * config.num_machines


def test_what_several_processes_need_is_said(run, few_pictures_options, tmp_path):
    status, _, err = run(train, *few_pictures_options, *MODEL, "--train.accumulation=40", "--output", tmp_path / "run")
    assert status == 2
    assert "train.batch_size 24 is too small for 40 parts" in err.splitlines()[-1]


def test_parts_of_a_batch_are_even_and_without_gaps():
    for batch_size in (8, 20, 64, 100):
        for parts in range(1, batch_size + 1):
            cut = cut_batch(batch_size, parts)
            assert [position for part in cut for position in range(batch_size)[part]] == list(range(batch_size))
            sizes = [part.stop - part.start for part in cut]
            assert max(sizes) - min(sizes) <= 1
