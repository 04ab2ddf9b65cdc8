"""Fitting the prior over palettes."""

import math
from types import SimpleNamespace

import pytest
import torch

from tincture.models.palette_sets import coded
from tincture.pipelines.palette_bank import PaletteBank
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.training import palette_prior
from tincture.training import run as runs
from tincture.training.palette_prior import fit_palette_prior, heldout_palette_bytes

GRAYS = [Palette.from_hex([f"{level:02x}" * 3 for level in (first, first + 40, first + 80)]) for first in range(60)]
"""Three grays each; those of the even ones are held out."""


@pytest.fixture(scope="module")
def bank():
    count = len(GRAYS)
    batch = PaletteBatch.from_palettes([gray.with_transparency() for gray in GRAYS])
    return PaletteBank.of(batch, torch.arange(count) % 2, torch.arange(count) % 2 == 0)


def test_it_learns_what_palettes_are_like(bank):
    before, after = (heldout_palette_bytes(fit_palette_prior(bank, 2, steps=steps), bank)[0] for steps in (1, 30))
    raw = (3 * 24 - math.log2(math.factorial(3))) / 8
    assert after < before < raw + 1
    assert after < raw - 1


def test_held_out_palettes_are_not_learned_from(bank):
    other = PaletteBank.of(PaletteBatch(bank.colors.clone(), bank.valid), bank.labels, bank.heldout)
    other.colors[bank.heldout] = 7
    first, second = (fit_palette_prior(each, 2, steps=3).state_dict() for each in (bank, other))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_seed_decides_on_everything_and_torch_notices_nothing(bank):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (fit_palette_prior(bank, steps=2, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["embed.weight"], other["embed.weight"])


@pytest.mark.parametrize("joined", [1, 2, 8])
def test_what_is_learned_from_is_sets_with_a_color_to_tell(bank, joined, monkeypatch):
    monkeypatch.setattr(palette_prior, "THINNED", 0.5)
    monkeypatch.setattr(palette_prior, "KEPT", 0.5)
    prior = fit_palette_prior(bank, 2, steps=1)
    palettes = PaletteBatch(bank.colors, bank.valid)
    torch.manual_seed(0)
    for _ in range(5):
        entries, known = palette_prior._examples(palettes, {"labels": bank.labels}, joined)
        assert len(entries) == len(bank.labels) // joined
        assert (known.sizes <= 3 * joined + 1).all() and (known.counts >= 0).all()
        with torch.no_grad():
            assert prior.bits(entries, known).isfinite().all()


def test_a_bank_with_nothing_to_learn_from_gives_a_prior_that_knows_nothing(bank):
    held = PaletteBank.of(PaletteBatch(bank.colors, bank.valid), bank.labels, torch.ones_like(bank.heldout))
    prior = fit_palette_prior(held, steps=3)
    with torch.no_grad():
        white, mixed = prior.bits(*coded([Palette.from_hex(["fff"]), Palette.from_hex(["3c5a7e"])])).tolist()
    assert white == pytest.approx(24, abs=0.1) and mixed == pytest.approx(24, abs=0.1)


def test_a_run_fits_it_in_no_more_steps_than_it_has_and_only_to_palettes_of_pictures(monkeypatch):
    fits, parts = [], []
    monkeypatch.setattr(
        runs, "fit_palette_prior", lambda bank, classes, text, steps, seed: fits.append(steps) or "prior"
    )
    for asked, done, palette in ((7, 3, "own"), (7, 90, "own"), (0, 90, "own"), (7, 90, "shared"), (7, 90, "pico-8")):
        run = SimpleNamespace(
            config=SimpleNamespace(
                train=SimpleNamespace(palette_prior_steps=asked), data=SimpleNamespace(palette=palette), seed=0
            ),
            progress=SimpleNamespace(step=done),
            pipeline=SimpleNamespace(palette_bank=None, register_modules=lambda **modules: parts.append(modules)),
            label_names=[],
            average=SimpleNamespace(module=SimpleNamespace(text=None)),
        )
        runs.Run.fit_palette_prior(run)
    assert fits == [3, 7]
    assert parts == [{"palette_prior": "prior"}] * 2
