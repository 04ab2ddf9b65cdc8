"""Compare ways to draw index maps: `python -m benchmarks.peers --config FILE --output FOLDER`.

All peers of benchmarks/peer_models get the same icons, minutes and machine, and several seeds. They
take turns in slices of their minutes, so that a busy machine slows all of them alike. Batches,
optimizer (`--train.optimizer`), rates and the average of the weights are the config's for all, and
so is, nearly, the number of parameters. No peer sees class labels or foreign palettes. There are
two sets of palettes: `shared` is one palette of 64 entries for all icons, `own` gives each icon 16
entries. In the second, a per-index model can learn only what the order of the entries tells.

Into FOLDER go the peers' weights, sheets of what they draw, `peers.json`, `peers.md` with tables,
and `peers.png` with curves. `peers.json` is written after each peer, so `--resume` can add seeds
and palettes to it. Minutes count training only. Bits per pixel are negative ELBOs on the held-out
icons. Fréchet and kernel distances and recall are against the held-out icons too, for drawings and
for real icons of the training side.
"""

import hashlib
import json
import math
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from tincture.benchmarks.meters import process_memory
from tincture.benchmarks.peer_models import PEERS, num_parameters
from tincture.benchmarks.peer_models.ddpm import TIMES
from tincture.benchmarks.peer_models.peer import Drawing, PeerTraining
from tincture.benchmarks.peer_models.report import plot, tables
from tincture.common import cli
from tincture.common.errors import InputError, choose
from tincture.common.files import files_in, read_json, write_atomically, write_json
from tincture.common.output_folder import claimed
from tincture.common.plotting import require_matplotlib
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.data.sources import DataConfig
from tincture.evaluation.feature_metrics import compare_features
from tincture.evaluation.features import FeatureExtractor, load_extractor
from tincture.evaluation.options import MIN_IMAGES
from tincture.models.options import DenoiserConfig
from tincture.quantization.color import srgb_to_oklab
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.pictures.contact_sheet import contact_sheet
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.training.run_config import RunConfig, TrainConfig

PALETTES = {"shared": 64, "own": 16}
"""Sets of palettes, as in `DataConfig.palette`, and their entries."""
GONE = {"shard": False, "resize": "area"}
"""Options that older records have and the config hasn't, or has with another default; with the
values that changed nothing. No icon is resized."""
MEMORY_STEPS = 3
SHOWN = 32
"""Drawings on a sheet."""


def make_parser() -> ArgumentParser:
    """Every option, with its unit and default."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    add = parser.add_argument
    add(
        "--config",
        action=ActionConfigFile,
        help="YAML file of sizes (model) and the optimizer (train); a peer has its own process",
    )
    add("--output", type=Path, required=True, help="folder for peers.json, peers.md and peers.png")
    add("--overwrite", action="store_true", help="replace what an earlier comparison left there")
    add("--resume", action="store_true", help="keep what peers.json holds there and run what it lacks")
    add(
        "--take",
        nargs="+",
        type=Path,
        default=[],
        help="folders of comparisons with the same options, run beside this one, whose figures are taken over",
    )
    add("--peers", nargs="+", default=list(PEERS), help=f"whom to compare: {', '.join(PEERS)}")
    add("--palettes", nargs="+", default=list(PALETTES), choices=list(PALETTES), help="sets of palettes")
    add("--minutes", type=float, default=10.0, help="of training, for each peer, seed and set of palettes")
    add("--seeds", type=int, default=3, help="how many seeds, from 0")
    add("--samples", type=int, default=467, help="images to draw for each figure, at most one for each held-out icon")
    add(
        "--calls",
        type=int,
        nargs="*",
        default=[16, 64, 256],
        help="calls of the network for a drawn image; none: not to draw",
    )
    add(
        "--slices",
        type=int,
        default=20,
        help="turns in which a peer's minutes come; held-out bits are measured after each",
    )
    add("--times", type=int, default=8, help="corruptions of each held-out icon for its final bits per pixel")
    parser.add_class_arguments(RunConfig)
    return parser


def main(arguments: list[str]) -> None:
    """Train all peers in turns, measure, write."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    check(options)
    results = options.output / "peers.json"
    plain = plain_options(parser, options)
    defaults = plain_options(parser, parser.get_defaults())
    goes_on = options.resume and results.exists()
    with claimed(
        options.output,
        overwrite=options.overwrite or goes_on,
        written=None if goes_on else lambda folder: files_in(folder) if results.exists() else (),
    ):
        records = earlier_records(results, plain, defaults) if goes_on else []
        for folder in options.take:
            have = {(record["palettes"], record["peer"], record.get("seed")) for record in records}
            taken = earlier_records(folder / results.name, plain, defaults)
            records += [each for each in taken if (each["palettes"], each["peer"], each.get("seed")) not in have]
        require_matplotlib()

        config = parser.instantiate(options)
        device = torch.device("cuda" if torch.cuda.is_available() and config.train.device == "auto" else "cpu")
        extractor = load_extractor(device=device)
        for record in compare(options, config, list(records), extractor, device):
            records.append(record)
            write_json(results, {"options": plain, "device": str(device), "records": records})
        write_json(results, {"options": plain, "device": str(device), "records": records})
        text = tables(records)
        write_atomically(options.output / "peers.md", lambda path: path.write_text(text))
        plot(options.output / "peers.png", records)
        print(text)


def check(options: Namespace) -> None:
    """Raise InputError for numbers and names that make no sense."""
    for name in options.peers:
        choose("peer", name, PEERS)
    for name in ("minutes", "seeds", "slices", "times"):
        if not options[name] > 0:  # NaN isn't
            raise InputError(f"--{name} is {options[name]}; it must be above 0")
    most = TIMES if "ddpm" in options.peers else 10**6
    for calls in options.calls:
        if not 1 <= calls <= most:
            raise InputError(f"--calls is {calls}; it must be from 1 to {most}")
    if options.samples < MIN_IMAGES:
        raise InputError(f"--samples is {options.samples}; to be compared, at least {MIN_IMAGES} must be drawn")


def compare(
    options: Namespace,
    config: RunConfig,
    earlier: list[dict[str, Any]],
    extractor: FeatureExtractor,
    device: torch.device,
) -> Iterator[dict[str, Any]]:
    """Train and measure all peers that ``earlier`` has no record of; their records."""
    for palettes in options.palettes:
        data = icons_in(palettes, config.data)
        training, heldout = load_index_maps(data)
        real = extractor(rgba_of(heldout.indices.long(), heldout.palettes))
        here = [record for record in earlier if record["palettes"] == palettes]
        digest = digest_of(heldout)
        if any(record.get("data", digest) != digest for record in here):
            raise InputError(
                f"earlier records with --palettes {palettes} were made with other icons or colors than these"
            )
        known = {(record["peer"], record.get("seed")) for record in here}
        if not known:
            figures = real_figures(extractor, training, real, min(options.samples, len(heldout)))
            yield {"palettes": palettes, "entries": PALETTES[palettes], "data": digest} | figures
        for seed in range(options.seeds):
            trainings = {
                name: start(name, config.model, config.train, training, seed, device)
                for name in options.peers
                if (name, seed) not in known
            }
            curves = take_turns(trainings, heldout, 60 * options.minutes, options.slices)
            for name, each in trainings.items():
                save_weights(options.output / "weights" / f"{palettes}-{name}-{seed}.safetensors", each)
            for name, each in trainings.items():
                memory = peak_memory(name, config.model, config.train, data, device)
                record = {"palettes": palettes, "peer": name, "seed": seed, "peak_mib": memory}
                record |= training_figures(each, heldout, options.times) | {"curve": curves[name]}
                ways = [(sampler, calls) for sampler in each.peer.samplers for calls in options.calls]
                record["drawings"] = []
                for sampler, calls in tqdm(ways, desc=f"{name} draws", leave=False):
                    sheet = options.output / "sheets" / f"{palettes}-{name}-{seed}-{sampler}-{calls}.png"
                    record["drawings"].append(
                        drawing_figures(each, heldout, real, extractor, sampler, calls, options.samples, sheet)
                    )
                yield record


def digest_of(images: IndexMaps) -> str:
    """A digest of index maps and palettes, so that figures of others are refused."""
    parts = (images.indices, images.palettes.colors, images.palettes.valid)
    return hashlib.blake2b(b"".join(part.numpy().tobytes() for part in parts), digest_size=10).hexdigest()


def icons_in(palettes: str, data: DataConfig) -> DataConfig:
    """The icons in a set of palettes of `PALETTES`."""
    entries = PALETTES[palettes]
    return replace(data, source="icons", palette=palettes, min_colors=entries, max_colors=entries)


def save_weights(path: Path, training: PeerTraining) -> None:
    """Keep a peer's averaged weights, so that it can be drawn with in other ways later."""
    weights = {name: value.detach().contiguous() for name, value in training.average.module.state_dict().items()}
    write_atomically(path, lambda temporary: save_file(weights, temporary))


def plain_options(parser: ArgumentParser, options: Namespace) -> dict[str, Any]:
    """Options as values that JSON can hold."""
    plain = json.loads(parser.dump(options, format="json", skip_validation=True))
    return {name: value for name, value in plain.items() if name != "config"}


def earlier_records(path: Path, options: dict[str, Any], defaults: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of a comparison that goes on; an option that it didn't know had its default.

    Raises:
        InputError: there is none, or it was made otherwise, so that its figures can't stand beside
            new ones.
    """
    if not path.is_file():
        raise InputError(f"there is no comparison of peers in {path.parent}")
    earlier = read_json(path)
    if not (isinstance(earlier, dict) and {"options", "records"} <= set(earlier)):
        raise InputError(f"{path} is no comparison of peers")
    free = ("output", "overwrite", "resume", "take", "peers", "palettes", "seeds", "calls")  # a record says its calls
    for name, value in options.items():
        before, default = earlier["options"].get(name), defaults.get(name)
        before = completed(before, default)
        if name not in free and before != value:
            raise InputError(f"{path} was made with another --{name}; it can't be resumed with this one")
    return earlier["records"]


def completed(value: Any, default: Any) -> Any:
    """``value`` with what ``default`` has besides and without what is gone, at every depth."""
    if not isinstance(value, dict) or not isinstance(default, dict):
        return value
    there = {name: each for name, each in value.items() if name not in GONE or each != GONE[name]}
    return default | {name: completed(each, default.get(name)) for name, each in there.items()}


def start(
    name: str, model: DenoiserConfig, train: TrainConfig, training: IndexMaps, seed: int, device: torch.device
) -> PeerTraining:
    """A peer with weights of ``seed``, not yet trained."""
    torch.manual_seed(seed)
    return PeerTraining(PEERS[name](model, training.palettes.mask_index), train, training, seed, device)


def take_turns(
    trainings: dict[str, PeerTraining], heldout: IndexMaps, budget: float, slices: int
) -> dict[str, list[dict[str, float]]]:
    """Train each peer for ``budget`` seconds in turns whose order rotates; the bits over time."""
    names, curves = list(trainings), {name: [] for name in trainings}
    slices = slices if names else 0
    for turn in tqdm(range(slices), desc="turns of training", unit="turn"):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            each = trainings[name]
            each.run(budget * (turn + 1) / slices, budget)
            bits = each.peer.bits_per_pixel(each.average.module, heldout, 1)
            if bits is not None:
                curves[name].append({"minutes": each.seconds / 60, "bits": bits.mean, "stderr": bits.stderr})
    return curves


def training_figures(training: PeerTraining, heldout: IndexMaps, times: int) -> dict[str, Any]:
    """What training came to."""
    bits = training.peer.bits_per_pixel(training.average.module, heldout, times)
    return {
        "parameters": num_parameters(training.peer.network),
        "steps": training.steps,
        "images_per_second": training.steps * training.config.batch_size / training.seconds,
        "bits_per_pixel": None if bits is None else bits.mean,
        "bits_per_pixel_stderr": None if bits is None else bits.stderr,
    }


def drawing_figures(
    training: PeerTraining,
    heldout: IndexMaps,
    real: Tensor,
    extractor: FeatureExtractor,
    sampler: str,
    calls: int,
    samples: int,
    sheet: Path,
) -> dict[str, Any]:
    """What drawings in the held-out icons' palettes are like. Some of them go on a sheet."""
    rows = heldout.random_rows(samples, seed=0)  # the same for all peers
    palettes = heldout.palettes[rows]
    size, network = heldout.indices.shape[-1], training.average.module
    # Whatever is compiled or laid out only once is not timed.
    training.peer.draw(network, palettes[slice(1)], size, 1, sampler, seed=0)
    started = time.perf_counter()
    drawing = training.peer.draw(network, palettes, size, calls, sampler, seed=training.seed)
    seconds = time.perf_counter() - started
    shown = images_of(drawing.indices[:SHOWN], heldout, rows[:SHOWN])
    write_atomically(sheet, contact_sheet(shown, columns=16).save)
    metrics = compare_features(extractor(rgba_of(drawing.indices, palettes)), real)
    figures: dict[str, Any] = {"sampler": sampler, "calls": calls, "images": len(rows)}
    figures |= {"images_per_second": len(rows) / seconds}
    for name in ("frechet", "kernel", "recall"):
        figures |= {name: getattr(metrics, name).value, f"{name}_stderr": getattr(metrics, name).stderr}
    return figures | (off_palette(drawing, palettes) if drawing.rgba is not None else {})


def images_of(indices: Tensor, heldout: IndexMaps, rows: Tensor) -> list[IndexedImage]:
    """Index maps ``[N, H, W]`` in the palettes of the held-out icons at ``rows``."""
    maps = indices.to(torch.uint8).numpy()
    return [IndexedImage(each, heldout.palette(row)) for each, row in zip(maps, rows.tolist(), strict=True)]


def real_figures(extractor: FeatureExtractor, training: IndexMaps, real: Tensor, samples: int) -> dict[str, Any]:
    """What as many training icons get: the floor of every figure of drawings."""
    chosen = training.subset(training.random_rows(samples, seed=0))
    metrics = compare_features(extractor(rgba_of(chosen.indices.long(), chosen.palettes)), real)
    return {"peer": "real", **{name: getattr(metrics, name).value for name in ("frechet", "kernel", "recall")}}


def off_palette(drawing: Drawing, palettes: PaletteBatch) -> dict[str, float]:
    """How far drawn pixels are from the entries that they were quantized to.

    It is the share of pixels that are no entry, and the mean ΔE in OKLab.

    ΔE is over pixels that are opaque on both sides; wherever alpha differs from the entry's, a
    pixel is no entry.
    """
    entries = rgba_of(drawing.indices, palettes)
    transparent = (entries[..., 3] == 0) & (drawing.rgba[..., 3] == 0)
    none = ~((entries == drawing.rgba).all(dim=-1) | transparent)
    opaque = (entries[..., 3] > 0) & (drawing.rgba[..., 3] > 0)
    distance = (srgb_to_oklab(entries[..., :3]) - srgb_to_oklab(drawing.rgba[..., :3])).norm(dim=-1)
    return {"off_palette_share": none.double().mean().item(), "off_palette_distance": distance[opaque].mean().item()}


def rgba_of(indices: Tensor, palettes: PaletteBatch) -> Tensor:
    """What index maps ``[N, H, W]`` show, uint8 ``[N, H, W, 4]``."""
    return torch.stack([colors[each] for colors, each in zip(palettes.colors, indices, strict=True)])


def peak_memory(
    name: str, model: DenoiserConfig, train: TrainConfig, data: DataConfig, device: torch.device
) -> float | None:
    """MiB that a training step needs at most, with weights and optimizer; None if unknown.

    It is measured in a process of its own.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        mib = pool.submit(_memory_of_steps, name, model, train, data, device).result()
    return None if math.isnan(mib) else mib


def _memory_of_steps(
    name: str, model: DenoiserConfig, train: TrainConfig, data: DataConfig, device: torch.device
) -> float:
    training, _ = load_index_maps(data)

    def run() -> None:
        each = start(name, model, train, training, 0, device)
        for _ in range(MEMORY_STEPS):
            each.step(0.5)

    mib = process_memory(run)[0]
    return torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else mib


if __name__ == "__main__":
    cli.run(main)
