"""Examples: what a step learns from. They are pictures, augmented and corrupted.

All that is random depends on the run's seed, the step and the place in the step's batch alone. So a
resumed run needs no saved generators, and a batch may be cut for several processes or accumulated
parts without changing what is learned.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from tincture.common.errors import InputError
from tincture.data.augmentation import (
    Rand,
    augment,
    opaque_first,
    rounded_luminance,
    with_foreign_palettes,
    with_unused_entries,
)
from tincture.data.index_maps import IndexMaps
from tincture.diffusion.draws import mixed_seed, widest_float
from tincture.diffusion.process import Process
from tincture.diffusion.schedules import low_discrepancy_times
from tincture.models.denoiser import Conditions, Denoiser
from tincture.quantization.palettes.batch import PaletteBatch

from .run_config import TrainConfig


@dataclass(frozen=True)
class Examples:
    """Corrupted pictures, and the clean ones that are to be predicted."""

    x_0: Tensor
    """int64 ``[B, H, W]``."""
    x_t: Tensor
    """int64 ``[B, H, W]``."""
    t: Tensor
    """``[B]``."""
    palette: PaletteBatch
    conditions: Conditions


class ExampleMaker:
    """Turns pictures into examples for a denoiser.

    Args:
        denoiser: has conditions, and says how often they are hidden from it.
        process: corrupts pictures.
        pool: palettes into which pictures are recolored.
        config: says how pictures are augmented, and how many a batch has.
        seed: of the run.
        device: where examples shall be.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        process: Process,
        pool: PaletteBatch,
        config: TrainConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.denoiser, self.process = denoiser, process
        self.config, self.seed, self.device = config, seed, device
        self.pool = opaque_first(pool.to(device))

    def __call__(self, pictures: IndexMaps, step: int, first: int) -> Examples:
        """Make the examples of ``pictures``.

        Args:
            pictures: neighbors in the batch of ``step``.
            step: of the run.
            first: their place in the batch.
        """
        config, here = self.config, slice(first, first + len(pictures))
        seed = mixed_seed(self.seed, step)
        rand = _cut_from_whole(seed, config.batch_size, here, self.device)
        # Augment.
        batch = pictures.batch(slice(None), self.device)
        batch, changes = augment(batch, config.mirror, config.shift, config.palette_jitter, rand)
        batch = with_unused_entries(batch, self.pool, config.unused_entries, config.most_unused_entries, rand)
        batch = with_foreign_palettes(batch, self.pool, config.foreign_palettes, rand)
        text = self.denoiser.text
        conditions = Conditions(
            class_labels=batch.labels if self.denoiser.num_classes else None,
            luminance=rounded_luminance(batch, rand) if self.denoiser.luminance is not None else None,
            augmentation_labels=changes if self.denoiser.condition.augmentation is not None else None,
            words=None if text is None else text.vocabulary.encode(batch.captions).to(self.device),
        )
        conditions = self.denoiser.hide(conditions, rand)
        # Corrupt: t is spread evenly over the whole batch, and x_t ~ q(x_t | x_0).
        t = low_discrepancy_times(config.batch_size, torch.Generator().manual_seed(seed))[here].to(self.device)
        x_t = self.process.q_sample(batch.x_0, t, batch.palette, rand)
        return Examples(batch.x_0, x_t, t, batch.palette, conditions)


def _cut_from_whole(seed: int, count: int, here: slice, device: torch.device) -> Rand:
    """Numbers of one generator for a batch of ``count`` pictures, cut to those at ``here``.

    Each process and part draws the same numbers, and takes its own.
    """
    generator = torch.Generator(device).manual_seed(seed)

    def rand(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator, device=device, dtype=widest_float(device))[here]

    return rand


def cut_batch(batch_size: int, parts: int) -> list[slice]:
    """Cut a batch into parts, as even as they can be.

    Raises:
        InputError: there are fewer images than parts.
    """
    if batch_size < parts:
        raise InputError(
            f"train.batch_size {batch_size} is too small for {parts} parts (processes × train.accumulation): "
            "each takes at least one image"
        )
    edges = [part * batch_size // parts for part in range(parts + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]
