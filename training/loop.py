"""The training loop: from a config and a data set to a pipeline folder, resumable to the bit."""

import logging
import math
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast, gather_object
from PIL import Image
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from tincture.common.environment import record_environment
from tincture.common.errors import InputError
from tincture.common.files import write_atomically
from tincture.common.processes import process_count, processes
from tincture.common.signals import StoppedBySignalError
from tincture.controls.options import Sampling
from tincture.data.config import check_data_config
from tincture.data.index_maps import IndexMaps
from tincture.diffusion.draws import mixed_seed
from tincture.diffusion.losses import hybrid_loss
from tincture.diffusion.process import Process
from tincture.diffusion.schedules import fitted_knots
from tincture.evaluation.heldout import BitsPerPixel, Estimates, heldout_estimates
from tincture.models.config import DenoiserConfig, build_denoiser
from tincture.models.denoiser import Denoiser
from tincture.pipelines.palette_bank import PaletteBank
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.pipelines.saving import save_pipeline
from tincture.pipelines.sheet import contact_sheet
from tincture.quantization.palettes.batch import PaletteBatch

from .checkpoints import (
    Progress,
    list_checkpoints,
    load_checkpoint,
    load_feed,
    remove_leftovers,
    save_checkpoint,
    stage_feed,
)
from .config import RunConfig, TrainConfig, check_ranges
from .examples import ExampleMaker, shares
from .feeds import Feed
from .optimizers import OPTIMIZERS
from .sharding import shard, whole, whole_weights
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
    feed: Feed,
    heldout: IndexMaps,
    output: Path,
    resume: bool = False,
    stop: Callable[[], int | None] = lambda: None,
    earlier_set_aside: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> BitsPerPixel:
    """Train a denoiser and leave it in ``output`` as a pipeline folder, with checkpoints, metrics and previews.

    All processes of one launch call this alike; they share each batch, and the first one writes.

    Args:
        config: the whole run.
        feed: the side of the data set to learn from.
        heldout: the side to measure on.
        output: where everything goes.
        resume: go on from the latest checkpoint in ``output``.
        stop: asked after each step; a signal's number stops the run there.
        earlier_set_aside: entered by the first process before the first file is written, when nothing is known to be wrong with the
            run, and left when all of them are: until then it can still fail.

    Returns:
        Held-out bits per pixel of the averaged weights, without labels.

    Raises:
        InputError: the config contradicts itself, there is nothing to resume, or the loss is not finite.
        StoppedBySignalError: ``stop`` said so; a checkpoint of the last step is there.
    """
    check_config(config)
    cpu = processes(config.train.device == "cpu").device.type == "cpu"
    accelerator = Accelerator(mixed_precision=config.train.mixed_precision, cpu=cpu)
    first = accelerator.is_main_process
    _check_launch(config.train, accelerator)
    own, parts = own_share(config.train, accelerator)

    torch.manual_seed(config.seed)
    label_names = feed.pool.label_names if len(feed.pool.label_names) > 1 else []
    _check_told_nothing(config.model, bool(label_names))
    denoiser = build_denoiser(config.model, len(label_names), feed.pool.palettes.mask_index)
    scheduler = config.process.make_scheduler()
    process = scheduler.process
    memory_format = torch.contiguous_format if config.train.shard else torch.channels_last  # FSDP knows no other
    denoiser = denoiser.to(accelerator.device, memory_format=memory_format)
    average = AveragedModel(denoiser, multi_avg_fn=exponential_average(config.train.ema_decay), use_buffers=False)
    if config.train.shard:
        shard(denoiser, accelerator.device, accelerator.num_processes)
    optimizers = OPTIMIZERS[config.train.optimizer](denoiser, config.train)
    peak_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    prepared = [accelerator.prepare_optimizer(optimizer) for optimizer in optimizers]
    model = denoiser if config.train.shard else accelerator.prepare_model(denoiser)
    make_examples = ExampleMaker(denoiser, process, feed.pool.palettes, config.train, config.seed, accelerator.device)
    bank = _bank(feed.pool, heldout)
    pipeline = PaletteDiffusionPipeline(average.module, scheduler, bank, config.data.size, tuple(label_names))

    progress = Progress()
    if resume:
        if first:
            remove_leftovers(output)
        checkpoints = list_checkpoints(output)
        if not checkpoints:
            raise InputError(f"there is no checkpoint to resume in {output}")
        progress = load_checkpoint(checkpoints[-1], denoiser, average, optimizers)
        feed.restore(load_feed(checkpoints[-1], accelerator.process_index), progress.step)
        logger.info("resumed at step %d", progress.step)
    tracker = None
    if first:
        with earlier_set_aside():
            write_atomically(
                output / CONFIG_FILE, lambda path: path.write_text(yaml.safe_dump(config.to_dict(), sort_keys=False))
            )
            record_environment(output, progress.step)
            project = config.track.project if config.track.wandb else None
            tracker = Tracker(output, config.to_dict(), project, progress.step)

    def log(scalars: dict[str, float]) -> None:
        if tracker is not None:
            tracker.scalars(progress.step, scalars)

    def save() -> None:
        stage_feed(output, accelerator.process_index, feed.state())
        accelerator.wait_for_everyone()
        save_checkpoint(output, denoiser, average, optimizers, progress)
        accelerator.wait_for_everyone()

    def evaluate(times_per_image: int) -> Estimates:
        """Measure the averaged weights on the held-out side, draw a preview, log both, and note the best."""
        scalars, estimates = measure(average.module, process, heldout, times_per_image, config)
        log(scalars)
        sheet = preview(pipeline, config)
        if tracker is not None:
            tracker.sheet(progress.step, "preview", sheet)
        bits = estimates.result().mean
        if bits < progress.best_bits_per_pixel:
            progress.best_bits_per_pixel, progress.best_step = bits, progress.step
        return estimates

    clock = CLOCKS[config.train.clock]
    started, minutes_before = clock(), progress.minutes
    bar = tqdm(
        total=1.0,
        desc="training",
        bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}{postfix}",
        disable=not first,
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

        model.train()
        torch.manual_seed(mixed_seed(config.seed, progress.step, accelerator.process_index))  # dropout on a GPU
        for optimizer in prepared:
            optimizer.zero_grad()
        pictures = feed.pictures(progress.step, own)
        bits = []
        for part in parts:
            rows = torch.arange(part.start - own.start, part.stop - own.start)
            examples = make_examples(pictures.subset(rows), progress.step, part.start)
            # Gradients are averaged over processes, once for all parts, so each part brings its sum over the mean.
            with nullcontext() if part is parts[-1] else accelerator.no_sync(model):
                with accelerator.autocast():
                    logits = model(examples.x_t, examples.t, examples.palette, examples.conditions).float()
                losses, part_bits = hybrid_loss(
                    process,
                    logits,
                    examples.x_0,
                    examples.x_t,
                    examples.t,
                    examples.palette,
                    config.train.cross_entropy,
                )
                accelerator.backward(losses.sum() * accelerator.num_processes / config.train.batch_size)
            bits.append(part_bits.detach())
        norm = whole(accelerator.clip_grad_norm_(denoiser.parameters(), config.train.clip_norm))
        bits = torch.cat(bits)
        value = accelerator.reduce(bits.sum()).item() / config.train.batch_size
        if not math.isfinite(value) or not torch.isfinite(norm):
            culprits = [name for name, each in zip(pictures.names, bits, strict=True) if not each.isfinite()]
            culprits = gather_object(culprits)
            raise InputError(
                f"the loss is {value} and its gradient's norm {norm:.3g} at step {progress.step}"
                f"{', by ' + ', '.join(culprits) if culprits else ''}, "
                "so training stopped: try a lower train.learning_rate, then --resume or start again"
            )
        for optimizer in prepared:
            optimizer.step()
        average.update_parameters(whole_weights(denoiser))
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
            log(scalars)
            window_started = now
        if progress.step % config.train.evaluate_every == 0:
            evaluate(config.train.heldout_times)
            window_started = None
        if progress.step % config.train.checkpoint_every == 0 or progress.step == progress.best_step:
            save()
            window_started = None
        if stop() is not None:
            accelerator.set_trigger()
        if accelerator.check_trigger():  # set by any of the processes
            bar.close()
            save()
            if tracker is not None:
                tracker.close()
            raise StoppedBySignalError(stop() or signal.SIGTERM, progress.step)
    bar.close()
    save()  # what follows takes a while

    estimates = evaluate(4 * config.train.heldout_times)
    knots = fitted_knots(process.schedule.noise(estimates.times), estimates.bits)
    pipeline.register_modules(scheduler=scheduler.but(fitted_knots=knots))
    save()
    if tracker is not None:
        save_pipeline(pipeline, output)
        tracker.close()
    return estimates.result()


def _check_told_nothing(model: DenoiserConfig, has_classes: bool) -> None:
    """Raise InputError if training never hides a condition: runs are measured, compared and drawn with without it."""
    always = {
        "class_dropout": has_classes and model.class_dropout == 0,
        "luminance_dropout": model.luminance_dropout == 0,
    }
    for name, is_told in always.items():
        if is_told:
            raise InputError(
                f"model.{name} is 0, so training would never hide what the run is measured and drawn without: set it above 0"
            )


def _check_launch(config: TrainConfig, accelerator: Accelerator) -> None:
    """Raise InputError if processes were started in a way that training can't use."""
    known = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
    if accelerator.distributed_type not in known:
        raise InputError(
            f"accelerate was told to use {accelerator.distributed_type.value}: take configs/accelerate/gpus.yaml, and "
            "--train.shard true if a model is too large for each GPU to hold"
        )
    if config.shard and accelerator.num_processes == 1:
        raise InputError("train.shard is for several processes: start them with torchrun or accelerate launch")


def own_share(config: TrainConfig, accelerator: Accelerator) -> tuple[slice, list[slice]]:
    """Which positions of each batch are this process's, all together and by accumulated parts.

    Raises:
        InputError: the batch is too small for so many processes and parts.
    """
    parts = shares(config.batch_size, accelerator.num_processes * config.accumulation)
    first = accelerator.process_index * config.accumulation
    own = parts[first : first + config.accumulation]
    return slice(own[0].start, own[-1].stop), own


def measure(
    denoiser: Denoiser, process: Process, heldout: IndexMaps, times_per_image: int, config: RunConfig
) -> tuple[dict[str, float], Estimates]:
    """Held-out bits per pixel, told nothing and told each condition that ``denoiser`` has; scalars, and the former."""
    at_once = -(-config.train.batch_size // (process_count() * config.train.accumulation))  # as in a step: that fits

    def estimates(told: str) -> Estimates:
        return heldout_estimates(denoiser, process, heldout, times_per_image, at_once, told, config.seed, split=True)

    plain = estimates("nothing")
    result = plain.result()
    scalars = {"heldout/bits_per_pixel": result.mean, "heldout/bits_per_pixel_stderr": result.stderr}
    if denoiser.num_classes:
        scalars["heldout/bits_per_pixel_given_class"] = estimates("class").result().mean
    if denoiser.luminance is not None:
        scalars["heldout/bits_per_pixel_given_luminance"] = estimates("luminance").result().mean
    return scalars, plain


def preview(pipeline: PaletteDiffusionPipeline, config: RunConfig) -> Image.Image:
    """A sheet of pictures in held-out palettes, the same ones each time."""
    pipeline.set_progress_bar_config(disable=True)
    sampling = Sampling(config.train.preview_steps, config.seed)
    return contact_sheet(pipeline(config.train.preview_images, "heldout", sampling, split=True).images)


def learning_rate_factor(fraction: float, warmup: float) -> float:
    """Linear rise over the first ``warmup`` of the budget, times a cosine fall over all of it."""
    rise = min(1.0, fraction / warmup) if warmup > 0 else 1.0
    return rise * 0.5 * (1 + math.cos(math.pi * fraction))


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
    check_data_config(config.data)
    check_ranges(config)
    if config.train.max_steps is None and config.train.max_minutes is None:
        raise InputError("the run has no end: set train.max_steps or train.max_minutes")
    if config.train.foreign_palettes > 0 and config.model.kind == "index":
        raise InputError("train.foreign_palettes is for model.kind palette: an index model can't see colors")
    if config.model.augmentation_labels and not config.train.mirror and not config.train.shift:
        raise InputError(
            "model.augmentation_labels has nothing to tell the network without train.mirror or train.shift"
        )
