import numpy as np
import pytest

from tincture.quantization.fit import fit_palette, fit_palettes, learned
from tincture.quantization.fit.rare_hues import keep_rare_hues
from tincture.quantization.histogram import histogram
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.spaces import SPACES


def stripes(colors, accent, height=60, width=90, square=5):
    """A flag of equal stripes with a small square of another color."""
    rows = Palette.from_hex(colors).colors[np.arange(height) * len(colors) // height]
    flag = np.repeat(rows[:, None], width, axis=1)
    flag[2 : 2 + square, 4 : 4 + square] = Palette.from_hex([accent]).colors
    return flag


def shaded(colors, accent, seed=0):
    """The same with noise, as a photographed flag has it."""
    flag = stripes(colors, accent).astype(int)
    flag[..., :3] += np.random.default_rng(seed).integers(-6, 7, flag.shape[:2])[..., None]
    return flag.clip(0, 255).astype(np.uint8)


PICTURES = {
    "a flag": stripes(["ce1126", "ffffff", "146e32", "0a0a0a", "3e2714", "fcd116"], "0028aa"),
    "a flag with noise": shaded(["ce1126", "ffffff", "146e32", "0a0a0a", "3e2714", "fcd116"], "0028aa"),
    "a night with a lamp": stripes(["101018", "181828", "203040", "406080", "8090a0", "d0d8e0"], "ffcc00", square=3),
    "a logo": stripes(["ffffff", "f4f4f4", "222222", "333333", "00a0c0", "8040a0"], "e01010", square=4),
    "a forest with a berry": shaded(["0c1c0c", "14280f", "2a5a20", "4c8030", "88b060", "d8e8c0"], "d01050"),
}
ACCENTS = dict(zip(PICTURES, ["0028aa", "0028aa", "ffcc00", "e01010", "d01050"], strict=True))


def distance(palette, color):
    oklab = SPACES["oklab"].from_bytes
    return np.linalg.norm(oklab(palette.colors) - oklab(Palette.from_hex([color]).colors), axis=1).min()


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("method", ["kmeans", "mixtures"])
@pytest.mark.parametrize("space", SPACES)
def test_a_rare_hue_survives_before_two_similar_shades_do(name, method, space):
    palette = fit_palette([PICTURES[name]], 6, method, space)
    assert len(palette) == 6
    assert distance(palette, ACCENTS[name]) < 0.06


def test_learned_palettes_keep_rare_hues_too(monkeypatch):
    monkeypatch.setattr(learned, "STEPS", 100)
    assert distance(fit_palette([PICTURES["a flag"][::2, ::2]], 6, "learned"), ACCENTS["a flag"]) < 0.06


@pytest.mark.parametrize("name", PICTURES)
def test_batches_keep_rare_hues_too(name):
    assert distance(fit_palettes([PICTURES[name]], 6, device="cpu")[0], ACCENTS[name]) < 0.06


def test_kept_colors_stay_and_a_shade_beside_one_gives_its_place_up():
    keep = Palette.from_hex(["0a0a0a"])
    palette = fit_palette([PICTURES["a flag"]], 6, keep=keep)
    assert palette.to_hex()[0] == "0a0a0a"
    assert distance(palette, "0028aa") < 0.02


@pytest.mark.parametrize("square", [0, 1])
def test_what_nobody_sees_gets_no_entry(square):
    flag = stripes(["ce1126", "ffffff", "146e32", "0a0a0a", "3e2714", "fcd116"], "0028aa", square=square)
    colors, counts = histogram([flag])
    entries = Palette.from_hex(["ce1126", "ffffff", "146e32", "0a0a0a", "3e2714", "fcd116"]).colors[:, :3]
    assert np.array_equal(keep_rare_hues(colors, counts, entries, entries[:0]), entries)


def test_entries_that_all_differ_are_kept():
    flag = stripes(["ff0000", "00ff00", "0000ff", "ffff00", "ffffff", "000000"], "ff00ff")
    colors, counts = histogram([flag])
    entries = Palette.from_hex(["ff0000", "00ff00", "0000ff", "ffff00", "ffffff", "000000"]).colors[:, :3]
    assert np.array_equal(keep_rare_hues(colors, counts, entries, entries[:0]), entries)
