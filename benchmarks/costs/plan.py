"""Estimates of training on many GPUs, from measured costs and stated assumptions."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import ActionConfigFile
from PIL import Image

from tincture.benchmarks.meters import medians, operations, tensor_bytes
from tincture.benchmarks.tables import heading, row
from tincture.benchmarks.work import Setting, Work
from tincture.common import cli
from tincture.data.augmentation import opaque_first, with_foreign_palettes
from tincture.data.index_maps import IndexMaps
from tincture.data.resizing import fit_to_size
from tincture.quantization.encoding import encode
from tincture.quantization.fit import fit_palette
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.training.run_config import RunConfig

BYTES_A_WEIGHT = 4 * 5
"""In float32: the weight, its gradient, DDP's bucket of gradients, momentum, moving average. AdamW
takes 4 more."""


@dataclass(frozen=True)
class PlannedRun:
    """A training run to estimate.

    Args:
        name: of its lines.
        config: a training config.
        changes: what differs from it, by keys as on the command line.
        batch_size: images a step, over all GPUs.
        images: to be seen in all.
    """

    name: str
    config: Path
    changes: dict[str, Any]
    batch_size: int
    images: float


@dataclass(frozen=True)
class Assumptions:
    """What estimates stand on, besides measured costs.

    Args:
        runs: what is trained.
        gpus: numbers of GPUs.
        gpus_per_node: of one machine.
        peak: of a GPU, in bf16, TFLOP/s.
        peak_float32: of a GPU, in float32, TFLOP/s.
        reached: shares of the peaks that a step may reach, from low to high.
        nvlink: between GPUs of a node, GB/s each way for a GPU.
        network: between nodes, GB/s each way for a node, from low to high.
    """

    runs: list[PlannedRun] = field(default_factory=list)
    gpus: tuple[int, ...] = (8, 64)
    gpus_per_node: int = 8
    peak: float = 989.0
    peak_float32: float = 67.0
    reached: tuple[float, float] = (0.1, 0.4)
    nvlink: float = 450.0
    network: tuple[float, float] = (12.5, 400.0)


@dataclass(frozen=True)
class Costs:
    """What was measured of a run."""

    weights: int
    operations: float
    """Of an image, forward and backward."""
    update_operations: float
    """Of the optimizer, for a step."""
    tensor_bytes: float
    """Of an image more in a batch, in float32."""
    logit_bytes: float
    """Of these, one tensor of logits."""
    seconds: dict[str, float]
    """Of one core for an image: from a JPEG file to a picture, palette, indices, batch."""


@dataclass(frozen=True)
class Estimate:
    """A run on so many GPUs; times in seconds, pairs from the best case to the worst."""

    gpus: int
    images_a_gpu: int
    compute: tuple[float, float]
    """Of a step: forward and backward."""
    update: tuple[float, float]
    """Of a step: the optimizer, which every GPU runs on all weights."""
    traffic: float
    """Bytes that each GPU sends in a step."""
    exchange: tuple[float, float]
    """Of these, were nothing hidden behind the backward pass."""
    total: tuple[float, float]
    """Of the whole run, with the exchange hidden as far as the compute lasts."""
    memory: float
    """Bytes on a GPU."""
    images_per_second: tuple[float, float]
    """Of a node, that its data loading must deliver."""


def estimate(run: PlannedRun, costs: Costs, assumed: Assumptions, gpus: int) -> Estimate:
    """Put the formulas together."""
    images = -(-run.batch_size // gpus)
    low, high = assumed.reached

    def seconds(count: float, peak: float) -> tuple[float, float]:
        return count / (high * peak * 1e12), count / (low * peak * 1e12)

    compute = seconds(images * costs.operations, assumed.peak)
    update = seconds(costs.update_operations, assumed.peak_float32)
    traffic = all_reduce_bytes(4 * costs.weights, gpus)
    if gpus <= assumed.gpus_per_node:
        exchange = (traffic / (assumed.nvlink * 1e9),) * 2
    else:  # rings pass through each node's adapters as often as through a GPU's links
        slow, fast = assumed.network
        exchange = traffic / (fast * 1e9), traffic / (slow * 1e9)
    step = tuple(max(c, e) + u for c, e, u in zip(compute, exchange, update, strict=True))
    per_second = tuple(min(gpus, assumed.gpus_per_node) * images / each for each in reversed(step))
    total = tuple(run.images / run.batch_size * each for each in step)
    memory = BYTES_A_WEIGHT * costs.weights + images * costs.tensor_bytes
    return Estimate(gpus, images, compute, update, traffic, exchange, total, memory, per_second)


def all_reduce_bytes(size: float, count: int) -> float:
    """What each of ``count`` GPUs sends to sum ``size`` bytes over all of them.

    A ring passes every part around twice, but for its own.
    """
    return 2 * (count - 1) / count * size


def measure(run: PlannedRun) -> Costs:
    """Count a step, and take the time of its data.

    An image's memory is what four pictures take more than two: with a single one, gradients of the
    largest weights are part of the peak.
    """
    parser = cli.make_parser("")
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_class_arguments(RunConfig)
    words = [f"--{key}={value}" for key, value in run.changes.items()]
    config = parser.instantiate(parser.parse_args([f"--config={run.config}", *words]))
    setting = Setting.of_run(config, images=1)
    one, two, four = (Work(replace(setting, images=images)) for images in (1, 2, 4))
    for work in (one, two, four):
        work.keep_gradients()
    network = operations(one.learn)
    image_bytes = (tensor_bytes(four.learn) - tensor_bytes(two.learn)) // 2
    return Costs(
        one.weights,
        network,
        operations(one.update),
        image_bytes,
        4 * setting.pixels * setting.entries,
        data_seconds(setting.size, setting.entries),
    )


def data_seconds(size: int, entries: int, rounds: int = 5) -> dict[str, float]:
    """Processor seconds of an image for each part of what is done before a training step.

    They are medians of rounds over nine photographs.
    """
    from tincture.benchmarks.photographs import photographs  # needs requirements-benchmarks.txt

    files = []
    for pixels in photographs().values():
        file = BytesIO()
        Image.fromarray(pixels).save(file, format="JPEG", quality=90)
        files.append(file)
    pictures = [_decode(file, size) for file in files]
    palettes = [fit_palette([picture], entries) for picture in pictures]
    indices = [encode(picture, palette) for picture, palette in zip(pictures, palettes, strict=True)]
    batch = PaletteBatch.from_palettes(palettes)
    maps = IndexMaps(
        torch.from_numpy(np.stack(indices)), batch, torch.zeros(len(files)).long(), ["all"], *[[""] * len(files)] * 3
    )
    rows, pool = torch.arange(64) % len(files), opaque_first(maps.palettes)

    def batches() -> None:
        with_foreign_palettes(maps.batch(rows), pool, 0.25, functools.partial(torch.rand, len(rows)))

    works: dict[str, Callable[[], object]] = {
        "decoding and resizing": lambda: [_decode(file, size) for file in files],
        "palette": lambda: [fit_palette([picture], entries) for picture in pictures],
        "indices": lambda: list(map(encode, pictures, palettes)),
        "batch": batches,
    }
    found = medians(works, rounds)
    return {name: each / (len(rows) if name == "batch" else len(files)) for name, each in found.items()}


def _decode(file: BytesIO, size: int) -> np.ndarray:
    return fit_to_size(np.array(Image.open(file).convert("RGBA")), size, "area").pixels


def print_plan(assumed: Assumptions) -> None:
    """Measure and estimate all runs, print tables."""
    measured = {run.name: (run, measure(run)) for run in assumed.runs}
    heads = [
        "run",
        "weights",
        "an image, GFLOP",
        "optimizer, a step, GFLOP",
        "an image, MiB",
        "a tensor of logits, MiB",
    ]
    print(heading(*heads))
    for name, (_, costs) in measured.items():
        cells = [
            f"{costs.weights / 1e6:.1f} M",
            f"{costs.operations / 1e9:.1f}",
            f"{costs.update_operations / 1e9:.0f}",
        ]
        print(row(name, *cells, f"{costs.tensor_bytes / 2**20:.0f}", f"{costs.logit_bytes / 2**20:.1f}"))
    parts = list(next(iter(measured.values()))[1].seconds)
    print("\n" + heading("one core, ms an image", *parts, "images a second, all"))
    for name, (_, costs) in measured.items():
        cells = [f"{1e3 * costs.seconds[part]:.2f}" for part in parts]
        print(row(name, *cells, f"{1 / sum(costs.seconds.values()):.0f}"))
    print("\n" + heading(
        "run", "GPUs", "images a GPU", "forward and backward, ms", "optimizer, ms", "sent by a GPU, MB", "exchange, ms",
        "whole run, hours", "memory, GiB", "images a second a node", "cores a node, from files", "cores a node, batches",
    ))  # fmt: skip
    for name, (run, costs) in measured.items():
        encoding = sum(seconds for part, seconds in costs.seconds.items() if part != "batch")
        for gpus in assumed.gpus:
            e = estimate(run, costs, assumed, gpus)
            cells = [
                name, f"{gpus}", f"{e.images_a_gpu}", _range(e.compute, 1e3), _range(e.update, 1e3),
                f"{e.traffic / 1e6:.0f}", _range(e.exchange, 1e3), _range(e.total, 1 / 3600), f"{e.memory / 2**30:.0f}",
                _range(e.images_per_second, 1), _range(e.images_per_second, encoding),
                _range(e.images_per_second, costs.seconds["batch"]),
            ]  # fmt: skip
            print(row(*cells))


def _range(pair: tuple[float, float], factor: float) -> str:
    """Two significant digits each, or one figure where both are the same."""
    texts = [f"{float(f'{factor * each:.2g}'):,g}" for each in pair]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)
