"""Judge a trained model by its likelihood and by what it draws.

`python evaluate.py --checkpoint runs/demo/model --output runs/demo/evaluation.json`
"""

import time
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace

from tincture.common import cli
from tincture.common.files import finite, write_json
from tincture.common.options import add_options, read_options
from tincture.common.output_folder import claim_output_file, claimed
from tincture.common.plotting import require_matplotlib
from tincture.common.processes import is_first_process, leave_group, processes
from tincture.controls.options import Sampling
from tincture.data.sources import DataConfig
from tincture.evaluation.options import Measuring
from tincture.pipelines.folders import model_in
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.training.run_config import TrainConfig, saved_config


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
    model_in(files.checkpoint)
    saved = saved_config(files.checkpoint, files.data)
    given = [read_palette(name) for name in options.measuring.palettes]
    given = [palette.with_transparency() for palette in given] if options.measuring.transparent else given
    with claimed(files.plots, files.overwrite) if files.plots and is_first_process() else nullcontext():
        evaluate(options, given, *saved, parsed)


def evaluate(  # noqa: PLR0915  # one evaluation, top to bottom
    options: Options, given: list[Palette], data: DataConfig, train: TrainConfig, parsed: Namespace
) -> None:
    """Measure, write, report.

    Args:
        options: what was asked for.
        given: palettes in which is drawn besides.
        data: what the model was trained on.
        train: how its pictures were mirrored and moved.
        parsed: the options as they are recorded.
    """
    from tincture.data.index_maps import load_index_maps  # torch and diffusers take seconds
    from tincture.evaluation.features import load_extractor
    from tincture.evaluation.measuring import (
        check_metrics,
        draw,
        draw_captions,
        likelihood,
        memorization,
        moved_to,
        recognition,
    )
    from tincture.evaluation.report import image_scalars
    from tincture.evaluation.words import common_things
    from tincture.pipelines.drawing import in_turn
    from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline

    files, measuring, seed = options.files, options.measuring, options.sampling.seed
    state = processes(files.device == "cpu")
    record = cli.describe_run(parsed)

    # ---- Load the model and both sides of its data. What is missing is said before the work ----
    pipeline = PaletteDiffusionPipeline.from_pretrained(files.checkpoint)
    pipeline.denoiser.to(state.device)
    if options.sampling.sampler is not None:
        pipeline.scheduler.with_changes(sampler=options.sampling.sampler, sampler_options={})  # may not fit the process
    with state.local_main_process_first():  # the others find the encoded set in the cache
        training, heldout = load_index_maps(data)
    reference, other = (heldout, training) if measuring.split == "heldout" else (training, heldout)
    check_metrics(measuring, pipeline, training, heldout)
    things = common_things(training.captions) if "words" in measuring.metrics else {}
    extractor = load_extractor(measuring.extractor) if {"images", "words"} & set(measuring.metrics) else None
    sides = {"training_images": len(training), "heldout_images": len(heldout)}

    # ---- Measure the likelihood, and draw: all processes share this work ----
    started = time.perf_counter()
    scalars, samples, figures = likelihood(pipeline, reference, measuring, seed, files.plots)
    samples |= {f"sampled_{name}": count for name, count in sides.items()} if data.streaming else sides
    if {"images", "memorization"} & set(measuring.metrics):
        pictures = reference.pictures(reference.random_rows(len(reference), seed))
        like = [pictures[number % len(pictures)] for number in range(measuring.num_samples)]
        drawn = draw(pipeline, like, [picture.palette for picture in like], options.sampling)
        samples |= {"drawn_images": len(drawn)}
    if given:
        drawn_in_given = draw(pipeline, like, in_turn(given, len(like)), options.sampling)
    if "words" in measuring.metrics:
        asked, of_captions = draw_captions(pipeline, reference, things, measuring, options.sampling)
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
        copied, shown = memorization(drawn, training, heldout, max(1, train.shift), train.mirror > 0, seed, files.plots)
        scalars |= copied
        figures += shown

    # ---- Write and report ----
    record |= {"samples": samples, "seconds": round(time.perf_counter() - started, 2), "metrics": finite(scalars)}
    report(files, record, scalars, figures)


def report(files: Files, record: dict[str, Any], scalars: dict[str, float], figures: list[Path]) -> None:
    """Print what was measured, write it, log it."""
    from tincture.evaluation.figures import plot_scalars
    from tincture.evaluation.report import table

    if files.plots:
        figures.append(files.plots / "metrics.png")
        plot_scalars(figures[-1], scalars)
    print(table(scalars))
    print(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in record["samples"].items()))
    write_json(files.output, record)
    if files.wandb:
        log_to_wandb(files, record, figures)
    print(f"written to {files.output}" + (f", pictures to {files.plots}" if files.plots else ""))


def log_to_wandb(files: Files, record: dict[str, Any], figures: list[Path]) -> None:
    """Log one run with the scalars and the figures."""
    import wandb  # takes a second to import, so only where it is wanted

    from tincture.training.tracking import start_wandb

    run = start_wandb(files.output.parent, record["options"], files.wandb_project, job_type="evaluate")
    run.log(
        {name: value for name, value in record["metrics"].items() if value is not None}
        | {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
    )
    run.summary.update({f"samples/{name}": count for name, count in record["samples"].items()})
    run.finish()


if __name__ == "__main__":
    cli.run(main)
