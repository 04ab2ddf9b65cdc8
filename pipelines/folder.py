"""A pipeline as a folder: saved part by part, each part whole or not at all; loaded only if it is one of ours."""

import copy
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from diffusers.utils.logging import disable_progress_bar
from safetensors import SafetensorError

from quantization.errors import InputError
from quantization.files import folder_written_whole

from .palette_diffusion import PaletteDiffusionPipeline

INDEX = "model_index.json"

# A pipeline's index names the classes to load. Only these are accepted, so that no file chooses what gets imported.
_COMPONENTS = {
    "denoiser": (["models.denoiser", "PaletteDenoiser"], ["models.denoiser", "IndexDenoiser"]),
    "scheduler": (["diffusion.scheduler", "PaletteScheduler"],),
    "palette_bank": (["pipelines.palette_bank", "PaletteBank"],),
}


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
    with TemporaryDirectory(prefix=".pipeline-", dir=folder) as temporary:
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
    try:
        index = json.loads((folder / INDEX).read_text())
        ours = index["_class_name"] == PaletteDiffusionPipeline.__name__
        ours = ours and all(index[name] in allowed for name, allowed in _COMPONENTS.items())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError):
        ours = False
    if not ours:
        raise InputError(f"{folder} is not a checkpoint of this project: {INDEX} names other parts")
    try:
        disable_progress_bar()  # of the loading of three small files; drawing has a bar of its own
        return PaletteDiffusionPipeline.from_pretrained(
            folder, use_safetensors=True, low_cpu_mem_usage=False, local_files_only=True
        )
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"the checkpoint {folder} is damaged: {reason}") from error
