"""A tiny world: 2×2 pixels, 3 entries, a random joint distribution, and its exact denoiser by enumeration."""

import itertools
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from quantization.palette import Palette, PaletteBatch

ENTRIES, PIXELS = 3, 4


@pytest.fixture(scope="session")
def world():
    generator = torch.Generator().manual_seed(0)
    states = torch.tensor(list(itertools.product(range(ENTRIES), repeat=PIXELS)))  # [81, 4]
    weights = torch.rand(len(states), generator=generator, dtype=torch.float64) ** 4 + 0.01
    p = weights / weights.sum()

    # For each of the 4^4 partly masked maps: the distribution of every pixel's clean entry, given what is seen.
    partial = torch.tensor(list(itertools.product(range(ENTRIES + 1), repeat=PIXELS)))  # [256, 4]
    agrees = ((partial[:, None] == states) | (partial[:, None] == ENTRIES)).all(-1)  # [256, 81]
    given = agrees * p
    given = given / given.sum(1, keepdim=True)
    table = torch.einsum("ps,sik->pki", given, F.one_hot(states, ENTRIES).double()).log()  # [256, 3, 4]

    def code(x, base):
        return (x.flatten(1) * base ** torch.arange(PIXELS - 1, -1, -1)).sum(1)

    return SimpleNamespace(
        states=states.view(-1, 2, 2),
        p=p,
        entropy=-(p * p.log()).sum().item(),
        denoise=lambda x_t, t: table[code(x_t, ENTRIES + 1)].unflatten(2, (2, 2)),
        palette=lambda count: PaletteBatch.from_palettes([Palette.from_hex(["000000", "ff0000", "ffffff"])] * count),
        state_index=lambda x: code(x, ENTRIES),
        mask=ENTRIES,
        mask_patterns=torch.tensor(list(itertools.product([False, True], repeat=PIXELS))).view(-1, 2, 2),
    )


@pytest.fixture(scope="session")
def p_value():
    def chi_squared(counts, p):
        """The probability of a larger chi-squared statistic when ``counts`` are drawn from ``p``."""
        expected = p * counts.sum()
        statistic = ((counts - expected) ** 2 / expected).sum().double()
        freedom = torch.tensor((len(p) - 1) / 2, dtype=torch.float64)
        return torch.special.gammaincc(freedom, statistic / 2).item()

    return chi_squared
