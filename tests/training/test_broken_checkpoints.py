"""Checkpoints that are damaged or hostile: each is resumed or is one InputError; none runs code."""

import json
import pickle
import random
import shutil
from pathlib import Path

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from tincture import train
from tincture.common.errors import InputError
from tincture.models.denoiser import build_denoiser
from tincture.models.options import DenoiserConfig, UNetConfig
from tincture.tests.mutations import MUTATIONS, change, damaged, damaged_json
from tincture.training.checkpoints import Progress, list_checkpoints, load_checkpoint, save_checkpoint
from tincture.training.optimizers import OPTIMIZERS
from tincture.training.run_config import TrainConfig

FILES = ["denoiser.safetensors", "average.safetensors", "optimizer.safetensors", "progress.json"]


def new_run():
    """A denoiser, its average and its optimizers, as training begins with them."""
    unet = UNetConfig(channels=(8, 32), blocks=(1, 1), head_channels=8, head_blocks=0)
    denoiser = build_denoiser(DenoiserConfig("palette", 32, 1, 16, unet=unet), 0, 8)
    return denoiser, AveragedModel(denoiser, use_buffers=False), OPTIMIZERS["muon"](denoiser, TrainConfig())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    return save_checkpoint(output, *new_run(), Progress(step=7, minutes=0.5, best_step=3, best_bits_per_pixel=2.5))


@pytest.fixture(scope="module")
def run_state():
    return new_run()


@pytest.fixture
def copy(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "checkpoints" / saved.name))


def resumes(folder, state):
    """Load a checkpoint; false if that is refused."""
    try:
        progress = load_checkpoint(folder, *state)
    except InputError as error:
        assert len(str(error).splitlines()) == 1, error
        return False
    assert (progress.step, progress.minutes >= 0, progress.best_step in (None, *range(8))) == (7, True, True)
    assert all(weight.isfinite().all() for weight in state[0].state_dict().values())
    return True


class Harm:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return Path.touch, (Path("harm"),)


def put(**values):
    def damage(folder):
        path = folder / "progress.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return damage


def first(tensors):
    return min(name for name in tensors if tensors[name].is_floating_point() and tensors[name].ndim > 1)


def replaced(new):
    return lambda tensors: tensors.update({first(tensors): new(tensors[first(tensors)]).contiguous()})


TENSOR_FILES = FILES[:3]
HOSTILE = {
    "steps below zero": put(step=-1),
    "steps that are a text": put(step="7"),
    "steps that are no number": put(step=float("nan")),
    "steps of another checkpoint": put(step=8),
    "minutes below zero": put(minutes=-1),
    "minutes that are no number": put(minutes=float("nan")),
    "minutes without end": put(minutes=float("inf")),
    "a best step ahead": put(best_step=8),
    "a best step that is a list": put(best_step=[1]),
    "a best that is no number": put(best_bits_per_pixel=float("nan")),
    "unknown progress": put(command="touch harm"),
    "progress that is a list": lambda f: (f / "progress.json").write_text("[1, 2]"),
    "progress without end": lambda f: (f / "progress.json").write_text("[" * 100_000),
    "binary progress": lambda f: (f / "progress.json").write_bytes(b"\xff\x00" * 9),
    "no progress": lambda f: (f / "progress.json").unlink(),
} | {
    f"{what} in {file}": damage
    for file in TENSOR_FILES
    for what, damage in {
        "nothing": lambda f, file=file: (f / file).unlink(),
        "a pickle": lambda f, file=file: (f / file).write_bytes(pickle.dumps(Harm())),
        "an end too early": lambda f, file=file: (f / file).write_bytes((f / file).read_bytes()[:-50]),
        "a wrong shape": change(file, replaced(lambda tensor: tensor[:-1])),
        "integers": change(file, replaced(lambda tensor: tensor.to(torch.int32))),
        "no number": change(file, replaced(lambda tensor: tensor * float("nan"))),
        "a tensor too few": change(file, lambda tensors: tensors.pop(first(tensors))),
        "a tensor too many": change(file, lambda tensors: tensors.update(state=torch.zeros(2))),
    }.items()
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_checkpoint_is_refused_and_changes_nothing(copy, run_state, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    before = {key: value.clone() for key, value in run_state[0].state_dict().items()}
    HOSTILE[name](copy)
    assert not resumes(copy, run_state)
    assert not (tmp_path / "harm").exists()
    assert all(torch.equal(value, before[key]) for key, value in run_state[0].state_dict().items())


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_checkpoint_is_resumed_or_refused(saved, copy, run_state, file):
    assert resumes(copy, run_state)
    content, chance = (saved / file).read_bytes(), random.Random(file)
    outcomes = set()
    for number in range(MUTATIONS // 10):
        is_json = number % 2 and file == "progress.json"
        data = json.dumps(damaged_json(json.loads(content), chance)).encode() if is_json else damaged(content, chance)
        (copy / file).write_bytes(data)
        outcomes.add(resumes(copy, run_state))
    assert False in outcomes


def test_what_only_looks_like_a_checkpoint_is_none(saved, tmp_path):
    for name in ("step-abc", "step-", "step-1", "step-00000002.old", ".step-00000009-x"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    shutil.copytree(saved, tmp_path / "checkpoints" / saved.name)
    assert list_checkpoints(tmp_path) == [tmp_path / "checkpoints" / saved.name]


@pytest.mark.parametrize("place", ["checkpoints", "checkpoints/step-00000012", "config.yaml", "metrics.jsonl", "."])
def test_a_run_is_not_resumed_through_a_link(run, checkpoint, tmp_path, place):
    output = tmp_path / "run"
    shutil.copytree(checkpoint, output)
    (output / place).resolve().rename(tmp_path / "elsewhere")
    (output / place).symlink_to(tmp_path / "elsewhere")
    before = {path: path.read_bytes() for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()}
    status, _, err = run(train, "--output", output, "--resume")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "is a link" in err
    assert {path: path.read_bytes() for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()} == before
