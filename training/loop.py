"""The training loop: from a config and a data set to a pipeline. A stop changes no weight."""

import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from tqdm import tqdm

from tincture.common.signals import StoppedBySignalError
from tincture.data.index_maps import IndexMaps
from tincture.diffusion.draws import mixed_seed
from tincture.diffusion.likelihood import hybrid_loss
from tincture.diffusion.schedules import fitted_knots
from tincture.evaluation.heldout import BitsPerPixel
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline

from .devices import autocast
from .feeds import Feed
from .optimizers import learning_rate_factor, set_learning_rates
from .run import SCALARS_EVERY, Outcome, Run
from .run_config import RunConfig


def train(  # noqa: PLR0915  # one loop, top to bottom
    config: RunConfig,
    feed: Feed,
    heldout: IndexMaps,
    output: Path,
    resume: bool = False,
    stop: Callable[[], int | None] = lambda: None,
    earlier_set_aside: Callable[[], AbstractContextManager[None]] = nullcontext,
    start: PaletteDiffusionPipeline | None = None,
) -> BitsPerPixel:
    """Train a denoiser and leave it in ``output`` as a pipeline, with checkpoints and metrics.

    All processes of one launch call this alike. They share each batch, and the first one writes.

    Args:
        config: the whole run.
        feed: the side of the data set to learn from.
        heldout: the side to measure on.
        output: where everything goes.
        resume: go on from the latest checkpoint in ``output``; begin if there is none yet.
        stop: asked after each step; a signal's number stops the run there.
        earlier_set_aside: the first process writes its first files in this context, when nothing is
            known to be wrong with the run any more. Until the context ends, an earlier run in
            ``output`` can still be kept.
        start: the model with whose weights, classes and words the run begins. If it is resumed,
            that is its checkpoint.

    Returns:
        Held-out bits per pixel of the averaged weights, without labels.

    Raises:
        InputError: the config contradicts itself, the checkpoint is damaged, or the loss isn't
            finite.
        StoppedBySignalError: ``stop`` said so; a checkpoint of the last step is there.
    """
    # ---- Set up, or go on ----
    run = Run(config, feed, heldout, output, start)
    if resume and (result := run.restore()) is not None:
        return result
    if run.is_first:
        with earlier_set_aside():
            run.start_record(resume)
    accelerator, process, progress, options = run.accelerator, run.process, run.progress, config.train
    if start is not None and progress.best_step is None:  # what the model could before; the best so far
        run.evaluate(options.heldout_times)
        run.save()
    run.start_clock()
    meter, unread = Meter(run), list[Outcome]()

    while (fraction := run.fraction_done()) < 1:
        meter.show(fraction)
        rate_factor = learning_rate_factor(fraction, options.warmup)
        set_learning_rates(run.optimizers, rate_factor)

        # ---- One step: all chance depends on the seed, the step and the place in the batch ----
        run.model.train()
        torch.manual_seed(mixed_seed(config.seed, progress.step, accelerator.process_index))  # dropout on a GPU
        for optimizer in run.optimizers:
            optimizer.zero_grad()
        pictures = run.relabeled(feed.pictures(progress.step, run.share))
        bits = []
        for part in run.parts:  # one after the other, to save memory
            here = slice(part.start - run.share.start, part.stop - run.share.start)
            # Corrupt: x_t ~ q(x_t | x_0) at times t.
            batch = run.make_examples(pictures.subset(here), progress.step, part.start)
            # Predict. Gradients are averaged over processes once, in the last part.
            with nullcontext() if part is run.parts[-1] else accelerator.no_sync(run.model):
                with autocast(options, accelerator.device):  # logits of p(x_0 | x_t), [B, K, H, W]
                    logits = run.model(batch.x_t, batch.t, batch.palette, batch.conditions).float()
                # L = L_vb + λ E[-log p(x_0 | x_t)] (Austin et al. 2021, arXiv 2107.03006, eq. 5)
                # and L_vb alone, the bound, both in bits per pixel, [B]
                losses, bound = hybrid_loss(
                    process, logits, batch.x_0, batch.x_t, batch.t, batch.palette, options.cross_entropy
                )
                # The mean over the batch, of which this is a part. DDP averages over processes.
                accelerator.backward(losses.sum() * accelerator.num_processes / options.batch_size)
            bits.append(bound.detach())
        # Clip the gradient, change the weights and their average.
        norm = accelerator.clip_grad_norm_(run.denoiser.parameters(), options.clip_norm)
        for optimizer in run.optimizers:
            optimizer.step()
        run.average.update_parameters(run.denoiser)
        unread.append(Outcome(progress.step, pictures.names, torch.cat(bits), norm))
        progress.step += 1

        # ---- Log, evaluate, save ----
        # To read a number, the device has to be waited for. What isn't finite is evaluated, saved
        # and drawn with by nobody.
        if any(
            progress.step % every == 0 for every in (SCALARS_EVERY, options.evaluate_every, options.checkpoint_every)
        ):
            meter.log(run.read(unread), rate_factor)
        if progress.step % options.evaluate_every == 0:
            run.evaluate(options.heldout_times)
            meter.pause()
        if progress.step % options.checkpoint_every == 0 or progress.step == progress.best_step:
            run.save()
            meter.pause()

        # ---- Stop, if any process was told to ----
        if run.shall_stop(stop() is not None):
            meter.bar.close()
            run.read(unread)
            run.save()
            run.close()
            raise StoppedBySignalError(stop() or signal.SIGTERM, progress.step)
    meter.show(1)
    meter.bar.close()

    # ---- Measure, fit sampling times and the prior over palettes, leave the pipeline ----
    run.read(unread)
    run.save()  # what follows takes a while
    estimates = run.evaluate(4 * options.heldout_times)
    knots = fitted_knots(process.schedule.noise(estimates.times), estimates.bits)
    run.pipeline.register_modules(scheduler=run.pipeline.scheduler.with_changes(fitted_knots=knots))
    run.save()
    if run.is_first:
        run.fit_palette_prior()
        run.pipeline.save_pretrained(output)
    run.close()
    return estimates.result()


class Meter:
    """The progress bar, and the scalars of training, every few steps."""

    def __init__(self, run: Run) -> None:
        self.run = run
        form = "{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}{postfix}"
        # What a resumed run did before says nothing about the time that it takes now.
        done = min(run.fraction_done(), 1)
        self.bar = tqdm(initial=done, total=1.0, desc="training", bar_format=form, disable=not run.is_first)
        self._smoothed: float | None = None
        self._started: float | None = None  # when the steps began whose speed is measured

    def show(self, fraction: float) -> None:
        """Move the bar to the part of the budget that has passed."""
        self.bar.update(min(fraction, 1) - self.bar.n)

    def log(self, values: list[float], rate_factor: float) -> None:
        """Take in the bits per pixel of some steps, and the learning rate as a part of the peak."""
        for bits in values:
            self._smoothed = bits if self._smoothed is None else 0.95 * self._smoothed + 0.05 * bits
        step, train = self.run.progress.step, self.run.config.train
        if step % SCALARS_EVERY != 0:
            return
        now = time.monotonic()
        scalars = {"train/bits_per_pixel": self._smoothed, "train/learning_rate": train.learning_rate * rate_factor}
        if self._started is not None:
            speed = SCALARS_EVERY * train.batch_size / (now - self._started)
            scalars["train/images_per_second"] = speed
            self.bar.set_postfix_str(f"step {step}, {speed:.0f} images/s, {self._smoothed:.3f} bits/pixel")
        self.run.log(scalars)
        self._started = now

    def pause(self) -> None:
        """Leave out of the speed what evaluating and saving takes."""
        self._started = None
