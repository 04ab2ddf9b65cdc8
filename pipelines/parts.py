"""The parts of a saved pipeline, made from files that may be damaged, or made to do harm.

Nothing is imported, unpickled or allocated because a file says so: settings have their declared types and ranges, the
network is first laid out without memory, and only if the weights' file holds exactly its tensors is it made.
"""

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from tincture.common.errors import InputError, Range
from tincture.common.files import read_json
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.models.config import DenoiserConfig
from tincture.models.denoiser import Denoiser
from tincture.models.unet import UNetConfig
from tincture.quantization.palettes.palette import MAX_ENTRIES

from .palette_bank import PaletteBank

CONFIG, SCHEDULER_CONFIG = "config.json", "scheduler_config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"

Made = TypeVar("Made")
Module = TypeVar("Module", bound=nn.Module)

_RANGES = {
    "num_classes": Range(0, 1_000_000),
    "num_entries": Range(1, MAX_ENTRIES),
    "count": Range(0, 1_000_000_000),
    "entries": Range(1, MAX_ENTRIES),
}


def load_denoiser(folder: Path, kind: type[Denoiser]) -> Denoiser:
    """A denoiser of that kind with the settings and weights of ``folder``, in float32.

    Raises:
        InputError: a file is missing or damaged, or they contradict each other.
    """
    settings = _settings(folder / CONFIG)
    sizes = {field.name for field in fields(DenoiserConfig)} & set(settings) - {"unet"}

    def make() -> Denoiser:
        unet = settings.get("unet")
        if unet is not None and not isinstance(unet, dict):
            raise InputError("the setting 'unet' holds no settings")
        # Both check their ranges, which the denoiser itself doesn't.
        with_types(DenoiserConfig, {name: settings[name] for name in sizes}, unet=with_types(UNetConfig, unet or {}))
        return with_types(kind, settings)

    return _with_weights(make, folder)


def load_palette_bank(folder: Path) -> PaletteBank:
    """The bank of ``folder``; raises InputError as `load_denoiser` does."""
    settings = _settings(folder / CONFIG)
    return _with_weights(lambda: with_types(PaletteBank, settings), folder)


def load_scheduler(folder: Path) -> PaletteScheduler:
    """The scheduler of ``folder``; raises InputError as `load_denoiser` does."""
    try:
        return with_types(PaletteScheduler, _settings(folder / SCHEDULER_CONFIG))
    except TypeError as error:  # options that the process doesn't have
        raise InputError(f"{folder / SCHEDULER_CONFIG}: {error}") from None


def with_types(make: Callable[..., Made], values: dict[str, Any], **ready: Any) -> Made:
    """Call ``make`` with ``values`` from a JSON file, if each is what the signature says.

    Args:
        make: a class whose constructor's arguments have types.
        values: lists stand for tuples.
        ready: further arguments, which are taken as they are.

    Raises:
        InputError: a value is missing, unknown, out of range, or of another type.
    """
    parameters = inspect.signature(make).parameters
    types = get_type_hints(inspect.unwrap(make.__init__))
    if unknown := set(values) - set(parameters):
        raise InputError(f"the setting {min(unknown)!r} is unknown")
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in values and name not in ready:
            raise InputError(f"the setting {name!r} is missing")
    for name, value in values.items():
        if not _is_a(value, types[name]):
            raise InputError(
                f"the setting {name!r} is {str(value)[:100]!r}, which is of another type than it should be"
            )
        if name in _RANGES:
            _RANGES[name].check(name, value)
    return make(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}, **ready)


def _is_a(value: Any, wanted: Any) -> bool:
    """Whether a value from JSON is of a type: of Python's simple ones, Literal, a union, a tuple, list or dict."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (tuple, list):
        return isinstance(value, list) and all(_is_a(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_is_a(item, inner[1]) for item in value.values())
    if origin is UnionType:
        return any(_is_a(value, each) for each in inner)
    if origin is Literal:
        return value in inner
    if wanted is float:
        return type(value) in (int, float) and abs(value) <= 1e300  # a longer integer is no float; neither is NaN
    return wanted is Any or type(value) is wanted  # True is an int for isinstance


def _settings(path: Path) -> dict[str, Any]:
    """What a part's JSON file says, without diffusers' own entries."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no settings")
    return {name: value for name, value in values.items() if not name.startswith("_")}


def _with_weights(make: Callable[[], Module], folder: Path) -> Module:
    """What ``make`` makes, with the tensors of the folder's weights, converted to its own number formats."""
    path = folder / WEIGHTS
    try:
        with torch.device("meta"):  # shapes without memory
            expected = shapes(make().state_dict())
    except InputError as error:
        raise InputError(f"{folder / CONFIG}: {error}") from None
    if not path.is_file():
        raise InputError(f"there is no {WEIGHTS} in {folder}; weights in other formats, such as pickles, are not read")
    tensors = read_tensors(path, expected)
    module = make()
    module.load_state_dict(tensors)
    return module.eval()


def read_tensors(path: Path, expected: dict[str, tuple[list[int], torch.dtype]]) -> dict[str, Tensor]:
    """The tensors of a safetensors file, which are the expected ones by name, shape and kind of number, and finite.

    Args:
        path: the file.
        expected: each tensor's shape and type; floats may be stored in any precision.

    Raises:
        InputError: the file can't be read, or holds anything else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            _check_header(path, file, expected)
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} can't be read: {error}") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(f"{path}: {name} holds numbers that are not finite")
        if tensor.dtype == torch.bool and (tensor.view(torch.uint8) > 1).any():
            raise InputError(f"{path}: {name} holds bytes that are neither true nor false")
    return tensors


def _check_header(path: Path, file: Any, expected: dict[str, tuple[list[int], torch.dtype]]) -> None:
    names = set(file.keys())
    if wrong := names ^ set(expected):
        kind = "lacks the tensor" if min(wrong) in expected else "has the unknown tensor"
        raise InputError(f"{path} {kind} {min(wrong)!r}")
    for name, (shape, dtype) in expected.items():
        held = file.get_slice(name)
        if held.get_shape() != shape:
            raise InputError(f"{path}: {name} has the shape {held.get_shape()}, not {shape}")
        allowed = _FLOATS if dtype.is_floating_point else _STORED[dtype]
        if held.get_dtype() not in allowed:
            raise InputError(f"{path}: {name} is stored as {held.get_dtype()}, not {' or '.join(allowed)}")


def shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[list[int], torch.dtype]]:
    """What `read_tensors` expects of a file from which these tensors are to be read."""
    return {name: (list(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}


_FLOATS = ("F32", "F16", "BF16", "F64")
_STORED = {torch.uint8: ("U8",), torch.bool: ("BOOL",), torch.int64: ("I64",)}
