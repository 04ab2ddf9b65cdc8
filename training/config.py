"""What a training run is: every option of `train.py`, typed, in one place."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from tincture.common.errors import SEED, SHARE, InputError, Range
from tincture.common.files import physical_memory
from tincture.common.processes import process_count
from tincture.data.config import DataConfig
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.models.config import DenoiserConfig


@dataclass(frozen=True)
class ProcessConfig:
    """How pixels are corrupted.

    Args:
        kind: absorbing turns pixels into a mask, uniform into any entry, color-heat into entries of near colors first.
        schedule: how fast, over the time from 0 to 1.
        width: of color-heat's kernel, in OKLab, where black and white are 1 apart.
        leap: the share of color-heat's jumps that go to any entry, above 0; at 1 it is the uniform process.
    """

    kind: Literal["absorbing", "uniform", "color-heat"] = "absorbing"
    schedule: Literal["linear", "cosine", "polynomial"] = "linear"
    width: float = 0.2
    leap: float = 0.1

    def make_scheduler(self) -> PaletteScheduler:
        """The process, and ancestral sampling, as a pipeline holds them."""
        options = {"width": self.width, "leap": self.leap} if self.kind == "color-heat" else {}
        return PaletteScheduler(process=self.kind, process_options=options, schedule=self.schedule)


@dataclass(frozen=True)
class TrainConfig:
    """The training loop.

    Args:
        max_steps: stop after so many optimizer steps; null for no limit.
        max_minutes: stop after so many minutes; null for no limit.
        clock: what max_minutes counts: wall is time as it passes; cpu is processor time, divided by the threads, so that
            runs on a machine that does other things too can be compared.
        batch_size: images a step, over all processes.
        accumulation: parts in which a process takes its images of a step, one after the other, to save memory.
        shard: whether each of several processes keeps its share of weights, gradients and optimizer state only (FSDP), for
            models that fill a GPU; else each keeps all of them (DDP).
        cross_entropy: weight of the plain cross-entropy that is added to the bound in the loss (D3PM's hybrid loss).
        foreign_palettes: how often a picture is recolored into a palette that wasn't made for it, 0 to 1, so that
            the model can draw in any palette, not only in those that it would use up (see data/foreign_palettes.py).
        mirror: how often a picture is turned left to right, 0 to 1; drawings are too, unless model.augmentation_labels tells them apart.
        shift: by how many pixels at most a picture is moved, its border repeated.
        palette_jitter: how far the hue, chroma and lightness of a whole palette are changed, 0 to 1.
        optimizer: muon orthogonalizes the updates of matrices and convolutions and leaves the rest to adamw.
        learning_rate: AdamW's, at the peak of the schedule, which rises linearly and falls as a cosine to 0 over the larger of the
            elapsed fractions of max_steps and max_minutes.
        muon_rate_factor: Muon's learning rate, as a multiple of learning_rate.
        warmup: fraction of the budget in which the learning rate rises, 0 to 1.
        weight_decay: per unit of learning rate.
        beta2: decay of AdamW's second moment.
        clip_norm: largest norm of the gradient.
        ema_decay: decay of the moving average of the weights that is evaluated, drawn with and saved.
        evaluate_every: steps between held-out evaluations with a preview sheet.
        checkpoint_every: steps between checkpoints.
        heldout_times: corruptions of each held-out image in an evaluation; the last one makes four times as many.
        preview_images: icons in a preview sheet.
        preview_steps: denoiser calls for each.
        mixed_precision: number format of the forward pass (bf16 pays on GPUs).
        device: where to train; auto takes a GPU if there is one.
    """

    max_steps: int | None = None
    max_minutes: float | None = None
    clock: Literal["wall", "cpu"] = "wall"
    batch_size: int = 64
    accumulation: int = 1
    shard: bool = False
    cross_entropy: float = 0.0
    foreign_palettes: float = 0.0
    mirror: float = 0.0
    shift: int = 0
    palette_jitter: float = 0.0
    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: float = 2e-3
    muon_rate_factor: float = 10.0
    warmup: float = 0.05
    weight_decay: float = 0.1
    beta2: float = 0.98
    clip_norm: float = 1.0
    ema_decay: float = 0.995
    evaluate_every: int = 250
    checkpoint_every: int = 250
    heldout_times: int = 1
    preview_images: int = 32
    preview_steps: int = 32
    mixed_precision: Literal["no", "bf16"] = "no"
    device: Literal["auto", "cpu"] = "auto"


@dataclass(frozen=True)
class TrackConfig:
    """Where scalars and sheets go, besides metrics.jsonl and previews/.

    Args:
        wandb: log to Weights & Biases: online where logged in, else offline in the output folder.
        project: project name there.
    """

    wandb: bool = True
    project: str = "tincture"


@dataclass(frozen=True)
class RunConfig:
    """A whole training run.

    Args:
        seed: of the weights, the order of images and every corruption.
    """

    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    model: DenoiserConfig = field(default_factory=DenoiserConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    track: TrackConfig = field(default_factory=TrackConfig)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "RunConfig":
        """The run among all options of a command."""
        return cls(**{field.name: options[field.name] for field in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in YAML and in trackers."""
        return _plain(asdict(self))


_COUNT, _POSITIVE = Range(1, 10**12), Range(0, 1e6, without_low=True)
_FACTOR = Range(0, 1e6)

RANGES = {
    "seed": SEED,
    "train.max_steps": _COUNT,
    "train.max_minutes": Range(0, 1e9, without_low=True),
    "train.batch_size": Range(1, 1_000_000),
    "train.accumulation": Range(1, 1_000_000),
    "train.cross_entropy": _FACTOR,
    "train.foreign_palettes": SHARE,
    "train.mirror": SHARE,
    "train.shift": Range(0, 4096),
    "train.palette_jitter": SHARE,
    "train.learning_rate": _POSITIVE,
    "train.muon_rate_factor": _FACTOR,
    "train.warmup": SHARE,
    "train.weight_decay": _FACTOR,
    "train.beta2": Range(0, 0.999999),
    "train.clip_norm": _POSITIVE,
    "train.ema_decay": SHARE,
    "train.evaluate_every": _COUNT,
    "train.checkpoint_every": _COUNT,
    "train.heldout_times": Range(1, 10_000),
    "train.preview_images": Range(1, 10_000),
    "train.preview_steps": Range(1, 100_000),
}
"""What the numbers of a run may be; those of the network and of the data stand beside them, in `models.config` and `data.config`."""


def check_ranges(config: RunConfig) -> None:
    """Raise InputError if a number is out of range, or if a step can't fit into any part of this machine's memory."""
    for name, allowed in RANGES.items():
        value: Any = config
        for part in name.split("."):
            value = getattr(value, part)
        if value is not None:
            allowed.check(name, value)
    parts = process_count() * config.train.accumulation
    numbers = -(-config.train.batch_size // parts) * config.data.size**2 * config.data.max_colors
    if 4 * numbers > physical_memory():
        raise InputError(
            f"the {numbers:,} predictions of a step take {4 * numbers / 2**30:,.0f} GiB, and this machine has "
            f"{physical_memory() / 2**30:,.0f}: lower train.batch_size, data.size or data.max_colors"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
