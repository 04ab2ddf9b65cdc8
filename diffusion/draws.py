"""Random draws that are exact, and that belong to their image whatever its batch."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

Generators = torch.Generator | Sequence[torch.Generator] | Callable[..., Tensor] | None
"""One CPU generator for the whole batch, one for each image, or torch's global one; or what draws
itself: ``rand(*shape)`` gives uniform numbers in [0, 1), float ``[B, *shape]``, on their device."""


def mixed_seed(*numbers: int) -> int:
    """One seed from several numbers, none negative. Neighboring numbers give unrelated streams."""
    entropy = (len(numbers), *numbers)  # SeedSequence takes missing numbers as zeros
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])


def image_generators(seed: int, images: Iterable[int]) -> list[torch.Generator]:
    """The generators of images, by their numbers. That of image i depends on (seed, i) alone."""
    return [torch.Generator().manual_seed(mixed_seed(seed, i)) for i in images]


def seed_from(generator: torch.Generator) -> int:
    """A seed that a generator of any device draws."""
    return int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))


def uniform(shape: Sequence[int], generator: Generators, device: torch.device) -> Tensor:
    """Uniform numbers in [0, 1), float64 where ``device`` has it; the first axis is the images'."""
    if isinstance(generator, Sequence):
        if len(generator) != shape[0]:
            raise ValueError(f"{len(generator)} generators for {shape[0]} images")
        numbers = torch.stack([torch.rand(*shape[1:], generator=g, dtype=torch.float64) for g in generator])
    elif callable(generator):
        numbers = generator(*shape[1:])
    else:
        numbers = torch.rand(*shape, generator=generator, dtype=torch.float64)
    wide = widest_float(device)
    # Rounded to float32, a number just below 1 would become 1.
    return numbers.to(wide).clamp_max(1 - torch.finfo(wide).eps / 2).to(device)


def categorical(probabilities: Tensor, generator: Generators) -> Tensor:
    """Draw one index per pixel by inverting the cumulative distribution.

    In float64 the draw is exact to 2⁻⁵³, where Gumbel noise in float32 is truncated and favors
    likely entries (Zheng et al. 2024, arXiv 2409.02908). An entry of probability zero is never
    drawn.

    Args:
        probabilities: ``[B, K, H, W]``, not negative; they need not sum to exactly 1.
        generator: see `Generators`.

    Returns:
        int64 ``[B, H, W]``.

    Raises:
        FloatingPointError: the probabilities of a pixel are all zero, or not numbers.
    """
    cumulative = probabilities.to(widest_float(probabilities.device)).cumsum(dim=1)
    total = cumulative[:, -1]
    impossible = ~((total > 0) & total.isfinite())
    if impossible.any():  # inverted all the same, the first or no entry would be drawn
        raise FloatingPointError(
            f"no entry can be drawn for {int(impossible.sum())} of {impossible.numel()} pixels: their probabilities add up "
            f"to {total[impossible][0].item()}"
        )
    threshold = uniform(total.shape, generator, probabilities.device) * total
    return (cumulative <= threshold[:, None]).sum(dim=1)


def widest_float(device: torch.device) -> torch.dtype:
    """Float64 where ``device`` has it."""
    return torch.float32 if device.type == "mps" else torch.float64
