"""A tiny world: 2×2 pixels, 3 entries, a random joint distribution, and its exact denoiser by enumeration."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch

from quantization.palette import Palette, PaletteBatch

ENTRIES, PIXELS = 3, 4


@pytest.fixture(scope="session")
def world():
    generator = torch.Generator().manual_seed(0)
    states = torch.tensor(list(itertools.product(range(ENTRIES), repeat=PIXELS)))  # [81, 4]
    p = torch.distributions.Gamma(0.5, 1.0).icdf if False else None  # noqa: F841
    weights = -torch.rand(len(states), generator=generator, dtype=torch.float64).log() ** 3
    p = weights.abs() / weights.abs().sum()

    # For each of the 4^4 partly masked maps, the distribution of every pixel's clean entry given what is seen.
    partial = torch.tensor(list(itertools.product(range(ENTRIES + 1), repeat=PIXELS)))  # [256, 4]
    agrees = ((partial[:, None] == states) | (partial[:, None] == ENTRIES)).all(-1)  # [256, 81]
    given = agrees * p
    given = given / given.sum(1, keepdim=True)
    one_hot = torch.nn.functional.one_hot(states, ENTRIES).double()  # [81, 4, 3]
    table = torch.einsum("ps,sik->pki", given, one_hot).log()  # [256, 3, 4]
    place = (ENTRIES + 1) ** torch.arange(PIXELS - 1, -1, -1)

    def denoise(x_t, t):
        return table[(x_t.flatten(1) * place).sum(1)].unflatten(2, (2, 2))

    def palette(count):
        return PaletteBatch.from_palettes([Palette.from_hex(["000000", "ff0000", "ffffff"])] * count)

    def state_index(x):
        return (x.flatten(1) * ENTRIES ** torch.arange(PIXELS - 1, -1, -1)).sum(1)

    return SimpleNamespace(
        states=states.view(-1, 2, 2),
        p=p,
        entropy=-(p * p.log()).sum().item(),
        denoise=denoise,
        palette=palette,
        state_index=state_index,
        mask=ENTRIES,
    )


def chi_squared_p_value(counts, p):
    """The probability of a larger chi-squared statistic when ``counts`` are drawn from ``p``."""
    expected = p * counts.sum()
    statistic = ((counts - expected) ** 2 / expected).sum()
    return torch.special.gammaincc(torch.tensor((len(p) - 1) / 2, dtype=torch.float64), statistic.double() / 2).item()


@pytest.fixture(scope="session")
def p_value():
    return chi_squared_p_value


BITS = math.log(2)
