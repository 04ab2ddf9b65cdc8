"""Stratified hazard sampling: the number of times that a pixel jumps varies as little as it can."""

from itertools import pairwise

import torch
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from ..draws import Generators, categorical, uniform
from ..process import Process
from .sampler import Steps


def stratified_hazard(
    process: Process, palette: PaletteBatch, x_t: Tensor, times: Tensor, generator: Generators = None
) -> Steps:
    """Jang and Han 2026 (arXiv 2601.02799): one random phase for each pixel decides when it jumps.

    A pixel's hazard, its probability 1 - p(x_s = x_t | x_t) to jump, adds up over the steps from a phase uniform in [0, 1);
    it jumps in a step in which the sum passes a whole number, to an entry drawn from p(x_s | x_t) without x_t. The mean
    number of jumps is that of independent decisions; their variance is at most 1/4. Not exact, even in the limit.
    """
    total = uniform(x_t.shape, generator, x_t.device)
    for t, s in pairwise(times.to(x_t.device)):
        t, s = t.expand(len(x_t)), s.expand(len(x_t))  # noqa: PLW2901
        x_t, prediction = yield x_t, t
        p = prediction.posterior(process, x_t, s, t, palette)
        others = p.scatter(1, x_t[:, None], 0)
        leaving = others.sum(dim=1)
        before, total = total, total + (leaving / p.sum(dim=1)).clamp(0, 1)
        to = categorical(torch.where(leaving[:, None] > 0, others, p), generator)  # a pixel that stays goes nowhere
        x_t = torch.where(before.floor() < total.floor(), to, x_t)
    return x_t
