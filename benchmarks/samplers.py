"""Image quality against the number of network calls: the table of docs/results/experiments.md.

`python -m benchmarks.samplers --checkpoint runs/demo/model --judge runs/judge --output FILE.json`.
The judge, if there is one, is a model that was trained on the same data from another seed. It
should need as many bits for drawn images as for held-out ones. If it needs more, the images are
strange to it. If it needs fewer, they are simpler than real ones.
"""

import time
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from tincture.benchmarks.tables import heading, row, with_error
from tincture.common import cli
from tincture.common.files import write_json
from tincture.controls.options import Sampling
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.data.sources import DataConfig
from tincture.diffusion.samplers import SAMPLERS
from tincture.diffusion.scheduler import sampler_names
from tincture.evaluation.feature_metrics import compare_features
from tincture.evaluation.features import load_extractor
from tincture.evaluation.heldout import heldout_estimates
from tincture.evaluation.report import rgba_of
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

JUDGE_TIMES = 8
SHOWN = {"kernel": "kernel × 1,000", "frechet": "Fréchet", "precision": "precision", "recall": "recall"}
"""What the table has of the features' metrics."""


@dataclass(frozen=True)
class Way:
    """A way to draw: a sampler, its options and its grid of times."""

    name: str
    sampler: str
    options: dict[str, float] = field(default_factory=dict)
    grid: str | None = None

    def steps(self, calls: int) -> int:
        """How many steps take ``calls`` calls of the network."""
        return calls // SAMPLERS[self.sampler].calls_per_step(self.options)


REPLANNED = {"choice_temperature": 9.0, "replanning": 2.0}

WAYS = [
    Way("ancestral", "ancestral"),
    Way("ancestral, cosine grid", "ancestral", grid="cosine"),
    Way("ancestral, fitted grid", "ancestral", grid="fitted"),
    Way("ancestral, one corrector step each", "ancestral", {"corrector_steps": 1}),
    Way("first-hitting", "first-hitting"),
    Way("confidence, cosine grid", "confidence", grid="cosine"),
    Way("confidence, temperature 1, cosine grid", "confidence", {"choice_temperature": 1.0}, "cosine"),
    Way("confidence, temperature 9, replanning 2", "confidence", REPLANNED),
    Way("confidence, temperature 9, replanning 2, fitted grid", "confidence", REPLANNED, "fitted"),
    Way("halton, fitted grid", "halton", grid="fitted"),
    Way("lattice, fitted grid", "lattice", grid="fitted"),
    Way("entropy-bounded, γ 0.1, cosine grid", "entropy-bounded", {"entropy_bound": 0.1}, "cosine"),
    Way("entropy-bounded, γ 1, cosine grid", "entropy-bounded", {"entropy_bound": 1.0}, "cosine"),
    Way("remasking, rate 1", "remasking", {"remasking_rate": 1.0}),
    Way("remasking, rate 4", "remasking", {"remasking_rate": 4.0}),
    Way("remasking, rate 16", "remasking", {"remasking_rate": 16.0}),
    Way("stratified-hazard", "stratified-hazard"),
]


def main(arguments: list[str]) -> None:
    """Draw in each way with each number of calls, judge, print."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    add = parser.add_argument
    add("--checkpoint", type=Path, nargs="+", required=True, help="the models that draw")
    add("--judge", type=Path | None, default=None, help="the model that judges likelihood; nobody if left out")
    add("--output", type=Path, required=True, help="JSON of the figures")
    add("--calls", type=list[int], default=[4, 8, 16, 32, 64, 256], help="network calls for each image, at most")
    add("--ways", type=list[str] | None, default=None, help="names of ways to draw; all that fit if left out")
    add("--num-images", type=int, default=467, help="images to draw in each way, in palettes of held-out icons")
    add("--seed", type=int, default=0, help="of the drawn images")
    options = parser.parse_args(arguments)

    _, heldout = load_index_maps(DataConfig(palette="own", min_colors=16, max_colors=16))
    extractor = load_extractor("efficientnet-lite0")
    real = extractor(rgba_of([IndexedImage(x.numpy(), heldout.palette(n)) for n, x in enumerate(heldout.indices)]))
    judge = None if options.judge is None else PaletteDiffusionPipeline.from_pretrained(options.judge)
    if judge is not None:
        bits = heldout_estimates(judge.denoiser, judge.scheduler.process, heldout, JUDGE_TIMES).result()
        print(f"held-out icons cost the judge {with_error(*bits, 3)} bits a pixel\n")
    columns = [*SHOWN.values()] + ["judge's bits"] * (judge is not None)
    print(heading("model", "sampler", "calls, at most", "calls", "seconds", *columns), flush=True)
    chosen = heldout.subset(heldout.random_rows(options.num_images, seed=0))
    palettes = [chosen.palette(n) for n in range(len(chosen))]
    records = []
    for checkpoint in options.checkpoint:
        pipeline = PaletteDiffusionPipeline.from_pretrained(checkpoint)
        pipeline.set_progress_bar_config(disable=True)
        fitting = [way for way in WAYS if way.sampler in sampler_names(pipeline.scheduler.process)]
        ways = [way for way in fitting if options.ways is None or way.name in options.ways]
        for way, calls in tqdm(list(product(ways, options.calls)), desc=checkpoint.name, leave=False):
            started = time.perf_counter()
            images, used = draw(pipeline, palettes, way, calls, options.seed)
            seconds = time.perf_counter() - started
            metrics = compare_features(extractor(rgba_of(images)), real)
            records.append(
                {"model": checkpoint.name, "way": way.name, "calls": calls, "used": used, "seconds": seconds}
            )
            records[-1] |= {name: getattr(metrics, name)._asdict() for name in SHOWN}
            cells = [with_error(*getattr(metrics, name), 1 if name in ("kernel", "frechet") else 2) for name in SHOWN]
            if judge is not None:
                drawn = as_index_maps(images, chosen)
                bits = heldout_estimates(judge.denoiser, judge.scheduler.process, drawn, JUDGE_TIMES).result()
                records[-1]["judge"] = bits._asdict()
                cells.append(with_error(*bits, 3))
            print(row(checkpoint.name, way.name, calls, f"{used:.1f}", f"{seconds:.0f}", *cells), flush=True)
            write_json(options.output, {"options": cli.plain_options(options), "records": records})


def draw(
    pipeline: PaletteDiffusionPipeline, palettes: list[Palette], way: Way, calls: int, seed: int
) -> tuple[list[IndexedImage], float]:
    """One image in each palette, and the calls of the network for each."""
    drawn = pipeline(
        num_images=len(palettes),
        palette=palettes,
        sampling=Sampling(way.steps(calls), seed, way.sampler, way.options, way.grid),
    )
    return drawn.images, drawn.image_calls / len(palettes)


def as_index_maps(images: list[IndexedImage], heldout: IndexMaps) -> IndexMaps:
    """The drawn images in the place of the held-out ones, whose palettes they have."""
    return replace(heldout, indices=torch.from_numpy(np.stack([image.indices for image in images])))


if __name__ == "__main__":
    cli.run(main)
