"""Files and folders that are written whole or not at all: a temporary name, then a rename."""

import errno
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
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


def finite(values: dict[str, float]) -> dict[str, float | None]:
    """``values`` with None for those that aren't finite: JSON, which readers other than Python's take literally, knows no others."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary folder whose content takes the place of what ``path`` holds when the block ends without an exception.

    The folder itself is renamed, at once; one that can't be (`_stays`) keeps its place, and its content is moved, file by file.
    After an exception nothing is left, not even a parent that had to be made.
    """
    stays = path.is_dir() and _stays(path)
    place = path if stays else path.parent
    new_parents = [parent for parent in (path.parent, *path.parent.parents) if not parent.exists()]
    place.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=place))
    temporary.chmod(0o755)  # mkdtemp's 0o700 is for secrets; this becomes an ordinary folder
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=place))
    try:
        yield temporary
        if stays:
            for entry in [entry for entry in path.iterdir() if entry not in (temporary, old)]:
                entry.replace(old / entry.name)
            for entry in temporary.iterdir():
                entry.replace(path / entry.name)
        elif path.exists():
            path.replace(old / "content")
            try:
                temporary.replace(path)
            except OSError:
                (old / "content").replace(path)
                raise
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        if not path.exists():
            for parent in new_parents:
                with suppress(OSError):  # someone else has put something there
                    parent.rmdir()


def _stays(folder: Path) -> bool:
    """Whether ``folder`` can't be renamed, or mustn't: a mounted one, one that somebody stands in, one in a place that is not theirs."""
    return folder.is_mount() or Path.cwd().is_relative_to(folder.resolve()) or not os.access(folder.parent, os.W_OK)


def files_in(folder: Path) -> list[str]:
    """All files below ``folder``, links too, by their names relative to it, sorted; for a record of what was written."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or path.is_file()
    )


def recorded_in(name: str, names: Callable[[Any], Iterable[str]] = list) -> Callable[[Path], Collection[str]]:
    """The files of a folder that its JSON file ``name`` records under ``files``, and that file; for `claim_output_folder`.

    Args:
        name: of the JSON file.
        names: gives the files' names from what stands under ``files``, where that isn't a list of them.
    """

    def written(folder: Path) -> Collection[str]:
        try:
            return {name, *names(json.loads((folder / name).read_text())["files"])}
        except (OSError, ValueError, KeyError, TypeError):  # no record, or not one of ours
            return ()

    return written


def claim_output_folder(
    path: Path,
    overwrite: bool,
    option: str = "--overwrite",
    written: Callable[[Path], Collection[str]] | None = None,
    inputs: Iterable[Path] = (),
) -> None:
    """Refuse an output folder that already holds something, unless told to overwrite, and then only what was written there before.

    Args:
        path: the folder, which need not exist.
        overwrite: whether its content may be replaced.
        option: what the message tells the user to add.
        written: gives the files of ``path`` that may be replaced, by their relative names, nothing for a folder that the command
            didn't write; without it, any may.
        inputs: what the command reads: it may not lie in ``path``.

    Raises:
        InputError: ``path`` is a file, a link, holds an input, or can't be made; a folder with content while ``overwrite`` is
            false, or one with a file that isn't among those written.
    """
    if path.is_symlink():
        raise InputError(f"the output {path} is a link, through which nothing is written or replaced; name its target")
    if path.is_file():
        raise InputError(f"the output {path} is a file; name a folder")
    for each in inputs:
        if each.exists() and each.resolve().is_relative_to(path.resolve()):
            raise InputError(f"the output folder {path} holds the input {each}; name another one")
    _check_place("folder", path, path if path.is_dir() and _stays(path) else None)
    if not path.is_dir() or not any(path.iterdir()):
        return
    if not overwrite:
        raise InputError(f"the output folder {path} is not empty; name another one, or add {option}")
    if written is not None and (others := sorted(set(files_in(path)) - set(written(path)))):
        raise InputError(f"{path / others[0]} was not written by this command; name another output folder")


def claim_output_file(path: Path, overwrite: bool) -> None:
    """Refuse an output file that exists, unless told to overwrite it, or that can't be written.

    Raises:
        InputError: it is a folder, exists while ``overwrite`` is false, or stands where nothing can be written.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"{path} exists; name another file, or add --overwrite")
    _check_place("file", path, None)


def _check_place(kind: str, path: Path, place: Path | None) -> None:
    """Raise InputError if nothing can be written into ``place``, by default the nearest parent of ``path`` that exists."""
    place = next(parent for parent in path.absolute().parents if parent.exists()) if place is None else place
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise InputError(f"the output {kind} {path} can't be made: {place} is not a folder that can be written to")
