import os
import sys
import tarfile
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from filelock import FileLock

from tincture import sample, train
from tincture.common import cli
from tincture.data.index_maps import load_index_maps
from tincture.data.sources import DataConfig
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.training import feeds

os.environ.setdefault("WANDB_MODE", "offline")

LONG = ("test_processes.py", "test_hostile_configs.py", "test_reproducibility.py", "test_package.py")
"""Few tests that take long: first, so that no worker is left alone with them at the end."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that pytest-xdist's workers share: who comes first makes what is slow to make."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def cache_dir(shared):
    """One cache of encoded data sets for all tests, not the user's own, with the icons in it."""
    folder = shared / "cache"
    with FileLock(f"{folder}.lock"):
        load_index_maps(DataConfig(cache_dir=folder))
    return folder


@pytest.fixture(scope="session")
def few_pictures(tmp_path_factory):
    """Sixty pictures of 8×8 in four colors, of two classes, for tests that aren't about
    pictures.
    """
    root, rng = tmp_path_factory.mktemp("few"), np.random.default_rng(3)
    for number in range(60):
        path = root / "pictures" / ("even", "odd")[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        colors = rng.integers(0, 256, (4, 3), np.uint8)
        PIL.Image.fromarray(colors[rng.integers(0, 4, (8, 8))]).save(path)
    sizes = {"size": 8, "min_colors": 4, "max_colors": 4, "heldout_fraction": 0.3}
    return DataConfig(source="folder", path=str(root / "pictures"), cache_dir=root / "cache", **sizes)


@pytest.fixture(scope="session")
def few_pictures_options(few_pictures):
    """The same, as options of train.py."""
    return [f"--data.{name}={value}" for name, value in asdict(few_pictures).items() if value not in (None, ())]


@pytest.fixture(scope="session")
def picture_sets(tmp_path_factory):
    """Ninety different pictures of 8×8 in four colors, of two classes: as parquet, as tar shards,
    as a folder.
    """
    from datasets import ClassLabel, Dataset, Features, Image  # takes seconds

    root, rng = tmp_path_factory.mktemp("sets"), np.random.default_rng(7)
    names, contents = [f"{number:03d}" for number in range(90)], []
    for _ in names:
        table = rng.integers(0, 256, (4, 3), np.uint8)
        file = BytesIO()
        PIL.Image.fromarray(table[rng.integers(0, 4, (8, 8))]).save(file, "PNG")
        contents.append(file.getvalue())
    features = Features({"image": Image(), "label": ClassLabel(names=["even", "odd"])})
    for kind in ("parquet", "tar", "folder/even", "folder/odd"):
        (root / kind).mkdir(parents=True)
    for shard in range(3):
        rows = range(30 * shard, 30 * shard + 30)
        images = [{"bytes": contents[row], "path": f"{names[row]}.png"} for row in rows]
        table = Dataset.from_dict({"image": images, "label": [row % 2 for row in rows]}, features)
        table.to_parquet(root / "parquet" / f"train-{shard}.parquet", batch_size=8)
        with tarfile.open(root / "tar" / f"{shard}.tar", "w") as archive:
            for row in rows:
                for suffix, content in (("png", contents[row]), ("cls", str(row % 2).encode())):
                    member = tarfile.TarInfo(f"{names[row]}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, BytesIO(content))
    for row, content in enumerate(contents):
        (root / "folder" / ("even", "odd")[row % 2] / f"{names[row]}.png").write_bytes(content)
    return root


@pytest.fixture(scope="session")
def few_heldout():
    """Training measures bits per pixel on 32 held-out pictures, not on 420: most of a tiny run."""
    with pytest.MonkeyPatch.context() as patch:

        def load(data):
            training, heldout = load_index_maps(data)
            return training, heldout.subset(torch.arange(min(32, len(heldout))))

        patch.setattr(feeds, "load_index_maps", load)
        yield


@pytest.fixture(scope="session")
def checkpoint(shared, cache_dir, few_heldout):
    """What train.py writes after a few steps of a tiny model; not to be changed."""
    smoke = Path(__file__).parent.parent / "configs" / "icons16-smoke.yaml"
    output = shared / "checkpoint" / "model"
    options = ["--config", smoke, "--output", output, "--data.cache_dir", cache_dir, "--track.wandb", "false"]
    with FileLock(f"{shared / 'checkpoint'}.lock"):
        if not output.exists():
            train.main([str(option) for option in options])
    return output


@pytest.fixture
def run(monkeypatch, capsys):
    """Call a command; returns its exit status, standard output and standard error."""

    def call(command, *arguments):
        monkeypatch.setattr(sys, "argv", [command.__file__, *map(str, arguments)])
        status = 0
        try:
            cli.run(command.main)
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def draw(run, checkpoint, tmp_path):
    """Call sample.py with a trained model; returns the images that it wrote: ``files`` of them,
    or as many as it was asked for.
    """

    def call(*options, num_images=2, files=None, output="drawn"):
        folder = tmp_path / output
        common = ["--checkpoint", checkpoint, "--output", folder, "--overwrite"]
        common += ["--num-images", num_images, "--steps", 3]
        status, _, err = run(sample, *common, *options)
        assert status == 0, err
        return [IndexedImage.load(folder / f"{n:04d}.png") for n in range(files or num_images)]

    return call
