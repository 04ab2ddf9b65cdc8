"""Dithering: error diffusion and ordered dithering with any palette."""
