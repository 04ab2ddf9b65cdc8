"""First-hitting sampling: draw the times at which pixels are unmasked instead of stepping over a grid of times."""

from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

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
    calls = start.clamp_max(len(times) - 1)  # of each image: some may have few pixels to draw
    order = uniform(masked.shape, generator, x_t.device)  # pixels are unmasked by rising numbers
    draws = uniform(masked.shape, generator, x_t.device)  # one for each hit, however many images there are
    left = start
    noise = process.schedule.noise(times[0].to(order)).expand(len(x_t)).clone()
    for call in range(int(calls.max())):
        after = start * (calls - call - 1).clamp_min(0) // calls.clamp_min(1)
        levels = [noise]
        for _ in range(int((left - after).max())):
            hit = left > after
            draw = draws.gather(1, (start - left).clamp_max(draws.shape[1] - 1)[:, None])[:, 0]
            levels.append(levels[-1] * (draw ** (1 / left.clamp_min(1))).where(hit, 1))
            left = left - hit.long()
        noise = levels[-1]
        x_t, prediction = yield x_t, process.schedule.time(levels[1]).float()
        masked = is_masked(x_t, palette)
        now = masked & lowest(order.masked_fill(~masked, 2), masked.sum(dim=1) - after)
        x_t = filled(x_t, now, categorical(prediction.p_0(), generator))
    return x_t
