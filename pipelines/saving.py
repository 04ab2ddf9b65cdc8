"""A pipeline as a folder: saved part by part, each part whole or not at all; loaded only if it is one of ours."""

import copy
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tincture.common.errors import InputError, Range
from tincture.common.files import TEMPORARY, folder_written_whole, read_json
from tincture.models.denoiser import IndexDenoiser, PaletteDenoiser

from .palette_diffusion import PaletteDiffusionPipeline
from .parts import load_denoiser, load_palette_bank, load_scheduler

INDEX = "model_index.json"

# A pipeline's index names the classes to load. Only these are accepted, so that no file chooses what gets imported.
_DENOISERS = {name.__name__: name for name in (PaletteDenoiser, IndexDenoiser)}
_COMPONENTS = {
    "denoiser": [(home, name) for name in _DENOISERS for home in ("tincture.models.denoiser", "models.denoiser")],
    "scheduler": [(home, "PaletteScheduler") for home in ("tincture.diffusion.scheduler", "diffusion.scheduler")],
    "palette_bank": [(home, "PaletteBank") for home in ("tincture.pipelines.palette_bank", "pipelines.palette_bank")],
}
"""Part → modules and classes; models saved before everything was one package name their modules without it."""
_SIZES = Range(1, 4096)


def save_pipeline(pipeline: PaletteDiffusionPipeline, folder: Path, half: bool = False) -> None:
    """Write the pipeline into ``folder``, replacing an older one there and touching nothing else.

    Args:
        pipeline: what to save.
        folder: where.
        half: write weights as float16, half as large. Loading makes them float32 again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if half:
        denoiser = copy.deepcopy(pipeline.denoiser).half()
        parts = {"scheduler": pipeline.scheduler, "palette_bank": pipeline.palette_bank}
        options = {"size": pipeline.config.size, "label_names": pipeline.config.label_names}
        pipeline = PaletteDiffusionPipeline(denoiser, **parts, **options)
    with TemporaryDirectory(prefix=TEMPORARY, dir=folder) as temporary:
        pipeline.save_pretrained(temporary, safe_serialization=True)
        for config in Path(temporary).rglob("*.json"):
            values = json.loads(config.read_text())
            values.pop("_name_or_path", None)  # where diffusers loaded a part from is no part of the model
            config.write_text(json.dumps(values, indent=2) + "\n")
        for part in sorted(Path(temporary).iterdir(), key=lambda path: path.name == INDEX):  # the index last
            if part.is_dir():
                with folder_written_whole(folder / part.name) as target:
                    for file in part.iterdir():
                        file.replace(target / file.name)
            else:
                part.replace(folder / part.name)


def load_pipeline(folder: Path) -> PaletteDiffusionPipeline:
    """Load what `save_pipeline` wrote, weights from safetensors alone.

    Raises:
        InputError: the folder is missing, isn't a pipeline of this project, or is damaged.
    """
    if not folder.is_dir():
        raise InputError(f"no such checkpoint folder: {folder}")
    if not (folder / INDEX).is_file():
        raise InputError(f"{folder} is not a checkpoint: it has no {INDEX} (train.py writes one when it ends)")
    index = _read_index(folder)
    try:
        denoiser = load_denoiser(folder / "denoiser", _DENOISERS[index["denoiser"][1]])
        scheduler = load_scheduler(folder / "scheduler")
        palette_bank = load_palette_bank(folder / "palette_bank")
    except (InputError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"the checkpoint {folder} is damaged: {reason}") from error
    classes = denoiser.config.num_classes
    if len(index["label_names"]) not in (0, classes):
        raise InputError(f"{folder / INDEX} names {len(index['label_names'])} classes; the network knows {classes}")
    return PaletteDiffusionPipeline(
        denoiser, scheduler, palette_bank, size=index["size"], label_names=index["label_names"]
    )


def _read_index(folder: Path) -> dict[str, Any]:
    """The index of a pipeline of this project; anything else raises InputError."""
    try:
        index = read_json(folder / INDEX)
    except InputError:
        index = None
    ours = isinstance(index, dict) and index.get("_class_name") == PaletteDiffusionPipeline.__name__
    if not (ours and all(tuple(index.get(name) or ()) in allowed for name, allowed in _COMPONENTS.items())):
        raise InputError(f"{folder} is not a checkpoint of this project: {INDEX} names other parts")
    size, names = index.setdefault("size", 16), index.setdefault("label_names", [])
    if type(size) is not int or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{folder / INDEX} holds no size and names of classes")
    _SIZES.check(f"the size of pictures in {folder / INDEX}", size)
    return index
