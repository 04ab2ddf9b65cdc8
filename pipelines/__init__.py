"""Denoiser, process and palettes as one diffusers pipeline."""
