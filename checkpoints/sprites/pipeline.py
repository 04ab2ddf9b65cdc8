"""diffusers runs this, if told to trust it, to load this folder with tincture-diffusion."""

from tincture import PaletteDiffusionPipeline

__all__ = ["PaletteDiffusionPipeline"]
