"""What a result was made with: versions, machine, code and command."""

import datetime
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import read_json, write_json

ENVIRONMENT_FILE = "environment.json"
PACKAGES = ("torch", "diffusers", "accelerate", "numpy", "pillow", "safetensors", "numba")


def describe_environment() -> dict[str, Any]:
    """Versions, machine, code and command; and devices, if the command has loaded accelerate."""
    import platform  # not above: it takes a while, and many commands end before they need it

    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **(_describe_devices() if "accelerate" in sys.modules else {}),
        "packages": _versions(PACKAGES),
        "code": describe_code(Path(__file__).parent.parent),
    }


def _versions(names: Sequence[str]) -> dict[str, str]:
    """The versions of installed packages, by the names of their folders of metadata.

    importlib.metadata, which reads what these hold, takes longer to import than all the rest here.
    """
    folders = [path.stem for place in sys.path for path in Path(place or ".").glob("*.dist-info")]
    found = dict(folder.split("-")[:2] for folder in folders)
    missing = [name for name in names if name not in found]
    if missing:
        from importlib.metadata import version

        found |= {name: version(name) for name in missing}
    return {name: found[name] for name in names}


def _describe_devices() -> dict[str, Any]:
    import torch  # not above: it takes seconds, and reducing a picture needs no torch

    from .processes import processes

    device = processes().device
    return {
        "processes": processes().num_processes,
        "processor_threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


def describe_code(folder: Path) -> dict[str, Any] | None:
    """The commit of a git checkout, and whether files differ from it, if there is one."""
    command = ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
        head, *changes = told.splitlines()
        return {"commit": head.split()[-1], "changed": any(not line.startswith("#") for line in changes)}
    except (OSError, subprocess.SubprocessError):
        return None


def record_environment(output: Path, step: int) -> None:
    """Add a start of training at ``step`` to ``output/environment.json``."""
    path = output / ENVIRONMENT_FILE
    starts = read_json(path) if path.exists() and step > 0 else []
    if not isinstance(starts, list):
        raise InputError(f"{path} holds no list of starts; remove it to go on")
    write_json(path, [*starts, {"step": step, **describe_environment()}])
