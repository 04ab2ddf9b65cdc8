"""Compare variants of a training run at equal processor time: docs/results/architecture-study.md.

`python -m benchmarks.study --config configs/icons16.yaml --trials benchmarks/study.yaml --output
FOLDER` runs `train.py` with one thread for each trial, in a folder of its own below FOLDER.
Finished trials aren't run again, so a study can be stopped, and trials can be added.

Differences to the base are paired: the same held-out images with the same corruptions. So their
standard error is much smaller than each figure's. It doesn't include the spread over seeds;
finalists are run with `--seeds`.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from tqdm import tqdm

from tincture.benchmarks.tables import heading, row, with_error
from tincture.common import cli
from tincture.common.errors import InputError, choose
from tincture.common.files import write_json
from tincture.data.index_maps import load_index_maps
from tincture.diffusion.likelihood import mean_and_stderr
from tincture.evaluation.heldout import heldout_estimates
from tincture.pipelines.folders import INDEX
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.training.run_config import CONFIG_FILE, METRICS_FILE, RunConfig, add_run_options


@dataclass(frozen=True, eq=False)
class Trial:
    """One training run."""

    name: str
    changes: dict[str, Any]
    seed: int

    def folder(self, output: Path) -> Path:
        """Where it is trained."""
        return output / (self.name if self.seed == 0 else f"{self.name}-seed{self.seed}")


@dataclass(frozen=True, eq=False)
class Result:
    """What a trial came to."""

    steps: int
    parameters: int
    bits: Tensor
    """Of each held-out image, float ``[N]``."""


def main(arguments: list[str]) -> None:
    """Train what isn't trained yet, measure, print."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    add = parser.add_argument
    add("--config", type=Path, required=True, help="what all trials start from")
    add("--trials", type=Path, required=True, help="YAML: name → {key of the config: value}; the first is the base")
    add("--output", type=Path, required=True, help="folder of the trials' folders and study.json")
    add("--only", nargs="+", default=[], help="names of the trials to run; all if left out")
    add("--minutes", type=float, default=6.0, help="of processor time, for each trial")
    add("--seeds", type=int, nargs="+", default=[0], help="seeds of each trial")
    add("--parallel", type=int, default=1, help="trials at once, of one thread each")
    add("--times", type=int, default=16, help="corruptions of each held-out image in the final figure")
    options = parser.parse_args(arguments)
    trials = yaml.safe_load(options.trials.read_text())
    names = options.only or list(trials)
    for name in names:
        choose("trial", name, trials)
    runs = [Trial(name, trials[name], seed) for name in names for seed in options.seeds]
    with ThreadPoolExecutor(options.parallel) as pool:
        done = pool.map(lambda trial: train(trial, options.config, options.output, options.minutes), runs)
        for _ in tqdm(done, total=len(runs), desc="trials", unit="trial"):
            pass
    results = {trial: measure(trial.folder(options.output), options.times) for trial in runs}
    write_json(
        options.output / "study.json",
        {
            "options": cli.plain_options(options),
            "trials": [record(trial, result) for trial, result in results.items()],
        },
    )
    print(table(results))


def train(trial: Trial, config: Path, output: Path, minutes: float) -> None:
    """Run ``train.py`` in a process of one thread, unless it was run.

    Raises:
        InputError: it failed, and its own words are in the message; or the trial's folder holds
            another one.
    """
    folder, arguments = trial.folder(output), ["--config", str(config), *words(trial, minutes)]
    if (folder / INDEX).exists():
        if saved_config(folder) != parsed_config(arguments):
            raise InputError(f"{folder} was trained with another config; remove it, or name another --output")
        return
    command = [sys.executable, "train.py", "--output", str(folder), "--overwrite", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise InputError(f"the trial {trial.name} ended with status {finished.returncode}: {finished.stderr[-500:]}")


def words(trial: Trial, minutes: float) -> list[str]:
    """What a trial says to ``train.py``, besides its config and its folder."""
    settings = trial.changes | {
        "seed": trial.seed,
        "train.clock": "cpu",
        "train.max_steps": None,
        "train.max_minutes": minutes,
        "train.evaluate_every": 10**6,
        "train.checkpoint_every": 10**6,
        "track.wandb": False,
    }
    return [word for key, value in settings.items() for word in (f"--{key}", as_word(value))]


def as_word(value: Any) -> str:
    """A value as ``train.py`` takes it: YAML in one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=float("inf")).split("\n")[0]


def measure(folder: Path, times: int) -> Result:
    """Bits per pixel of each held-out image by the model in ``folder``."""
    pipeline = PaletteDiffusionPipeline.from_pretrained(folder)
    _, heldout = load_index_maps(saved_config(folder).data)
    estimates = heldout_estimates(pipeline.denoiser, pipeline.scheduler.process, heldout, times)
    steps = yaml.safe_load((folder / METRICS_FILE).read_text().splitlines()[-1])["step"]
    parameters = sum(parameter.numel() for parameter in pipeline.denoiser.parameters())
    return Result(steps, parameters, estimates.bits.mean(dim=0))


def saved_config(folder: Path) -> RunConfig:
    """The config of the run in ``folder``; what it didn't know has its default."""
    return parsed_config(["--config", str(folder / CONFIG_FILE)])


def parsed_config(arguments: list[str]) -> RunConfig:
    """The config that ``train.py`` makes of its arguments."""
    parser = cli.make_parser("")
    add_run_options(parser)
    return RunConfig.of(parser.instantiate(parser.parse_args(arguments)))


def record(trial: Trial, result: Result) -> dict[str, Any]:
    """A trial as JSON."""
    mean, stderr = mean_and_stderr(result.bits)
    return {
        "name": trial.name,
        "seed": trial.seed,
        "changes": trial.changes,
        "steps": result.steps,
        "parameters": result.parameters,
        "bits_per_pixel": mean,
        "bits_per_pixel_stderr": stderr,
    }


def table(results: dict[Trial, Result]) -> str:
    """Markdown, best first. A seed's difference is to the first trial with the same seed."""
    bases = {
        trial.seed: result for trial, result in reversed(results.items()) if trial.name == next(iter(results)).name
    }
    lines = [heading("trial", "what differs", "parameters", "steps", "held-out bits per pixel", "difference")]
    for trial, result in sorted(results.items(), key=lambda item: item[1].bits.mean().item()):
        changes = ", ".join(f"{key} {value}" for key, value in trial.changes.items()) or "nothing"
        mean, stderr = mean_and_stderr(result.bits)
        difference, error = mean_and_stderr(result.bits - bases[trial.seed].bits)
        name = trial.name if trial.seed == 0 else f"{trial.name}, seed {trial.seed}"
        cells = [name, changes, f"{result.parameters:,}", result.steps, with_error(mean, stderr, 3)]
        lines.append(row(*cells, f"{difference:+.3f} ± {error:.3f}"))
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    cli.run(main)
