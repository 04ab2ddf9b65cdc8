"""One seed, one result, bit for bit: in this process, after other tests, and in a new one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file

from tincture import evaluate, quantize, sample, train
from tincture.training.checkpoints import list_checkpoints

TRAINING = {
    "data": {"source": "folder", "size": 8, "min_colors": 4, "max_colors": 8, "heldout_fraction": 0.3},
    "train": {"max_steps": 16, "batch_size": 8, "palette_prior_steps": 2, "preview_images": 1, "preview_steps": 1, "foreign_palettes": 0.5,
              "mirror": 0.5, "shift": 1, "palette_jitter": 0.2, "evaluate_every": 8},
    "model": {"token_channels": 32, "palette_depth": 1, "condition_channels": 16, "luminance_dropout": 0.5,
              "unet": {"channels": [8, 32], "blocks": [1, 1], "head_channels": 8, "head_blocks": 0, "dropout": 0.1}},
    "track": {"wandb": False},
}  # fmt: skip


def arguments(folder, source):
    """The three commands with their arguments; each process encodes the pictures for itself."""
    model, data = folder / "model", ["--data.path", source / "pictures", "--data.cache_dir", folder / "cache"]
    return [
        [train, "--config", source / "tiny.yaml", "--output", model, *data],
        [sample, "--checkpoint", model, "--num-images", 3, "--steps", 8, "--seed", 5, "--output", folder / "drawn"],
        [quantize, source / "photo.png", "--colors", 12, "--dither", "floyd-steinberg", "--output", folder / "indexed"],
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What both processes wrote."""
    source = tmp_path_factory.mktemp("source")
    (source / "tiny.yaml").write_text(yaml.safe_dump(TRAINING))
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    photo = Image.fromarray(noise).resize((240, 180), Image.Resampling.BICUBIC)
    photo.save(source / "photo.png")
    for number in range(24):
        path = source / "pictures" / f"label{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.crop((9 * number, 7 * number, 9 * number + 12, 7 * number + 10)).save(path)
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    for command, *words in arguments(here, source):
        command.main([str(word) for word in words])
    lines = ["import tincture.quantize, tincture.sample, tincture.train"]
    for command, *words in arguments(there, source):
        lines.append(f"{command.__name__}.main({[str(word) for word in words]})")
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    words = [sys.executable, "-c", "\n".join(lines)]
    finished = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    return here, there


@pytest.mark.parametrize(
    "pattern", ["model/denoiser/*.safetensors", "model/previews/*.png", "drawn/*.png", "indexed/*"]
)
def test_the_same_seed_gives_the_same_bytes(folders, pattern):
    """All but the records, which hold times."""
    first, second = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob(pattern) if path.suffix != ".json"}
        for folder in folders
    )
    assert first
    assert first == second


def test_the_same_seed_gives_the_same_state_of_training(folders):
    for name in ("denoiser", "average", "optimizer"):
        states = [load_file(list_checkpoints(folder / "model")[-1] / f"{name}.safetensors") for folder in folders]
        assert states[0].keys() == states[1].keys()
        assert all((states[0][key] == states[1][key]).all() for key in states[0])
    metrics = [[json.loads(line) for line in (f / "model" / "metrics.jsonl").read_text().splitlines()] for f in folders]
    for lines in metrics:
        for line in lines:
            line.pop("train/images_per_second", None)
    assert metrics[0] == metrics[1]


def test_every_record_says_with_what_it_was_made(run, folders, tmp_path):
    here = folders[0]
    options = ["--metrics", "memorization", "--num-samples", 1, "--steps", 1]
    status, _, err = run(evaluate, "--checkpoint", here / "model", *options, "--output", tmp_path / "judged.json")
    assert status == 0, err
    starts = json.loads((here / "model" / "environment.json").read_text())
    records = [here / "drawn" / "samples.json", here / "indexed" / "report.json", tmp_path / "judged.json"]
    records = [json.loads(path.read_text()) for path in records]
    for environment in [*starts, *(record["environment"] for record in records)]:
        assert {"time", "command", "python", "platform", "packages", "code"} <= environment.keys()
        assert environment["code"] is None or len(environment["code"]["commit"]) == 40
    assert all(record["options"]["seed"] in (0, 5) for record in records)
    resolved = yaml.safe_load((here / "model" / "config.yaml").read_text())
    assert resolved["train"]["max_steps"] == 16
    assert resolved["train"]["learning_rate"] > 0  # which the config that was given didn't say
