"""Entropy-bounded sampling: unmask as many pixels in a step as the model is sure of."""

import torch
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from ..draws import Generators, categorical
from ..process import Process
from .sampler import Steps
from .unmasking import filled, is_masked, left_masked, lowest


def entropy_bounded(
    process: Process,
    palette: PaletteBatch,
    x_t: Tensor,
    times: Tensor,
    generator: Generators = None,
    *,
    entropy_bound: float = 0.1,
) -> Steps:
    """The EB-Sampler (Ben-Hamu et al. 2025, arXiv 2505.24857): lowest entropies first, as long as together they stay bounded.

    A step unmasks the largest set U of lowest entropies H with Σ_U H - max_U H ≤ γ: the left side bounds the information
    that pixels drawn independently lose about each other. The grid of times is a floor: a step leaves no more pixels
    masked than the schedule does, so that the steps suffice; sure models need fewer. The network is told the time at which as
    many pixels are masked, on average, as are. H is the model's own: a temperature of 0
    makes draws certain, not the model.

    Options:
        entropy_bound: γ, in nats; 0 unmasks one pixel in a step, and those that are certain.
    """
    masked = is_masked(x_t, palette)
    start = masked.sum(dim=1).clamp_min(1)
    noise = process.schedule.noise(times[0].to(x_t.device))
    counts = left_masked(process, masked, times)
    for step in range(len(times) - 1):
        if not masked.any():
            break
        t = process.schedule.time(noise * masked.sum(dim=1).clamp_min(1) / start)
        x_t, prediction = yield x_t, t
        masked = is_masked(x_t, palette)
        entropy = (
            torch.special.entr(prediction.learned_p_0()).sum(dim=1).flatten(1).masked_fill(~masked, float("inf"))
        )  # [B, H W]
        ordered = entropy.sort(dim=1, stable=True).values
        others = (ordered.cumsum(dim=1) - ordered).nan_to_num(float("inf"))  # Σ - max: entropies rise
        sure = (others <= entropy_bound) & ordered.isfinite()
        count = torch.maximum(sure.sum(dim=1), masked.sum(dim=1) - counts[step + 1])
        x_t = filled(x_t, masked & lowest(entropy, count), categorical(prediction.p_0(), generator))
        masked = is_masked(x_t, palette)
    return x_t
