"""Judge a trained model: `python evaluate.py --checkpoint runs/demo/model --output runs/demo/evaluation.json`."""

import time
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import PartialState
from jsonargparse import Namespace

from tincture.common import cli
from tincture.common.errors import InputError
from tincture.common.files import finite, write_atomically, write_json
from tincture.common.options import add_options, read_options
from tincture.common.output_folder import claim_output_file, claimed
from tincture.common.plotting import require_matplotlib
from tincture.common.processes import leave_group, processes
from tincture.controls.options import Sampling
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.data.sources import DataConfig
from tincture.diffusion.likelihood import mean_and_stderr
from tincture.evaluation.bootstrap import Measured
from tincture.evaluation.copies import closest_pairs, nearest_training
from tincture.evaluation.feature_metrics import MIN_IMAGES
from tincture.evaluation.features import EXTRACTORS, load_extractor
from tincture.evaluation.figures import plot_agreement, plot_bits_over_time, plot_scalars
from tincture.evaluation.heldout import exact_estimates, heldout_estimates
from tincture.evaluation.report import Scalars, copy_scalars, image_scalars, named, table
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.pipelines.sheet import contact_sheet
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.training.run_config import TrainConfig
from tincture.training.tracking import start_wandb

METRICS = ("bits-per-pixel", "exact-bits-per-pixel", "images", "memorization")
DEFAULT_METRICS = ("bits-per-pixel", "images", "memorization")
"""What every model has; exact bits are for processes with a mask, and take as many calls as there are pixels."""


def main(arguments: list[str]) -> None:
    """Parse, evaluate."""
    options = parse(arguments)
    state = processes(options.device == "cpu")
    with claimed(options.plots, options.overwrite) if options.plots and state.is_main_process else nullcontext():
        evaluate(options, state)


def evaluate(options: Namespace, state: PartialState) -> None:
    """Measure, write, report; ``state`` is this process among those that evaluate."""
    pipeline = PaletteDiffusionPipeline.from_pretrained(options.checkpoint)
    pipeline.denoiser.to(state.device)
    if options.sampler is not None:
        pipeline.scheduler.with_changes(
            sampler=options.sampler, sampler_options={}
        )  # its complaints come before the work
    data, train = saved_config(options.checkpoint)
    with state.local_main_process_first():  # the others find the encoded set in the cache
        training, heldout = load_index_maps(data)
    reference, other = (heldout, training) if options.split == "heldout" else (training, heldout)
    if "images" in options.metrics and min(len(reference), len(other)) < MIN_IMAGES:
        raise InputError(
            f"the metric images compares with at least {MIN_IMAGES} pictures on each side of the split, and there are "
            f"{len(training)} for training and {len(heldout)} held out: leave it out with --metrics bits-per-pixel memorization"
        )
    # What it lacks is said before the work, and to every process.
    extractor = load_extractor(options.extractor) if "images" in options.metrics else None
    started = time.perf_counter()
    scalars, samples, figures = likelihood(pipeline, reference, options)
    sides = {"training_images": len(training), "heldout_images": len(heldout)}
    samples |= {f"sampled_{name}": count for name, count in sides.items()} if data.streaming else sides
    if {"images", "memorization"} & set(options.metrics):
        pictures = reference.pictures(reference.random_rows(len(reference), options.seed))
        drawn = draw(pipeline, pictures, options)
        samples |= {"drawn_images": len(drawn)}
    leave_group()
    if not state.is_main_process:
        return
    if extractor is not None:
        others = other.pictures(other.random_rows(len(drawn), options.seed))
        scalars |= image_scalars(drawn, pictures, others, extractor, options.seed)
        samples |= {"reference_images": len(pictures), "floor_images": len(others)}
    if "memorization" in options.metrics:
        copied, shown = memorization(drawn, training, heldout, train, options)
        scalars |= copied
        figures += shown

    seconds = round(time.perf_counter() - started, 2)
    if options.plots:
        figures.append(options.plots / "metrics.png")
        plot_scalars(figures[-1], scalars)
    record = {**cli.describe_run(options), "samples": samples, "seconds": seconds, "metrics": finite(scalars)}
    print(table(scalars))
    print(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in samples.items()))
    write_json(options.output, record)
    if options.wandb:
        log_to_wandb(options, record, figures)
    print(f"written to {options.output}" + (f", pictures to {options.plots}" if options.plots else ""))


def parse(arguments: list[str]) -> Namespace:
    """The options.

    Raises:
        InputError: something would be overwritten, a number is out of range, or a package is
            missing.
    """
    parser = cli.make_parser("Judge a trained model by its likelihood and by what it draws.")
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="folder that train.py wrote")
    add("--output", type=Path, required=True, help="JSON file")
    add("--plots", type=Path | None, default=None, help="folder for figures and the closest pairs, drawn and trained")
    add("--overwrite", action="store_true", help="replace the file, and the figures of that folder")
    add("--metrics", nargs="+", default=list(DEFAULT_METRICS), choices=list(METRICS), help="what to measure")
    add("--split", default="heldout", choices=["heldout", "train"], help="the pictures to compare with")
    add("--num-samples", type=int, default=256, help="images to draw, each in the palette of one of those pictures")
    add("--times", type=int, default=8, help="corruptions of each picture for its bits per pixel")
    add("--orders", type=int, default=4, help="orders of its pixels for each picture's exact bits per pixel")
    add("--exact-images", type=int, default=32, help="pictures whose exact bits per pixel are measured")
    add("--extractor", default="efficientnet-lite0", choices=list(EXTRACTORS), help="the network of the features")
    add_options(parser, Sampling, only=("steps", "sampler", "temperature", "top_p"))
    add("--seed", type=int, default=0, help="of the drawn images, corruptions and standard errors")
    add("--device", default="auto", choices=["auto", "cpu"], help="where to measure; auto takes a GPU if there is one")
    add("--wandb", action="store_true", help="log to Weights & Biases: online where logged in, else offline")
    add("--wandb-project", default="tincture", help="the project there")
    options = parser.parse_args(arguments)
    claim_output_file(options.output, options.overwrite)
    if options.plots:
        require_matplotlib()
    if "images" in options.metrics and options.num_samples < MIN_IMAGES:
        raise InputError(f"--num-samples is {options.num_samples}; to be compared, at least {MIN_IMAGES} must be drawn")
    for name, least in (("num_samples", 1), ("times", 1), ("orders", 1), ("exact_images", 2)):
        if options[name] < least:
            raise InputError(f"--{name.replace('_', '-')} is {options[name]}; it must be at least {least}")
    read_options(Sampling, options)
    return options


def likelihood(
    pipeline: PaletteDiffusionPipeline, reference: IndexMaps, options: Namespace
) -> tuple[Scalars, dict[str, int], list[Path]]:
    """Bits per pixel of ``reference``, bound and exact as asked for, from how many draws, and the figures of it."""
    process = pipeline.scheduler.process
    scalars: Scalars = {}
    samples: dict[str, int] = {}
    figures: list[Path] = []
    if "exact-bits-per-pixel" in options.metrics:  # first, because it may not fit the process
        rows = reference.random_rows(options.exact_images, options.seed)
        exact = exact_estimates(
            pipeline.denoiser, process, reference.subset(rows), options.orders, seed=options.seed, distributed=True
        )
        scalars |= named(f"{options.split}/exact_bits_per_pixel", Measured(*mean_and_stderr(exact.mean)))
        scalars |= named(f"{options.split}/exact_bits_per_pixel_mixture", Measured(*mean_and_stderr(exact.mixture)))
        samples |= {"exact_images": len(rows), "exact_orders": options.orders}
    if "bits-per-pixel" in options.metrics:
        estimates = heldout_estimates(
            pipeline.denoiser, process, reference, options.times, seed=options.seed, distributed=True
        )
        scalars |= named(f"{options.split}/bits_per_pixel", Measured(*estimates.result()))
        samples |= {"bits_per_pixel_times": options.times}
        if options.plots and processes().is_main_process:
            figures.append(options.plots / "bits-over-time.png")
            plot_bits_over_time(figures[-1], estimates)
    return scalars, samples, figures


def draw(pipeline: PaletteDiffusionPipeline, pictures: list[IndexedImage], options: Namespace) -> list[IndexedImage]:
    """``--num-samples`` images, in the palettes of ``pictures`` in turn."""
    return pipeline(
        num_images=options.num_samples,
        palette=[pictures[number % len(pictures)].palette for number in range(options.num_samples)],
        sampling=read_options(Sampling, options),
        distributed=True,
    ).images


def memorization(
    drawn: list[IndexedImage], training: IndexMaps, heldout: IndexMaps, train: TrainConfig, options: Namespace
) -> tuple[Scalars, list[Path]]:
    """How near drawn images are to training pictures as ``train`` showed them, and the figures of it if ``--plots`` is given."""
    indices = torch.stack([torch.from_numpy(image.indices.copy()) for image in drawn])
    ways = {"max_shift": max(1, train.shift), "mirrored": train.mirror > 0}
    nearest = nearest_training(indices, training.indices, **ways)
    control = nearest_training(heldout.indices, training.indices, **ways)
    scalars = copy_scalars(nearest, control, options.seed)
    if not options.plots:
        return scalars, []
    figures = [options.plots / "agreement.png", options.plots / "closest-pairs.png"]
    threshold = scalars.get("memorization/heldout_99th_percentile")
    plot_agreement(figures[0], nearest.agreement, control.agreement, threshold)
    closest = closest_pairs(drawn, nearest, training)
    write_atomically(figures[1], contact_sheet(closest, columns=len(closest) // 2).save)
    return scalars, figures


def log_to_wandb(options: Namespace, record: dict, figures: list[Path]) -> None:
    """One run with the scalars and the figures."""
    import wandb  # takes a second to import, so only where it is wanted

    run = start_wandb(options.output.parent, record["options"], options.wandb_project, job_type="evaluate")
    run.log(
        {name: value for name, value in record["metrics"].items() if value is not None}
        | {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
    )
    run.summary.update({f"samples/{name}": count for name, count in record["samples"].items()})
    run.finish()


def saved_config(checkpoint: Path) -> tuple[DataConfig, TrainConfig]:
    """The data set that a model was trained on, and how its pictures were mirrored and moved (the rest of training is default).

    Raises:
        InputError: the folder holds no config of a run, or a broken one.
    """
    path = checkpoint / "config.yaml"
    if not path.is_file():
        raise InputError(f"there is no config.yaml in {checkpoint}: give the folder that train.py wrote")
    parser = cli.make_parser("")
    parser.add_class_arguments(DataConfig, "data")
    parser.add_class_arguments(TrainConfig, "train")
    values = cli.read_config(path, parser)
    if "data" not in values:
        raise InputError(f"{path} doesn't say which data the model was trained on")
    moved = {name: value for name, value in values.get("train", {}).items() if name in ("mirror", "shift")}
    config = parser.instantiate(parser.parse_object({"data": values["data"], "train": moved}))
    return config.data, config.train


if __name__ == "__main__":
    cli.run(main)
