"""The training loop: from a config and a data set to a pipeline folder, resumable to the bit."""

import logging
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from data.augmentation import augment, rounded_luminance
from data.foreign_palettes import with_foreign_palettes
from data.index_maps import IndexMaps
from diffusion.draws import mixed_seed
from diffusion.losses import hybrid_loss
from diffusion.schedules import fitted_knots, low_discrepancy_times
from evaluation.heldout import BitsPerPixel, Estimates, heldout_estimates
from models.config import build_denoiser
from models.denoiser import Conditions
from pipelines.folder import save_pipeline
from pipelines.palette_bank import PaletteBank
from pipelines.palette_diffusion import PaletteDiffusionPipeline
from pipelines.sheet import contact_sheet
from quantization.errors import InputError
from quantization.files import write_atomically
from quantization.palette import PaletteBatch

from .checkpoints import Progress, list_checkpoints, load_checkpoint, remove_leftovers, save_checkpoint
from .config import RunConfig, TrainConfig, check_ranges
from .environment import record_environment
from .interruption import StoppedBySignalError
from .optimizers import OPTIMIZERS
from .tracking import Tracker

CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.monotonic,
    "cpu": lambda: time.process_time() / torch.get_num_threads(),
}
"""Seconds that pass, and seconds in which this process had all its threads' processors to itself."""

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"
"""The resolved config, in the output folder."""

SCALARS_EVERY = 10
"""Steps between training scalars."""


def train(  # noqa: PLR0912, PLR0915  # one loop, top to bottom
    config: RunConfig,
    training: IndexMaps,
    heldout: IndexMaps,
    output: Path,
    resume: bool = False,
    stop: Callable[[], int | None] = lambda: None,
) -> BitsPerPixel:
    """Train a denoiser and leave it in ``output`` as a pipeline folder, with checkpoints, metrics and previews.

    Args:
        config: the whole run.
        training: the side of the data set to learn from.
        heldout: the side to measure on.
        output: where everything goes.
        resume: go on from the latest checkpoint in ``output``.
        stop: asked after each step; a signal's number stops the run there.

    Returns:
        Held-out bits per pixel of the averaged weights, without labels.

    Raises:
        InputError: the config contradicts itself, there is nothing to resume, or the loss is not finite.
        StoppedBySignalError: ``stop`` said so; a checkpoint of the last step is there.
    """
    check_config(config)
    accelerator = Accelerator(mixed_precision=config.train.mixed_precision, cpu=config.train.device == "cpu")

    torch.manual_seed(config.seed)
    num_classes = len(training.label_names) if len(training.label_names) > 1 else 0
    denoiser = build_denoiser(config.model, num_classes, training.palettes.mask_index)
    scheduler = config.process.make_scheduler()
    process = scheduler.process
    denoiser = denoiser.to(accelerator.device, memory_format=torch.channels_last)
    average = AveragedModel(denoiser, multi_avg_fn=exponential_average(config.train.ema_decay), use_buffers=False)
    optimizers = OPTIMIZERS[config.train.optimizer](denoiser, config.train)
    peak_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    model, *prepared = accelerator.prepare(denoiser, *optimizers)
    pipeline = PaletteDiffusionPipeline(
        average.module,
        scheduler,
        _bank(training, heldout),
        size=config.data.size,
        label_names=training.label_names if num_classes else (),
    )

    progress = Progress()
    if resume:
        remove_leftovers(output)
        checkpoints = list_checkpoints(output)
        if not checkpoints:
            raise InputError(f"there is no checkpoint to resume in {output}")
        progress = load_checkpoint(checkpoints[-1], denoiser, average, optimizers)
        logger.info("resumed at step %d", progress.step)
    write_atomically(
        output / CONFIG_FILE, lambda path: path.write_text(yaml.safe_dump(config.to_dict(), sort_keys=False))
    )
    record_environment(output, progress.step)
    tracker = Tracker(output, config.to_dict(), config.track.project if config.track.wandb else None, progress.step)
    rank, world = accelerator.process_index, accelerator.num_processes

    def evaluate(times_per_image: int) -> Estimates:
        """Measure the averaged weights on the held-out side, draw a preview, log both, and note the best."""

        def measure(told: str) -> Estimates:
            return heldout_estimates(
                average.module, process, heldout, times_per_image, config.train.batch_size, told, config.seed
            )

        estimates = measure("nothing")
        result = estimates.result()
        scalars = {"heldout/bits_per_pixel": result.mean, "heldout/bits_per_pixel_stderr": result.stderr}
        if num_classes:
            scalars["heldout/bits_per_pixel_given_class"] = measure("class").result().mean
        if denoiser.luminance is not None:
            scalars["heldout/bits_per_pixel_given_luminance"] = measure("luminance").result().mean
        tracker.scalars(progress.step, scalars)
        pipeline.set_progress_bar_config(disable=True)
        images = pipeline(
            config.train.preview_images, steps=config.train.preview_steps, heldout_palettes=True, seed=config.seed
        ).images
        tracker.sheet(progress.step, "preview", contact_sheet(images))
        if result.mean < progress.best_bits_per_pixel:
            progress.best_bits_per_pixel, progress.best_step = result.mean, progress.step
        return estimates

    clock = CLOCKS[config.train.clock]
    started, minutes_before = clock(), progress.minutes
    bar = tqdm(
        total=1.0, desc="training", bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}{postfix}"
    )
    smoothed = window_started = None
    while True:
        progress.minutes = minutes_before + (clock() - started) / 60
        fraction = _fraction_done(config.train, progress, accelerator.device)
        bar.update(min(fraction, 1) - bar.n)
        if fraction >= 1:
            break
        rate_factor = learning_rate_factor(fraction, config.train.warmup)
        for optimizer, peaks in zip(optimizers, peak_rates, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * rate_factor

        # All that is random in this step comes from here, so a resumed run needs no saved generators.
        torch.manual_seed(mixed_seed(config.seed, progress.step, rank))
        rows = batch_rows(len(training), config.train.batch_size, progress.step, config.seed)
        own_rows = rows.chunk(world)[rank]
        batch = training.batch(own_rows)
        batch = augment(batch, config.train.mirror, config.train.shift, config.train.palette_jitter)
        batch = with_foreign_palettes(batch, training.palettes, config.train.foreign_palettes).to(accelerator.device)
        t = low_discrepancy_times(len(batch.x_0)).to(accelerator.device)
        conditions = Conditions(
            class_labels=batch.labels if num_classes else None,
            luminance=rounded_luminance(batch) if denoiser.luminance is not None else None,
        )
        model.train()
        x_t = process.q_sample(batch.x_0, t, batch.palette)
        logits = model(x_t, t, batch.palette, conditions).float()
        losses, bits = hybrid_loss(process, logits, batch.x_0, x_t, t, batch.palette, config.train.cross_entropy)
        loss, value = losses.mean(), bits.mean().item()
        for optimizer in prepared:
            optimizer.zero_grad()
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(denoiser.parameters(), config.train.clip_norm)
        if not math.isfinite(value) or not torch.isfinite(norm):
            culprits = [
                training.names[row] for row, each in zip(own_rows.tolist(), bits, strict=True) if not each.isfinite()
            ]
            raise InputError(
                f"the loss is {value} and its gradient's norm {norm:.3g} at step {progress.step}"
                f"{', by ' + ', '.join(culprits) if culprits else ''}, "
                "so training stopped: try a lower train.learning_rate, then --resume or start again"
            )
        for optimizer in prepared:
            optimizer.step()
        average.update_parameters(denoiser)
        progress.step += 1

        smoothed = value if smoothed is None else 0.95 * smoothed + 0.05 * value
        if progress.step % SCALARS_EVERY == 0:
            now = time.monotonic()
            scalars = {
                "train/bits_per_pixel": smoothed,
                "train/learning_rate": config.train.learning_rate * rate_factor,
            }
            if window_started is not None:
                speed = SCALARS_EVERY * config.train.batch_size / (now - window_started)
                scalars["train/images_per_second"] = speed
                bar.set_postfix_str(f"step {progress.step}, {speed:.0f} images/s, {smoothed:.3f} bits/pixel")
            tracker.scalars(progress.step, scalars)
            window_started = now
        if progress.step % config.train.evaluate_every == 0:
            evaluate(config.train.heldout_times)
            window_started = None
        if progress.step % config.train.checkpoint_every == 0 or progress.step == progress.best_step:
            save_checkpoint(output, denoiser, average, optimizers, progress)
            window_started = None
        if stop() is not None:
            accelerator.set_trigger()
        if accelerator.check_trigger():  # set by any of the processes
            bar.close()
            save_checkpoint(output, denoiser, average, optimizers, progress)
            tracker.close()
            raise StoppedBySignalError(stop() or signal.SIGTERM, progress.step)
    bar.close()

    estimates = evaluate(4 * config.train.heldout_times)
    knots = fitted_knots(process.schedule.noise(estimates.times), estimates.bits)
    pipeline.register_modules(scheduler=scheduler.but(fitted_knots=knots))
    save_checkpoint(output, denoiser, average, optimizers, progress)
    save_pipeline(pipeline, output)
    tracker.close()
    return estimates.result()


def learning_rate_factor(fraction: float, warmup: float) -> float:
    """Linear rise over the first ``warmup`` of the budget, times a cosine fall over all of it."""
    rise = min(1.0, fraction / warmup) if warmup > 0 else 1.0
    return rise * 0.5 * (1 + math.cos(math.pi * fraction))


def batch_rows(count: int, batch_size: int, step: int, seed: int) -> Tensor:
    """The rows of step ``step``: the data set in a new random order each epoch, cut into batches without a rest.

    Returns:
        int64 ``[batch_size]``; a function of the arguments alone.
    """
    positions = torch.arange(step * batch_size, (step + 1) * batch_size)
    rows = torch.empty_like(positions)
    for epoch in (positions // count).unique().tolist():
        generator = torch.Generator().manual_seed(mixed_seed(seed, epoch))
        order = torch.randperm(count, generator=generator)
        here = positions // count == epoch
        rows[here] = order[positions[here] % count]
    return rows


def _fraction_done(config: TrainConfig, progress: Progress, device: torch.device) -> float:
    """The larger of the elapsed fractions of the two budgets, the same on every process."""
    steps = progress.step / config.max_steps if config.max_steps else 0.0
    minutes = progress.minutes / config.max_minutes if config.max_minutes else 0.0
    return broadcast(torch.tensor(max(steps, minutes), dtype=torch.float32, device=device)).item()


def exponential_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """Exponential moving average whose decay starts low, so that the first weights are soon forgotten."""

    def update(averages: list[Tensor], weights: list[Tensor], count: Tensor) -> None:
        now = min(decay, (1 + count.item()) / (10 + count.item()))
        torch._foreach_lerp_(averages, weights, 1 - now)

    return torch.no_grad()(update)


def _bank(training: IndexMaps, heldout: IndexMaps) -> PaletteBank:
    sides = [training, heldout]
    return PaletteBank.of(
        PaletteBatch(
            torch.cat([side.palettes.colors for side in sides]), torch.cat([side.palettes.valid for side in sides])
        ),
        torch.cat([side.labels for side in sides]),
        torch.cat([torch.full((len(side),), side is heldout) for side in sides]),
    )


def check_config(config: RunConfig) -> None:
    """Raise InputError if the config contradicts itself, or if a number is out of range."""
    check_ranges(config)
    if config.train.max_steps is None and config.train.max_minutes is None:
        raise InputError("the run has no end: set train.max_steps or train.max_minutes")
    if config.train.foreign_palettes > 0 and config.model.kind == "index":
        raise InputError("train.foreign_palettes is for model.kind palette: an index model can't see colors")
