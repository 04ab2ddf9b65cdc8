"""Remasking: pixels that are drawn may be masked again, so that early mistakes can be mended."""

from itertools import pairwise

import torch
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from ..draws import Generators, categorical
from ..process import Process
from .sampler import Steps


def remasking(
    process: Process,
    palette: PaletteBatch,
    x_t: Tensor,
    times: Tensor,
    generator: Generators = None,
    *,
    remasking_rate: float = 16.0,
) -> Steps:
    """ReMDM-cap (Wang et al. 2025, arXiv 2503.00307): σ = min(rate · (t - s), 1, (1 - alpha(s)) / alpha(t)).

    A pixel that holds an entry is masked again with probability σ, and masked ones are unmasked that much oftener, which
    keeps q(x_s | x_0). The paper's cap is a constant; here it shrinks with the steps, so that the number of remaskings
    of a pixel doesn't grow with them, and the limit of many steps is exact.

    Options:
        remasking_rate: how often a pixel would be masked again, were it drawn at the start.
    """
    for t, s in pairwise(times.to(x_t.device)):
        x_t, prediction = yield x_t, t.expand(len(x_t))
        noise_s, noise_t = process.schedule.noise(s), process.schedule.noise(t)
        alpha_s, alpha_t = 1 - noise_s, 1 - noise_t
        most = torch.where(alpha_t > noise_s, noise_s / alpha_t, 1)  # at t = 1 alpha is 0, and no pixel is drawn yet
        sigma = torch.minimum(remasking_rate * (t - s), most)
        p_0 = prediction.p_0()
        stay = (noise_s - sigma * alpha_t) / noise_t
        unmask = torch.cat([(alpha_s - (1 - sigma) * alpha_t) / noise_t * p_0, stay.expand_as(p_0[:, :1])], dim=1)
        keep = torch.zeros_like(unmask).scatter_(1, x_t[:, None], 1) * (1 - sigma)
        keep[:, palette.mask_index] = sigma
        masked = (x_t == palette.mask_index)[:, None]
        x_t = categorical(torch.where(masked, unmask, keep), generator)
    return x_t
