"""Samplers reverse a process: each is one function of one signature, chosen by name."""

from .ancestral import ancestral
from .confidence import confidence
from .entropy_bounded import entropy_bounded
from .first_hitting import first_hitting
from .remasking import remasking
from .sampler import Sampler, even_times, run
from .stratified_hazard import stratified_hazard

SAMPLERS: dict[str, Sampler] = {
    "ancestral": Sampler(ancestral),
    "first-hitting": Sampler(first_hitting, mask=True),
    "confidence": Sampler(confidence, mask=True),
    "entropy-bounded": Sampler(entropy_bounded, mask=True),
    "remasking": Sampler(remasking, mask=True),
    "stratified-hazard": Sampler(stratified_hazard, mask=False),
}

__all__ = ["SAMPLERS", "Sampler", "even_times", "run"]
