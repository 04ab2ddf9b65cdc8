"""A command's output folder: locked, looked at, and then replaced.

A command that makes its files in the end, all of them, writes the folder whole or not at all:

    with claimed(options.output, options.overwrite, recorded_in("report.json")) as output:
        …
        with output.written_whole() as folder:
            …

A command that works on many inputs writes each result when it is done, by `OutputFolder.filled`.
One that writes in other ways while it works enters `OutputFolder.emptied` before its first file.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .errors import InputError
from .files import (
    LOCK_FILE,
    TEMPORARY,
    can_only_be_filled,
    files_in,
    folder_written_whole,
    missing_folders,
    remove_empty,
    set_aside,
    write_json,
    written_in,
)

try:
    import fcntl
except ImportError:  # Windows can't lock folders; there, two commands may write into one
    fcntl = None

Written = Callable[[Path], Collection[str]]
"""From a folder to the names of the files in it that the command wrote, and may replace."""

Input = TypeVar("Input")
Save = Callable[[Path], list[dict]]
"""Writes what came of one input into a folder, and returns what the report says of it."""

PROGRESS_SECONDS = 5
"""Seconds between two lines that say how far a command has come, where no terminal shows a bar."""
_REPORT_GROWTH = 1.01
"""A report is written again when it is so many times as long: at each of the first 100 files, and
then less and less often. A killed process has written its last one."""


class Filling(NamedTuple):
    """What `OutputFolder.filled` has done so far."""

    records: list[dict]
    files: set[str]
    """Their names, relative to the folder."""
    errors: list[str]
    """A line for each input that was left out."""


@dataclass(frozen=True)
class OutputFolder:
    """A folder that this process alone writes to. See `claimed`, which makes it."""

    path: Path
    overwrite: bool
    written: Written | None
    options: str

    def check(self) -> None:
        """Raise InputError if the folder holds anything that may not be replaced."""
        entries = written_in(self.path)
        if entries and not self.overwrite:
            raise InputError(f"the output folder {self.path} is not empty; name another one, or add {self.options}")
        if entries and self.written is not None:
            held = {name for name in files_in(self.path) if self.path / name.split("/")[0] in entries}
            if others := sorted(held - set(self.written(self.path))):
                raise InputError(f"{self.path / others[0]} was not written by this command; name another output folder")

    @contextmanager
    def written_whole(self) -> Iterator[Path]:
        """Yield a temporary folder. Its content replaces this one's when the block ends."""
        with folder_written_whole(self.path) as temporary:
            yield temporary
            self.check()  # once more: it may have been a long time

    @contextmanager
    def emptied(self) -> Iterator[None]:
        """Take away what the folder holds; after an exception in the block it is there again."""
        self.check()
        with set_aside(self.path):
            yield

    def filled(
        self,
        inputs: Sequence[tuple[Path, Input]],
        work: Callable[[Path, Input], Save],
        report: str,
        describe: Callable[[Filling], dict],
    ) -> list[dict]:
        """Work on inputs in turn, and write the results of each when they are done.

        The first ones take the place of what the folder held. Whatever stops the work, as Ctrl-C or
        a full disk, leaves what is done and a report of it.

        Args:
            inputs: pictures, each with whatever ``work`` needs to know besides.
            work: makes results, and returns what writes them.
            report: the name of a JSON file.
            describe: its content.

        Returns:
            The records of all files.

        Raises:
            InputError: ``work``, or what it returned, raised it for some inputs. The others are
                done.
        """
        errors: dict[str, list[Path]] = {}
        done, reported = Filling([], set(), []), 0  # files that the report names
        try:
            for path, more in progress(inputs, "image"):
                try:
                    save = work(path, more)
                    is_due = len(done.files) + 1 > _REPORT_GROWTH * reported
                    done = self._add(save, done, report, describe if is_due else None)
                    reported = len(done.files) if is_due else reported
                except InputError as error:
                    errors.setdefault(str(error), []).append(path)
                    done.errors[:] = _told(errors)
        finally:
            if done.files and (errors or len(done.files) > reported):
                write_json(self.path / report, describe(done))
        if errors:
            told = "; ".join(done.errors if done.files else errors)
            others = f", the others are in {self.path}" if done.files else ""
            failed = sum(map(len, errors.values()))
            raise InputError(f"{failed} of {len(inputs)} pictures failed{others}: {told}" if len(inputs) > 1 else told)
        return done.records

    def _add(self, save: Save, done: Filling, report: str, describe: Callable[[Filling], dict] | None) -> Filling:
        """Take in what ``save`` writes, with a new report. The first time, what was here goes."""
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=self.path) as place:
            folder = Path(place, "new")
            folder.mkdir()
            records = save(folder)
            done_now = Filling(done.records + records, done.files.union(files_in(folder)), done.errors)
            if describe is not None:
                write_json(folder / report, describe(done_now))
            with nullcontext() if done.files else self.emptied():
                for name in files_in(folder):
                    (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).replace(self.path / name)
        return done_now


def _told(errors: dict[str, list[Path]]) -> list[str]:
    """What went wrong with which inputs, which some messages name themselves."""
    return [
        message if str(path) in message else f"{path}: {message}" for message, paths in errors.items() for path in paths
    ]


def progress(items: Sequence[Input], unit: str) -> Iterator[Input]:
    """Go through ``items`` with a bar, or with a line now and then where there is no terminal."""
    if sys.stderr.isatty():
        from tqdm import tqdm  # not above: a small picture is done before it is loaded

        yield from tqdm(items, unit=unit, leave=False)
        return
    told = time.monotonic()
    for number, item in enumerate(items):
        if time.monotonic() - told > PROGRESS_SECONDS:
            print(f"{number} of {len(items)} {unit}s are done", file=sys.stderr, flush=True)
            told = time.monotonic()
        yield item


@contextmanager
def claimed(
    path: Path,
    overwrite: bool,
    written: Written | None = None,
    inputs: Iterable[Path] = (),
    options: str = "--overwrite",
) -> Iterator[OutputFolder]:
    """Hold an output folder in the block. Refuse it if it is in use, or if its content may not go.

    The folder is locked before anybody looks at what it holds, since that changes while another
    command writes. A folder that had to be made and is still empty in the end is removed.

    Args:
        path: the folder, which need not exist.
        overwrite: whether its content may be replaced.
        written: finds the files that may be replaced; without it, any may.
        inputs: what the command reads, which may not lie in ``path``.
        options: what the message tells the user to add.

    Raises:
        InputError: ``path`` is a file or a link, holds an input, can't be made, or is another
            process's; it holds something while ``overwrite`` is false, or a file that isn't among
            those ``written``.
    """
    if path.is_symlink():
        raise InputError(f"the output {path} is a link, through which nothing is written or replaced; name its target")
    if path.is_file():
        raise InputError(f"the output {path} is a file; name a folder")
    for each in inputs:
        if each.exists() and each.resolve().is_relative_to(path.resolve()):
            raise InputError(f"the output folder {path} holds the input {each}; name another one")
    _check_place("folder", path, path if path.is_dir() and can_only_be_filled(path) else None)
    with _locked(path):
        folder = OutputFolder(path, overwrite, written, options)
        folder.check()
        yield folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make ``folder`` if need be, and hold the kernel's lock on it, which dies with its process."""
    new = missing_folders(folder)
    lock = None
    while lock is None:
        folder.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            break
        lock = _lock(folder)
    try:
        yield
    finally:
        (folder / LOCK_FILE).unlink(missing_ok=True)
        remove_empty(new)
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_UN)  # closing isn't enough where a forked process has a copy
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the lock on ``folder``; None if that has just been replaced.

    NFS locks files only. There, a file in the folder stands for it.
    """
    for path, flags in ((folder, os.O_RDONLY), (folder / LOCK_FILE, os.O_RDWR | os.O_CREAT)):
        lock = os.open(path, flags)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if isinstance(error, BlockingIOError):
                raise InputError(
                    f"another process is writing to {folder}; wait until it ends, or name another folder"
                ) from None
            continue
        if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
            return lock
        os.close(lock)
        return None
    raise InputError(f"{folder} can't be locked; name a folder on another disk")


def recorded_in(name: str, names: Callable[[Any], Iterable[str]] = list) -> Written:
    """The files that a folder's JSON file ``name`` records under ``files``, and that file.

    Args:
        name: of the JSON file.
        names: gives the files' names from what stands under ``files``; a list of names if left out.
    """

    def written(folder: Path) -> Collection[str]:
        try:
            return {name, *names(json.loads((folder / name).read_text())["files"])}
        except (OSError, ValueError, KeyError, TypeError):  # no record, or not one of ours
            return ()

    return written


def claim_output_file(path: Path, overwrite: bool) -> None:
    """Refuse an output file that exists, unless told to overwrite it, or that can't be written.

    Raises:
        InputError: it is a folder, exists while ``overwrite`` is false, or can't be written.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"{path} exists; name another file, or add --overwrite")
    _check_place("file", path, None)


def check_apart(output: Path, inputs: Iterable[Path]) -> None:
    """Raise InputError if the output folder and an input file or folder lie in each other."""
    for path in inputs:
        is_inside = path.is_dir() and output.resolve().is_relative_to(path.resolve())
        if is_inside or path.resolve().is_relative_to(output.resolve()):
            raise InputError(f"the output folder {output} and the input {path} lie in each other; name another")


def _check_place(kind: str, path: Path, place: Path | None) -> None:
    """Raise InputError if ``place``, or else a parent of ``path``, can't be written to."""
    place = next(parent for parent in path.absolute().parents if parent.exists()) if place is None else place
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise InputError(f"the output {kind} {path} can't be made: {place} is not a folder that can be written to")
