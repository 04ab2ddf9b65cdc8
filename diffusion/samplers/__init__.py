"""Samplers reverse a process: each is one function of one signature, chosen by name."""

from tincture.common.errors import SHARE, Range

from .ancestral import ancestral
from .confidence import confidence
from .entropy_bounded import entropy_bounded
from .first_hitting import first_hitting
from .remasking import remasking
from .sampler import Sampler, even_times, run
from .stratified_hazard import stratified_hazard

SAMPLERS: dict[str, Sampler] = {
    "ancestral": Sampler(
        ancestral, ranges={"corrector_steps": Range(0, 1000), "corrector_size": SHARE._replace(without_low=True)}
    ),
    "first-hitting": Sampler(first_hitting, mask=True, takes_grid=False),
    "confidence": Sampler(confidence, mask=True, ranges={"choice_temperature": Range(0, 1000)}),
    "entropy-bounded": Sampler(entropy_bounded, mask=True, ranges={"entropy_bound": Range(0, 1000)}),
    "remasking": Sampler(remasking, mask=True, ranges={"remasking_rate": Range(0, 1000)}),
    "stratified-hazard": Sampler(stratified_hazard, mask=False),
}

__all__ = ["SAMPLERS", "Sampler", "even_times", "run"]
