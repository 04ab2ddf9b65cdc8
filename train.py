"""Train a diffusion model: `python train.py --config configs/icons16.yaml --output runs/mine`."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from tincture.common import cli
from tincture.common.environment import ENVIRONMENT_FILE
from tincture.common.errors import InputError
from tincture.common.files import files_in, written_in
from tincture.common.output_folder import OutputFolder, claimed
from tincture.common.processes import is_first_process, leave_group, processes
from tincture.common.signals import SignalWatch, StoppedBySignalError
from tincture.pipelines.folders import PIPELINE_ENTRIES, list_checkpoints
from tincture.training.run_config import (
    CONFIG_FILE,
    DATA_SHEET,
    METRICS_FILE,
    RunConfig,
    add_run_options,
    check_config,
    check_start,
    options_of,
)

MAY_CHANGE_ON_RESUME = {
    *("train.max_steps", "train.max_minutes", "train.learning_rate", "train.clip_norm"),
    *("train.device", "train.accumulation", "data.cache_dir", "track.wandb", "track.project"),
    *("config", "output", "resume", "overwrite", "init_from"),
}

RUN_ENTRIES = {
    *(CONFIG_FILE, METRICS_FILE, ENVIRONMENT_FILE, *PIPELINE_ENTRIES),
    *("checkpoints", "previews", "wandb", DATA_SHEET),
    ".lock",  # of earlier versions
}
"""What a run's folder holds (docs/architecture.md); ``--overwrite`` replaces nothing else."""


def main(arguments: list[str]) -> None:
    """Parse, train, report."""
    parser = cli.make_parser("Train a palette-conditioned diffusion model on a data set of index maps.")
    parser.add_argument("--output", type=Path, required=True, help="folder for the model, checkpoints and metrics")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the latest checkpoint in the output folder; begin where there is none yet",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run in the output folder")
    parser.add_argument(
        "--init-from",
        type=Path | None,
        default=None,
        metavar="FOLDER",
        help="begin with the weights, classes and words of this model: a run, a checkpoint, or what publish.py wrote",
    )
    add_run_options(parser)
    options = parser.parse_args(arguments)
    decided = {} if options.init_from is None else options_of(options.init_from, parser)
    if decided:
        parser.set_defaults(decided)  # so that what differs from them is what the user has set
        options = parser.parse_args(arguments)
    saved = options.output / CONFIG_FILE
    if options.resume and options.config is None and saved.is_file():
        options = parser.parse_args([f"--config={saved}", *arguments])
    if options.resume and not saved.is_file() and not changed_options(options, parser):
        raise InputError(
            f"there is no training run to resume in {options.output}; to begin one there, say what to train: --config"
        )
    check_start(vars(options.as_flat()), decided, options.init_from)
    config = RunConfig.of(parser.instantiate(options))
    check_config(config)
    if config.started_from is not None and start_of(config, options) is None:
        raise InputError(f"the run began with {config.started_from}, and has no checkpoint yet: give --init-from again")

    with claimed_run(options) if is_first_process() else nullcontext() as folder:
        if options.resume:
            check_resumable(options, parser)
        run_training(config, options, nullcontext if options.resume or folder is None else folder.emptied)


def run_training(
    config: RunConfig, options: Namespace, earlier_set_aside: Callable[[], AbstractContextManager[None]]
) -> None:
    """Train, and report; see `training.loop.train`."""
    from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline  # torch and diffusers take seconds
    from tincture.training.feeds import dead_workers_reported, open_feed
    from tincture.training.loop import train

    folder = start_of(config, options)
    start = None if folder is None else PaletteDiffusionPipeline.from_pretrained(folder)
    state = processes(config.train.device == "cpu")
    with state.local_main_process_first():  # the others find the encoded set in the cache
        feed, heldout = open_feed(config)
    with SignalWatch() as signals, dead_workers_reported():
        try:
            result = train(
                config,
                feed,
                heldout,
                options.output,
                options.resume,
                stop=lambda: signals.received,
                earlier_set_aside=earlier_set_aside,
                start=start,
            )
            leave_group()
        except StoppedBySignalError as stopped:
            leave_group()
            if state.is_main_process:
                print(stopped, file=sys.stderr)
            sys.exit(128 + stopped.signal_number)
    if state.is_main_process:
        print(f"held-out bits per pixel: {result}")
        print(f"the model is in {options.output}, preview sheets are in {options.output / 'previews'}")


def start_of(config: RunConfig, options: Namespace) -> Path | None:
    """The model whose weights, classes and words a run begins with, or goes on with."""
    own = list_checkpoints(options.output) if options.resume and config.started_from is not None else []
    return own[-1] if own else options.init_from


def claimed_run(options: Namespace) -> AbstractContextManager[OutputFolder]:
    """The output folder, for a new run or for one that goes on with what is there."""
    if options.resume:
        return claimed(options.output, overwrite=True)
    ways = "--overwrite to replace it, or --resume to go on with it"
    return claimed(options.output, options.overwrite, run_files, options=ways)


def run_files(folder: Path) -> list[str]:
    """The files of ``folder`` that are a run's, finished or not; none if there is no run."""
    if not (folder / CONFIG_FILE).is_file():
        return []
    return [name for name in files_in(folder) if name.split("/")[0] in RUN_ENTRIES]


def check_resumable(options: Namespace, parser: ArgumentParser) -> None:
    """Raise InputError unless the output folder holds a run with this config, or nothing yet."""
    output = options.output
    saved = output / CONFIG_FILE
    if not saved.is_file():
        if others := written_in(output):
            raise InputError(
                f"there is no training run to resume in {output}, but {others[0].name}; name another folder"
            )
        return
    for path in (*output.iterdir(), *output.glob("checkpoints/*")):
        if path.is_symlink():
            raise InputError(f"{path} is a link, through which nothing is written or removed; move what it names there")
    if changed := changed_options(options, parser, f"--config={saved}"):
        raise InputError(
            f"a resumed run keeps its config, but {', '.join(changed)} would change: give --config {saved}"
        )


def changed_options(options: Namespace, parser: ArgumentParser, *since: str) -> list[str]:
    """Which options differ from what the words ``since`` say, and may not change on resume."""
    before = vars(parser.parse_args([*since, f"--output={options.output}"]).as_flat())
    now = vars(options.as_flat())
    return [key for key in now if now[key] != before[key] and key not in MAY_CHANGE_ON_RESUME]


if __name__ == "__main__":
    cli.run(main)
