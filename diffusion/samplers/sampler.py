"""What a sampler is: a generator that asks for predictions and returns the drawn image.

Written this way, each algorithm is one plain function with its state in local variables, and whoever calls the network
(a pipeline, a loop of your own) keeps control of it: batching, reuse, progress, callbacks.
"""

import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from tincture.common.errors import InputError, Range, choose
from tincture.quantization.palettes.batch import PaletteBatch

from ..draws import Generators
from ..prediction import Prediction, as_prediction
from ..process import Process

Steps = Generator[tuple[Tensor, Tensor], tuple[Tensor, Prediction], Tensor]
"""Yields (x_t int64 [B, H, W], t [B]) where it needs a prediction; is sent (x_t, prediction), where x_t may have been
changed by the caller; returns x_0 int64 [B, H, W]."""


class Algorithm(Protocol):
    """The signature of every sampler; keyword-only arguments are its options."""

    def __call__(
        self,
        process: Process,
        palette: PaletteBatch,
        x_t: Tensor,
        times: Tensor,
        generator: Generators = None,
        **options: float,
    ) -> Steps:
        """Reverse ``process``.

        Args:
            process: how images were corrupted.
            palette: one palette for each image.
            x_t: where to start, at the time ``times[0]``, int64 ``[B, H, W]``.
            times: falling to 0, ``[steps + 1]``; each but the last is a call of the network, and one more for each corrector step.
            generator: of all draws.
            options: see each sampler.
        """
        ...


@dataclass(frozen=True)
class Sampler:
    """An algorithm and what it can be used with."""

    algorithm: Algorithm
    mask: bool | None = None
    """True if it needs a process with a mask, false if it needs one without, none if it takes any."""
    ranges: Mapping[str, Range] = field(default_factory=dict)
    """What each of its options may be; those whose default is an int are whole."""
    takes_grid: bool = True
    """Whether it steps over a grid of times; else it draws its own."""

    @property
    def options(self) -> dict[str, float]:
        """The names of its options and their defaults."""
        parameters = inspect.signature(self.algorithm).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    def calls_per_step(self, options: dict[str, float]) -> int:
        """How many calls of the network a step of the grid takes at most: each corrector step is one more."""
        return 1 + int((self.options | options).get("corrector_steps", 0))

    def check(self, name: str, process: Process, options: dict[str, float]) -> None:
        """Raise InputError if this sampler, called ``name``, can't reverse ``process`` or has no such options or values."""
        if self.mask is not None and self.mask != process.has_mask:
            kind = "the absorbing process" if self.mask else "a process without a mask (uniform, color-heat)"
            raise InputError(f"the sampler {name} needs {kind}; this model was trained with another one")
        for option, value in options.items():
            default = choose(f"option of the sampler {name}", option, self.options)
            self.ranges[option].check(f"the option {option} of the sampler {name}", value)
            if isinstance(default, int) and value != int(value):
                raise InputError(f"the option {option} of the sampler {name} is {value}; it must be a whole number")


def even_times(steps: int, start: float = 1.0) -> Tensor:
    """Times from ``start`` to 0, ``[steps + 1]``."""
    return torch.linspace(start, 0, steps + 1)


def run(steps: Steps, denoise: Callable[[Tensor, Tensor], Tensor | Prediction]) -> Tensor:
    """Answer every question of a sampler with ``denoise(x_t, t)`` and return what it draws."""
    try:
        x_t, t = next(steps)
        while True:
            x_t, t = steps.send((x_t, as_prediction(denoise(x_t, t))))
    except StopIteration as end:
        return end.value
