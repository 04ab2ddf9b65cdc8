"""Tincture: discrete diffusion models whose pixels are palette entries."""

from typing import Any

__version__ = "0.1.0"

HOMES = {
    "Canvas": "controls.options",
    "ColorWish": "controls.wishes",
    "Controls": "controls.options",
    "DrawnPalette": "controls.options",
    "Guidance": "controls.options",
    "IndexedImage": "quantization.pictures.indexed_image",
    "Init": "controls.kept",
    "InputError": "common.errors",
    "JointPalettes": "controls.joint",
    "LightnessWish": "controls.wishes",
    "Palette": "quantization.palettes.palette",
    "PaletteDiffusionPipeline": "pipelines.palette_diffusion",
    "Proportions": "controls.proportions",
    "Sampling": "controls.options",
}
"""What `from tincture import …` gives, and where each stands."""

__all__ = list(HOMES)  # ruff wants the names written out


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for; torch takes seconds that some tasks don't need."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
