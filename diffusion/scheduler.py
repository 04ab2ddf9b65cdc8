"""PaletteScheduler: a process and a sampler behind the interface of diffusers' schedulers."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from torch import Tensor

from tincture.common.errors import InputError, choose
from tincture.quantization.palettes.batch import PaletteBatch

from .absorbing import AbsorbingProcess
from .color_heat import ColorHeatProcess
from .color_tree import ColorTreeProcess
from .draws import Generators, Streams
from .guidance import Prediction, as_prediction
from .jumps import UniformProcess
from .process import Process
from .samplers import SAMPLERS, even_times
from .schedules import make_schedule

PROCESSES: dict[str, type[Process]] = {
    "absorbing": AbsorbingProcess,
    "uniform": UniformProcess,
    "color-heat": ColorHeatProcess,
    "color-tree": ColorTreeProcess,
}
"""Each takes a `Schedule`, and options of its own."""


@dataclass
class PaletteSchedulerOutput(BaseOutput):
    """The index maps to ask the denoiser about next, or the drawn ones, int64 ``[B, H, W]``."""

    prev_sample: Tensor


class PaletteScheduler(SchedulerMixin, ConfigMixin):
    """A process and a sampler, as the loop of a pipeline uses them.

    The loop is diffusers' own, with two additions that discrete images need. `start` exists because
    a sampler may choose the times at which it asks. Palettes are passed because a process may
    depend on them::

        scheduler.set_timesteps(steps)
        x_t = scheduler.prior(palette, height, width, generator)
        x_t = scheduler.start(x_t, palette, generator)
        for t in scheduler.timesteps:
            logits = denoiser(x_t, scheduler.times, palette)
            x_t = scheduler.step(logits, t, x_t).prev_sample
            if scheduler.finished:
                break

    Args:
        process: a name in `PROCESSES`.
        process_options: of that process, as its constructor takes them.
        schedule: alpha(t): a name in `SCHEDULES`, or ``fitted``.
        fitted_knots: of the schedule fitted to the model, if there is one
            (`schedules.fitted_knots`).
        sampler: a name in `SAMPLERS`.
        sampler_options: of that sampler.
        grid: the schedule whose even steps the sampler takes; none for the process's own.

    Raises:
        InputError: a name is unknown, an option is out of range, or the sampler doesn't fit the
            process.
    """

    order = 1

    @register_to_config
    def __init__(
        self,
        process: str = "absorbing",
        process_options: dict[str, float] | None = None,
        schedule: str = "linear",
        fitted_knots: list[float] | None = None,
        sampler: str = "ancestral",
        sampler_options: dict[str, float] | None = None,
        grid: str | None = None,
    ) -> None:
        self.process: Process = choose("process", process, PROCESSES)(
            make_schedule(schedule, fitted_knots), **process_options or {}
        )
        self.sampler = choose("sampler", sampler, SAMPLERS)
        self.sampler.check(sampler, self.process, sampler_options or {})
        if fitted_knots is not None:
            make_schedule("fitted", fitted_knots)  # refuse wrong knots now, not at the first call that uses them
        self._grid = self.process.schedule if grid is None else make_schedule(grid, fitted_knots)
        self.set_timesteps(64)

    def with_changes(self, **changes: Any) -> "PaletteScheduler":
        """A new scheduler with these arguments changed, at the start of its times."""
        # Not by diffusers' from_config, which drops arguments that were given by position.
        names = inspect.signature(PaletteScheduler.__init__).parameters
        kept = {name: value for name, value in self.config.items() if name in names}
        return PaletteScheduler(**kept | changes)

    def set_timesteps(
        self, num_inference_steps: int, device: torch.device | str | None = None, start: float = 1.0
    ) -> None:
        """Lay the grid of times. Each step is at most one call of the network.

        With the ancestral sampler, each corrector step is one more call at every step.

        Args:
            num_inference_steps: at least 1. Steps in which the noise doesn't fall in float32 are
                left out.
            device: where the times are kept.
            start: the noise level to begin at, above 0, at most 1.

        Raises:
            InputError: out of range.
        """
        if num_inference_steps < 1:
            raise InputError(f"steps is {num_inference_steps}; it must be at least 1")
        if not 0 < start <= 1:
            raise InputError(f"the noise level to start from is {start}; it must be above 0 and at most 1")
        first = self._grid.time(torch.tensor(float(start)))
        grid_times = even_times(num_inference_steps, first.item())
        times = self.process.schedule.time(self._grid.noise(grid_times)).clamp(0, 1)
        noise = self.process.schedule.noise(times)
        # Of thousands of steps, some may lie closer together than float32 can tell. Between such
        # times there is nothing to do.
        falls = torch.cat([torch.ones(1, dtype=torch.bool), noise.diff() < 0])
        if not falls[1:].any():
            raise InputError(f"the noise level to start from is {start}; that is as good as none")
        self._times = times[falls].to(device)
        calls = self.sampler.calls_per_step(self.config.sampler_options or {})
        self.timesteps = self._times[:-1].repeat_interleave(calls)
        self._steps, self.finished = None, False

    def prior(self, palette: PaletteBatch, height: int, width: int, generator: Generators = None) -> Tensor:
        """Pure noise, int64 ``[B, height, width]``."""
        return self.process.prior(palette, height, width, generator)

    def add_noise(
        self, original_samples: Tensor, timesteps: Tensor, palette: PaletteBatch, generator: Generators = None
    ) -> Tensor:
        """Corrupt index maps, int64 ``[B, H, W]``, to times ``[B]`` in 0 … 1."""
        return self.process.q_sample(original_samples, timesteps, palette, generator)

    def start(self, sample: Tensor, palette: PaletteBatch, generator: Generators = None) -> Tensor:
        """Begin with ``sample``, int64 ``[B, H, W]``; returns the index maps to ask about first."""
        options = self.config.sampler_options or {}
        generator = generator.ahead() if isinstance(generator, Streams) else generator
        self._steps = self.sampler.algorithm(self.process, palette, sample, self._times, generator, **options)
        self._generator, self.finished = generator, False
        return self._ask(None, sample)

    def step(
        self, model_output: Tensor | Prediction, timestep: Tensor | float, sample: Tensor, return_dict: bool = True
    ) -> PaletteSchedulerOutput | tuple[Tensor]:
        """Take the next step.

        Args:
            model_output: the denoiser's logits for ``sample`` at `times`, ``[B, K, H, W]``, or a
                `Prediction`.
            timestep: part of diffusers' signature; samplers keep their place themselves.
            sample: what the logits are about; it may have been changed since the last step.
            return_dict: return a `PaletteSchedulerOutput` instead of a tuple.

        Raises:
            RuntimeError: `start` wasn't called, or the images are finished.
        """
        if self._steps is None or self.finished:
            raise RuntimeError("call start() before step(), and stop when finished is true")
        after = self._ask((sample, as_prediction(model_output)), sample)
        return PaletteSchedulerOutput(after) if return_dict else (after,)

    def _ask(self, answer: tuple[Tensor, Prediction] | None, sample: Tensor) -> Tensor:
        try:
            sample, self.times = self._steps.send(answer)
        except StopIteration as end:
            self.finished, sample = True, end.value
            if isinstance(self._generator, Streams):
                self._generator.look()
        return sample

    def __len__(self) -> int:
        """The number of calls in the grid of times."""
        return len(self.timesteps)


def sampler_names(process: Process) -> Sequence[str]:
    """The samplers that can reverse ``process``."""
    return [name for name, sampler in SAMPLERS.items() if sampler.mask in (None, process.has_mask)]
