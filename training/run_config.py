"""What a training run is: every option of `train.py`, typed, with its range."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from jsonargparse import ArgumentParser

from tincture.common.cli import make_parser
from tincture.common.configs import ConfigFile, read_config
from tincture.common.errors import SEED, SHARE, InputError, Range
from tincture.common.files import physical_memory
from tincture.common.options import check_options
from tincture.common.processes import process_count
from tincture.data.sources import DataConfig
from tincture.diffusion.options import ScheduleName
from tincture.models.options import DenoiserConfig
from tincture.pipelines.folders import AVERAGE, DENOISER, WEIGHTS, model_in
from tincture.quantization.palettes.palette import MAX_ENTRIES

CONFIG_FILE = "config.yaml"
"""The resolved config, in the folder of a run and of its model."""
METRICS_FILE, DATA_SHEET = "metrics.jsonl", "data.png"
"""In a run's folder: its scalars, and random pictures that it learns from."""

STARTED_OPTIONS = ("model.", "process.")
"""What a run has from the model that it began with, besides weights."""

FREE_OPTIONS = ("model.class_dropout", "model.luminance_dropout", "model.text_dropout", "model.unet.dropout")
"""Of these, what a run may set otherwise, since the network stays the same."""

COUNT = Range(1, 10**12)
FACTOR = Range(0, 10**6)
POSITIVE = Range(0, 10**6, without_low=True)


@dataclass(frozen=True)
class ProcessConfig:
    """How pixels are corrupted.

    Args:
        kind: absorbing turns pixels into a mask, uniform into any entry, color-heat into entries of
            near colors first, color-tree into ever larger groups of entries and at last the mask.
        schedule: how fast, over the time from 0 to 1.
        width: of color-heat's kernel, in OKLab, where black and white are 1 apart.
        leap: the share of color-heat's jumps that go to any entry, above 0; at 1 it is the uniform
            process.
        blur: how fast color-tree forgets finer groups, against the coarsest ones; near 0 it is the
            absorbing process.
    """

    kind: Literal["absorbing", "uniform", "color-heat", "color-tree"] = "absorbing"
    schedule: ScheduleName = "linear"
    width: float = 0.2
    leap: float = 0.1
    blur: float = 1.0

    @property
    def scheduler_options(self) -> dict[str, Any]:
        """The arguments of `diffusion.scheduler.PaletteScheduler`, which holds the process."""
        names = {"color-heat": ("width", "leap"), "color-tree": ("blur",)}.get(self.kind, ())
        options = {name: getattr(self, name) for name in names}
        return {"process": self.kind, "process_options": options, "schedule": self.schedule}


@dataclass(frozen=True)
class TrainConfig:
    """The training loop.

    Args:
        max_steps: stop after so many optimizer steps; null for no limit.
        max_minutes: stop after so many minutes; null for no limit.
        clock: what max_minutes counts. wall is time as it passes. cpu is processor time divided by
            the threads, which compares runs on a machine that does other things too.
        batch_size: images in a step, over all processes.
        accumulation: parts in which a process takes its images of a step, one after the other, to
            save memory.
        cross_entropy: weight of the plain cross-entropy that is added to the bound in the loss
            (D3PM's hybrid loss).
        foreign_palettes: how often a picture is recolored into a palette that wasn't made for it,
            so that the model can draw in any palette, and not only in those that it would use up
            (see data/augmentation.py).
        unused_entries: how often the palette of a picture gets colors of other pictures besides its
            own, which it doesn't use. So the model learns to leave entries of a palette alone.
        most_unused_entries: how many at most; from 1 to so many.
        mirror: how often a picture is turned left to right. Drawings are too, unless
            model.augmentation_labels tells them apart.
        shift: by how many pixels at most a picture is moved, its border repeated.
        palette_jitter: how far the hue, chroma and lightness of a whole palette are changed.
        optimizer: muon orthogonalizes the updates of matrices and convolutions and leaves the rest
            to adamw.
        learning_rate: of AdamW, at the peak of the schedule. It rises linearly and falls as a
            cosine to 0 over the larger of the elapsed fractions of max_steps and max_minutes.
        muon_rate_factor: the learning rate of Muon, as a multiple of learning_rate.
        warmup: fraction of the budget in which the learning rate rises.
        weight_decay: per unit of learning rate.
        beta2: decay of AdamW's second moment.
        clip_norm: largest norm of the gradient.
        ema_decay: decay of the moving average of the weights, with which the run is evaluated,
            draws and is saved.
        evaluate_every: steps between held-out evaluations with a preview sheet.
        checkpoint_every: steps between checkpoints.
        heldout_times: corruptions of each held-out image in an evaluation; the last evaluation
            makes four times as many.
        preview_images: icons in a preview sheet.
        preview_steps: denoiser calls for each of them.
        palette_prior_steps: of the prior over palettes, which is fitted at the end, and in no more
            steps than the run has; 0 for none. A run with one palette for all pictures has none.
        mixed_precision: number format of the forward pass; auto takes bf16 on a GPU that has it,
            and float32 elsewhere, as no does.
        compile: auto compiles the network on a GPU that has triton. The first step then takes a
            minute, and the others need few commands. no never does.
        device: where to train; auto takes a GPU if there is one.
    """

    max_steps: Annotated[int | None, COUNT] = None
    max_minutes: Annotated[float | None, Range(0, 10**9, without_low=True)] = None
    clock: Literal["wall", "cpu"] = "wall"
    batch_size: Annotated[int, Range(1, 1_000_000)] = 64
    accumulation: Annotated[int, Range(1, 1_000_000)] = 1
    cross_entropy: Annotated[float, FACTOR] = 0.0
    foreign_palettes: Annotated[float, SHARE] = 0.0
    unused_entries: Annotated[float, SHARE] = 0.0
    most_unused_entries: Annotated[int, Range(1, MAX_ENTRIES)] = 24
    mirror: Annotated[float, SHARE] = 0.0
    shift: Annotated[int, Range(0, 4096)] = 0
    palette_jitter: Annotated[float, SHARE] = 0.0
    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: Annotated[float, POSITIVE] = 2e-3
    muon_rate_factor: Annotated[float, FACTOR] = 10.0
    warmup: Annotated[float, SHARE] = 0.05
    weight_decay: Annotated[float, FACTOR] = 0.1
    beta2: Annotated[float, Range(0, 0.999999)] = 0.98
    clip_norm: Annotated[float, POSITIVE] = 1.0
    ema_decay: Annotated[float, SHARE] = 0.995
    evaluate_every: Annotated[int, COUNT] = 250
    checkpoint_every: Annotated[int, COUNT] = 250
    heldout_times: Annotated[int, Range(1, 10_000)] = 1
    preview_images: Annotated[int, Range(1, 10_000)] = 32
    preview_steps: Annotated[int, Range(1, 100_000)] = 32
    palette_prior_steps: Annotated[int, Range(0, 10**9)] = 100
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"
    compile: Literal["auto", "no"] = "auto"
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
        started_from: the name of the model that --init-from gave, and a digest of its weights.
            train.py notes it, so that a resumed run needs the model no more.
    """

    seed: Annotated[int, SEED] = 0
    started_from: str | None = None
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

    def to_yaml(self) -> str:
        """The text of a config file."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def check_config(config: RunConfig, has_classes: bool = False) -> None:
    """Refuse a run that could go wrong only after it has begun.

    Args:
        config: the run.
        has_classes: whether its pictures have labels, once that is known.

    Raises:
        InputError: a number is out of range, options contradict each other, or memory is too small.
    """
    check_options(config)
    train, model = config.train, config.model
    if train.max_steps is None and train.max_minutes is None:
        raise InputError("the run has no end: set train.max_steps or train.max_minutes")
    for name in ("foreign_palettes", "unused_entries"):
        if getattr(train, name) > 0 and model.kind == "index":
            raise InputError(f"train.{name} is for model.kind palette: an index model can't see colors")
    if config.process.kind == "color-tree" and model.kind == "index":
        raise InputError("process.kind color-tree is for model.kind palette: an index model can't see colors")
    if model.augmentation_labels and not train.mirror and not train.shift and config.started_from is None:
        raise InputError(
            "model.augmentation_labels has nothing to tell the network without train.mirror or train.shift"
        )
    # Evaluation and most drawings tell the model no conditions, so training must hide them, too.
    never_hidden = {
        "class_dropout": has_classes and model.class_dropout == 0,
        "luminance_dropout": model.luminance_dropout == 0,
        "text_dropout": model.text is not None and model.text_dropout == 0,
    }
    for name in (name for name, never in never_hidden.items() if never):
        raise InputError(
            f"model.{name} is 0, so training would never hide what the run is measured and drawn without: set it above 0"
        )
    parts = process_count() * train.accumulation
    entries = config.data.max_colors + (train.most_unused_entries if train.unused_entries > 0 else 0)
    numbers = -(-train.batch_size // parts) * config.data.sizes[-1] ** 2 * entries
    if 4 * numbers > physical_memory():
        raise InputError(
            f"the {numbers:,} predictions of a step take {4 * numbers / 2**30:,.0f} GiB, and this machine has "
            f"{physical_memory() / 2**30:,.0f}: lower train.batch_size, data.size or data.max_colors"
        )


def saved_values(folder: Path, parser: ArgumentParser) -> dict[str, Any]:
    """What the config of the run in ``folder`` sets, of the options of ``parser``; data among them.

    Raises:
        InputError: the folder holds no config of a run, or a broken one.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputError(f"there is no {CONFIG_FILE} in {folder}: give the folder that train.py wrote")
    values = read_config(path, parser)
    if not isinstance(values.get("data"), dict):
        raise InputError(f"{path} doesn't say which data the model was trained on")
    return values


def saved_config(checkpoint: Path, path: str | None = None) -> tuple[DataConfig, TrainConfig]:
    """The data set that a model was trained on, and how its pictures were mirrored and moved.

    ``path`` says where the data are, if not where the config says. The rest of the training config
    has its defaults.

    Raises:
        InputError: the folder holds no config of a run, or a broken one.
    """
    parser = make_parser("")
    parser.add_class_arguments(DataConfig, "data")
    parser.add_class_arguments(TrainConfig, "train")
    values = saved_values(checkpoint, parser)
    given = {} if path is None else {"path": path}
    moved = {name: value for name, value in values.get("train", {}).items() if name in ("mirror", "shift")}
    config = parser.instantiate(parser.parse_object({"data": values["data"] | given, "train": moved}))
    return config.data, config.train


def options_of(start: Path, parser: ArgumentParser) -> dict[str, Any]:
    """The options of a run that begins with the model in a folder, as far as that one decides them.

    Raises:
        InputError: there is no model, or no config of a run beside it.
    """
    folder = model_in(start)
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputError(f"there is no {CONFIG_FILE} in {folder}, which says what network it has: give a run's folder")
    trained = vars(parser.parse_args([f"--config={path}", f"--output={folder}"]).as_flat())
    weights = next(filter(Path.is_file, (folder / DENOISER / WEIGHTS, folder / AVERAGE)), None)
    if weights is None:
        raise InputError(f"the checkpoint {folder} is damaged: it has no weights")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    taken = {key: value for key, value in trained.items() if key.startswith(STARTED_OPTIONS)}
    return taken | {"started_from": f"{start.resolve().name} {digest}"}


def check_start(options: Mapping[str, Any], decided: Mapping[str, Any], start: Path) -> None:
    """Refuse a run whose options contradict the model that it begins with.

    Args:
        options: all of the run, by their full names.
        decided: what the model decides (`options_of`).
        start: its folder.

    Raises:
        InputError: one of the options does.
    """
    for key, value in decided.items():
        may_differ = key in FREE_OPTIONS and None not in (options[key], value)
        if options[key] != value and not may_differ:
            raise InputError(
                f"{key} is {options[key]}, but {value} in {start}: a run has the network and the process of the model that "
                "it begins with, so leave model, process and started_from out (--config finetune does)"
            )


class RunFile(ConfigFile):
    """The option that names a run's config, of this version or an earlier one."""

    def read(self, path: Path, parser: ArgumentParser) -> dict[str, Any]:
        """The values of the file, without an option that runs have no more."""
        values = super().read(path, parser)
        train = values.get("train")
        if isinstance(train, dict) and train.pop("shard", False):
            raise InputError(f"{path} sets train.shard, which is gone: all processes hold all weights now")
        return values


def add_run_options(parser: ArgumentParser) -> None:
    """Give a parser ``--config`` and all options of a `RunConfig`."""
    parser.add_argument("--config", action=RunFile, help="YAML file with any of the keys below")
    parser.add_class_arguments(RunConfig)
