"""The wheel that pip builds holds all that the commands need, and works from another folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tincture import __version__

ROOT = Path(__file__).parent.parent
CHECKPOINT = ROOT / "checkpoints" / "icons16"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which the wheel is installed, without what it depends on: that is here
    already.
    """
    place = tmp_path_factory.mktemp("package")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.split("\0"):
        if (
            name.endswith((".py", ".hex", ".yaml", ".toml", ".txt", ".safetensors", "README.md", "LICENSE"))
            and (ROOT / name).is_file()
        ):
            (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, place / "source" / name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", place / "installed", place / "source"], check=True, capture_output=True)
    return place / "installed"


@pytest.fixture
def call(installed, tmp_path):
    """Run Python in an empty folder, where `tincture` is the installed one."""
    # Compiling would take longer than reducing a tiny picture without it.
    settings = {"PYTHONPATH": str(installed), "NUMBA_DISABLE_JIT": "1", "WANDB_MODE": "offline"}

    def run(*words):
        command, env = [sys.executable, *map(str, words)], os.environ | settings
        found = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        return found.stdout

    return run


def test_it_is_the_installed_package_that_is_imported(call, installed):
    where = call("-c", "import tincture; print(tincture.__file__)")
    assert Path(where.strip()).parent == installed / "tincture"
    assert (installed / "bin" / "tincture").is_file()
    assert (installed / "tincture" / "models" / "minilm.safetensors").is_file()


def test_a_picture_is_reduced(call, tmp_path):
    Image.linear_gradient("L").resize((8, 8)).save(tmp_path / "photo.png")
    call("-m", "tincture", "quantize", "photo.png", "--colors", 4, "--output", "out")
    with Image.open(tmp_path / "out" / "photo.png") as image:
        assert image.mode == "P"
        assert len(image.getcolors()) == 4


def test_a_pipeline_is_loaded_in_two_lines_and_images_are_drawn_in_a_named_palette(call, tmp_path):
    """In one process: to import torch and diffusers takes longer than either."""
    options = ["--palette", "pico-8", "--num-images", "1", "--steps", "2", "--output", "out"]
    lines = [
        "from tincture import PaletteDiffusionPipeline",
        f"PaletteDiffusionPipeline.from_pretrained({str(CHECKPOINT)!r})",
        "import sys; from tincture.__main__ import main; main()",
    ]
    call("-c", "\n".join(lines), "sample", "--checkpoint", CHECKPOINT, *options)
    assert (tmp_path / "out" / "0000.png").is_file()


def test_a_config_of_the_package_goes_by_its_name(call):
    options = ["--config", "icons16-smoke", "--output", "run", "--train.warmup", "0.25", "--print_config"]
    config = yaml.safe_load(call("-m", "tincture", "train", *options))
    assert config["train"]["max_steps"] == 12
    assert config["train"]["warmup"] == 0.25


def test_commands_are_listed_and_a_wrong_one_is_a_mistake(call):
    listed = call("-m", "tincture", "--help")
    assert call("-m", "tincture", "-h") == call("-m", "tincture") == listed
    assert all(name in listed for name in ("train", "sample", "quantize", "evaluate"))
    assert call("-m", "tincture", "--version") == f"tincture {__version__}\n"
    with pytest.raises(AssertionError, match="error: there is no command 'smaple'"):
        call("-m", "tincture", "smaple")
