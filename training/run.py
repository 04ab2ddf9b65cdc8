"""A run on this process: what it trains, measures and writes, step after step of the loop."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast, gather_object
from torch import Tensor

from tincture.common.environment import record_environment
from tincture.common.errors import InputError
from tincture.common.files import remove_leftovers, write_atomically
from tincture.common.processes import process_count, processes
from tincture.controls.options import Sampling
from tincture.data.index_maps import IndexMaps
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.evaluation.copies import NEAR, nearest_of_their_size
from tincture.evaluation.heldout import BitsPerPixel, Estimates, heldout_estimates
from tincture.models.denoiser import build_denoiser
from tincture.models.text import TextEncoder
from tincture.pipelines.folders import INDEX
from tincture.pipelines.palette_bank import PaletteBank
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.pictures.contact_sheet import contact_sheet
from tincture.quantization.pictures.indexed_image import IndexedImage

from .checkpoints import Progress, list_checkpoints, load_checkpoint, load_feed, save_checkpoint, stage_feed
from .devices import compile_where_it_pays
from .examples import ExampleMaker, cut_batch
from .feeds import Feed
from .optimizers import OPTIMIZERS, ExponentialAverage
from .palette_prior import fit_palette_prior
from .run_config import CONFIG_FILE, DATA_SHEET, RunConfig, check_config
from .tracking import BITS, Tracker, last_result

CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.monotonic,
    "cpu": lambda: time.process_time() / torch.get_num_threads(),
}
"""Seconds that pass, and seconds of work by this process, with all of its threads."""

SCALARS_EVERY = 10
"""Steps between training scalars, and between looks at what the device has computed."""

SHOWN_PICTURES = 64
"""How many random pictures that a run learns from are on `DATA_SHEET`."""

logger = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What came of a step on this process. The numbers may still be computed on the device."""

    step: int
    names: list[str]
    bits: Tensor
    """The bound of each picture, bits per pixel, ``[B]``."""
    norm: Tensor
    """The gradient's."""


class Run:
    """A run on this process: what it trains, how far it has come, and what it writes."""

    def __init__(
        self,
        config: RunConfig,
        feed: Feed,
        heldout: IndexMaps,
        output: Path,
        start: PaletteDiffusionPipeline | None = None,
    ) -> None:
        own = feed.pool.label_names if len(feed.pool.label_names) > 1 else []  # one class says nothing
        known = [] if start is None else start.config.label_names
        self.label_names = [*known, *(name for name in own if name not in known)]
        numbers = {name: number for number, name in enumerate(self.label_names)}
        self._rows = torch.tensor([numbers[name] for name in own])
        check_config(config, has_classes=bool(self.label_names))
        pool, heldout = self.relabeled(feed.pool), self.relabeled(heldout)
        self.config, self.feed, self.heldout, self.output = config, feed, heldout, output
        self.progress, self.tracker = Progress(), None

        # Processes: each has a share of every batch, and may take it in parts.
        cpu = processes(config.train.device == "cpu").device.type == "cpu"
        self.accelerator = accelerator = Accelerator(mixed_precision="no", cpu=cpu)  # the step itself sees to it
        _check_launch(accelerator)
        self.is_first = accelerator.is_main_process
        self._is_shared = accelerator.num_processes > 1
        count, index = config.train.accumulation, accelerator.process_index
        self.parts = cut_batch(config.train.batch_size, accelerator.num_processes * count)[index * count :][:count]
        self.share = slice(self.parts[0].start, self.parts[-1].stop)

        # The network, its average, and what changes them.
        torch.manual_seed(config.seed)
        sizes = len(self.label_names), pool.palettes.mask_index
        first, is_tree = None if start is None else start.denoiser, config.process.kind == "color-tree"
        denoiser = build_denoiser(config.model, *sizes, pool.captions, first, is_tree)
        self.denoiser = denoiser.to(accelerator.device, memory_format=torch.channels_last)
        self.average = ExponentialAverage(self.denoiser, config.train.ema_decay)
        self.optimizers = OPTIMIZERS[config.train.optimizer](self.denoiser, config.train)
        compile_where_it_pays(self.denoiser, config.train, accelerator.device)
        self.model = accelerator.prepare_model(self.denoiser)  # averages gradients over processes

        # The process, and the pipeline that draws with it.
        scheduler = PaletteScheduler(**config.process.scheduler_options) if start is None else start.scheduler
        self.process = scheduler.process
        self.make_examples = ExampleMaker(
            self.denoiser, self.process, pool.palettes, config.train, config.seed, accelerator.device
        )
        bank = _palette_bank(pool, heldout, denoiser.text)
        own = {} if start is None else {name: start.config[name] for name in ("temperature", "guidance_scale")}
        self.pipeline = PaletteDiffusionPipeline(
            self.average.module, scheduler, bank, config.data.sizes[-1], tuple(self.label_names), **own
        )

    def relabeled(self, pictures: IndexMaps) -> IndexMaps:
        """Pictures of the data set, with the network's labels in the place of the set's."""
        none = torch.full_like(pictures.labels, len(self.label_names))
        labels = self._rows[pictures.labels] if len(self._rows) else none
        return replace(pictures, labels=labels, label_names=self.label_names)

    def _copied(self, drawn: list[IndexedImage]) -> dict[str, float]:
        """The shares of drawings and of as many held-out pictures that nearly are training ones."""
        heldout = self.heldout.pictures(self.heldout.random_rows(len(drawn), self.config.seed))
        ways = {"training": self.feed.pool, "mirrored": self.config.train.mirror > 0}
        shares = [
            (nearest_of_their_size(images, **ways).agreement >= NEAR[0]).double().mean().item()
            for images in (drawn, heldout)
        ]
        logger.info(
            "%.0f %% of %d drawings agree with a training picture in %.0f %% of their pixels or more; "
            "of held-out pictures, %.0f %% do",
            *(100 * shares[0], len(drawn), 100 * NEAR[0], 100 * shares[1]),
        )
        names = (f"memorization/{side}share_from_{NEAR[0]}" for side in ("", "heldout_"))  # as evaluate.py says it
        return dict(zip(names, shares, strict=True))

    def restore(self) -> BitsPerPixel | None:
        """Go on from the latest checkpoint, if there is one; raises InputError if it is damaged.

        Returns:
            What the run measured in the end, if it had ended there.
        """
        if self.is_first:
            remove_leftovers(self.output)
        checkpoints = list_checkpoints(self.output)
        if not checkpoints:
            logger.info("there is no checkpoint to resume in %s: the run begins anew", self.output)
            return None
        self.progress = load_checkpoint(checkpoints[-1], self.denoiser, self.average, self.optimizers)
        self.feed.restore(load_feed(checkpoints[-1], self.accelerator.process_index), self.progress.step)
        logger.info("resumed at step %d", self.progress.step)
        self.start_clock()
        if self.fraction_done() < 1 or not (self.output / INDEX).is_file():
            return None
        result = last_result(self.output, self.progress.step)
        if result is not None:
            logger.info("the run has ended already: raise train.max_steps or train.max_minutes to go on")
        return result

    def write_settings(self, folder: Path) -> None:
        """Write the run's config, and what belongs to a model besides its weights."""
        (folder / CONFIG_FILE).write_text(self.config.to_yaml())
        self.pipeline.save_settings(folder)

    def start_record(self, resume: bool) -> None:
        """Write the config and the environment, and begin to track scalars."""
        write_atomically(self.output / CONFIG_FILE, lambda path: path.write_text(self.config.to_yaml()))
        record_environment(self.output, self.progress.step)
        pool = self.feed.pool
        shown = contact_sheet(pool.pictures(pool.random_rows(SHOWN_PICTURES, self.config.seed)))
        write_atomically(self.output / DATA_SHEET, shown.save)
        project = self.config.track.project if self.config.track.wandb else None
        self.tracker = Tracker(self.output, self.config.to_dict(), project, self.progress.step, resume)

    def start_clock(self) -> None:
        """Begin to count the minutes of the loop, besides those before an interruption."""
        self._clock = CLOCKS[self.config.train.clock]
        self._started = self._clock() - 60 * self.progress.minutes

    def fraction_done(self) -> float:
        """The larger of the elapsed fractions of the two budgets, the same on every process."""
        train, progress = self.config.train, self.progress
        if self._is_in_step():
            minutes = torch.tensor((self._clock() - self._started) / 60, dtype=torch.float32)
            progress.minutes = (
                broadcast(minutes.to(self.accelerator.device)).item() if self._is_shared else minutes.item()
            )
        steps = progress.step / train.max_steps if train.max_steps else 0.0
        minutes = progress.minutes / train.max_minutes if train.max_minutes else 0.0
        return max(steps, minutes)

    def shall_stop(self, is_told: bool) -> bool:
        """Whether any process is told to stop, as far as they have asked each other."""
        if not self._is_shared:
            return is_told
        if is_told:
            self.accelerator.set_trigger()
        return self._is_in_step() and self.accelerator.check_trigger()

    def _is_in_step(self) -> bool:
        """Whether processes may ask each other now. If each step did, all would wait for all."""
        return not self._is_shared or self.progress.step % SCALARS_EVERY == 0

    def read(self, unread: list[Outcome]) -> list[float]:
        """The training bits per pixel of some steps, in one wait for the device; none is left.

        Raises:
            InputError: a loss or a gradient wasn't finite.
        """
        if not unread:
            return []
        numbers = torch.stack([torch.stack([outcome.bits.sum(), outcome.norm.float()]) for outcome in unread])
        totals = self.accelerator.reduce(numbers).tolist()  # over processes, which have the same norm
        bits = [total / self.config.train.batch_size for total, _ in totals]
        for outcome, value, (_, norm) in zip(unread, bits, totals, strict=True):
            if not math.isfinite(value) or not math.isfinite(norm):
                raise InputError(self._failure(outcome, value))
        unread.clear()
        return bits

    def _failure(self, outcome: Outcome, value: float) -> str:
        """What to say if the loss or the gradient isn't finite, and of which pictures."""
        are_finite = outcome.bits.isfinite().tolist()
        culprits = gather_object([name for name, is_fine in zip(outcome.names, are_finite, strict=True) if not is_fine])
        return (
            f"the loss is {value} and its gradient's norm {outcome.norm:.3g} at step {outcome.step}"
            f"{', by ' + ', '.join(culprits) if culprits else ''}, "
            "so training stopped: try a lower train.learning_rate, then --resume or start again"
        )

    def log(self, scalars: dict[str, float]) -> None:
        """Track scalars of this step."""
        if self.tracker is not None:
            self.tracker.scalars(self.progress.step, scalars)

    def evaluate(self, times_per_image: int) -> Estimates:
        """Measure the averaged weights, draw a preview, log both, and note the best step.

        Returns:
            Estimates of the bits per pixel, if the model is told nothing but the palette.
        """
        config, denoiser = self.config, self.average.module
        at_once = -(
            -config.train.batch_size // (process_count() * config.train.accumulation)
        )  # as in a step: that fits

        def estimates(told: str) -> Estimates:
            return heldout_estimates(
                denoiser, self.process, self.heldout, times_per_image, at_once, told, config.seed, distributed=True
            )

        plain = estimates("nothing")
        bits, stderr = plain.result()
        scalars = {BITS: bits, f"{BITS}_stderr": stderr}
        if denoiser.num_classes:
            scalars["heldout/bits_per_pixel_given_class"] = estimates("class").result().mean
        if denoiser.luminance is not None:
            scalars["heldout/bits_per_pixel_given_luminance"] = estimates("luminance").result().mean
        of_size = self.heldout.rows_by_size()
        if len(of_size) > 1:
            scalars |= {f"{BITS}_at_{size}": plain.bits[:, rows].mean().item() for size, rows in of_size.items()}
        if denoiser.text is not None:
            scalars["heldout/bits_per_pixel_given_caption"] = estimates("caption").result().mean

        # Pictures of every size.
        sizes = config.data.sizes[-config.train.preview_images :]
        places = cut_batch(config.train.preview_images, len(sizes))
        images = [image for size, these in zip(sizes, places, strict=True) for image in self.preview(size, these)]
        if self.tracker is not None:
            self.tracker.sheet(self.progress.step, "preview", contact_sheet(images))
            if config.started_from is not None:  # of few pictures, much is copied
                scalars |= self._copied(images)
        self.log(scalars)

        if bits < self.progress.best_bits_per_pixel:
            self.progress.best_bits_per_pixel, self.progress.best_step = bits, self.progress.step
        return plain

    def preview(self, size: int, places: slice) -> list[IndexedImage]:
        """Drawings of one size in held-out palettes, the same ones each time.

        If the network knows words, it is told the captions of the pictures that these are from.
        """
        number, heldout, text = places.stop - places.start, self.heldout, self.average.module.text
        palettes, prompts = "heldout", None
        if text is not None:
            of_size = {*heldout.rows_by_size().get(size, torch.empty(0)).tolist()}
            rows = filter(of_size.__contains__, heldout.random_rows(len(heldout), self.config.seed).tolist())
            known = ((row, text.vocabulary.known_in(heldout.captions[row])) for row in rows)
            if shown := list(islice(cycle(each for each in known if each[1]), number)):
                palettes, prompts = [heldout.palette(row) for row, _ in shown], [words for _, words in shown]
        sampling = Sampling(self.config.train.preview_steps, self.config.seed)
        self.pipeline.set_progress_bar_config(disable=True)
        told = {"height": size, "width": size, "prompt": prompts, "distributed": True}
        return self.pipeline(number, palettes, sampling, **told).images

    def fit_palette_prior(self) -> None:
        """Give the pipeline its prior over palettes, if its pictures have palettes of their own."""
        steps = min(self.config.train.palette_prior_steps, self.progress.step)
        if steps > 0 and self.config.data.palette == "own":
            told = self.pipeline.palette_bank, len(self.label_names), self.average.module.text
            self.pipeline.register_modules(palette_prior=fit_palette_prior(*told, steps, self.config.seed))

    def save(self) -> None:
        """Write a checkpoint, with the feeds of all processes."""
        stage_feed(self.output, self.accelerator.process_index, self.feed.state())
        self.accelerator.wait_for_everyone()
        if self.is_first:
            state = self.denoiser, self.average, self.optimizers, self.progress
            save_checkpoint(self.output, *state, self.write_settings)
            (self.output / INDEX).unlink(missing_ok=True)  # the model of a run that goes on is its latest checkpoint
        self.accelerator.wait_for_everyone()

    def close(self) -> None:
        """End tracking."""
        if self.tracker is not None:
            self.tracker.close()


def _check_launch(accelerator: Accelerator) -> None:
    known = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
    if accelerator.distributed_type not in known:
        raise InputError(
            f"accelerate was told to use {accelerator.distributed_type.value}: take configs/accelerate/gpus.yaml"
        )


def _palette_bank(training: IndexMaps, heldout: IndexMaps, text: TextEncoder | None) -> PaletteBank:
    sides = [training, heldout]
    words = None if text is None else text.vocabulary.encode([*training.captions, *heldout.captions])
    colors, valid = (torch.cat([getattr(side.palettes, name) for side in sides]) for name in ("colors", "valid"))
    return PaletteBank.of(
        PaletteBatch(colors, valid),
        torch.cat([side.labels for side in sides]),
        torch.cat([torch.full((len(side),), side is heldout) for side in sides]),
        words,
    )
