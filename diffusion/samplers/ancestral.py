"""Ancestral sampling: step back in time by p(x_s | x_t); exact in the limit of many steps, for every process."""

from itertools import pairwise

from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from ..draws import Generators, categorical
from ..process import Process
from .sampler import Steps


def ancestral(
    process: Process,
    palette: PaletteBatch,
    x_t: Tensor,
    times: Tensor,
    generator: Generators = None,
    *,
    corrector_steps: int = 0,
    corrector_size: float = 0.25,
) -> Steps:
    """Shi et al. 2024 (arXiv 2406.04329, Algorithm 2); Austin et al. 2021 (arXiv 2107.03006, section 3).

    Options:
        corrector_steps: after each step back from t to s, so many times: corrupt a part of the way from s to t again, and
            step back once more. That leaves the distribution at s as it is, and forgets errors of earlier steps (the
            forward-backward corrector of Campbell et al. 2022, arXiv 2205.14987). Each is one more call.
        corrector_size: that part of the way, above 0, at most 1.
    """
    for t, s in pairwise(times.to(x_t.device)):
        t, s = t.expand(len(x_t)), s.expand(len(x_t))  # noqa: PLW2901
        x_t, prediction = yield x_t, t
        x_t = categorical(prediction.posterior(process, x_t, s, t, palette), generator)
        for _ in range(int(corrector_steps)):
            r = s + corrector_size * (t - s)
            x_t = process.renoise(x_t, s, r, palette, generator)
            x_t, prediction = yield x_t, r
            x_t = categorical(prediction.posterior(process, x_t, s, r, palette), generator)
    return x_t
