"""Where a model stands on the disk. No torch is needed to find it, or to say that it is missing."""

import re
from pathlib import Path

from tincture.common.errors import InputError

INDEX, CODE, CHECKPOINTS = "model_index.json", "pipeline.py", "checkpoints"
DENOISER, SCHEDULER, PALETTE_BANK, PALETTE_PRIOR = "denoiser", "scheduler", "palette_bank", "palette_prior"
PIPELINE_ENTRIES = (INDEX, CODE, DENOISER, SCHEDULER, PALETTE_BANK, PALETTE_PRIOR)
"""All that a saved pipeline's folder holds."""
WEIGHTS = "diffusion_pytorch_model.safetensors"
"""In `DENOISER` of a saved pipeline: its weights."""
AVERAGE = "average.safetensors"
"""In a run's checkpoint: the averaged weights of the denoiser, and how many were averaged."""


def model_in(folder: Path) -> Path:
    """The folder to load a model from: this one, or the latest checkpoint of a run's.

    Raises:
        InputError: there is no model.
    """
    if not folder.is_dir():
        raise InputError(f"no such checkpoint folder: {folder}")
    if (folder / INDEX).is_file():
        return folder
    checkpoints = [folder] if (folder / AVERAGE).is_file() else list_checkpoints(folder)
    if not checkpoints:
        raise InputError(
            f"{folder} is not a checkpoint: it has no {INDEX}, and no {CHECKPOINTS} (train.py writes the first after "
            "train.checkpoint_every steps)"
        )
    if not (checkpoints[-1] / INDEX).is_file() and checkpoints[-1].exists():
        raise InputError(f"{checkpoints[-1]} is of an earlier version, which can only be resumed: train.py --resume")
    return checkpoints[-1]


def list_checkpoints(run: Path) -> list[Path]:
    """The checkpoints in a run's folder, oldest first."""
    found = (path for path in (run / CHECKPOINTS).glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name))
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was written after."""
    return int(checkpoint.name.removeprefix("step-"))
