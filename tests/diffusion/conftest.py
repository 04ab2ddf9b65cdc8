"""A tiny world: 2×2 pixels, 3 entries, a random joint distribution, and its exact denoisers."""

import functools
import itertools
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from tincture.diffusion.absorbing import AbsorbingProcess
from tincture.diffusion.color_heat import ColorHeatProcess
from tincture.diffusion.color_tree import ColorTreeProcess
from tincture.diffusion.jumps import UniformProcess
from tincture.diffusion.schedules import linear, make_schedule
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette

ENTRIES, PIXELS = 3, 4

PROCESSES = {
    "absorbing": AbsorbingProcess(linear()),
    "absorbing, cosine": AbsorbingProcess(make_schedule("cosine")),
    "uniform": UniformProcess(linear()),
    "uniform, cosine": UniformProcess(make_schedule("cosine")),
    "color-heat": ColorHeatProcess(linear(), width=0.3, leap=0.1),
    "color-heat, polynomial": ColorHeatProcess(make_schedule("polynomial"), width=0.2, leap=0.5),
    "color-tree": ColorTreeProcess(linear()),
    "color-tree, cosine": ColorTreeProcess(make_schedule("cosine"), blur=0.5),
}

SHADES, TREE_STATES = 5, 7
"""The node of black and red, and as many states as the tree of black, red and white has."""


def code(x, base):
    """The number of a state, ``[B, 2, 2]`` → ``[B]``."""
    return (x.flatten(1) * base ** torch.arange(PIXELS - 1, -1, -1)).sum(1)


@pytest.fixture(scope="session")
def world():
    generator = torch.Generator().manual_seed(0)
    states = torch.tensor(list(itertools.product(range(ENTRIES), repeat=PIXELS)))  # [81, 4]
    weights = torch.rand(len(states), generator=generator, dtype=torch.float64) ** 4 + 0.01
    p = weights / weights.sum()
    one_hot = F.one_hot(states, ENTRIES).double()

    # For each of the 4^4 partly masked maps: each pixel's distribution, given what is seen.
    partial = torch.tensor(list(itertools.product(range(ENTRIES + 1), repeat=PIXELS)))  # [256, 4]
    agrees = ((partial[:, None] == states) | (partial[:, None] == ENTRIES)).all(-1)  # [256, 81]
    given = agrees * p
    given = given / given.sum(1, keepdim=True)
    masked_table = torch.einsum("ps,sik->pki", given, one_hot).log()  # [256, 3, 4]

    # The same for the 7^4 maps of nodes; those that aren't in use hold nothing.
    nodes = torch.tensor(list(itertools.product(range(TREE_STATES), repeat=PIXELS)))  # [2401, 4]
    under = torch.eye(TREE_STATES, ENTRIES)
    under[ENTRIES] = 1
    under[SHADES, :2] = 1
    likely = under[nodes[:, None], states].prod(-1) * p  # [2401, 81]
    likely = likely / likely.sum(1, keepdim=True)
    tree_table = torch.einsum("ps,sik->pki", likely, one_hot).log()

    @functools.cache  # a batch's eigenvectors are made once
    def palette(count):
        return PaletteBatch.from_palettes([Palette.from_hex(["000000", "ff0000", "ffffff"])] * count)

    def transition(process, t):
        """q(x_t | x_0) of a pixel, and from the other states too, float64 [S, S].

        By a plain matrix exponential, or as it is defined.
        """
        alpha = 1 - process.schedule.noise(torch.tensor(t, dtype=torch.float64)).item()
        if process.has_mask:
            return alpha * torch.eye(4).double() + (1 - alpha) * torch.eye(4)[3].double()
        if isinstance(process, ColorTreeProcess):
            q = torch.eye(TREE_STATES, dtype=torch.float64)
            for start, now in [(0, alpha ** (1 + process.blur)), (1, alpha ** (1 + process.blur)), (SHADES, 0)]:
                q[start, start] = now
                q[start, SHADES] = alpha - now
                q[start, ENTRIES] = 1 - alpha
            q[2, 2], q[2, ENTRIES] = alpha, 1 - alpha
            return q
        t = min(t, 1 - 1e-7)  # at 1 the heat is infinite
        heat = process.heat(torch.tensor([t], dtype=torch.float64), palette(1))[0].item()
        return torch.linalg.matrix_exp(heat * process.rates(palette(1))[0].double())

    def jump_table(process, t):
        """Log-probabilities of clean entries for each of the 81 states at time t, [81, 3, 4]."""
        q = process.transition(process.heat(torch.tensor([t]), palette(1))[0], palette(1))[0].double()
        likelihood = q[states[:, None, :], states].prod(dim=-1)  # [x_0, x_t]
        joint = p[:, None] * likelihood
        return torch.einsum("st,sik->tki", joint / joint.sum(0), one_hot).log().float()

    def denoiser(process):
        """The exact p(x_0 | x_t) of every pixel, in logarithms."""
        if process.has_mask:
            return lambda x_t, t: masked_table[code(x_t, ENTRIES + 1)].unflatten(2, (2, 2))
        if isinstance(process, ColorTreeProcess):
            return lambda x_t, t: tree_table[code(x_t, TREE_STATES)].unflatten(2, (2, 2))

        def denoise(x_t, t):
            times, which = t.unique(return_inverse=True)
            tables = torch.stack([jump_table(process, time.item()) for time in times])
            return tables[which, code(x_t, ENTRIES)].unflatten(2, (2, 2))

        return denoise

    return SimpleNamespace(
        processes=PROCESSES,
        states=states.view(-1, 2, 2),
        p=p,
        entropy=-(p * p.log()).sum().item(),
        denoiser=denoiser,
        denoise=denoiser(PROCESSES["absorbing"]),
        transition=transition,
        marginal=lambda process, t: transition(process, t)[:ENTRIES],
        palette=palette,
        state_index=lambda x: code(x, ENTRIES),
        mask=ENTRIES,
        mask_patterns=torch.tensor(list(itertools.product([False, True], repeat=PIXELS))).view(-1, 2, 2),
    )


@pytest.fixture(params=PROCESSES)
def process(request):
    return PROCESSES[request.param]


@pytest.fixture(scope="session")
def p_value():
    def chi_squared(counts, p):
        """The probability of a larger chi-squared statistic if ``counts`` are drawn from ``p``."""
        expected = p * counts.sum()
        statistic = ((counts - expected) ** 2 / expected).sum().double()
        freedom = torch.tensor((len(p) - 1) / 2, dtype=torch.float64)
        return torch.special.gammaincc(freedom, statistic / 2).item()

    return chi_squared
