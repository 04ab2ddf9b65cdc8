"""A prediction of the clean image: what the denoiser said, and what is done to it before a sampler draws."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

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

    def learned_p_0(self) -> Tensor:
        """`p_0` without temperature and top-p: how sure the model is, whatever is drawn; ``[B, K, H, W]``."""
        return replace(self, temperature=1.0, top_p=1.0).p_0()

    def posterior(self, process: Process, x_t: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """The probabilities of states at time s, ``[B, S, H, W]``; arguments as for `Process.posterior`.

        Schiff et al. 2024 (arXiv 2412.10193) mix the branches' p(x_s | x_t); with a mask, that is to mix
        p(x_0 | x_t) and leave the chance to stay masked alone. Temperature and top-p are about clean entries, and about
        the mixture's: with them, p(x_0 | x_t) is mixed for all processes. Branches that are sharpened each for itself
        may have no entry in common, and p(x_s | x_t) sharpened would hold every pixel where it is.
        """
        is_sharpened = self.temperature != 1 or self.top_p < 1
        if process.has_mask or len(self.branches) == 1 or is_sharpened:
            return process.posterior(x_t, self.p_0(), s, t, palette)
        posteriors = torch.stack(
            [process.posterior(x_t, branch.softmax(dim=1), s, t, palette) for branch in self.branches]
        )
        # A probability that one branch rounds to zero is the least that can be written, not infinitely less than another's.
        logs = posteriors.clamp_min(torch.finfo(posteriors.dtype).tiny).log()
        return mix(logs.unbind(0), self.weights).masked_fill((posteriors == 0).all(dim=0), -torch.inf).softmax(dim=1)


def as_prediction(output: Tensor | Prediction) -> Prediction:
    """Logits of one branch as a prediction."""
    return Prediction([output]) if isinstance(output, Tensor) else output
