"""Train a palette-conditioned diffusion model: `python train.py --config configs/icons16.yaml --output runs/mine`."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from jsonargparse import ArgumentParser

from tincture.common import cli
from tincture.common.environment import ENVIRONMENT_FILE
from tincture.common.errors import InputError
from tincture.common.files import LOCK_FILE, claim_output_folder, files_in, used_alone
from tincture.common.processes import part, processes
from tincture.common.signals import SignalWatch, StoppedBySignalError
from tincture.pipelines.saving import INDEX
from tincture.training.config import RunConfig
from tincture.training.feeds import dead_workers_reported, open_feed
from tincture.training.loop import CONFIG_FILE, check_config, train
from tincture.training.tracking import METRICS_FILE

MAY_CHANGE_ON_RESUME = (
    "train.max_steps",
    "train.max_minutes",
    "train.learning_rate",
    "train.clip_norm",
    "train.device",
    "train.accumulation",
    "train.shard",
    "track",
    "data.cache_dir",
)

RUN_ENTRIES = {
    *(CONFIG_FILE, METRICS_FILE, ENVIRONMENT_FILE, LOCK_FILE, INDEX),
    *("denoiser", "scheduler", "palette_bank", "checkpoints", "previews", "wandb"),
}
"""What a run's folder holds (docs/architecture.md); ``--overwrite`` replaces nothing else."""

LEFTOVERS = tuple(f".{name}-" for name in ("pipeline", "writing", "denoiser", "scheduler", "palette_bank"))
"""How the names of files begin that a killed run was writing."""


def main(arguments: list[str]) -> None:
    """Parse, train, report."""
    parser = cli.make_parser("Train a palette-conditioned diffusion model on a data set of index maps.")
    parser.add_argument("--config", action=cli.ConfigFile, help="YAML file with any of the keys below")
    parser.add_argument("--output", type=Path, required=True, help="folder for the model, checkpoints and metrics")
    parser.add_argument("--resume", action="store_true", help="go on from the latest checkpoint in the output folder")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run in the output folder")
    parser.add_class_arguments(RunConfig)
    parsed = parser.parse_args(arguments)
    output: Path = parsed.output
    saved_file = output / CONFIG_FILE
    if parsed.resume and parsed.config is None and saved_file.is_file():
        parsed = parser.parse_args([f"--config={saved_file}", *arguments])
    config = RunConfig.of(parser.instantiate(parsed))

    check_config(config)
    state = processes(config.train.device == "cpu")
    first = state.is_main_process
    if parsed.resume:
        _check_resumable(config, output, parser)
    elif first:
        claim_output_folder(
            output,
            parsed.overwrite,
            "--overwrite to replace it, or --resume to go on with it",
            written=run_files,
        )
    with state.local_main_process_first():  # the others find the encoded set in the cache
        feed, heldout = open_feed(config)

    @contextmanager
    def earlier_set_aside() -> Iterator[None]:
        if not parsed.overwrite and set(files_in(output)) - {LOCK_FILE}:
            raise InputError(f"another run has ended in {output} in the meantime; name another folder")
        with _set_aside(output):
            yield

    with used_alone(output) if first else nullcontext(), SignalWatch() as signals, dead_workers_reported():
        try:
            result = train(
                config,
                feed,
                heldout,
                output,
                parsed.resume,
                lambda: signals.received,
                nullcontext if parsed.resume else earlier_set_aside,
            )
            part()
        except StoppedBySignalError as stopped:
            part()
            if first:
                print(stopped, file=sys.stderr)
            sys.exit(128 + stopped.signal_number)
    if not first:
        return
    print(f"held-out bits per pixel: {result.mean:.3f} (standard error {result.stderr:.3f})")
    print(f"the model is in {output}, preview sheets are in {output / 'previews'}")


def run_files(output: Path) -> list[str]:
    """The files of ``output`` that are a training run's, finished or not; a lock at most if there is no run."""
    if not (output / CONFIG_FILE).is_file():
        return [LOCK_FILE]
    names = files_in(output)
    return [name for name in names if name.split("/")[0] in RUN_ENTRIES or name.startswith(LEFTOVERS)]


@contextmanager
def _set_aside(output: Path) -> Iterator[None]:
    """Remove what ``output`` holds, but for the lock, once the block has ended; after an exception it is there again."""
    aside = Path(tempfile.mkdtemp(prefix=".writing-old-", dir=output))

    def others() -> list[Path]:
        return [path for path in output.iterdir() if path != aside and path.name != LOCK_FILE]

    before = {path.name for path in others()}
    try:
        for path in others():
            path.rename(aside / path.name)
        yield
    except BaseException:
        for path in others():
            if (aside / path.name).exists() or path.name not in before:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in aside.iterdir():
            path.rename(output / path.name)
        aside.rmdir()  # which is empty: what couldn't be put back is never removed
        raise
    shutil.rmtree(aside)


def _check_resumable(config: RunConfig, output: Path, parser: ArgumentParser) -> None:
    """Raise InputError unless ``output`` holds a run with this config, budgets apart."""
    saved_file = output / CONFIG_FILE
    if not saved_file.is_file():
        raise InputError(f"there is no training run to resume in {output}")
    for path in (output, *output.iterdir(), *output.glob("checkpoints/*")):
        if path.is_symlink():
            raise InputError(f"{path} is a link, through which nothing is written or removed; move what it names there")
    saved = parser.instantiate(parser.parse_args([f"--config={saved_file}", f"--output={output}"]))
    before = _flatten(RunConfig.of(saved).to_dict())
    now = _flatten(config.to_dict())
    changed = [key for key in now if now[key] != before[key] and not key.startswith(MAY_CHANGE_ON_RESUME)]
    if changed:
        raise InputError(
            f"a resumed run keeps its config, but {', '.join(changed)} would change: give --config {saved_file}"
        )


def _flatten(values: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


if __name__ == "__main__":
    cli.run(main)
