"""Bits per pixel of a whole data set: the bound and the exact figure, with standard errors."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from tincture.common.errors import InputError, choose
from tincture.common.processes import joined, own_batches
from tincture.data.index_maps import Batch, IndexMaps
from tincture.diffusion.draws import Streams, mixed_seed
from tincture.diffusion.likelihood import AnyOrderBits, any_order_bits_per_pixel, bits_per_pixel, mean_and_stderr
from tincture.diffusion.options import OrderName
from tincture.diffusion.process import Process
from tincture.diffusion.schedules import low_discrepancy_times
from tincture.models.denoiser import NO_CONDITIONS, Conditions, Denoiser, bind
from tincture.quantization.palettes.luminance import luminance_of_indices

TOLD: dict[str, Callable[[Denoiser, Batch], Conditions]] = {
    "nothing": lambda _, batch: NO_CONDITIONS,
    "class": lambda _, batch: Conditions(class_labels=batch.labels),
    "luminance": lambda _, batch: Conditions(luminance=luminance_of_indices(batch.x_0, batch.palette)),
    "caption": lambda denoiser, batch: Conditions(
        words=denoiser.text.vocabulary.encode(batch.captions).to(batch.x_0.device)
    ),
}
"""What a denoiser may be told about the image that it predicts, besides its palette."""


class BitsPerPixel(NamedTuple):
    """A mean over images and its standard error."""

    mean: float
    stderr: float
    """Not a number if there is a single image."""

    def __str__(self) -> str:
        """Both, as commands print them."""
        error = "of a single picture" if math.isnan(self.stderr) else f"standard error {self.stderr:.3f}"
        return f"{self.mean:.3f} ({error})"


class Estimates(NamedTuple):
    """One-sample estimates of the bound, several for each image."""

    times: Tensor
    """The time of each estimate, float ``[R, N]``."""
    bits: Tensor
    """Bits per pixel, float ``[R, N]``."""

    def result(self) -> BitsPerPixel:
        """The mean over images of the mean over times."""
        return BitsPerPixel(*mean_and_stderr(self.bits.mean(dim=0)))


def own_rows(images: IndexMaps, batch_size: int, distributed: bool) -> list[Tensor]:
    """This process's share of the images, in batches of one size, int64 ``[B]`` each."""
    sizes = images.rows_by_size().values()
    return [rows[own] for rows in sizes for own in own_batches(len(rows), batch_size, distributed)]


@torch.inference_mode()
def heldout_estimates(
    denoiser: Denoiser,
    process: Process,
    images: IndexMaps,
    times_per_image: int = 4,
    batch_size: int = 64,
    told: str = "nothing",
    seed: int = 0,
    distributed: bool = False,
) -> Estimates:
    """Estimate the negative ELBO of every image at several times.

    Args:
        denoiser: switched to evaluation here and back afterwards.
        process: what it was trained for.
        images: the data set, usually the held-out side.
        times_per_image: corruptions of each image; each pass spreads its times evenly over the set.
        batch_size: images at once.
        told: what the denoiser is told about each image, a name in `TOLD`.
        seed: of times and corruptions. Each image's own follow from the seed and the image's place,
            so two models with the same seed can be compared image by image.
        distributed: share the images among the processes of one launch, all of which must call
            this alike.
    """
    conditions = choose("told", told, TOLD)
    device = next(denoiser.parameters()).device
    was_training = denoiser.training
    denoiser.eval()
    times = torch.empty(times_per_image, len(images))
    bits = torch.zeros(times_per_image, len(images))
    for repeat in range(times_per_image):
        repeat_seed = mixed_seed(seed, repeat)
        times[repeat] = low_discrepancy_times(len(images), torch.Generator().manual_seed(repeat_seed))
        for rows in own_rows(images, batch_size, distributed):
            batch = images.batch(rows, device)
            denoise = bind(denoiser, batch.palette, conditions(denoiser, batch))
            t = times[repeat, rows].to(device)
            streams = Streams.of(repeat_seed, rows, device)
            bits[repeat, rows] = bits_per_pixel(denoise, process, batch.x_0, t, batch.palette, streams).cpu()
    denoiser.train(was_training)
    return Estimates(times, joined(bits, distributed))


@torch.inference_mode()
def exact_estimates(
    denoiser: Denoiser,
    process: Process,
    images: IndexMaps,
    orders: int = 4,
    batch_size: int = 64,
    seed: int = 0,
    distributed: bool = False,
    kinds: Sequence[OrderName] = ("random",),
) -> AnyOrderBits:
    """The exact likelihood of images in several orders of their pixels.

    It takes ``orders · H · W`` calls of the denoiser for each image.

    Args:
        denoiser: switched to evaluation here and back afterwards.
        process: what it was trained for.
        images: the pictures to measure.
        orders: how many orders of each image.
        batch_size: images at once.
        seed: of the orders. Each image's own follow from the seed and the image's place.
        distributed: as for `heldout_estimates`.
        kinds: of the orders, in turn.

    Returns:
        Bits per pixel of each image, float64 ``[N]`` each.

    Raises:
        InputError: the process has no mask, so the denoiser is no any-order model.
    """
    if not process.has_mask:
        raise InputError(
            "exact bits per pixel need a process with a mask (absorbing): other processes have only a bound"
        )
    device = next(denoiser.parameters()).device
    was_training = denoiser.training
    denoiser.eval()
    measured = torch.zeros(len(AnyOrderBits._fields), len(images), dtype=torch.float64)
    for rows in tqdm(own_rows(images, batch_size, distributed), desc="exact bits", unit="batch", leave=False):
        batch = images.batch(rows, device)
        denoise = bind(denoiser, batch.palette, NO_CONDITIONS)
        pixels = batch.x_0[0].numel()
        times = process.schedule.time(torch.arange(1, pixels + 1, device=device) / pixels)
        streams = Streams.of(seed, rows, device)
        bits = any_order_bits_per_pixel(denoise, batch.x_0, batch.palette, orders, streams, times, kinds)
        measured[:, rows] = torch.stack(bits).cpu().double()
    denoiser.train(was_training)
    return AnyOrderBits(*joined(measured, distributed))
