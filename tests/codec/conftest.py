"""A codec's network that was never trained: what comes back doesn't depend on what it knows."""

import pytest
import torch

from tincture.codec.network import CodecNetwork
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.models.denoiser import PaletteDenoiser
from tincture.models.palette_prior import PalettePrior
from tincture.pipelines.palette_bank import PaletteBank
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline


def make_pipeline(seed=0, size=8, **options):
    torch.manual_seed(seed)
    unet = {"patch_size": 2, "channels": [8, 16], "blocks": [1, 1], "attention": [False, True], "head_channels": 8}
    unet |= {"attention_head_channels": 8, "normalization": "layer", "head_blocks": 1}
    denoiser = PaletteDenoiser(32, 1, 16, time_conditioning=False, unet=unet, **options)
    prior = PalettePrior(16, 1, 8)
    for module in (denoiser, prior):  # many weights are zero before training, and all answers the same
        for weight in module.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
    bank = PaletteBank(2, 4)
    bank.valid[:] = True
    return PaletteDiffusionPipeline(denoiser, PaletteScheduler("absorbing"), bank, size=size, palette_prior=prior)


@pytest.fixture(scope="session")
def pipeline():
    return make_pipeline()


@pytest.fixture(scope="session")
def network(pipeline):
    return CodecNetwork(pipeline)
