"""Random draws that are exact, and that belong to their image whatever its batch."""

import math
from collections.abc import Callable, Sequence
from copy import copy

import numpy as np
import torch
from torch import Tensor

Generators = torch.Generator | Callable[..., Tensor] | None
"""One CPU generator for the whole batch, or torch's global one; or what draws itself, as `Streams`
do: ``rand(*shape)`` gives uniform numbers in [0, 1), float ``[B, *shape]``, on their device."""

LOOK_EVERY = 10
"""Draws, or steps, between two looks at what a GPU has found: each look waits for it."""
AHEAD, NUMBERS_AHEAD = 8, 2**14
"""For how many calls `Streams.ahead` draws at once, at most, and how many numbers of an image."""


def mixed_seed(*numbers: int) -> int:
    """One seed from several numbers, none negative. Neighboring numbers give unrelated streams."""
    entropy = (len(numbers), *numbers)  # SeedSequence takes missing numbers as zeros
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])


def seed_from(generator: torch.Generator) -> int:
    """A seed that a generator of any device draws, 63 bits."""
    return int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))


# Philox2x32-10: John Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"

_MULTIPLIER, _WEYL, _ROUNDS, _MASK = 0xD256D193, 0x9E3779B9, 10, 2**32 - 1


def round_keys(key: Tensor) -> Tensor:
    """The keys of all rounds, int64 ``[10, *]``, from words of 32 bits in int64 ``[*]``."""
    rounds = torch.arange(_ROUNDS, device=key.device).view(-1, *[1] * key.ndim)
    return (key + rounds * _WEYL) & _MASK


def philox(low: Tensor, high: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Two random words for each counter of two words; 32 bits each, in int64.

    ``keys`` are `round_keys`, of a shape that broadcasts with the counters.
    """
    for key in keys.unbind():
        # The product has 64 bits, as int64 has: its upper half goes on here, its lower half there.
        # What stands above 32 bits in ``high`` is cut off a round later.
        product = low * _MULTIPLIER
        low = (product >> 32).bitwise_xor_(high).bitwise_xor_(key).bitwise_and_(_MASK)
        high = product
    return low, high & _MASK


class Streams:
    """Random numbers for a batch of images, each from a stream of its own.

    Number n of an image is `philox` of the counter n under the image's own 64 bits, and depends on
    nothing else. So all images draw at once, on any device, and each gets the same numbers whatever
    its batch. A stream has 2³² numbers.

    Args:
        bits: 64 of each image, int64 ``[B]``; numbers are drawn on their device.
    """

    def __init__(self, bits: Tensor) -> None:
        self._keys = round_keys(bits & _MASK)[..., None]  # [10, B, 1]
        self._high = (bits >> 32 & _MASK)[:, None]
        self._rows = torch.arange(len(bits), device=bits.device)
        self._drawn = torch.zeros_like(bits)  # by all images, also those that aren't among the rows
        self._unseen: list[Tensor] = []
        self._ready: dict[tuple[int, ...], list[Tensor]] | None = None

    @classmethod
    def of(cls, seed: int, images: Sequence[int] | Tensor, device: torch.device | str = "cpu") -> "Streams":
        """Those of images, by their numbers. That of image i depends on (seed, i) alone."""
        mixed = mixed_seed(seed)
        numbers = torch.as_tensor(images, dtype=torch.long, device=device)
        low, high = philox(numbers, torch.tensor(mixed >> 32), round_keys(torch.tensor(mixed & _MASK)).to(device))
        return cls(high << 32 | low)

    @property
    def device(self) -> torch.device:
        """Where numbers are drawn."""
        return self._rows.device

    def __len__(self) -> int:
        """How many images."""
        return len(self._rows)

    def __getitem__(self, rows: slice | Tensor) -> "Streams":
        """The same streams of some images, int64 or a slice: they go on where these are."""
        some = copy(self)
        some._keys, some._high, some._rows = self._keys[:, rows], self._high[rows], self._rows[rows]
        some._ready = None
        return some

    def ahead(self) -> "Streams":
        """The same streams, drawing for several calls of one shape at once.

        That takes a GPU no longer than a single call. All images must draw at every call: numbers
        that are drawn otherwise come after those that lie ready.
        """
        ahead = copy(self)
        ahead._ready = {}
        return ahead

    def __call__(self, *shape: int) -> Tensor:
        """The next numbers of each image, uniform in [0, 1), float ``[B, *shape]``."""
        if self._ready is None:
            return self._numbers(*shape)
        ready = self._ready.get(shape)
        if not ready:
            # A shape that is drawn once may never be drawn again.
            calls = 1 if ready is None else min(AHEAD, max(1, NUMBERS_AHEAD // math.prod(shape)))
            ready = self._ready[shape] = list(self._numbers(calls, *shape).unbind(1))
        return ready.pop(0)

    def _numbers(self, *shape: int) -> Tensor:
        count = math.prod(shape)
        drawn = self._drawn[self._rows]
        self._drawn[self._rows] = drawn + count
        counter = drawn[:, None] + torch.arange(count, device=self.device)
        low, high = philox(counter, self._high, self._keys)
        wide = widest_float(self.device)
        bits, digits = (low << 21 | high >> 11, 53) if wide == torch.float64 else (low >> 8, 24)
        return (bits.to(wide) * 2.0**-digits).view(-1, *shape)

    def refuse_impossible(self, totals: Tensor) -> None:
        """Remember what probabilities add up to, for `look`, and look at once if that is free."""
        self._unseen.append(totals)
        if not is_waited_for(self.device) or len(self._unseen) == LOOK_EVERY:
            self.look()

    def look(self) -> None:
        """Raise FloatingPointError if one of the draws so far was impossible."""
        if totals := self._unseen[:]:
            self._unseen.clear()
            _refuse_impossible(totals)


def uniform(shape: Sequence[int], generator: Generators, device: torch.device) -> Tensor:
    """Uniform numbers in [0, 1), float64 where ``device`` has it; the first axis is the images'."""
    if isinstance(generator, torch.Generator | None):
        numbers = torch.rand(*shape, generator=generator, dtype=torch.float64)
    else:
        numbers = generator(*shape[1:])
    if len(numbers) != shape[0]:
        raise ValueError(f"numbers of {len(numbers)} images for {shape[0]} images")
    wide = widest_float(device)
    # Rounded to float32, a number just below 1 would become 1.
    return numbers.to(wide).clamp_max(1 - torch.finfo(wide).eps / 2).to(device)


def categorical(probabilities: Tensor, generator: Generators, numbers: Tensor | None = None) -> Tensor:
    """Draw one index per pixel by inverting the cumulative distribution.

    In float64 the draw is exact to 2⁻⁵³, where Gumbel noise in float32 is truncated and favors
    likely entries (Zheng et al. 2024, arXiv 2409.02908). An entry of probability zero is never
    drawn.

    Args:
        probabilities: ``[B, K, H, W]``, not negative; they need not sum to exactly 1.
        generator: see `Generators`.
        numbers: drawn from it before, by `uniform`, ``[B, H, W]``; they are drawn here if left out.

    Returns:
        int64 ``[B, H, W]``.

    Raises:
        FloatingPointError: the probabilities of a pixel are all zero, or not numbers. On a GPU,
            where to look at them is to wait, `Streams` raise it some draws later.
    """
    cumulative = probabilities.to(widest_float(probabilities.device)).cumsum(dim=1)
    total = cumulative[:, -1]
    # Inverted all the same, what is impossible would draw the first or no entry.
    if isinstance(generator, Streams):
        generator.refuse_impossible(total)
    else:
        _refuse_impossible([total])
    if numbers is None:
        numbers = uniform(total.shape, generator, probabilities.device)
    drawn = (cumulative <= (numbers * total)[:, None]).sum(dim=1)
    # Until an impossible draw is seen, its index must be one that the network can read.
    return drawn.clamp_max(probabilities.shape[1] - 1) if is_waited_for(drawn.device) else drawn


def _refuse_impossible(totals: Sequence[Tensor]) -> None:
    """Raise FloatingPointError if what probabilities add up to is not positive and finite."""
    total = torch.cat([each.flatten() for each in totals])
    impossible = ~((total > 0) & (total < torch.inf))
    if impossible.any():
        raise FloatingPointError(
            f"no entry can be drawn for {int(impossible.sum())} of {impossible.numel()} pixels: their probabilities add up "
            f"to {total[impossible][0].item()}"
        )


def is_waited_for(device: torch.device) -> bool:
    """Whether to read a number from ``device`` is to wait until it has done all it was told."""
    return device.type != "cpu"


def widest_float(device: torch.device) -> torch.dtype:
    """Float64 where ``device`` has it."""
    return torch.float32 if device.type == "mps" else torch.float64
