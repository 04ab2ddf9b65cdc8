"""Guidance: under which conditions the denoiser is asked, and how much each answer weighs.

With a class c, negative classes n and a luminance l, at the scales γ and η::

    log p = log p(x) + γ (log p(x | c, l) - log p(x)) - η Σ_n (log p(x | n, l) - log p(x | l))

The first difference is classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598; Schiff et al. 2024, arXiv 2412.10193).
By Bayes' rule the second is log p(n | x, l): what looks like n becomes less likely. The weights add up to 1.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tincture.models.denoiser import NO_CONDITIONS, Conditions


class Branch(NamedTuple):
    """One way to ask."""

    conditions: Conditions
    weight: float


def guidance_branches(
    num_images: int,
    label: int | None,
    negatives: Sequence[int],
    luminance: Tensor | None,
    guidance_scale: float,
    negative_scale: float,
) -> list[Branch]:
    """The branches whose weights aren't 0, at least one.

    Terms with the same conditions are one branch, so what cancels costs no call: a negative class that is the class, at
    the same scale, leaves p(x).

    Args:
        num_images: how many images each condition is for.
        label: the class; none for none.
        negatives: classes to keep away from.
        luminance: float ``[num_images, H, W]``; none for none.
        guidance_scale: γ.
        negative_scale: η, of each negative class.
    """
    told = luminance is not None
    weights: dict[tuple[int | None, bool], float] = defaultdict(float)
    weights[label, told] += guidance_scale
    weights[None, False] += 1 - guidance_scale
    for negative in negatives:
        weights[None, told] += negative_scale
        weights[negative, told] -= negative_scale
    return [
        Branch(_conditions(num_images, which, luminance if is_told else None), weight)
        for (which, is_told), weight in weights.items()
        if abs(weight) > 1e-9  # rounding: 1 - 0.9 + 0.9 - 1 isn't 0
    ]


def _conditions(num_images: int, label: int | None, luminance: Tensor | None) -> Conditions:
    if label is None and luminance is None:
        return NO_CONDITIONS
    return Conditions(None if label is None else torch.full((num_images,), label), luminance)
