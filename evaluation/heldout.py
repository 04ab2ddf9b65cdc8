"""Bits per pixel over a whole data set, with its standard error."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from data.index_maps import Batch, IndexMaps
from diffusion.any_order import AnyOrderBits, any_order_bits_per_pixel
from diffusion.likelihood import bits_per_pixel, mean_and_stderr
from diffusion.process import Process
from diffusion.schedules import low_discrepancy_times
from models.denoiser import NO_CONDITIONS, Conditions, Denoiser, bind
from quantization.errors import InputError, choose
from quantization.luminance import luminance_of_indices

TOLD: dict[str, Callable[[Batch], Conditions]] = {
    "nothing": lambda batch: NO_CONDITIONS,
    "class": lambda batch: Conditions(class_labels=batch.labels),
    "luminance": lambda batch: Conditions(luminance=luminance_of_indices(batch.x_0, batch.palette)),
}
"""What a denoiser may be told of the image that it is to predict, besides its palette."""


class BitsPerPixel(NamedTuple):
    """A mean over images and its standard error."""

    mean: float
    stderr: float


class Estimates(NamedTuple):
    """One-sample estimates of the bound, several for each image."""

    times: Tensor
    """When each was made, float ``[R, N]``."""
    bits: Tensor
    """Bits per pixel, float ``[R, N]``."""

    def result(self) -> BitsPerPixel:
        """The mean over images of the mean over times."""
        return BitsPerPixel(*mean_and_stderr(self.bits.mean(dim=0)))


@torch.inference_mode()
def heldout_estimates(
    denoiser: Denoiser,
    process: Process,
    images: IndexMaps,
    times_per_image: int = 4,
    batch_size: int = 64,
    told: str = "nothing",
    seed: int = 0,
) -> Estimates:
    """Estimate the negative ELBO of every image at several times.

    Args:
        denoiser: switched to evaluation here and back afterwards.
        process: the process it was trained for.
        images: the data set, usually the held-out side.
        times_per_image: corruptions of each image; each pass spreads its times evenly over the set.
        batch_size: images at once.
        told: what the denoiser is told of each image, a name in `TOLD`.
        seed: of times and corruptions; the same seed makes two models comparable image by image.
    """
    conditions = choose("told", told, TOLD)
    device = next(denoiser.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    was_training = denoiser.training
    denoiser.eval()
    times = torch.empty(times_per_image, len(images))
    bits = torch.empty(times_per_image, len(images))
    for repeat in range(times_per_image):
        times[repeat] = low_discrepancy_times(len(images), generator)
        for rows in torch.arange(len(images)).split(batch_size):
            batch = images.batch(rows).to(device)
            denoise = bind(denoiser, batch.palette, conditions(batch))
            t = times[repeat, rows].to(device)
            bits[repeat, rows] = bits_per_pixel(denoise, process, batch.x_0, t, batch.palette, generator).cpu()
    denoiser.train(was_training)
    return Estimates(times, bits)


@torch.inference_mode()
def exact_estimates(
    denoiser: Denoiser, process: Process, images: IndexMaps, orders: int = 4, batch_size: int = 64, seed: int = 0
) -> AnyOrderBits:
    """The exact likelihood of images in random orders of their pixels, by ``orders · H · W`` calls for each image.

    Args:
        denoiser: switched to evaluation here and back afterwards.
        process: the process it was trained for.
        images: the pictures to measure.
        orders: of each image.
        batch_size: images at once.
        seed: of the orders.

    Returns:
        Bits per pixel of each image, float64 ``[N]`` each.

    Raises:
        InputError: the process has no mask, so its denoiser is no any-order model.
    """
    if not process.has_mask:
        raise InputError("exact bits per pixel need a process with a mask (absorbing): others have a bound only")
    device = next(denoiser.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    was_training = denoiser.training
    denoiser.eval()
    pixels = images.indices[0].numel()
    times = process.schedule.time(torch.arange(1, pixels + 1, device=device) / pixels)
    measured = []
    for rows in tqdm(torch.arange(len(images)).split(batch_size), desc="exact bits", unit="batch", leave=False):
        batch = images.batch(rows).to(device)
        denoise = bind(denoiser, batch.palette, NO_CONDITIONS)
        measured.append(any_order_bits_per_pixel(denoise, batch.x_0, batch.palette, orders, generator, times))
    denoiser.train(was_training)
    return AnyOrderBits(*(torch.cat(bits).cpu() for bits in zip(*measured, strict=True)))
