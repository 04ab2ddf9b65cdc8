"""Where a run's scalars and pictures go: metrics.jsonl and previews/, and wandb where wanted."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tincture.common.errors import InputError
from tincture.common.files import finite, write_atomically
from tincture.evaluation.heldout import BitsPerPixel

from .run_config import METRICS_FILE

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

WANDB_ID = "wandb/run-id"
"""The file, in a run's folder, that says which wandb run goes on when it is resumed."""
BITS = "heldout/bits_per_pixel"


def start_wandb(
    folder: Path, config: dict[str, Any], project: str, job_type: str = "train", run_id: str | None = None
) -> "Run":
    """Begin a wandb run with its files below ``folder``: online where logged in, else offline.

    With ``run_id``, the run of that id goes on, if there is one.

    Raises:
        InputError: wandb doesn't take the project's name, or can't be reached.
    """
    import wandb  # takes a second to import, so only where it is wanted

    try:
        return wandb.init(
            project=project,
            dir=folder,
            config=config,
            job_type=job_type,
            id=run_id,
            resume=None if run_id is None else "allow",
            mode="online" if wandb.login(prompt=False) else "offline",
            settings=wandb.Settings(silent=True, x_disable_stats=True),
        )
    except wandb.errors.Error as error:
        raise InputError(f"Weights & Biases: {error}") from error


class Tracker:
    """Log scalars and pictures of one run.

    Args:
        output: the run's folder.
        config: the resolved config, as plain values.
        wandb_project: a wandb project, or nothing to leave wandb out.
        resumed_step: scalars of later steps, logged by an interrupted run, are dropped.
        resume: go on with the wandb run of ``output``, if there is one.
    """

    def __init__(
        self,
        output: Path,
        config: dict[str, Any],
        wandb_project: str | None,
        resumed_step: int = 0,
        resume: bool = False,
    ) -> None:
        self.previews = output / "previews"
        self.metrics = output / METRICS_FILE
        if self.metrics.exists():
            lines = [
                line for line in self.metrics.read_text(errors="replace").splitlines() if _step_of(line) <= resumed_step
            ]
            text = "".join(f"{line}\n" for line in lines)
            write_atomically(self.metrics, lambda temporary: temporary.write_text(text))
        self.run = None
        if wandb_project is not None:
            run_id = earlier_wandb_id(output) if resume else None
            self.run = start_wandb(output, config, wandb_project, run_id=run_id)
            write_atomically(output / WANDB_ID, lambda temporary: temporary.write_text(f"{self.run.id}\n"))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Log named numbers at ``step``. Those that aren't finite are null, as JSON has it."""
        with self.metrics.open("a") as file:
            file.write(json.dumps({"step": step, **finite(values)}) + "\n")
        if self.run is not None:
            self.run.log(values, step=step)

    def sheet(self, step: int, name: str, sheet: Image.Image) -> None:
        """Log a picture at ``step``, and write it as a PNG below ``previews/``."""
        path = self.previews / f"{name}-{step:06d}.png"
        write_atomically(path, sheet.save)
        if self.run is not None:
            import wandb

            self.run.log({f"sheets/{name}": wandb.Image(str(path))}, step=step)

    def close(self) -> None:
        """Finish the wandb run, if there is one."""
        if self.run is not None:
            self.run.finish()


def earlier_wandb_id(output: Path) -> str | None:
    """The id of a run's wandb run. Earlier versions left it in the name of wandb's first folder."""
    if (output / WANDB_ID).is_file():
        return (output / WANDB_ID).read_text(errors="replace").strip() or None
    starts = sorted(folder.name.partition("run-")[2] for folder in (output / "wandb").glob("*run-*-*"))
    return starts[0].partition("-")[2] if starts else None  # after the time of the start


def last_result(output: Path, step: int) -> BitsPerPixel | None:
    """The held-out bits per pixel that were last logged, if that was at ``step``."""
    path = output / METRICS_FILE
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    for line in reversed(lines):
        if _step_of(line) == step and BITS in (values := json.loads(line)):
            stderr = values[f"{BITS}_stderr"]
            return BitsPerPixel(values[BITS], math.nan if stderr is None else stderr)
    return None


def _step_of(line: str) -> float:
    """The step of a line of metrics.jsonl; infinite if the line was cut off or is damaged."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return float("inf")
    return step if isinstance(step, int) else float("inf")
