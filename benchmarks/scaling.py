"""What training and drawing cost by resolution, palette size and model size, and on many GPUs.

`OMP_NUM_THREADS=1 python -m benchmarks.scaling measure --config configs/icons16.yaml --output
FOLDER` counts operations and memory, takes processor time, fits the laws of
benchmarks/costs/laws.py, and writes scaling.json, scaling.md and scaling.png. `… bound --config
configs/folder64.yaml` measures the memory of one training step, and ends with status 1 if that is
above --limit. `… plan --config benchmarks/scaling.yaml` prints estimates for GPUs.
docs/results/scaling.md shows all three.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace
from tqdm import tqdm

from tincture.benchmarks.costs.plan import Assumptions, print_plan
from tincture.benchmarks.costs.report import plot, tables
from tincture.benchmarks.meters import medians
from tincture.benchmarks.work import Setting, Work, count
from tincture.common import cli
from tincture.common.errors import InputError
from tincture.common.files import write_atomically, write_json
from tincture.common.plotting import require_matplotlib
from tincture.models.options import DenoiserConfig
from tincture.training.run_config import RunConfig

SIZES = (16, 24, 32, 48, 64, 96, 128)
ENTRIES = (4, 16, 64, 128, 256)
WIDTHS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.5)
CROSSED = ((16, 256), (64, 64), (64, 256), (128, 64))
"""Sizes and entries that are both large, so that a law tells their product from their sum."""
PIXELS_A_STEP = 8192
MATRIX = 1024
LIMIT_MIB = 870
"""Of `bound` for configs/folder64.yaml with 64 images. 812 were measured; one more tensor of the
logits' size would make 876."""


def wider(model: DenoiserConfig, factor: float) -> DenoiserConfig:
    """The same network with so many times the features, except those of entries and conditions."""

    def times(channels: int) -> int:
        return round(channels * factor)

    unet = replace(
        model.unet, channels=tuple(map(times, model.unet.channels)), head_channels=times(model.unet.head_channels)
    )
    return replace(model, unet=unet)


def settings(config: RunConfig) -> dict[str, tuple[float, Setting]]:
    """What is measured: by name, the network's width and the setting."""
    base = Setting.of_run(config)

    def at(size: int, entries: int, factor: float = 1.0, pixels: int = PIXELS_A_STEP) -> tuple[float, Setting]:
        images = max(1, pixels // size**2)
        return factor, replace(base, model=wider(base.model, factor), size=size, entries=entries, images=images)

    found = {f"{size}, {base.entries}": at(size, base.entries) for size in SIZES}
    found |= {f"32, {entries}": at(32, entries) for entries in ENTRIES}
    found |= {f"{size}, {entries}": at(size, entries) for size, entries in CROSSED}
    found |= {f"width {factor}": at(base.size, base.entries, factor, PIXELS_A_STEP // 4) for factor in WIDTHS}
    return found


def measure(options: Namespace, config: RunConfig) -> None:
    """Count, take times, fit, write."""
    require_matplotlib()
    if (options.output / "scaling.json").exists() and not options.overwrite:
        raise InputError(f"{options.output} holds a scaling.json already: name another folder, or --overwrite")
    torch.set_num_threads(1)
    chosen = settings(config)
    records: dict[str, dict[str, Any]] = {}
    for name, (width, setting) in tqdm(chosen.items(), desc="counting", unit="setting"):
        records[name] = {"width": width, "size": setting.size, "entries": setting.entries, "images": setting.images}
        records[name] |= {"model": asdict(setting.model)} | asdict(count(setting))
    works: dict[str, Callable[[], object]] = {}
    matrix = torch.randn(MATRIX, MATRIX)
    works["product"] = lambda: matrix @ matrix
    for name, (_, setting) in chosen.items():
        work = Work(setting)
        works |= {f"{name}: {part.__name__}": part for part in (work.learn, work.update, work.call, work.choose)}
    seconds = medians(works, options.rounds)
    for name, record in records.items():
        record["training_seconds"] = seconds[f"{name}: learn"] / record["images"]
        record["update_seconds"] = seconds[f"{name}: update"]
        record["call_seconds"] = seconds[f"{name}: call"] / record["images"]
        record["choice_seconds"] = seconds[f"{name}: choose"] / record["images"]
    result = {
        "product": MATRIX,
        "peak": 2 * MATRIX**3 / seconds["product"],
        "rounds": options.rounds,
        "records": records,
    }
    write_json(options.output / "scaling.json", result)
    text = tables(result)
    write_atomically(options.output / "scaling.md", lambda path: path.write_text(text))
    plot(options.output / "scaling.png", result)
    print(text)


def bound(options: Namespace, config: RunConfig) -> None:
    """Measure one setting's memory, and fail above the limit."""
    setting = Setting.of_run(config, options.images)
    counts = count(setting)
    tensors = setting.images * counts.training_bytes / 2**20
    needed = tensors if math.isnan(counts.training_mib) else max(tensors, counts.training_mib)
    print(
        f"{setting.size}×{setting.size}, {setting.entries} entries, batch {setting.images}, {counts.weights:,} weights: "
        f"a training step takes {needed:.0f} MiB beside weights and the optimizer's state "
        f"({counts.training_bytes / 2**20:.2f} MiB of tensors an image); the whole process {counts.process_mib:.0f} MiB"
    )
    if needed > options.limit:
        print(f"that is above the bound of {options.limit:g} MiB", file=sys.stderr)
        sys.exit(1)


def plan(options: Namespace, assumptions: Assumptions) -> None:
    """Print estimates."""
    torch.set_num_threads(1)
    print_plan(assumptions)


def make_parser() -> ArgumentParser:
    """Every option, with its unit and default."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    parts = parser.add_subcommands(required=True, dest="part")

    def part(name: str, about: str) -> ArgumentParser:
        added = cli.make_parser(about)
        added.add_argument("--config", action=ActionConfigFile, help="YAML file with any of the keys below")
        parts.add_subcommand(name, added, help=about)
        return added

    measuring = part("measure", "Count and time many settings, fit laws.")
    measuring.add_argument("--output", type=Path, required=True, help="folder for scaling.json, .md and .png")
    measuring.add_argument("--overwrite", action="store_true", help="replace what an earlier run left there")
    measuring.add_argument("--rounds", type=int, default=5, help="of all settings, of whose times medians are taken")
    bounding = part("bound", "Measure the memory of a training step; status 1 above the limit.")
    bounding.add_argument("--images", type=int, default=64, help="in the step")
    bounding.add_argument("--limit", type=float, default=LIMIT_MIB, help="MiB beside weights and the optimizer's state")
    for added in (measuring, bounding):
        added.add_class_arguments(RunConfig)
    part("plan", "Estimate runs on many GPUs.").add_class_arguments(Assumptions)
    return parser


def main(arguments: list[str]) -> None:
    """Do one part."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    instance = parser.instantiate(options)[options.part]
    {"measure": measure, "bound": bound, "plan": plan}[options.part](options[options.part], instance)


if __name__ == "__main__":
    cli.run(main)
