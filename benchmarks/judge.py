"""How likely indexed images are to a trained model: bits per pixel in their palettes, by the same corruptions for all."""

import numpy as np
import torch

from tincture.diffusion.likelihood import bits_per_pixel
from tincture.diffusion.schedules import low_discrepancy_times
from tincture.models.denoiser import NO_CONDITIONS, bind
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.pictures.indexed_image import IndexedImage


@torch.inference_mode()
def judged_bits(
    judge: PaletteDiffusionPipeline, images: list[IndexedImage], times: int = 8, batch_size: int = 64
) -> np.ndarray:
    """The bound of each image, bits per pixel, float64 ``[N]``.

    Args:
        judge: the model.
        images: of one size.
        times: corruptions of each image, at times spread evenly; the same ones for every call with as many images.
        batch_size: images at once.
    """
    generator = torch.Generator().manual_seed(0)
    device = judge.denoiser.device
    spread = torch.stack([low_discrepancy_times(times, generator) for _ in images])  # [N, times]
    found = []
    for first in range(0, len(images), batch_size):
        some = images[first : first + batch_size]
        x_0 = torch.from_numpy(np.stack([image.indices for image in some])).long().to(device)
        palette = PaletteBatch.from_palettes([image.palette for image in some]).to(device)
        denoise = bind(judge.denoiser, palette, NO_CONDITIONS)
        each = [
            bits_per_pixel(denoise, judge.scheduler.process, x_0, t.to(device), palette, generator)
            for t in spread[first : first + batch_size].unbind(1)
        ]
        found.append(torch.stack(each).double().mean(dim=0).cpu())
    return torch.cat(found).numpy()
