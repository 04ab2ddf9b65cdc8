"""Processes, losses, samplers and likelihood of discrete diffusion; nothing here knows a network."""

from .absorbing import AbsorbingProcess
from .process import Process

PROCESSES: dict[str, type[Process]] = {"absorbing": AbsorbingProcess}
