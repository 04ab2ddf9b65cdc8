"""Files and folders that are written whole or not at all: a temporary name, then a rename."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .errors import InputError

LOCK_FILE = ".lock"
MAX_JSON_BYTES = 1 << 26


def is_disk_full(error: BaseException) -> bool:
    """Whether ``error`` says that a disk, a quota or a file has no room left; safetensors says so in its message only."""
    number = error.errno if isinstance(error, OSError) else None
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return number in codes or any(f"(os error {code})" in str(error) for code in codes)


def is_memory_full(error: BaseException) -> bool:
    """Whether ``error`` says that memory was asked for that isn't there; torch says so in its message only."""
    return isinstance(error, MemoryError) or any(
        text in str(error) for text in ("can't allocate memory", "out of memory")
    )


def physical_memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: it is no file, longer than any that is written here, or isn't JSON.
    """
    if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
        raise InputError(f"{path} is no JSON file" if path.exists() else f"there is no {path.name} in {path.parent}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} can't be read: {str(error).strip() or 'it is nested too deeply'}") from None


@contextmanager
def used_alone(folder: Path) -> Iterator[None]:
    """Refuse to use ``folder``, which is made if need be, while another process does; a killed process uses nothing.

    Raises:
        InputError: another process is in such a block with the same folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"another process is writing to {folder}; wait until it ends, or name another folder"
        ) from None
    try:
        yield
    finally:
        (folder / LOCK_FILE).unlink(missing_ok=True)
        lock.release()


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Call ``write`` with a temporary path near ``path``, then rename it to ``path``; a link there is replaced, not followed.

    The temporary name keeps the suffix, because libraries choose a format by it. It lies in a new folder, so that nobody
    can have put a link in its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(value, indent=2) + "\n"))


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path`` that takes its place when the block ends without an exception.

    After an exception nothing is left, not even a parent that had to be made.
    """
    new_parents = [parent for parent in (path.parent, *path.parent.parents) if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    temporary.chmod(0o755)  # mkdtemp's 0o700 is for secrets; this becomes an ordinary folder
    try:
        yield temporary
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
            path.replace(old / path.name)
            temporary.replace(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if not path.exists():
            for parent in new_parents:
                with suppress(OSError):  # someone else has put something there
                    parent.rmdir()


def claim_output_folder(
    path: Path, overwrite: bool, option: str = "--overwrite", marker: tuple[str, str] | None = None
) -> None:
    """Refuse an output folder that already holds something, unless told to overwrite.

    Args:
        path: the folder, which need not exist.
        overwrite: whether its content may be replaced.
        option: what the message tells the user to add.
        marker: what may be replaced and the file by which it is known, such as ``("samples", "samples.json")``.

    Raises:
        InputError: ``path`` is a file, a link, or can't be made; a folder with content while ``overwrite`` is false, or one
            whose content lacks the marker.
    """
    if path.is_symlink():
        raise InputError(f"the output {path} is a link, through which nothing is written or replaced; name its target")
    if path.is_file():
        raise InputError(f"the output {path} is a file; name a folder")
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise InputError(f"the output folder {path} can't be made: {place} is not a folder that can be written to")
    if not path.is_dir() or not any(path.iterdir()):
        return
    if not overwrite:
        raise InputError(f"the output folder {path} is not empty; name another one, or add {option}")
    if marker is not None and not (path / marker[1]).is_file():
        raise InputError(f"{path} holds something else than {marker[0]}; it is not overwritten")
