"""Model folders: loaded from anywhere, by us and by diffusers; and damaged or harmful ones.

Each of the latter works, or is one InputError, and nothing of it is run.
"""

import json
import os
import pickle
import random
import resource
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from tincture import evaluate, sample
from tincture.common.errors import InputError
from tincture.controls.options import Sampling
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.models.denoiser import IndexDenoiser, PaletteDenoiser
from tincture.models.palette_prior import PalettePrior
from tincture.pipelines.palette_bank import PaletteBank
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.tests.mutations import MUTATIONS, change, damaged, damaged_json

WEIGHTS = "diffusion_pytorch_model.safetensors"
DENOISER, BANK = f"denoiser/{WEIGHTS}", f"palette_bank/{WEIGHTS}"
PRIOR = f"palette_prior/{WEIGHTS}"
SETTINGS = ["model_index.json", "denoiser/config.json", "scheduler/scheduler_config.json"]
SETTINGS += ["palette_bank/config.json", "palette_prior/config.json"]
UNET = {"channels": (8, 32), "blocks": (1, 1), "head_channels": 8, "head_blocks": 0}


@pytest.fixture(scope="module", params=["palette", "index"])
def model(request, tmp_path_factory):
    """A folder with a tiny model of each kind; not to be changed."""
    torch.manual_seed(0)
    sizes = {"token_channels": 32, "condition_channels": 16, "num_classes": 2, "unet": UNET}
    is_palette = request.param == "palette"
    denoiser = PaletteDenoiser(palette_depth=1, **sizes) if is_palette else IndexDenoiser(num_entries=8, **sizes)
    palettes = [Palette.from_hex(["000000", "ffffff", "ff0000"][:count]) for count in (2, 3, 3)]
    bank = PaletteBank.of(
        PaletteBatch.from_palettes(palettes), torch.tensor([0, 1, 1]), torch.tensor([False, False, True])
    )
    scheduler = PaletteScheduler("color-heat", {"width": 0.2, "leap": 0.1}, fitted_knots=[0.0, 0.25, 1.0])
    folder = tmp_path_factory.mktemp("model") / request.param
    prior = PalettePrior(channels=8, depth=1, head_channels=4, num_classes=2)
    PaletteDiffusionPipeline(denoiser, scheduler, bank, 6, ("cat", "dog"), prior).save_pretrained(folder)
    return folder


@pytest.fixture
def copy(model, tmp_path):
    return Path(shutil.copytree(model, tmp_path / "model"))


def works(folder):
    """Draw with the model of a folder; false if that is refused."""
    try:
        pipeline = PaletteDiffusionPipeline.from_pretrained(folder)
        pipeline.set_progress_bar_config(disable=True)
        for grid in (None, "fitted"):
            images = pipeline(2, sampling=Sampling(1, grid=grid)).images
            assert all((image.indices < len(image.palette)).all() for image in images)
    except InputError as error:
        assert len(str(error).splitlines()) == 1, error
        return False
    return True


def put(file, **values):
    """Change settings of a JSON file."""
    return lambda folder: (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | values))


def put_unet(**values):
    return put("denoiser/config.json", unet=UNET | values)


def put_tensor(file, name, value):
    return change(file, lambda tensors: tensors.update({name: value(tensors.get(name))}))


def put_bytes(folder):
    """Overwrite the bank's last tensor, which is one of true and false."""
    data = (folder / BANK).read_bytes()
    (folder / BANK).write_bytes(data[:-3] + b"\xaa" * 3)


def drawn(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(2, sampling=Sampling(2), output_type="pt").images.tolist()


def old_names(folder):
    """Name the parts as models did that were saved before the project was one package."""
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("tincture.", ""))


def test_models_whose_index_names_modules_without_the_package_still_load(model, copy):
    old_names(copy)
    assert json.loads((copy / "model_index.json").read_text())["scheduler"] == [
        "diffusion.scheduler",
        "PaletteScheduler",
    ]
    loaded = PaletteDiffusionPipeline.from_pretrained(copy)
    assert drawn(loaded) == drawn(PaletteDiffusionPipeline.from_pretrained(model))


def without_prior(folder):
    """As models were saved before they had one."""
    shutil.rmtree(folder / "palette_prior")
    index = json.loads((folder / "model_index.json").read_text())
    del index["palette_prior"]
    (folder / "model_index.json").write_text(json.dumps(index))


def test_a_model_draws_the_same_pictures_with_and_without_a_prior_over_palettes(model, copy, tmp_path):
    without_prior(copy)
    loaded = PaletteDiffusionPipeline.from_pretrained(copy)
    assert loaded.palette_prior is None
    whole = PaletteDiffusionPipeline.from_pretrained(model)
    assert drawn(loaded) == drawn(whole)
    loaded.save_pretrained(tmp_path / "again")
    assert not (tmp_path / "again" / "palette_prior").exists()
    assert PaletteDiffusionPipeline.from_pretrained(tmp_path / "again").palette_prior is None
    whole.save_pretrained(tmp_path / "again", half=True)
    assert PaletteDiffusionPipeline.from_pretrained(tmp_path / "again").palette_prior.dtype == torch.float32
    loaded.save_pretrained(tmp_path / "again")  # and what was there is gone
    assert not (tmp_path / "again" / "palette_prior").exists()


def test_a_folder_may_be_a_string_and_relative(model, monkeypatch):
    monkeypatch.chdir(model.parent)
    loaded = PaletteDiffusionPipeline.from_pretrained(model.name)
    assert drawn(loaded) == drawn(PaletteDiffusionPipeline.from_pretrained(model))


def test_a_string_that_is_no_folder_is_a_model_on_the_hub(model, monkeypatch):
    asked = []

    def download(name, **options):
        asked.append((name, options))
        if name == "someone/gone":
            raise FileNotFoundError("no such model\nand more lines")
        return str(model)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    PaletteDiffusionPipeline.from_pretrained("someone/icons", revision="v1")
    assert asked == [("someone/icons", {"allow_patterns": ["*.json", "*.safetensors"], "revision": "v1"})]
    with pytest.raises(InputError, match=r"no folder someone/gone, and the hub .*: no such model$"):
        PaletteDiffusionPipeline.from_pretrained("someone/gone")
    for name in (Path("someone/icons"), "runs/of/mine"):  # neither of them is a hub's
        with pytest.raises(InputError, match="no such checkpoint folder"):
            PaletteDiffusionPipeline.from_pretrained(name)
    assert len(asked) == 2


def test_formats_that_are_not_read_are_not_written(model, tmp_path):
    pipeline = PaletteDiffusionPipeline.from_pretrained(model)
    for options in ({"safe_serialization": False}, {"variant": "fp16"}):
        with pytest.raises(InputError, match="saved as safetensors and without variants"):
            pipeline.save_pretrained(tmp_path / "model", **options)
    assert not (tmp_path / "model").exists()


SCRIPT = """
import json, sys
from pathlib import Path
from diffusers import DiffusionPipeline
from tincture import PaletteDiffusionPipeline
from tincture.controls.options import Sampling
folder = sys.argv[1]
loaded = [PaletteDiffusionPipeline.from_pretrained(folder)] + [
    DiffusionPipeline.from_pretrained(folder, custom_pipeline=code, trust_remote_code=True)
    for code in (folder, folder + "/pipeline.py")
]
assert all(type(pipeline) is PaletteDiffusionPipeline for pipeline in loaded), loaded
Path("drawn.json").write_text(json.dumps([
    pipeline(2, sampling=Sampling(2), output_type="pt").images.tolist() for pipeline in loaded
]))
"""


def test_we_and_diffusers_load_a_folder_from_anywhere(tmp_path):
    folder = Path(__file__).parents[2] / "checkpoints" / "icons16"
    environment = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "xpected" not in result.stderr  # diffusers warns of arguments that it didn't expect
    ours, *theirs = json.loads((tmp_path / "drawn.json").read_text())
    assert theirs == [ours, ours]


class Harm:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return Path.touch, (Path("harm"),)


def only_pickles(folder):
    (folder / DENOISER).unlink()
    for name in ("diffusion_pytorch_model.bin", "pytorch_model.bin", "model.ckpt"):
        (folder / "denoiser" / name).write_bytes(pickle.dumps(Harm()))


def sharded(folder):
    (folder / DENOISER).rename(folder / "denoiser" / "part.safetensors")
    names = load((folder / "denoiser" / "part.safetensors").read_bytes())
    weights = dict.fromkeys(names, "../denoiser/part.safetensors")
    (folder / f"{DENOISER}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))


def harmful_code(folder):
    for path in (folder, folder / "denoiser"):
        (path / "evil.py").write_text("from pathlib import Path\nPath('harm').touch()\nclass PaletteDenoiser: pass\n")


def link_to(target):
    def damage(folder):
        (folder / "denoiser" / "config.json").unlink()
        (folder / "denoiser" / "config.json").symlink_to(target)

    return damage


MASK = "condition.classes.weight"
HOSTILE = {
    "another class": put("model_index.json", denoiser=["os", "system"]),
    "another library's class": put("model_index.json", denoiser=["diffusers", "UNet2DModel"]),
    "a class in a file beside it": lambda f: (
        harmful_code(f),
        put("model_index.json", denoiser=["evil", "PaletteDenoiser"])(f),
    ),
    "a class of ours as another part": put("model_index.json", scheduler=["models.denoiser", "PaletteDenoiser"]),
    "no class": put("model_index.json", denoiser=None),
    "no temperature": put("model_index.json", temperature="warm"),
    "a temperature below zero": put("model_index.json", temperature=-1.0),
    "a pipeline in a file beside it": lambda f: (
        harmful_code(f),
        put("model_index.json", _class_name=["evil", "PaletteDenoiser"])(f),
    ),
    "an index that is a list": lambda f: (f / "model_index.json").write_text("[]"),
    "an index without end": lambda f: (f / "model_index.json").write_text("[" * 100_000),
    "pictures of a million pixels' edge": put("model_index.json", size=10**6),
    "pictures of no size": put("model_index.json", size="16"),
    "another number of classes": put("model_index.json", label_names=["cat", "dog", "cow"]),
    "classes that are no names": put("model_index.json", label_names=[1, 2]),
    "pickles alone": only_pickles,
    "a pickle under the weights' name": lambda f: (f / DENOISER).write_bytes(pickle.dumps(Harm())),
    "torch's own format under the weights' name": lambda f: torch.save(load((f / DENOISER).read_bytes()), f / DENOISER),
    "weights in parts": sharded,
    "a wrong shape": put_tensor(DENOISER, MASK, lambda weight: weight.T.contiguous()),
    "a missing tensor": change(DENOISER, lambda tensors: tensors.pop(MASK)),
    "an extra tensor": put_tensor(DENOISER, "extra", lambda _: torch.zeros(1)),
    "integers as weights": put_tensor(DENOISER, MASK, lambda weight: weight.to(torch.int8)),
    "a weight that is no number": put_tensor(DENOISER, MASK, lambda weight: weight.fill_(float("nan"))),
    "an infinite weight": put_tensor(DENOISER, MASK, lambda weight: weight.fill_(float("inf"))),
    "no weights": lambda f: (f / DENOISER).unlink(),
    "weights cut off": lambda f: (f / DENOISER).write_bytes((f / DENOISER).read_bytes()[:-100]),
    "a header without end": lambda f: (f / DENOISER).write_bytes(struct.pack("<Q", 2**62) + b"{}"),
    "a wide network": put_unet(channels=[8192, 8192], blocks=[64, 64]),
    "an absurdly wide network": put_unet(channels=[8 * 10**12, 8]),
    "an absurdly deep network": put_unet(blocks=[10**12, 1]),
    "widths as text": put_unet(channels="[8, 32]"),
    "unknown settings": put("denoiser/config.json", trust_remote_code=True),
    "quantized weights": put("denoiser/config.json", quantization_config={"quant_method": "bitsandbytes"}),
    "tokens that disagree": put("denoiser/config.json", token_channels=64),
    "a billion classes": put("denoiser/config.json", num_classes=10**9),
    "settings from a device": link_to("/dev/zero"),
    "settings that link to themselves": link_to("config.json"),
    "settings that are a folder": lambda f: (
        (f / "denoiser/config.json").unlink(),
        (f / "denoiser/config.json").mkdir(),
    ),
    "an unknown process": put("scheduler/scheduler_config.json", process="os.system"),
    "options of no process": put("scheduler/scheduler_config.json", process_options={"speed": 1}),
    "a process of no width": put("scheduler/scheduler_config.json", process_options={"width": float("nan")}),
    "knots that don't rise": put(
        "scheduler/scheduler_config.json", schedule="fitted", fitted_knots=[0, float("nan"), 1]
    ),
    "correctors without end": put("scheduler/scheduler_config.json", sampler_options={"corrector_steps": 1e12}),
    "a bank of a trillion palettes": put("palette_bank/config.json", count=10**12),
    "a bank that disagrees": put("palette_bank/config.json", count=4),
    "a prior of another class": put("model_index.json", palette_prior=["os", "system"]),
    "a prior that isn't there": lambda folder: shutil.rmtree(folder / "palette_prior"),
    "a deep prior": put("palette_prior/config.json", depth=10**9),
    "a wide prior": put("palette_prior/config.json", channels=8192),
    "a prior of another model": lambda f: PalettePrior(8, 1, 4, num_classes=3).save_pretrained(f / "palette_prior"),
    "a prior without weights": change(PRIOR, lambda tensors: tensors.pop("embed.weight")),
    "a bank without colors": change(BANK, lambda tensors: tensors.pop("colors")),
    "a bank of wide colors": put_tensor(BANK, "colors", lambda colors: colors.to(torch.int64)),
    "bytes that are neither true nor false": put_bytes,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_is_refused_and_nothing_of_it_is_run(copy, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(copy)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    HOSTILE[name](copy)
    assert not works(copy)
    assert not (tmp_path / "harm").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


def test_the_commands_say_so_in_one_line(run, copy, tmp_path):
    only_pickles(copy)
    (copy / "config.yaml").write_text("data: {source: icons}")
    for command, name in ((sample, "drawn"), (evaluate, "judged.json")):
        status, _, err = run(command, "--checkpoint", copy, "--output", tmp_path / name)
        assert status == 2
        assert err.startswith(f"error: the checkpoint {copy} is damaged: there is no {WEIGHTS}")
        assert len(err.splitlines()) == 1


def with_damaged_header(content, chance):
    """Weights whose header, which says where each tensor lies, holds a strange value."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.dumps(damaged_json(json.loads(content[8 : 8 + length]), chance)).encode()
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


@pytest.mark.parametrize("file", [*SETTINGS, DENOISER, BANK, PRIOR])
def test_a_damaged_folder_works_or_is_refused(model, copy, file):
    assert works(copy)
    content, chance = (model / file).read_bytes(), random.Random(file)
    outcomes = set()
    for number in range(MUTATIONS // 10):
        if number % 2:
            data = damaged(content, chance)
        elif file in SETTINGS:
            data = json.dumps(damaged_json(json.loads(content), chance)).encode()
        else:
            data = with_damaged_header(content, chance)
        (copy / file).write_bytes(data)
        outcomes.add(works(copy))
    assert False in outcomes
