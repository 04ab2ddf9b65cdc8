"""Whole processes in turns, beside pngquant if it is installed: `python -m benchmarks.cold_start`.

Processor seconds of a process and its children, which other jobs on the machine hardly change.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tincture.__main__ import COMMANDS
from tincture.benchmarks.photographs import photographs
from tincture.benchmarks.tables import heading, row
from tincture.common import cli
from tincture.common.errors import InputError

BATCH, COLORS = 24, "16"
NEW = "now"


class Process(NamedTuple):
    """What is started, and in which checkout of this project."""

    words: list[str]
    folder: Path | None = None


def seconds_of(process: Process) -> tuple[float, float]:
    """Run a process: its processor seconds, its children's included, and the seconds it took."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if process.folder is not None:
        environment["PYTHONPATH"] = str(process.folder.resolve().parent)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        process.words, env=environment, cwd=process.folder, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise InputError(f"{' '.join(process.words)} failed: {done.stderr.strip()}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


def works_of(folder: Path, pictures: Sequence[Path], trees: dict[str, Path]) -> dict[str, dict[str, Process]]:
    """What is compared: the name of a work, and who does it."""
    one, output = pictures[:1], str(folder / "out")

    def quantize(files: Sequence[Path], *more: str) -> dict[str, Process]:
        words = [*map(str, files), "--colors", COLORS, "--output", output, "--overwrite", *more]
        return {name: Process([sys.executable, "quantize.py", *words], tree) for name, tree in trees.items()}

    def pngquant(files: Sequence[Path], *more: str) -> dict[str, Process]:
        if shutil.which("pngquant") is None:
            return {}
        return {"pngquant": Process(["pngquant", *more, "--ext", ".reduced", "--force", COLORS, *map(str, files)])}

    works = {
        f"quantize, {len(one)} photograph": quantize(one) | pngquant(one, "--nofs"),
        "quantize, 1 photograph, dithered": quantize(one, "--dither", "floyd-steinberg") | pngquant(one),
        f"quantize, {len(pictures)} photographs": quantize(pictures) | pngquant(pictures, "--nofs"),
    }
    for command in COMMANDS:
        words = [sys.executable, f"{command}.py", "--help"]
        works[f"{command} --help"] = {name: Process(words, tree) for name, tree in trees.items()}
    return works


def main(arguments: list[str]) -> None:
    """Time all works in turns and print a table: medians, and their ratio to pngquant's."""
    parser = cli.FlagParser(__doc__.split(":")[0])
    parser.add_argument("--rounds", type=int, default=7, help="of which medians are taken")
    parser.add_argument("--works", nargs="+", help="which of them, by words in their names; all if left out")
    parser.add_argument("--before", type=Path, help="an older checkout, in a folder named tincture, to compare with")
    options = parser.parse_args(arguments)
    trees = {NEW: Path(__file__).parent.parent} | ({"before": options.before} if options.before else {})
    if shutil.which("pngquant") is None:
        print("pngquant isn't installed, so its column is left out", file=sys.stderr)
    with tempfile.TemporaryDirectory() as place:
        found = list(photographs().items())
        files = [Path(place, f"{number}.png") for number in range(BATCH)]
        for number, file in enumerate(files):
            Image.fromarray(found[number % len(found)][1]).save(file)
        print(heading("processor seconds (wall)", "before", NEW, "pngquant", f"{NEW} / pngquant"))
        works = works_of(Path(place), files, trees).items()
        for name, processes in [each for each in works if any(word in each[0] for word in options.works or [""])]:
            seen: dict[str, list[tuple[float, float]]] = {who: [] for who in processes}
            for number in range(options.rounds + 1):
                for who, process in processes.items():
                    seconds = seconds_of(process)
                    if number:  # the first time, something is compiled
                        seen[who].append(seconds)
            middle = {who: [statistics.median(each) for each in zip(*all_, strict=True)] for who, all_ in seen.items()}
            cells = [
                f"{middle[who][0]:.2f} ({middle[who][1]:.2f})" if who in middle else ""
                for who in ("before", NEW, "pngquant")
            ]
            ratio = f"{middle[NEW][0] / middle['pngquant'][0]:.2f}" if "pngquant" in middle else ""
            print(row(name, *cells, ratio), flush=True)


if __name__ == "__main__":
    cli.run(main)
