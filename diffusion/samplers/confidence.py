"""Confidence-ordered sampling: unmask the pixels of which the model is surest."""

from itertools import pairwise

from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from ..draws import Generators, categorical, uniform, widest_float
from ..process import Process
from .sampler import Steps
from .unmasking import filled, is_masked, left_masked, lowest


def confidence(
    process: Process,
    palette: PaletteBatch,
    x_t: Tensor,
    times: Tensor,
    generator: Generators = None,
    *,
    choice_temperature: float = 4.5,
) -> Steps:
    """MaskGIT (Chang et al. 2022, arXiv 2202.04200, section 3.2); its cosine schedule is a grid of times.

    Not exact: surest first is an order that depends on what is drawn. How sure the model is doesn't depend on temperature and
    top-p, which would make it equally sure of all pixels.

    Options:
        choice_temperature: of the Gumbel noise added to log-confidences; it falls to 0 with the noise level. 0 is greedy.
    """
    masked = is_masked(x_t, palette)
    counts = left_masked(process, masked, times)
    for step, (t, s) in enumerate(pairwise(times.to(x_t.device))):
        x_t, prediction = yield x_t, t.expand(len(x_t))
        x_0 = categorical(prediction.p_0(), generator)
        masked = is_masked(x_t, palette)
        sure = prediction.learned_p_0().gather(1, x_0[:, None]).flatten(1).to(widest_float(x_t.device)).log()
        gumbel = -(-uniform(sure.shape, generator, sure.device).log()).log()
        sure = sure + choice_temperature * process.schedule.noise(s).to(sure) * gumbel
        leave = lowest(sure.masked_fill(~masked, float("inf")), counts[step + 1])
        x_t = filled(x_t, masked & ~leave, x_0)
    return x_t
