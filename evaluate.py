"""Judge a trained model by its likelihood and by what it draws.

`python evaluate.py --checkpoint runs/demo/model --output runs/demo/evaluation.json`
"""

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch

from tincture.common import cli
from tincture.common.errors import InputError, Range
from tincture.common.files import finite, write_atomically, write_json
from tincture.common.options import OneOf, add_options, read_options
from tincture.common.output_folder import claim_output_file, claimed
from tincture.common.plotting import require_matplotlib
from tincture.common.processes import leave_group, processes
from tincture.controls.options import COUNT, Sampling
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.data.sources import DataConfig
from tincture.diffusion.draws import Streams
from tincture.diffusion.likelihood import mean_and_stderr
from tincture.evaluation.bootstrap import Measured
from tincture.evaluation.copies import closest_pairs, nearest_of_their_size, places_by_size
from tincture.evaluation.feature_metrics import MIN_IMAGES
from tincture.evaluation.features import EXTRACTORS, FeatureExtractor, load_extractor
from tincture.evaluation.figures import plot_agreement, plot_bits_over_time, plot_scalars
from tincture.evaluation.heldout import exact_estimates, heldout_estimates
from tincture.evaluation.report import Scalars, copy_scalars, features_of, image_scalars, named, table
from tincture.evaluation.words import Probe, common_things, shown_things
from tincture.models.text import words_in
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.encoding import encode
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.contact_sheet import contact_sheet
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.training.run_config import TrainConfig
from tincture.training.tracking import start_wandb

if TYPE_CHECKING:
    from accelerate import PartialState

METRICS = ("bits-per-pixel", "exact-bits-per-pixel", "images", "memorization", "words")
DEFAULT_METRICS = ("bits-per-pixel", "images", "memorization")
"""What every model has. Exact bits need a process with a mask, and a call for each pixel. Words
need a model that knows some."""


@dataclass(frozen=True)
class Files:
    """Files and machine.

    Args:
        checkpoint: folder that train.py wrote.
        output: JSON file.
        data: the data set that it was trained on; where its config says if left out. A published
            model's config names no folders.
        plots: folder for figures and the closest pairs of drawn and training images.
        overwrite: replace the file, and the figures of that folder.
        device: where to measure; auto takes a GPU if there is one.
        wandb: log to Weights & Biases, online where logged in, else offline.
        wandb_project: the project there.
    """

    checkpoint: Path
    output: Path
    data: str | None = None
    plots: Path | None = None
    overwrite: bool = False
    device: Literal["auto", "cpu"] = "auto"
    wandb: bool = False
    wandb_project: str = "tincture"


@dataclass(frozen=True)
class Measuring:
    """What is measured, and on how much.

    Args:
        metrics: what to measure.
        split: the pictures to compare with.
        num_samples: images to draw, each in the palette and at the size of one of those pictures.
        palettes: names or files of palettes in which as many are drawn besides, to be compared with
            those pictures moved to the same palettes.
        times: corruptions of each picture for its bits per pixel.
        orders: orders of its pixels for each picture's exact bits per pixel.
        exact_images: pictures whose exact bits per pixel are measured.
        extractor: the network of the features.

    Raises:
        InputError: too few images are to be drawn for the metric images.
    """

    metrics: Annotated[list[str], OneOf(METRICS)] = field(default_factory=lambda: list(DEFAULT_METRICS))
    split: Literal["heldout", "train"] = "heldout"
    num_samples: Annotated[int, COUNT] = 256
    palettes: list[str] = field(default_factory=list)
    times: Annotated[int, COUNT] = 8
    orders: Annotated[int, COUNT] = 4
    exact_images: Annotated[int, Range(2, COUNT.high)] = 32
    extractor: Annotated[str, OneOf(EXTRACTORS)] = "efficientnet-lite0"

    def __post_init__(self) -> None:
        if "images" in self.metrics and self.num_samples < MIN_IMAGES:
            raise InputError(
                f"--num-samples is {self.num_samples}; to be compared, at least {MIN_IMAGES} must be drawn"
            )
        if self.palettes and "images" not in self.metrics:
            raise InputError("--palettes are for the metric images: add it to --metrics, or leave them out")


@dataclass(frozen=True)
class Options:
    """Every option of the command."""

    files: Files
    measuring: Measuring
    sampling: Sampling


FLAGS = {each.name for group in (Files, Measuring, Sampling) for each in fields(group)}
FLAGS -= {"sampler_options", "grid", "batch_size"}  # drawings are compared by each sampler's own settings


def main(arguments: list[str]) -> None:
    """Parse, evaluate."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    add_options(parser, Options, only=FLAGS)
    parsed = parser.parse_args(arguments)
    options = read_options(Options, parsed)
    files = options.files
    claim_output_file(files.output, files.overwrite)
    if files.plots:
        require_matplotlib()
    state = processes(files.device == "cpu")
    with claimed(files.plots, files.overwrite) if files.plots and state.is_main_process else nullcontext():
        evaluate(options, state, cli.describe_run(parsed))


def evaluate(options: Options, state: "PartialState", record: dict[str, Any]) -> None:
    """Measure, write, report.

    Args:
        options: what was asked for.
        state: this process among those that evaluate together.
        record: what is written besides the figures.
    """
    files, measuring, seed = options.files, options.measuring, options.sampling.seed

    # ---- Load the model and both sides of its data. What is missing is said before the work ----
    pipeline = PaletteDiffusionPipeline.from_pretrained(files.checkpoint)
    pipeline.denoiser.to(state.device)
    if options.sampling.sampler is not None:
        pipeline.scheduler.with_changes(sampler=options.sampling.sampler, sampler_options={})  # may not fit the process
    given = [read_palette(name) for name in measuring.palettes]
    data, train = saved_config(files.checkpoint, files.data)
    with state.local_main_process_first():  # the others find the encoded set in the cache
        training, heldout = load_index_maps(data)
    reference, other = (heldout, training) if measuring.split == "heldout" else (training, heldout)
    check_metrics(measuring, pipeline, training, heldout)
    things = common_things(training.captions) if "words" in measuring.metrics else {}
    extractor = load_extractor(measuring.extractor) if {"images", "words"} & set(measuring.metrics) else None
    sides = {"training_images": len(training), "heldout_images": len(heldout)}

    # ---- Measure the likelihood, and draw: all processes share this work ----
    started = time.perf_counter()
    scalars, samples, figures = likelihood(pipeline, reference, options)
    samples |= {f"sampled_{name}": count for name, count in sides.items()} if data.streaming else sides
    if {"images", "memorization"} & set(measuring.metrics):
        pictures = reference.pictures(reference.random_rows(len(reference), seed))
        like = [pictures[number % len(pictures)] for number in range(measuring.num_samples)]
        drawn = draw(pipeline, like, [picture.palette for picture in like], options.sampling)
        samples |= {"drawn_images": len(drawn)}
    if given:
        drawn_in_given = draw(pipeline, like, in_turn(given, len(like)), options.sampling)
    if "words" in measuring.metrics:
        asked, of_captions = draw_captions(pipeline, reference, things, options)
        samples |= {"captions": len(asked)}
    leave_group()
    if not state.is_main_process:
        return

    # ---- Compare what was drawn ----
    if "words" in measuring.metrics:
        scalars |= recognition(training, asked, of_captions, things, extractor)
    if "images" in measuring.metrics:
        others = other.pictures(other.random_rows(len(drawn), seed))
        scalars |= image_scalars(drawn, pictures, others, extractor, seed)
        samples |= {"reference_images": len(pictures), "floor_images": len(others)}
    if given:
        moved = [moved_to(side, in_turn(given, len(side))) for side in (pictures, others)]
        in_given = image_scalars(drawn_in_given, *moved, extractor, seed)
        scalars |= {f"palettes/{name}": value for name, value in in_given.items()}
    if "memorization" in measuring.metrics:
        copied, shown = memorization(drawn, training, heldout, train, options)
        scalars |= copied
        figures += shown

    # ---- Write and report ----
    record |= {"samples": samples, "seconds": round(time.perf_counter() - started, 2), "metrics": finite(scalars)}
    report(files, record, scalars, figures)


def check_metrics(
    measuring: Measuring, pipeline: PaletteDiffusionPipeline, training: IndexMaps, heldout: IndexMaps
) -> None:
    """Raise InputError for a metric that the model or its data don't have."""
    if "images" in measuring.metrics and min(len(training), len(heldout)) < MIN_IMAGES:
        raise InputError(
            f"the metric images compares with at least {MIN_IMAGES} pictures on each side of the split, and there are "
            f"{len(training)} for training and {len(heldout)} held out: leave it out with --metrics bits-per-pixel memorization"
        )
    if "words" in measuring.metrics and pipeline.denoiser.text is None:
        raise InputError("the metric words is for models that know words; this one was trained without: leave it out")


def report(files: Files, record: dict[str, Any], scalars: Scalars, figures: list[Path]) -> None:
    """Print what was measured, write it, log it."""
    if files.plots:
        figures.append(files.plots / "metrics.png")
        plot_scalars(figures[-1], scalars)
    print(table(scalars))
    print(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in record["samples"].items()))
    write_json(files.output, record)
    if files.wandb:
        log_to_wandb(files, record, figures)
    print(f"written to {files.output}" + (f", pictures to {files.plots}" if files.plots else ""))


def draw(
    pipeline: PaletteDiffusionPipeline,
    like: list[IndexedImage],
    palettes: list[Palette],
    sampling: Sampling,
    prompts: list[str] | None = None,
) -> list[IndexedImage]:
    """Draw an image in each palette, of each prompt, as large as the picture that it is ``like``.

    All processes share this work, and all get all images. Image i depends on the seed and i alone.
    """
    streams = Streams.of(sampling.seed, range(len(like)), pipeline.denoiser.device)
    drawn: dict[int, IndexedImage] = {}
    for (height, width), places in places_by_size(like).items():
        own, size = [palettes[place] for place in places], {"height": height, "width": width}
        of_size = {"generator": streams[torch.tensor(places)], "distributed": True, **size}
        of_size["prompt"] = None if prompts is None else [prompts[place] for place in places]
        images = pipeline(len(places), own, sampling, **of_size).images
        drawn |= zip(places, images, strict=True)
    return [drawn[place] for place in range(len(like))]


def in_turn(palettes: list[Palette], count: int) -> list[Palette]:
    """So many palettes, one after the other and again from the first."""
    return [palettes[number % len(palettes)] for number in range(count)]


def moved_to(pictures: list[IndexedImage], palettes: list[Palette]) -> list[IndexedImage]:
    """Each picture in its palette, every pixel at the nearest entry."""
    return [
        IndexedImage(encode(picture.to_rgba(), palette), palette)
        for picture, palette in zip(pictures, palettes, strict=True)
    ]


def draw_captions(
    pipeline: PaletteDiffusionPipeline, reference: IndexMaps, things: Mapping[str, int], options: Options
) -> tuple[IndexMaps, dict[str, list[IndexedImage]]]:
    """Draw the captions of pictures that show one of the ``things``, in these pictures' palettes.

    Returns:
        The pictures; and drawings by name, with their captions as prompts and without.
    """
    rows = reference.random_rows(len(reference), options.sampling.seed)
    rows = rows[shown_things(reference.captions, things)[rows] >= 0][: options.measuring.num_samples]
    if len(rows) == 0:
        raise InputError(f"the metric words finds none of {', '.join(things)} in captions of that split: leave it out")
    asked, vocabulary = reference.subset(rows), pipeline.denoiser.text.vocabulary
    like = asked.pictures(torch.arange(len(asked)))
    known = [" ".join(filter(vocabulary.find, words_in(caption))) for caption in asked.captions]
    where = pipeline, like, [picture.palette for picture in like], options.sampling
    return asked, {"recognized": draw(*where, known), "recognized_unprompted": draw(*where)}


def recognition(
    training: IndexMaps,
    asked: IndexMaps,
    drawn: Mapping[str, list[IndexedImage]],
    things: Mapping[str, int],
    extractor: FeatureExtractor,
) -> Scalars:
    """How often a probe sees the things of captions, in pictures that show them and in drawings."""
    learned, real = (side.pictures(torch.arange(len(side))) for side in (training, asked))
    probe = Probe(features_of(learned, extractor), shown_things(training.captions, things))
    shown = shown_things(asked.captions, things)
    scalars: Scalars = {}
    for name, images in {**drawn, "recognized_real": real}.items():
        scalars |= named(f"words/{name}", probe.recognized(features_of(images, extractor), shown))
    return scalars


def likelihood(
    pipeline: PaletteDiffusionPipeline, reference: IndexMaps, options: Options
) -> tuple[Scalars, dict[str, int], list[Path]]:
    """Bits per pixel of ``reference``, the bound and the exact figure as asked for.

    Returns:
        The scalars, on how many draws they were measured, and the figures that were drawn.
    """
    process, measuring, seed = pipeline.scheduler.process, options.measuring, options.sampling.seed
    scalars: Scalars = {}
    samples: dict[str, int] = {}
    figures: list[Path] = []
    if "exact-bits-per-pixel" in measuring.metrics:  # first, because it may not fit the process
        rows = reference.random_rows(measuring.exact_images, seed)
        exact = exact_estimates(
            pipeline.denoiser, process, reference.subset(rows), measuring.orders, seed=seed, distributed=True
        )
        scalars |= named(f"{measuring.split}/exact_bits_per_pixel", Measured(*mean_and_stderr(exact.mean)))
        scalars |= named(f"{measuring.split}/exact_bits_per_pixel_mixture", Measured(*mean_and_stderr(exact.mixture)))
        samples |= {"exact_images": len(rows), "exact_orders": measuring.orders}
    if {"bits-per-pixel", "words"} & set(measuring.metrics):
        measured = pipeline.denoiser, process, reference, measuring.times
        estimates = heldout_estimates(*measured, seed=seed, distributed=True)
        scalars |= named(f"{measuring.split}/bits_per_pixel", Measured(*estimates.result()))
        samples |= {"bits_per_pixel_times": measuring.times}
        if "words" in measuring.metrics:  # the same corruptions, so that the difference is exact
            told = heldout_estimates(*measured, told="caption", seed=seed, distributed=True)
            saved = (estimates.bits - told.bits).mean(dim=0)
            scalars |= named("words/bits_saved", Measured(*mean_and_stderr(saved)))
        if options.files.plots and processes().is_main_process:
            figures.append(options.files.plots / "bits-over-time.png")
            plot_bits_over_time(figures[-1], estimates)
    return scalars, samples, figures


def memorization(
    drawn: list[IndexedImage], training: IndexMaps, heldout: IndexMaps, train: TrainConfig, options: Options
) -> tuple[Scalars, list[Path]]:
    """How near drawn images are to training pictures, mirrored and moved as ``train`` showed them.

    Returns:
        The scalars, and the figures that were drawn if there is a folder for them.
    """
    ways = {"max_shift": max(1, train.shift), "mirrored": train.mirror > 0}
    nearest = nearest_of_their_size(drawn, training, **ways)
    control = nearest_of_their_size(heldout.pictures(torch.arange(len(heldout))), training, **ways)
    scalars = copy_scalars(nearest, control, options.sampling.seed)
    folder = options.files.plots
    if not folder:
        return scalars, []
    figures = [folder / "agreement.png", folder / "closest-pairs.png"]
    threshold = scalars.get("memorization/heldout_99th_percentile")
    plot_agreement(figures[0], nearest.agreement, control.agreement, threshold)
    closest = closest_pairs(drawn, nearest, training)
    write_atomically(figures[1], contact_sheet(closest, columns=len(closest) // 2).save)
    return scalars, figures


def log_to_wandb(files: Files, record: dict[str, Any], figures: list[Path]) -> None:
    """Log one run with the scalars and the figures."""
    import wandb  # takes a second to import, so only where it is wanted

    run = start_wandb(files.output.parent, record["options"], files.wandb_project, job_type="evaluate")
    run.log(
        {name: value for name, value in record["metrics"].items() if value is not None}
        | {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
    )
    run.summary.update({f"samples/{name}": count for name, count in record["samples"].items()})
    run.finish()


def saved_config(checkpoint: Path, path: str | None = None) -> tuple[DataConfig, TrainConfig]:
    """The data set that a model was trained on, and how its pictures were mirrored and moved.

    ``path`` says where the data are, if not where the config says. The rest of the training config
    has its defaults.

    Raises:
        InputError: the folder holds no config of a run, or a broken one.
    """
    file = checkpoint / "config.yaml"
    if not file.is_file():
        raise InputError(f"there is no config.yaml in {checkpoint}: give the folder that train.py wrote")
    parser = cli.make_parser("")
    parser.add_class_arguments(DataConfig, "data")
    parser.add_class_arguments(TrainConfig, "train")
    values = cli.read_config(file, parser)
    if "data" not in values:
        raise InputError(f"{file} doesn't say which data the model was trained on")
    given = {} if path is None else {"path": path}
    moved = {name: value for name, value in values.get("train", {}).items() if name in ("mirror", "shift")}
    config = parser.instantiate(parser.parse_object({"data": values["data"] | given, "train": moved}))
    return config.data, config.train


if __name__ == "__main__":
    cli.run(main)
