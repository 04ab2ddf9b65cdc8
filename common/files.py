"""Files and folders that are written whole or not at all, by renaming what is finished."""

import errno
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import InputError

TEMPORARY = ".writing-"
"""How the name of everything begins that isn't written yet. What a killed process leaves behind is
known by it."""

LOCK_FILE = f"{TEMPORARY}lock"
"""In an output folder that can't be locked itself; see `common.output_folder`."""

MAX_JSON_BYTES = 1 << 26


def is_disk_full(error: BaseException) -> bool:
    """Whether no room is left on a disk. safetensors says so in its message only."""
    number = error.errno if isinstance(error, OSError) else None
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return number in codes or any(f"(os error {code})" in str(error) for code in codes)


def is_memory_full(error: BaseException) -> bool:
    """Whether there wasn't enough memory. torch says so in its message only."""
    return isinstance(error, MemoryError) or any(
        text in str(error) for text in ("can't allocate memory", "out of memory")
    )


def is_process_lost(error: BaseException) -> bool:
    """Whether a process that shares the work can't be reached, as torch says it."""
    named = type(error).__name__ in ("DistBackendError", "DistNetworkError", "DistStoreError")
    return named or (isinstance(error, RuntimeError) and "gloo" in str(error))


def physical_memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: there is no such file, it isn't JSON, or it is too long.
    """
    if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
        raise InputError(f"{path} is no JSON file" if path.exists() else f"there is no {path.name} in {path.parent}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} can't be read: {str(error).strip() or 'it is nested too deeply'}") from None


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(value, indent=2) + "\n"))


def finite(values: dict[str, float]) -> dict[str, float | None]:
    """``values`` with None for those that aren't finite, because JSON has no such numbers."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def files_in(folder: Path) -> list[str]:
    """All files below ``folder``, links too, by their names relative to it, sorted."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or path.is_file()
    )


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that it holds."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes were writing below ``folder``, where nobody else may write."""
    for leftover in list(folder.rglob(f"{TEMPORARY}*")):
        if leftover.name != LOCK_FILE and os.path.lexists(leftover):  # it may have been part of another leftover
            remove(leftover)


def write_atomically(path: Path | str, write: Callable[[Path], Any]) -> None:
    """Call ``write`` with a temporary path, then rename that to ``path``.

    A link at ``path`` is replaced, not followed. The temporary path keeps the name's suffix, by
    which libraries choose a format. It lies in a new folder, so nobody can have put a link there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        temporary.replace(path)


def missing_folders(path: Path) -> list[Path]:
    """``path`` and its parents, as far as they don't exist, from the inside to the outside."""
    return [each for each in (path, *path.parents) if not each.exists()]


def remove_empty(folders: list[Path]) -> None:
    """Remove those of ``folders`` that hold nothing."""
    for folder in folders:
        with suppress(OSError):  # it holds something, or has gone already
            folder.rmdir()


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary folder, whose content replaces that of ``path`` when the block ends.

    After an exception ``path`` is as it was, and parents that had to be made are gone again.
    """
    filled = path.is_dir() and can_only_be_filled(path)
    place = path if filled else path.parent
    new = missing_folders(place)
    place.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{path.name}-", dir=place))
    temporary.chmod(0o755)  # mkdtemp's 0o700 is for secrets; this becomes an ordinary folder
    try:
        yield temporary
        if filled:
            with set_aside(path):
                for entry in temporary.iterdir():
                    entry.rename(path / entry.name)
        elif path.exists():
            _exchange(path, temporary)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        remove_empty(new)


def can_only_be_filled(folder: Path) -> bool:
    """Whether ``folder`` is mounted, entered, or in a fixed place, so that it can't be renamed."""
    return folder.is_mount() or Path.cwd().is_relative_to(folder.resolve()) or not os.access(folder.parent, os.W_OK)


def _exchange(path: Path, new: Path) -> None:
    """Put the folder ``new`` in the place of the folder ``path``, which is removed."""
    old = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{path.name}-", dir=path.parent))
    path.replace(old / "content")
    try:
        new.replace(path)
    except OSError:
        (old / "content").replace(path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def set_aside(folder: Path) -> Iterator[None]:
    """Take away what ``folder`` holds. An exception in the block brings it back."""
    aside = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=folder))
    stays = set(written_in(folder))
    try:
        for path in written_in(folder):
            path.rename(aside / path.name)
            stays.remove(path)
        yield
    except BaseException:
        for path in written_in(folder):
            if path not in stays:
                remove(path)
        for path in aside.iterdir():
            path.rename(folder / path.name)
        aside.rmdir()  # which is empty: what couldn't be brought back is never removed
        raise
    shutil.rmtree(aside)


def written_in(folder: Path) -> list[Path]:
    """What ``folder`` holds, but for what somebody is still writing."""
    return [path for path in folder.iterdir() if not path.name.startswith(TEMPORARY)]
