"""Samplers reverse a process. Each is one function that can be read alone and that names its paper.

A sampler is a generator. It yields ``(x_t, t)`` where it needs a prediction, is sent one, and
returns the drawn image. So an algorithm keeps its state in local variables, and whoever calls the
network (a pipeline, a loop of your own) stays in control of batches, reuse, progress and callbacks.
`run` is the shortest such loop.
"""

import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from tincture.common.errors import SHARE, InputError, Range, choose
from tincture.quantization.palettes.batch import PaletteBatch

from .draws import LOOK_EVERY, Generators, categorical, is_waited_for, uniform, widest_float
from .guidance import Prediction, as_prediction
from .options import SAMPLER_OPTIONS
from .orders import ORDERS, Order, filled, is_masked, left_masked, lowest
from .process import Process

Steps = Generator[tuple[Tensor, Tensor], tuple[Tensor, Prediction], Tensor]
"""Yields (x_t int64 [B, H, W], t [B]) and is sent (x_t, prediction); the caller may have changed
this x_t. Returns x_0, int64 [B, H, W]."""


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
            times: the grid, falling to 0, ``[steps + 1]``. Each time but the last is one call of
                the network; each corrector step is one more.
            generator: of all draws.
            options: see each sampler.
        """
        ...


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


# Samplers for every process


def ancestral(
    process: Process,
    palette: PaletteBatch,
    x_t: Tensor,
    times: Tensor,
    generator: Generators = None,
    *,
    corrector_steps: int = 0,
    corrector_size: float = 0.25,
) -> Steps:
    """Step back by p(x_s | x_t): Shi et al. 2024 (arXiv 2406.04329), Algorithm 2.

    Austin et al. 2021 (arXiv 2107.03006), section 3, have it for other processes. It is exact in
    the limit of many steps. A corrector step (Campbell et al. 2022, arXiv 2205.14987) corrupts a
    part of the way from s to t again, and steps back once more. That leaves the distribution at s
    as it is and forgets the errors of earlier steps.

    Options:
        corrector_steps: corrector steps after each step; each is one more call of the network.
        corrector_size: the part of the way from s to t, above 0, at most 1.
    """
    times = times.to(x_t.device)
    between = times[1:] + corrector_size * (times[:-1] - times[1:])
    clock, clock_between = clocks(process, times, palette), clocks(process, between, palette)
    for step, t in enumerate(times[:-1]):
        x_t, prediction = yield x_t, t.expand(len(x_t))
        s = clock[step + 1]
        x_t = categorical(prediction.posterior(process, x_t, s, clock[step], palette), generator)
        for _ in range(int(corrector_steps)):
            x_t = process.renoise(x_t, s, clock_between[step], palette, generator)
            x_t, prediction = yield x_t, between[step].expand(len(x_t))
            x_t = categorical(prediction.posterior(process, x_t, s, clock_between[step], palette), generator)
    return x_t


# Samplers for processes without a mask


def stratified_hazard(
    process: Process, palette: PaletteBatch, x_t: Tensor, times: Tensor, generator: Generators = None
) -> Steps:
    """Stratified hazard sampling: Jang and Han 2026 (arXiv 2601.02799).

    The hazard of a pixel is its probability 1 - p(x_s = x_t | x_t) to jump. It adds up over the
    steps, from a random phase in [0, 1). A pixel jumps in each step in which the sum passes a whole
    number, to an entry drawn from p(x_s | x_t) without x_t. The mean number of jumps is that of
    independent decisions, and its variance is at most 1/4. The sampler is not exact, even in the
    limit.
    """
    total = uniform(x_t.shape, generator, x_t.device)
    times = times.to(x_t.device)
    for t, (now, then) in zip(times[:-1], pairwise(clocks(process, times, palette)), strict=True):
        x_t, prediction = yield x_t, t.expand(len(x_t))
        p = prediction.posterior(process, x_t, then, now, palette)
        others = p.scatter(1, x_t[:, None], 0)
        leaving = others.sum(dim=1)
        before, total = total, total + (leaving / p.sum(dim=1)).clamp(0, 1)
        # A pixel that can't leave draws from p, so that the draw is possible. It isn't used.
        to = categorical(torch.where(leaving[:, None] > 0, others, p), generator)
        x_t = torch.where(before.floor() < total.floor(), to, x_t)
    return x_t


# Samplers for the absorbing process


def first_hitting(
    process: Process, palette: PaletteBatch, x_t: Tensor, times: Tensor, generator: Generators = None
) -> Steps:
    """The first-hitting sampler: Zheng et al. 2024 (arXiv 2409.02908).

    It draws the times at which pixels are unmasked instead of stepping over a grid. With n pixels
    masked at the noise level a, the next one is unmasked at the level u^(1/n) a, with u uniform in
    [0, 1); which pixel it is, is uniform. The network is asked at that level. With as many steps as
    masked pixels this is exact; with fewer, each step unmasks an equal share of them by one
    prediction.
    """
    masked = is_masked(x_t, palette)
    start = masked.sum(dim=1)  # [B]
    calls = start.clamp_max(len(times) - 1)  # [B]: some images may have few pixels to draw
    # Pixels are unmasked by rising numbers; u of each hit, however many images there are.
    order, draws = uniform((len(masked), 2, masked.shape[1]), generator, x_t.device).unbind(1)  # [B, H W] each
    left = start[:, None] - torch.arange(masked.shape[1], device=x_t.device)  # masked before each hit
    falls = (draws ** (1 / left.clamp_min(1))).where(left > 0, 1)
    levels = process.schedule.noise(times[0].to(order)) * falls.cumprod(dim=1)
    hit_times = process.schedule.time(levels).float()
    before = start
    for call in range(int(calls.max())):
        # The network is asked at the time of the first hit of this call.
        hit = (start - before).clamp_max(masked.shape[1] - 1)
        x_t, prediction = yield x_t, hit_times.gather(1, hit[:, None])[:, 0]
        after = start * (calls - call - 1).clamp_min(0) // calls.clamp_min(1)
        masked = is_masked(x_t, palette)
        now = masked & lowest(order.masked_fill(~masked, 2), masked.sum(dim=1) - after)
        x_t = filled(x_t, now, categorical(prediction.p_0(), generator))
        before = after
    return x_t


def in_order(order: Order) -> Algorithm:
    """The sampler that unmasks pixels in ``order``, of which what is drawn decides nothing.

    At each time of the grid as many stay masked as the schedule says. With one step a pixel it is
    exact in every order; with fewer it depends on how much pixels of one call, each drawn by
    itself, would have told each other.
    """

    def ordered(
        process: Process, palette: PaletteBatch, x_t: Tensor, times: Tensor, generator: Generators = None
    ) -> Steps:
        counts = left_masked(process, is_masked(x_t, palette), times)
        numbers = order(x_t.shape, generator, x_t.device).flatten(1).float()
        for left, t in zip(counts[1:], times[:-1].to(x_t.device), strict=True):
            x_t, prediction = yield x_t, t.expand(len(x_t))
            masked = is_masked(x_t, palette)
            now = masked & lowest(numbers.masked_fill(~masked, torch.inf), masked.sum(dim=1) - left)
            x_t = filled(x_t, now, categorical(prediction.p_0(), generator))
        return x_t

    return ordered


def confidence(
    process: Process,
    palette: PaletteBatch,
    x_t: Tensor,
    times: Tensor,
    generator: Generators = None,
    *,
    choice_temperature: float = 4.5,
    replanning: float = 0.0,
) -> Steps:
    """MaskGIT, surest pixels first: Chang et al. 2022 (arXiv 2202.04200), section 3.2.

    The paper's cosine schedule is a grid of times. The sampler is not exact: the order depends on
    what is drawn. How sure the model is doesn't depend on temperature and top-p, which would make
    it equally sure of all pixels.

    With replanning, pixels that were drawn earlier are weighed again in each step, and the least
    sure ones are masked anew: self-planned P2 (Peng et al. 2025, arXiv 2502.03540), whose η it is.

    Options:
        choice_temperature: of the Gumbel noise added to log-confidences; it falls to 0 with the
            noise level. 0 is greedy.
        replanning: factor on the log-confidences of drawn pixels: the higher it is, the more of
            them are masked again. 0 keeps them all.
    """
    times = times.to(x_t.device)
    free = is_masked(x_t, palette)
    counts = left_masked(process, free, times)
    temperatures = choice_temperature * process.schedule.noise(times[1:]).to(widest_float(x_t.device))
    for step, t in enumerate(times[:-1]):
        x_t, prediction = yield x_t, t.expand(len(x_t))
        # Both draws of a step, of entries and of the order, are one.
        of_entry, of_order = uniform((len(x_t), 2, *x_t.shape[1:]), generator, x_t.device).unbind(1)
        masked = is_masked(x_t, palette)
        x_0 = filled(x_t, masked, categorical(prediction.p_0(), generator, of_entry))
        sure = prediction.learned_p_0().gather(1, x_0[:, None]).flatten(1).to(temperatures).log()
        sure = torch.where(masked, sure, replanning * sure)
        sure = sure - temperatures[step] * (-of_order.flatten(1).log()).log()
        weighed = free if replanning else masked  # what was given stays
        leave = lowest(sure.masked_fill(~weighed, float("inf")), counts[step + 1])
        x_t = torch.where(leave.view_as(x_t), palette.mask_index, x_0)
    return x_t


def entropy_bounded(
    process: Process,
    palette: PaletteBatch,
    x_t: Tensor,
    times: Tensor,
    generator: Generators = None,
    *,
    entropy_bound: float = 0.1,
) -> Steps:
    """The EB-Sampler, all pixels the model is sure of: Ben-Hamu et al. 2025 (arXiv 2505.24857).

    A step unmasks the largest set U of pixels of lowest entropy H with Σ_U H - max_U H ≤ γ: the
    left side bounds the information that pixels drawn independently lose about each other. H is the
    model's own entropy, without temperature and top-p: a temperature of 0 makes draws certain, but
    not the model.

    The grid of times is a floor: a step leaves no more pixels masked than the schedule does, so the
    steps suffice, and a sure model needs fewer. The network is told the time at which as many
    pixels are masked on average as are now.

    Options:
        entropy_bound: γ, in nats; 0 unmasks one pixel in a step, and those that are certain.
    """
    masked = is_masked(x_t, palette)
    start = masked.sum(dim=1).clamp_min(1)
    noise = process.schedule.noise(times[0].to(x_t.device))
    counts = left_masked(process, masked, times)
    for step in range(len(times) - 1):
        if (step % LOOK_EVERY == 0 or not is_waited_for(x_t.device)) and not masked.any():
            break
        t = process.schedule.time(noise * masked.sum(dim=1).clamp_min(1) / start)
        x_t, prediction = yield x_t, t
        masked = is_masked(x_t, palette)
        entropy = torch.special.entr(prediction.learned_p_0()).sum(dim=1).flatten(1)  # [B, H W]
        entropy = entropy.masked_fill(~masked, float("inf"))
        ordered = entropy.sort(dim=1, stable=True).values
        others = (ordered.cumsum(dim=1) - ordered).nan_to_num(float("inf"))  # Σ - max, since entropies rise
        sure = (others <= entropy_bound) & ordered.isfinite()
        count = torch.maximum(sure.sum(dim=1), masked.sum(dim=1) - counts[step + 1])
        x_t = filled(x_t, masked & lowest(entropy, count), categorical(prediction.p_0(), generator))
        masked = is_masked(x_t, palette)
    return x_t


def remasking(
    process: Process,
    palette: PaletteBatch,
    x_t: Tensor,
    times: Tensor,
    generator: Generators = None,
    *,
    remasking_rate: float = 16.0,
) -> Steps:
    """ReMDM-cap, drawn pixels may be masked again: Wang et al. 2025 (arXiv 2503.00307).

    A pixel that holds an entry is masked again with probability σ = min(rate · (t - s), 1, (1 -
    alpha(s)) / alpha(t)), and masked pixels are unmasked that much more often, which keeps q(x_s |
    x_0). The paper's cap is a constant. Ours shrinks with the steps, so that the number of
    remaskings of a pixel doesn't grow with them, and the limit of many steps is exact.

    Options:
        remasking_rate: how often a pixel would be masked again if it were drawn at the start.
    """
    times = times.to(x_t.device)
    t, s = times[:-1], times[1:]
    noise_t, noise_s = process.schedule.noise(t), process.schedule.noise(s)
    alpha_t, alpha_s = 1 - noise_t, 1 - noise_s
    most = torch.where(alpha_t > noise_s, noise_s / alpha_t, 1)  # at t = 1 alpha is 0, and no pixel is drawn yet
    sigma = torch.minimum(remasking_rate * (t - s), most)  # [steps], as all of these
    draw, stay = (alpha_s - (1 - sigma) * alpha_t) / noise_t, (noise_s - sigma * alpha_t) / noise_t
    for step in range(len(t)):
        x_t, prediction = yield x_t, t[step].expand(len(x_t))
        p_0 = prediction.p_0()  # [B, K, H, W]
        unmask = torch.cat([draw[step] * p_0, stay[step].expand_as(p_0[:, :1])], dim=1)
        keep = torch.zeros_like(unmask).scatter_(1, x_t[:, None], 1) * (1 - sigma[step])  # [B, K + 1, H, W]
        keep[:, palette.mask_index] = sigma[step]
        masked = (x_t == palette.mask_index)[:, None]
        x_t = categorical(torch.where(masked, unmask, keep), generator)
    return x_t


# What samplers share (orders.py says which pixels)


def clocks(process: Process, times: Tensor, palette: PaletteBatch) -> Tensor:
    """The process's clock at all ``times``, ``[steps, B]``."""
    return process.clock(times[:, None].expand(-1, len(palette.colors)), palette)


# The registry

ANY_NUMBER = Range(float("-inf"), float("inf"))


@dataclass(frozen=True)
class Sampler:
    """An algorithm and what it can be used with."""

    algorithm: Algorithm
    mask: bool | None = None
    """True if it needs a process with a mask, false if it needs one without; none if it takes
    any."""
    ranges: Mapping[str, Range] = field(default_factory=dict)
    """What each of its options may be, any number if it isn't there; those whose default is an int
    are whole numbers."""
    takes_grid: bool = True
    """Whether it steps over a grid of times; else it draws its own times."""

    @property
    def options(self) -> dict[str, float]:
        """The names of its options and their defaults."""
        parameters = inspect.signature(self.algorithm).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    def calls_per_step(self, options: dict[str, float]) -> int:
        """How many calls of the network a step takes: one, and one for each corrector step."""
        return 1 + int((self.options | options).get("corrector_steps", 0))

    def check(self, name: str, process: Process, options: dict[str, float]) -> None:
        """Raise InputError if this sampler can't reverse ``process`` or has no such options."""
        if self.mask is not None and self.mask != process.has_mask:
            others = "a process without a mask, or with steps before it (uniform, color-heat, color-tree)"
            kind = "the absorbing process" if self.mask else others
            raise InputError(f"the sampler {name} needs {kind}; this model was trained with another one")
        for option, value in options.items():
            default = choose(f"option of the sampler {name}", option, self.options)
            self.ranges.get(option, ANY_NUMBER).check(f"the option {option} of the sampler {name}", value)
            if isinstance(default, int) and value % 1 != 0:
                raise InputError(f"the option {option} of the sampler {name} is {value}; it must be a whole number")


class Samplers(dict[str, Sampler]):
    """A registry that tells the options, which are known without torch, what is added to it."""

    def __setitem__(self, name: str, sampler: Sampler) -> None:
        super().__setitem__(name, sampler)
        SAMPLER_OPTIONS[name] = sampler.options


SAMPLERS = Samplers(
    {
        "ancestral": Sampler(
            ancestral, ranges={"corrector_steps": Range(0, 1000), "corrector_size": SHARE._replace(without_low=True)}
        ),
        "first-hitting": Sampler(first_hitting, mask=True, takes_grid=False),
        "confidence": Sampler(
            confidence, mask=True, ranges={"choice_temperature": Range(0, 1000), "replanning": Range(0, 1000)}
        ),
        "entropy-bounded": Sampler(entropy_bounded, mask=True, ranges={"entropy_bound": Range(0, 1000)}),
        "remasking": Sampler(remasking, mask=True, ranges={"remasking_rate": Range(0, 1000)}),
        **{name: Sampler(in_order(ORDERS[name]), mask=True) for name in ("halton", "lattice", "raster")},
        "stratified-hazard": Sampler(stratified_hazard, mask=False),
    }
)
