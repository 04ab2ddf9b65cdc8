"""Checkpoints: folders of safetensors that appear whole or not at all."""

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tincture.common.errors import InputError
from tincture.common.files import TEMPORARY, folder_written_whole, read_json, write_json
from tincture.pipelines.folders import AVERAGE, CHECKPOINTS, list_checkpoints, step_of
from tincture.pipelines.saving import read_tensors

KEPT = 2
"""How many of the latest checkpoints stay, besides the best."""

Optimizers = Sequence[torch.optim.Optimizer]


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    minutes: float = 0.0
    """Time spent in the loop by the run's clock, over all its interruptions."""
    best_step: int | None = None
    best_bits_per_pixel: float = math.inf


def save_checkpoint(
    output: Path,
    denoiser: nn.Module,
    average: AveragedModel,
    optimizers: Optimizers,
    progress: Progress,
    write_settings: Callable[[Path], None] = lambda folder: None,
) -> Path:
    """Write ``checkpoints/step-N``, with the feeds that were staged, and remove old ones.

    The first process calls this, once all processes have staged their feeds. What
    ``write_settings`` writes into the folder makes it a model that can be drawn with.
    """
    tensors = {
        "denoiser.safetensors": denoiser.state_dict(),
        AVERAGE: average.state_dict(),
        "optimizer.safetensors": _optimizer_tensors(denoiser, optimizers),
    }
    checkpoints = output / CHECKPOINTS
    folder = checkpoints / f"step-{progress.step:08d}"
    try:
        with folder_written_whole(folder) as temporary:
            for name, values in tensors.items():
                save_file(_contiguous(values), temporary / name)
            write_settings(temporary)
            for staged in checkpoints.glob(f"{TEMPORARY}feed-*.safetensors"):
                staged.replace(temporary / staged.name.removeprefix(TEMPORARY))
            write_json(temporary / "progress.json", asdict(progress))
    finally:
        for staged in checkpoints.glob(f"{TEMPORARY}feed-*.safetensors"):
            staged.unlink()
    for old in list_checkpoints(output)[:-KEPT]:
        if step_of(old) != progress.best_step:
            shutil.rmtree(old)
    return folder


def stage_feed(output: Path, process: int, state: Mapping[str, Tensor]) -> None:
    """Write the state of a process's feed, if it has one, where `save_checkpoint` finds it."""
    if state:
        (output / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        save_file(_contiguous(state), output / CHECKPOINTS / f"{TEMPORARY}{_feed_file(process)}")


def load_feed(folder: Path, process: int) -> dict[str, Tensor]:
    """What `stage_feed` wrote; nothing if it wrote nothing.

    Raises:
        InputError: the file is damaged.
    """
    try:
        path = folder / _feed_file(process)
        return load_file(path) if path.exists() else {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"the checkpoint {folder} can't be resumed: {error}") from error


def load_checkpoint(folder: Path, denoiser: nn.Module, average: AveragedModel, optimizers: Optimizers) -> Progress:
    """Put the state of ``folder`` back into the denoiser, its average and its optimizers.

    Raises:
        InputError: a file is missing or damaged, or belongs to another architecture. The weights
            are then unchanged.
    """
    state = _optimizer_tensors(denoiser, optimizers)
    try:
        progress = _read_progress(folder)
        weights = read_tensors(folder / "denoiser.safetensors", denoiser.state_dict())
        averages = read_tensors(folder / AVERAGE, average.state_dict())
        moments = read_tensors(folder / "optimizer.safetensors", state)
    except InputError as error:
        raise InputError(
            f"the checkpoint {folder} can't be resumed: {error}; remove it to go on from the one before"
        ) from error
    denoiser.load_state_dict(weights)
    average.load_state_dict(averages)
    for name, moment in moments.items():
        state[name].copy_(moment)  # in place, so it keeps its layout: fused AdamW trusts that it is the weight's
    return progress


def _read_progress(folder: Path) -> Progress:
    values = read_json(folder / "progress.json")
    try:
        progress = Progress(**values)
        is_sound = (
            progress.step == step_of(folder)
            and 0 <= progress.minutes < math.inf
            and progress.best_step in (None, *range(progress.step + 1))
            and progress.best_bits_per_pixel >= 0
        )
    except TypeError:
        is_sound = False
    if not is_sound:
        raise InputError("progress.json doesn't say how far the run had come")
    return progress


def _feed_file(process: int) -> str:
    return f"feed-{process:05d}.safetensors"


def _make_state(optimizers: Optimizers) -> None:
    """Make the state of new optimizers, by a first step that changes nothing."""
    for optimizer in (each for each in optimizers if not each.state):
        rates = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = 0.0
            for weight in group["params"]:
                weight.grad = torch.zeros_like(weight)
        optimizer.step()
        optimizer.zero_grad()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def _optimizer_tensors(denoiser: nn.Module, optimizers: Optimizers) -> dict[str, Tensor]:
    """The optimizers' state by parameter name. Their settings come from the config."""
    _make_state(optimizers)
    names = {weight: name for name, weight in denoiser.named_parameters()}
    return {
        f"state.{names[weight]}.{key}": value
        for optimizer in optimizers
        for weight, state in optimizer.state.items()
        for key, value in state.items()
    }


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """In plain memory order, which is all that safetensors stores."""
    return {key: value.detach().contiguous() for key, value in tensors.items()}
