"""Checkpoints: folders of safetensors that appear whole or not at all; the last two and the best are kept."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.optim.swa_utils import AveragedModel

from tincture.common.errors import InputError, Range
from tincture.common.files import folder_written_whole, read_json, write_json
from tincture.common.processes import processes
from tincture.pipelines.parts import read_tensors, shapes

from .sharding import share_like, whole

KEPT = 2
"""How many of the latest checkpoints stay, besides the best."""

Optimizers = Sequence[torch.optim.Optimizer]

_FLAT = StateDictOptions(flatten_optimizer_state_dict=True)


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    minutes: float = 0.0
    """Time spent in the loop by the run's clock, over all its interruptions."""
    best_step: int | None = None
    best_bits_per_pixel: float = float("inf")


def save_checkpoint(
    output: Path, denoiser: nn.Module, average: AveragedModel, optimizers: Optimizers, progress: Progress
) -> Path:
    """Write ``output/checkpoints/step-N``, with what `stage_feed` left, and remove those that are neither recent nor the best.

    All processes call this alike, since each may hold a share of the weights; the first one writes.
    """
    tensors = {
        "denoiser": _contiguous(denoiser.state_dict()),
        "average": _contiguous(average.state_dict()),
        "optimizer": _contiguous(_optimizer_tensors(denoiser, optimizers)),
    }
    folder = _folder(output) / f"step-{progress.step:08d}"
    if not processes().is_main_process:
        return folder
    try:
        with folder_written_whole(folder) as temporary:
            for name, values in tensors.items():
                save_file(values, temporary / f"{name}.safetensors")
            for staged in _folder(output).glob(".feed-*"):
                staged.replace(temporary / staged.name.removeprefix("."))
            write_json(temporary / "progress.json", asdict(progress))
    finally:
        for staged in _folder(output).glob(".feed-*"):
            staged.unlink()
    checkpoints = list_checkpoints(output)
    for old in checkpoints[:-KEPT]:
        if _step(old) != progress.best_step:
            shutil.rmtree(old)
    return folder


def stage_feed(output: Path, process: int, state: Mapping[str, torch.Tensor]) -> None:
    """Write a process's feed, if it has a state, where `save_checkpoint`, called when all processes have done so, finds it."""
    if state:
        _folder(output).mkdir(parents=True, exist_ok=True)
        save_file(_contiguous(dict(state)), _folder(output) / f".{_feed_file(process)}")


def load_feed(folder: Path, process: int) -> dict[str, torch.Tensor]:
    """What `stage_feed` wrote; nothing if it wrote nothing.

    Raises:
        InputError: the file is damaged.
    """
    try:
        path = folder / _feed_file(process)
        return load_file(path) if path.exists() else {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"the checkpoint {folder} can't be resumed: {error}") from error


def remove_leftovers(output: Path) -> None:
    """Remove what a killed run was writing when it ended."""
    leftovers = [*_folder(output).glob(".*"), *(output / "previews").glob(".writing-*")]
    for name in ("pipeline", "writing", "denoiser", "scheduler", "palette_bank"):
        leftovers += output.glob(f".{name}-*")
    for leftover in leftovers:
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def load_checkpoint(folder: Path, denoiser: nn.Module, average: AveragedModel, optimizers: Optimizers) -> Progress:
    """Put the state of ``folder`` back into the denoiser, its average and its optimizers.

    Raises:
        InputError: a file is missing or damaged, or belongs to another architecture.
    """
    state = get_optimizer_state_dict(denoiser, optimizers, options=_FLAT)
    try:
        progress = _read_progress(folder)
        weights = read_tensors(folder / "denoiser.safetensors", shapes(denoiser.state_dict()))
        averages = read_tensors(folder / "average.safetensors", shapes(average.state_dict()))
        state |= _shares(read_tensors(folder / "optimizer.safetensors", shapes(_tensors_of(state))), state)
    except InputError as error:
        raise InputError(
            f"the checkpoint {folder} can't be resumed: {error}; remove it to go on from the one before"
        ) from error
    denoiser.load_state_dict(_shares(weights, denoiser.state_dict()))
    average.load_state_dict(averages)
    set_optimizer_state_dict(denoiser, optimizers, state, options=_FLAT)
    _restore_memory_format(optimizers)
    return progress


def _read_progress(folder: Path) -> Progress:
    """How far the run had come; raises InputError if the file says anything else."""
    path = folder / "progress.json"
    values = read_json(path)
    try:
        progress = Progress(**values)
    except TypeError:
        raise InputError(f"{path} doesn't say how far the run had come") from None
    if any(type(value) not in (int, float, NoneType) for value in values.values()):
        raise InputError(f"{path} holds something else than numbers")
    if progress.step != _step(folder):
        raise InputError(f"{path} is of step {progress.step}")
    Range(0, 1e9).check(f"minutes in {path}", progress.minutes)
    Range(0, float("inf")).check(f"best_bits_per_pixel in {path}", progress.best_bits_per_pixel)
    if progress.best_step is not None and progress.best_step not in range(progress.step + 1):
        raise InputError(f"best_step in {path} is {progress.best_step}, which lies ahead")
    return progress


def list_checkpoints(output: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    found = (path for path in _folder(output).glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name))
    return sorted(found, key=_step)


def _feed_file(process: int) -> str:
    return f"feed-{process:05d}.safetensors"


def _folder(output: Path) -> Path:
    return output / "checkpoints"


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _optimizer_tensors(denoiser: nn.Module, optimizers: Optimizers) -> dict[str, torch.Tensor]:
    """The optimizer's state by parameter name; its settings come from the config, not from the checkpoint."""
    return _tensors_of(get_optimizer_state_dict(denoiser, optimizers, options=_FLAT))


def _tensors_of(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if key.startswith("state.")}


def _restore_memory_format(optimizers: Optimizers) -> None:
    """Lay state out in memory as its weights are: fused AdamW reads both in one sweep and trusts that they agree."""
    for optimizer in optimizers:
        for weight, state in optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                    state[key] = torch.empty_like(weight).copy_(value)


def _contiguous(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Whole copies in plain memory order, which is all that safetensors stores (weights here are channels_last)."""
    return {key: whole(value.detach()).contiguous() for key, value in tensors.items()}


def _shares(tensors: dict[str, torch.Tensor], like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What this process holds of whole tensors; a tensor that is unknown stays, for the loader to refuse."""
    return {key: share_like(value, like.get(key, value)) for key, value in tensors.items()}
