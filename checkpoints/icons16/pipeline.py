"""diffusers runs this, if told to trust it, to load the folder by the package tincture-diffusion."""

from tincture import PaletteDiffusionPipeline

__all__ = ["PaletteDiffusionPipeline"]
