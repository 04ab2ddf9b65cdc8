"""A guided prediction: what the denoiser says under several conditions, mixed into one answer.

With a class or words c, negative ones n and a luminance l, at the scales γ and η, a drawing
follows::

    log p = log p(x) + γ (log p(x | c, l) - log p(x)) - η Σ_n (log p(x | n, l) - log p(x | l))

The first difference is classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598; for
discrete diffusion Schiff et al. 2024, arXiv 2412.10193, eq. 12). By Bayes' rule the second one is
log p(n | x, l): what looks like n becomes less likely.

Each set of conditions is a *branch*. So guidance is a weighted sum of the branches'
log-probabilities, with weights that add up to 1. Temperature and top-p then sharpen the mixture.
Rojas et al. 2025 (arXiv 2507.08965) found that guidance of the first steps does harm: the pipeline
may begin with it late. For sprites from words it doesn't (docs/results/experiments.md).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from .process import Process


class Told(NamedTuple):
    """What a branch is told: any of these, or nothing."""

    label: int | None = None
    words: tuple[tuple[int, ...], ...] | None = None
    """Rows of words, as many for each prompt; images have the prompts in turn."""
    luminance: bool = False
    """Whether it is told the drawing's luminance."""


def branch_weights(
    told: Told, negatives: Sequence[Told], guidance_scale: float, negative_scale: float
) -> dict[Told, float]:
    """The weight of each branch.

    Terms with the same conditions are one branch, so what cancels costs no call: a negative class
    that is the class, at the same scale, leaves p(x). Branches of weight 0 are left out; at least
    one branch remains.

    Args:
        told: c and l.
        negatives: each n. All of them are told the luminance if ``told`` is.
        guidance_scale: γ.
        negative_scale: η, of each negative.
    """
    weights: dict[Told, float] = defaultdict(float)
    weights[told] += guidance_scale
    weights[Told()] += 1 - guidance_scale
    for negative in negatives:
        weights[Told(luminance=told.luminance)] += negative_scale
        weights[negative._replace(luminance=told.luminance)] -= negative_scale
    return {branch: weight for branch, weight in weights.items() if abs(weight) > 1e-9}  # 1 - 0.9 + 0.9 - 1 isn't 0


@dataclass(frozen=True, eq=False)
class Prediction:
    """Logits of p(x_0 | x_t) from one or more branches, and how they are mixed and sharpened."""

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
        """`p_0` without temperature and top-p, ``[B, K, H, W]``: how sure the model itself is."""
        return replace(self, temperature=1.0, top_p=1.0).p_0()

    def posterior(self, process: Process, x_t: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """The probabilities of states at time s, ``[B, S, H, W]``; arguments as for `Process`.

        Schiff et al. 2024 mix the branches' p(x_s | x_t). With a mask that is the same as mixing
        p(x_0 | x_t) and leaving the chance to stay masked alone.

        With a temperature or top-p, p(x_0 | x_t) is mixed for all processes, because both are about
        clean entries of the mixture. Branches that are sharpened each for itself may have no entry
        in common, and p(x_s | x_t) sharpened would hold every pixel where it is.
        """
        is_sharpened = self.temperature != 1 or self.top_p < 1
        if process.has_mask or len(self.branches) == 1 or is_sharpened:
            return process.posterior(x_t, self.p_0(), s, t, palette)
        posteriors = torch.stack(
            [process.posterior(x_t, branch.softmax(dim=1), s, t, palette) for branch in self.branches]
        )  # [G, B, S, H, W]
        # A probability that one branch rounds to zero counts as the least number that can be
        # written: it isn't infinitely less than another branch's.
        logs = posteriors.clamp_min(torch.finfo(posteriors.dtype).tiny).log()
        return mix(logs.unbind(0), self.weights).masked_fill((posteriors == 0).all(dim=0), -torch.inf).softmax(dim=1)


def as_prediction(output: Tensor | Prediction) -> Prediction:
    """Logits of one branch as a prediction."""
    return Prediction([output]) if isinstance(output, Tensor) else output


def mix(logits: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted sum of log-probabilities: a geometric mixture, up to a constant for each pixel.

    Args:
        logits: ``[B, K, H, W]`` each; the first one says which entries are impossible.
        weights: as many, which add up to 1.
    """
    if len(logits) == 1:
        return logits[0]
    mixed = sum(weight * branch.log_softmax(dim=1) for weight, branch in zip(weights, logits, strict=True))
    return mixed.masked_fill(logits[0] == -torch.inf, -torch.inf)  # padded entries: infinity minus infinity


def sharpen(logits: Tensor, temperature: float, top_p: float) -> Tensor:
    """Divide by the temperature (0: the likeliest entry alone), then keep the top-p entries."""
    if temperature < torch.finfo(logits.dtype).tiny:  # float32 can't divide by it, so it counts as 0
        return torch.full_like(logits, -torch.inf).scatter(1, logits.argmax(dim=1, keepdim=True), 0.0)
    if temperature != 1:
        logits = (logits - logits.amax(dim=1, keepdim=True)) / temperature  # so that only impossible entries overflow
    return keep_top_p(logits, top_p) if top_p < 1 else logits


def keep_top_p(logits: Tensor, top_p: float) -> Tensor:
    """Keep the fewest entries that reach ``top_p`` together (Holtzman et al. 2019, 1904.09751)."""
    ordered, order = logits.softmax(dim=1).sort(dim=1, descending=True, stable=True)
    before = ordered.cumsum(dim=1) - ordered  # the mass of all likelier entries, so the likeliest is always kept
    dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, before >= top_p)
    return logits.masked_fill(dropped, -torch.inf)
