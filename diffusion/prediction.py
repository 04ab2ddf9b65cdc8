"""A prediction of the clean image: what the denoiser said, and what is done to it before a sampler draws."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from quantization.palette import PaletteBatch

from .logits import mix, sharpen
from .process import Process


@dataclass(frozen=True, eq=False)
class Prediction:
    """Logits of p(x_0 | x_t), from one or more branches (conditions) that are mixed geometrically.

    Guidance by a class at scale γ has two branches with the weights γ and 1 - γ.
    """

    branches: Sequence[Tensor]
    """Float ``[B, K, H, W]`` each."""
    weights: Sequence[float] = (1.0,)
    """They add up to 1."""
    temperature: float = 1.0
    top_p: float = 1.0

    def p_0(self) -> Tensor:
        """The probabilities of clean entries to draw from, ``[B, K, H, W]``."""
        return sharpen(mix(self.branches, self.weights), self.temperature, self.top_p).softmax(dim=1)

    def posterior(self, process: Process, x_t: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """The probabilities of states at time s, ``[B, S, H, W]``; arguments as for `Process.posterior`.

        Schiff et al. 2024 (arXiv 2412.10193) mix the branches' p(x_s | x_t); with a mask, that is to mix
        p(x_0 | x_t) and leave the chance to stay masked alone.
        """
        if process.has_mask or len(self.branches) == 1:
            return process.posterior(x_t, self.p_0(), s, t, palette)
        posteriors = [
            process.posterior(x_t, sharpen(branch, self.temperature, self.top_p).softmax(dim=1), s, t, palette).log()
            for branch in self.branches
        ]
        return mix(posteriors, self.weights).softmax(dim=1)


def as_prediction(output: Tensor | Prediction) -> Prediction:
    """Logits of one branch as a prediction."""
    return Prediction([output]) if isinstance(output, Tensor) else output
