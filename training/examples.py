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
from tincture.data.augmentation import augment, rounded_luminance, with_foreign_palettes
from tincture.data.index_maps import Batch, IndexMaps
from tincture.diffusion.draws import image_generators, mixed_seed
from tincture.diffusion.process import Process
from tincture.diffusion.schedules import low_discrepancy_times
from tincture.models.denoiser import Conditions, Denoiser
from tincture.quantization.palettes.batch import PaletteBatch

from .run_config import TrainConfig

BLOCK = 8
"""Neighboring images of a batch that are augmented together, from one stream of random numbers.
Blocks are never cut."""


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
        self.denoiser, self.process, self.pool = denoiser, process, pool
        self.config, self.seed, self.device = config, seed, device

    def __call__(self, pictures: IndexMaps, step: int, first: int) -> Examples:
        """Make the examples of ``pictures``.

        Args:
            pictures: neighbors in the batch of ``step``.
            step: of the run.
            first: their place in the batch, where a block begins.
        """
        count = len(pictures)
        # Augment, block by block.
        blocks = [
            self._augmented(pictures.batch(slice(start, start + BLOCK)), step, (first + start) // BLOCK)
            for start in range(0, count, BLOCK)
        ]
        x_0 = torch.cat([batch.x_0 for batch, _ in blocks]).to(self.device)
        palette = PaletteBatch(
            torch.cat([batch.palette.colors for batch, _ in blocks]),
            torch.cat([batch.palette.valid for batch, _ in blocks]),
        ).to(self.device)
        conditions = Conditions.cat([conditions for _, conditions in blocks]).to(self.device)
        # Corrupt: t is spread evenly over the whole batch, and x_t ~ q(x_t | x_0).
        step_seed = mixed_seed(self.seed, step)
        times = low_discrepancy_times(self.config.batch_size, torch.Generator().manual_seed(step_seed))
        t = times[first : first + count].to(self.device)
        x_t = self.process.q_sample(x_0, t, palette, image_generators(step_seed, first, count))
        return Examples(x_0, x_t, t, palette, conditions)

    def _augmented(self, batch: Batch, step: int, block: int) -> tuple[Batch, Conditions]:
        torch.default_generator.manual_seed(mixed_seed(self.seed, step, block))  # torch.manual_seed seeks GPUs: slow
        batch, changes = augment(batch, self.config.mirror, self.config.shift, self.config.palette_jitter)
        batch = with_foreign_palettes(batch, self.pool, self.config.foreign_palettes)
        conditions = Conditions(
            class_labels=batch.labels if self.denoiser.num_classes else None,
            luminance=rounded_luminance(batch) if self.denoiser.luminance is not None else None,
            augmentation_labels=changes if self.denoiser.condition.augmentation is not None else None,
        )
        return batch, self.denoiser.hide(conditions)


def cut_batch(batch_size: int, parts: int) -> list[slice]:
    """Cut a batch into parts of whole blocks, as even as that allows.

    Raises:
        InputError: there are fewer blocks than parts.
    """
    blocks = -(-batch_size // BLOCK)
    if blocks < parts:
        raise InputError(
            f"train.batch_size {batch_size} is too small for {parts} parts (processes × train.accumulation): "
            f"each takes at least {BLOCK} images"
        )
    edges = [min(BLOCK * (part * blocks // parts), batch_size) for part in range(parts + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]
