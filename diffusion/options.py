"""What can be asked of the diffusion by name. No torch is needed to list or check it."""

from typing import Literal

ScheduleName = Literal["linear", "cosine", "polynomial"]
"""The names in `schedules.SCHEDULES`."""

OrderName = Literal["random", "halton", "lattice", "raster"]
"""The names in `orders.ORDERS`."""

SAMPLER_OPTIONS: dict[str, dict[str, float]] = {
    "ancestral": {"corrector_steps": 0, "corrector_size": 0.25},
    "first-hitting": {},
    "confidence": {"choice_temperature": 4.5, "replanning": 0.0},
    "entropy-bounded": {"entropy_bound": 0.1},
    "remasking": {"remasking_rate": 16.0},
    "halton": {},
    "lattice": {},
    "raster": {},
    "stratified-hazard": {},
}
"""The names in `samplers.SAMPLERS`, and the options of each with their defaults."""
