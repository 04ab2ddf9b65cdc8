"""First-hitting sampling: draw the times at which pixels are unmasked instead of stepping over a grid of times."""

from torch import Tensor

from quantization.palette import PaletteBatch

from ..draws import Generators, categorical, uniform
from ..process import Process
from .sampler import Steps
from .unmasking import filled, is_masked, lowest


def first_hitting(
    process: Process, palette: PaletteBatch, x_t: Tensor, times: Tensor, generator: Generators = None
) -> Steps:
    """The first-hitting sampler (Zheng et al. 2024, arXiv 2409.02908): exact with as many steps as there are masked pixels.

    With n pixels masked at the noise level a, the next one is unmasked at the level u^(1/n) a, with u uniform in [0, 1);
    which one is uniform. The network is asked at that level. With fewer steps than pixels, each step unmasks an equal share by one prediction.
    """
    masked = is_masked(x_t, palette)
    start = masked.sum(dim=1)  # [B]
    calls = min(len(times) - 1, int(start.max()))
    order = uniform(masked.shape, generator, x_t.device)  # pixels are unmasked by rising numbers
    left = start
    noise = process.schedule.noise(times[0].to(order)).expand(len(x_t)).clone()
    for call in range(calls):
        after = start * (calls - call - 1) // calls
        levels = [noise]
        draws = uniform((len(x_t), int((left - after).max())), generator, x_t.device)
        for n in range(draws.shape[1]):
            hit = left > after
            levels.append(levels[-1] * (draws[:, n] ** (1 / left.clamp_min(1))).where(hit, 1))
            left = left - hit.long()
        noise = levels[-1]
        x_t, prediction = yield x_t, process.schedule.time(levels[1]).float()
        masked = is_masked(x_t, palette)
        now = masked & lowest(order.masked_fill(~masked, 2), masked.sum(dim=1) - after)
        x_t = filled(x_t, now, categorical(prediction.p_0(), generator))
    return x_t
