"""Processes, losses, samplers and likelihood of discrete diffusion; nothing here knows a network."""

from tincture.diffusion.absorbing import AbsorbingProcess
from tincture.diffusion.color_heat import ColorHeatProcess
from tincture.diffusion.process import Process
from tincture.diffusion.uniform import UniformProcess

PROCESSES: dict[str, type[Process]] = {
    "absorbing": AbsorbingProcess,
    "uniform": UniformProcess,
    "color-heat": ColorHeatProcess,
}
"""Each is made from a `Schedule` and options of its own."""
