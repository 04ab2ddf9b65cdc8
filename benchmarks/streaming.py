"""Memory and speed of a stream: `python -m benchmarks.streaming --folder FOLDER`.

Draws pictures, writes them as PNG into parquet shards, unless the folder holds them already, and
feeds them all to nobody, as training would be fed. Prints what the training process and its workers
hold at intervals, and pictures for each second of a worker's processor.
"""

import logging
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
from datasets import Dataset, Features, Image
from PIL import Image as PillowImage
from tqdm import tqdm

from tincture.common import cli
from tincture.common.files import write_json
from tincture.data.sources import DataConfig
from tincture.data.stream import start_stream
from tincture.training.feeds import StreamFeed

SHARD = 20_000
"""Pictures in a shard."""

BATCH = 256


def drawn(count: int, size: int, seed: int) -> Iterator[bytes]:
    """PNGs of two disks on a gradient, which have some thirty colors, none alike."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    for _ in range(count):
        corners = rng.integers(0, 256, (4, 3))
        pixels = corners[0] + (corners[1] - corners[0]) * rows[..., None].repeat(3, -1)
        for color in corners[2:]:
            y, x, radius = rng.uniform(0.1, 0.9, 3)
            pixels[(rows - y) ** 2 + (columns - x) ** 2 < (radius / 2) ** 2] = color
        file = BytesIO()
        PillowImage.fromarray(pixels.astype(np.uint8)).save(file, "PNG", compress_level=1)
        yield file.getvalue()


def write_shards(folder: Path, count: int, different: int, size: int) -> None:
    """Write what is missing of ``count`` pictures; those not ``different`` are links."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(-(-count // SHARD)), desc="drawing shards"):
        path = folder / f"train-{number:05d}.parquet"
        first = number % -(-different // SHARD)
        if not path.exists() and first < number:
            path.hardlink_to(folder / f"train-{first:05d}.parquet")
        elif not path.exists():
            images = [{"bytes": content, "path": None} for content in drawn(min(SHARD, count), size, number)]
            table = Dataset.from_dict({"image": images}, Features({"image": Image()}))
            table.to_parquet(path, batch_size=1000)


def mebibytes(process: psutil.Process) -> dict[str, float]:
    """What a process holds, and what of it no other process holds too."""
    memory = process.memory_full_info()
    return {"resident": memory.rss / 2**20, "own": memory.uss / 2**20}


def main(arguments: list[str]) -> None:
    """Write, feed, report."""
    parser = cli.make_parser(__doc__.split(":")[0])
    add = parser.add_argument
    add("--folder", type=Path, required=True, help="for the shards; they stay")
    add("--output", type=Path | None, default=None, help="JSON file of the readings")
    add("--images", type=int, default=1_000_000, help="pictures in the stream")
    add("--different", type=int | None, default=None, help="how many differ, at least a shard; all if left out")
    add("--size", type=int, default=16, help="edge length, pixels")
    add("--palette", default="own", help="own, shared, or a palette's name")
    add("--quantizer", default="kmeans", help="what fits palettes of their own")
    add("--workers", type=int, default=1, help="processes that read and encode")
    add("--buffer", type=int, default=10_000, help="pictures that are mixed")
    add("--readings", type=int, default=20, help="how often memory is read")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    folder = options.folder / f"{options.size}px-{options.images}"
    write_shards(folder, options.images, options.different or options.images, options.size)

    config = DataConfig(
        source="datasets",
        path=str(folder),
        size=options.size,
        palette=options.palette,
        quantizer=options.quantizer,
        streaming=True,
        heldout_fraction=0.01,
        heldout_images=100,
        buffer=options.buffer,
        workers=options.workers,
    )
    started = time.perf_counter()
    feed = StreamFeed(start_stream(config), seed=0)
    print(f"the first pictures took {time.perf_counter() - started:.1f} s")
    me, readings = psutil.Process(), []
    total = int(options.images * (1 - config.heldout_fraction))
    started, step = time.perf_counter(), 0
    for reading in range(options.readings + 1):
        while step * BATCH < total * reading / options.readings or step == 0:
            feed.pictures(step, slice(0, BATCH))
            step += 1
        workers = [child for child in me.children() if child.status() != psutil.STATUS_ZOMBIE]
        busy = sum(sum(worker.cpu_times()[:2]) for worker in workers)
        readings.append(
            {
                "pictures": step * BATCH,
                "seconds": time.perf_counter() - started,
                "worker_processor_seconds": busy,
                "main": mebibytes(me),
                "workers": [mebibytes(worker) for worker in workers],
            }
        )
        of_workers = ", ".join(f"{worker['resident']:.0f} ({worker['own']:.0f})" for worker in readings[-1]["workers"])
        print(
            f"{step * BATCH:>9} pictures  {readings[-1]['seconds']:>6.0f} s  main {readings[-1]['main']['resident']:.0f} "
            f"({readings[-1]['main']['own']:.0f}) MiB  workers {of_workers} MiB",
            flush=True,
        )
    if options.workers:
        first, last = readings[len(readings) // 2], readings[-1]
        delivered = last["pictures"] - first["pictures"]
        spent = last["worker_processor_seconds"] - first["worker_processor_seconds"]
        print(f"{delivered / spent:.0f} pictures for each second of a worker's processor (second half)")
    if options.output:
        write_json(options.output, {"options": cli.plain_options(options), "readings": readings})


if __name__ == "__main__":
    cli.run(main)
