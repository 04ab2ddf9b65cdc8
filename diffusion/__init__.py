"""Processes, losses, samplers and likelihood of discrete diffusion; nothing here knows a network."""

from .absorbing import AbsorbingProcess
from .color_heat import ColorHeatProcess
from .process import Process
from .uniform import UniformProcess

PROCESSES: dict[str, type[Process]] = {
    "absorbing": AbsorbingProcess,
    "uniform": UniformProcess,
    "color-heat": ColorHeatProcess,
}
"""Each is made from a `Schedule` and options of its own."""
