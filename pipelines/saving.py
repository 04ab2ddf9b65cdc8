"""A pipeline as a folder: saved part by part, each whole; loaded only if it is one of ours.

Nothing is imported, unpickled or allocated because a file says so. Classes come from the list
below. A network is first laid out without memory, and it is made only if the file of its weights
holds exactly its tensors.
"""

import copy
import json
import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import torch
from diffusers import DiffusionPipeline
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from tincture.common.errors import InputError, Range
from tincture.common.files import TEMPORARY, folder_written_whole, read_json
from tincture.controls.options import FACTOR
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.models.denoiser import IndexDenoiser, PaletteDenoiser
from tincture.models.options import DenoiserConfig, UNetConfig
from tincture.models.palette_prior import PalettePrior

from .folders import AVERAGE, CODE, DENOISER, INDEX, PALETTE_BANK, PALETTE_PRIOR, SCHEDULER, WEIGHTS, model_in
from .palette_bank import PaletteBank

CONFIG, SCHEDULER_CONFIG = "config.json", "scheduler_config.json"

CODE_TEXT = '''"""diffusers runs this, if told to trust it, to load this folder with tincture-diffusion."""

from tincture import PaletteDiffusionPipeline

__all__ = ["PaletteDiffusionPipeline"]
'''

PARTS: dict[str, list[type]] = {
    DENOISER: [PaletteDenoiser, IndexDenoiser],
    SCHEDULER: [PaletteScheduler],
    PALETTE_BANK: [PaletteBank],
    PALETTE_PRIOR: [PalettePrior],
}
"""The folders of a saved pipeline, and what each may hold. An index may name no other classes.
Older ones have no prior over palettes."""

SETTINGS: dict[str, Any] = {"size": 16, "label_names": [], "temperature": 1.0, "guidance_scale": 1.0}
"""What an index says besides its parts, and what it means where it doesn't."""

SIZES = Range(1, 4096)

logger = logging.getLogger(__name__)


class FolderPipeline(DiffusionPipeline):
    """A pipeline with this module's way to save and load."""

    def save_pretrained(
        self,
        save_directory: str | Path,
        half: bool = False,
        safe_serialization: bool = True,
        variant: str | None = None,
    ) -> None:
        """Write the pipeline into a folder, replacing an older one there and touching nothing else.

        Args:
            save_directory: the folder.
            half: write weights as float16, half as large. Loading makes them float32 again.
            safe_serialization: true; diffusers passes it.
            variant: none; diffusers passes it.

        Raises:
            InputError: the last two are something else.
        """
        if not safe_serialization or variant is not None:
            raise InputError("a pipeline is saved as safetensors and without variants; leave out what says otherwise")
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        pipeline = self._with_half_weights() if half else self
        with TemporaryDirectory(prefix=TEMPORARY, dir=folder) as temporary:
            pipeline.save_settings(Path(temporary))
            pipeline.denoiser.save_pretrained(Path(temporary) / DENOISER)
            for part in PARTS:
                if not (Path(temporary) / part).exists():  # the pipeline has none
                    shutil.rmtree(folder / part, ignore_errors=True)
                    continue
                with folder_written_whole(folder / part) as target:
                    for file in (Path(temporary) / part).iterdir():
                        file.replace(target / file.name)
            (Path(temporary) / CODE).replace(folder / CODE)
            (Path(temporary) / INDEX).replace(folder / INDEX)  # last: a folder with an index is complete

    def save_settings(self, folder: Path) -> None:
        """Write all but the network's weights into a folder. A checkpoint has them as `AVERAGE`."""
        self.denoiser.save_config(folder / DENOISER)
        self.scheduler.save_pretrained(folder / SCHEDULER)
        self.palette_bank.save_pretrained(folder / PALETTE_BANK)
        if self.palette_prior is not None:
            self.palette_prior.save_pretrained(folder / PALETTE_PRIOR)
        self.save_config(folder)
        (folder / CODE).write_text(CODE_TEXT)
        for config in folder.rglob("*.json"):
            values = json.loads(config.read_text())
            values.pop("_name_or_path", None)  # where diffusers loaded a part from is no part of the model
            config.write_text(json.dumps(values, indent=2) + "\n")

    def _with_half_weights(self) -> Self:
        denoiser, prior = (copy.deepcopy(each).half() if each else None for each in (self.denoiser, self.palette_prior))
        settings = {name: self.config[name] for name in SETTINGS}
        return type(self)(denoiser, self.scheduler, self.palette_bank, palette_prior=prior, **settings)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **download: Any) -> Self:
        """Load what `save_pretrained` wrote, weights from safetensors alone, in float32.

        Args:
            pretrained_model_name_or_path: a model's folder, one of a run's checkpoints, or a run's
                folder. While a run goes on or stands still, that is its latest checkpoint. If a
                string (not a Path) names no folder, it may be the id of a model on the Hugging Face
                hub, ``owner/name``, which is then downloaded.
            download: options of `huggingface_hub.snapshot_download`, such as ``revision`` or
                ``token``.

        Raises:
            InputError: the folder is missing, isn't a pipeline of this project, or is damaged.
        """
        folder = Path(pretrained_model_name_or_path)
        if isinstance(pretrained_model_name_or_path, str) and not folder.exists():
            folder = _downloaded(pretrained_model_name_or_path, download)
        while True:
            found = model_in(folder)
            try:
                pipeline = cls._load(found)
            except InputError:
                if found.exists() and found == model_in(folder):
                    raise
                continue  # the run has replaced or removed it meanwhile
            if found != folder:
                logger.info("the run in %s hasn't ended: this is its %s", folder, found.name)
            return pipeline

    @classmethod
    def _load(cls, folder: Path) -> Self:
        kinds, settings = _read_index(folder, cls.__name__)
        try:
            parts = {name: _load_part(folder / name, kind) for name, kind in kinds.items()}
        except InputError as error:
            raise InputError(f"the checkpoint {folder} is damaged: {error}") from error
        classes, label_names = parts[DENOISER].config.num_classes, settings["label_names"]
        if len(label_names) not in (0, classes):
            raise InputError(f"{folder / INDEX} names {len(label_names)} classes; the network knows {classes}")
        if prior := parts.get(PALETTE_PRIOR):
            text = parts[DENOISER].text
            channels = 0 if text is None else text.vectors.shape[1]
            if prior.config.num_classes not in (0, classes) or prior.config.word_channels not in (0, channels):
                raise InputError(f"{folder / PALETTE_PRIOR} was fitted to another model, with other classes or words")
        return cls(**parts, **settings)


def _downloaded(name: str, options: Mapping[str, Any]) -> Path:
    """The folder of a model on the hub; the name itself if no model there can have it."""
    from huggingface_hub import snapshot_download

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return Path(name)
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"], **options))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"there is no folder {name}, and the hub doesn't give a model of that name: {reason}"
        ) from error


def _read_index(folder: Path, pipeline: str) -> tuple[dict[str, type], dict[str, Any]]:
    """The class of each part, and the `SETTINGS`.

    Raises:
        InputError: the index names something else.
    """
    try:
        index = read_json(folder / INDEX)
        ours = index["_class_name"] == pipeline
        there = [name for name in PARTS if name != PALETTE_PRIOR or index.get(name, [None, None]) != [None, None]]
        kinds = {name: next(kind for kind in PARTS[name] if index[name] in _names(kind)) for name in there}
    except (InputError, LookupError, TypeError, StopIteration):
        ours = False
    if not ours:
        raise InputError(f"{folder} is not a checkpoint of this project: {INDEX} names other parts")
    settings = {name: index.get(name, default) for name, default in SETTINGS.items()}
    size, label_names = settings["size"], settings["label_names"]
    if type(size) is not int or type(label_names) is not list or not all(type(name) is str for name in label_names):
        raise InputError(f"{folder / INDEX} holds no size and names of classes")
    SIZES.check(f"the size of pictures in {folder / INDEX}", size)
    for name in ("temperature", "guidance_scale"):
        if type(settings[name]) not in (int, float):
            raise InputError(f"{folder / INDEX} holds no number as {name}")
        FACTOR.check(f"{name} in {folder / INDEX}", settings[name])
    return kinds, settings


def _names(kind: type) -> list[list[str]]:
    """How an index may name a class: old models name its module without the package."""
    return [[module, kind.__name__] for module in (kind.__module__, kind.__module__.removeprefix("tincture."))]


def _load_part(folder: Path, kind: type) -> Any:
    """A part of that class, with the settings of ``folder`` and, if it is a network, its weights.

    Raises:
        InputError: a file is missing or damaged, or they contradict each other.
    """
    if kind is PaletteScheduler:
        return _made(kind, folder / SCHEDULER_CONFIG)
    with torch.device("meta"):  # shapes without memory
        expected = _made(kind, folder / CONFIG).state_dict()
    average = folder.parent / AVERAGE
    if kind in PARTS[DENOISER] and average.is_file() and not (folder / WEIGHTS).exists():
        count = {"n_averaged": torch.tensor(0)}
        averaged = read_tensors(average, {f"module.{name}": tensor for name, tensor in expected.items()} | count)
        tensors = {name: averaged[f"module.{name}"] for name in expected}
    elif (folder / WEIGHTS).is_file():
        tensors = read_tensors(folder / WEIGHTS, expected)
    else:
        raise InputError(f"there is no {WEIGHTS} in {folder}; weights in other formats, such as pickles, are not read")
    module = _made(kind, folder / CONFIG)
    module.load_state_dict(tensors, strict=True)  # floats become float32
    return module.eval()


def _made(kind: type, path: Path) -> Any:
    """What a class's constructor makes of the settings in a file; InputError if it can't."""
    settings = read_json(path)
    try:
        given = {name: value for name, value in settings.items() if not name.startswith("_")}  # not diffusers' own
        if kind in PARTS[DENOISER]:  # a run's config says which sizes are in range
            sizes = {field.name for field in fields(DenoiserConfig)} & set(given) - {"unet"}
            DenoiserConfig(**{name: given[name] for name in sizes}, unet=UNetConfig(**given.get("unet") or {}))
        return kind(**given)
    except Exception as error:  # settings of any type may be in a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: {reason}") from error


_STORED = {
    torch.uint8: ("U8",),
    torch.int8: ("I8",),
    torch.int32: ("I32",),
    torch.bool: ("BOOL",),
    torch.int64: ("I64",),
}
_FLOATS = ("F32", "F16", "BF16", "F64")


def read_tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a safetensors file: the expected names, shapes and types, and finite numbers.

    Args:
        path: the file.
        expected: tensors of the same names, shapes and types, on any device; floats may be stored
            in any precision.

    Raises:
        InputError: the file can't be read, or holds anything else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            if wrong := names ^ set(expected):
                kind = "lacks the tensor" if min(wrong) in expected else "has the unknown tensor"
                raise InputError(f"{path} {kind} {min(wrong)!r}")
            for name, tensor in expected.items():
                held, shape = file.get_slice(name), list(tensor.shape)
                if held.get_shape() != shape:
                    raise InputError(f"{path}: {name} has the shape {held.get_shape()}, not {shape}")
                allowed = _FLOATS if tensor.is_floating_point() else _STORED[tensor.dtype]
                if held.get_dtype() not in allowed:
                    raise InputError(f"{path}: {name} is stored as {held.get_dtype()}, not {' or '.join(allowed)}")
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} can't be read: {error}") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(f"{path}: {name} holds numbers that are not finite")
        if tensor.dtype == torch.bool and (tensor.view(torch.uint8) > 1).any():
            raise InputError(f"{path}: {name} holds bytes that are neither true nor false")
    return tensors
