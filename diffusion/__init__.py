"""Discrete diffusion: processes, samplers, guidance, likelihood. Nothing here knows a network."""

from .absorbing import AbsorbingProcess
from .color_heat import ColorHeatProcess
from .jumps import UniformProcess
from .process import Process

PROCESSES: dict[str, type[Process]] = {
    "absorbing": AbsorbingProcess,
    "uniform": UniformProcess,
    "color-heat": ColorHeatProcess,
}
"""Each takes a `Schedule`, and options of its own."""
