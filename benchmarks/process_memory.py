"""The memory of this process, as Linux counts it."""

from pathlib import Path

_RESET = Path("/proc/self/clear_refs")


def can_measure() -> bool:
    """Whether this system keeps such counts."""
    return _RESET.exists()


def resident_mib() -> float:
    """What the process holds now, MiB."""
    return _status("VmRSS")


def peak_mib() -> float:
    """The most that it held since `reset_peak`; a child's ``resource.ru_maxrss`` would begin with its parent's."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Let the highest mark start again from what is held now."""
    _RESET.write_text("5")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 2**10
