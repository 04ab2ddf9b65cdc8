import pytest
import torch

from tincture.common.errors import InputError
from tincture.diffusion.color_heat import ColorHeatProcess
from tincture.diffusion.jumps import UniformProcess
from tincture.diffusion.schedules import linear
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.tests.palettes import random_palette


def twice_colored(entries, seed):
    """Random colors, the last one transparent, and from four entries on a color twice."""
    colors = random_palette(entries, seed, transparent=entries - 1).colors.copy()
    if entries >= 4:
        colors[1] = colors[0]
    return Palette(colors)


PALETTES = PaletteBatch.from_palettes([twice_colored(n, n) for n in (1, 2, 3, 16, 64, 256)])
SIZES = PALETTES.sizes.tolist()
TIMES = (1e-6, 0.01, 0.3, 0.9, 0.9999)
settings = pytest.mark.parametrize(("width", "leap"), [(0.2, 0.1), (0.05, 0.001), (1.0, 0.5)])


def transition(process, t, palettes=PALETTES):
    """Q at time t, float32 ``[B, K, K]``."""
    return process.transition(process.heat(torch.full((len(palettes.colors),), t), palettes)[0], palettes)


@settings
@pytest.mark.parametrize("t", TIMES)
def test_transitions_are_symmetric_with_rows_that_sum_to_one(width, leap, t):
    q = transition(ColorHeatProcess(linear(), width, leap), t)
    assert q.dtype == torch.float32
    torch.testing.assert_close(q.sum(dim=2), torch.ones_like(q[..., 0]), atol=2e-6, rtol=0)
    torch.testing.assert_close(q, q.mT, atol=1e-7, rtol=1e-6)
    for row, size in enumerate(SIZES):
        assert (q[row, :size, :size] > 0).all()
        assert torch.equal(q[row, size:], torch.eye(256)[size:])  # padded entries stay what they are


@settings
def test_transitions_are_the_matrix_exponential_of_the_rates(width, leap):
    process = ColorHeatProcess(linear(), width, leap)
    heat, _ = process.heat(torch.full((6,), 0.3), PALETTES)
    exact = torch.linalg.matrix_exp(heat[:, None, None] * process.rates(PALETTES).double())
    torch.testing.assert_close(transition(process, 0.3).double(), exact, atol=1e-5, rtol=1e-4)


@settings
def test_transitions_are_a_semigroup(width, leap):
    process = ColorHeatProcess(linear(), width, leap)
    early, late = (process.heat(torch.full((6,), t), PALETTES)[0] for t in (0.2, 0.7))
    both = process.transition(early, PALETTES) @ process.transition(late - early, PALETTES)
    torch.testing.assert_close(both, process.transition(late, PALETTES), atol=2e-6, rtol=0)


@settings
@pytest.mark.parametrize("t", TIMES)
def test_alpha_is_what_a_pixel_keeps_beyond_chance_in_the_mean(width, leap, t):
    q = transition(ColorHeatProcess(linear(), width, leap), t).double()
    for row, size in list(enumerate(SIZES))[1:]:
        kept = (q[row, :size, :size].diagonal().sum() - 1) / (size - 1)
        assert kept.item() == pytest.approx(1 - t, abs=1e-6)


@settings
def test_at_the_end_every_entry_is_equally_likely(width, leap):
    q = transition(ColorHeatProcess(linear(), width, leap), 1.0)
    for row, size in enumerate(SIZES):
        torch.testing.assert_close(q[row, :size, :size], torch.full((size, size), 1 / size))


@settings
def test_permuting_the_palette_permutes_the_transitions(width, leap):
    process, palette = ColorHeatProcess(linear(), width, leap), PALETTES[3:4]
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    permuted = PaletteBatch(palette.colors[:, :16][:, order], palette.valid[:, :16])
    original = PaletteBatch(palette.colors[:, :16], palette.valid[:, :16])
    expected = transition(process, 0.4, original)[:, order][:, :, order]
    torch.testing.assert_close(transition(process, 0.4, permuted), expected, atol=1e-6, rtol=1e-5)


def test_near_colors_blur_first():
    """Halfway, a grey has spread over the greys by their distance, and red has hardly left."""
    greys = ["404040", "505050", "606060", "808080", "c0c0c0", "ff0000"]
    palette = PaletteBatch.from_palettes([Palette.from_hex(greys)])
    process = ColorHeatProcess(linear(), 0.1, 0.01)
    for t in (0.05, 0.2, 0.4):
        q = transition(process, t, palette)[0]
        from_dark = q[0, 1:5]
        assert torch.equal(from_dark.sort(descending=True).values, from_dark)
        assert q[0, 1] > 20 * q[0, 5]
        assert q[5, 5] > q[0, 0]
    spread_of_uniform = transition(UniformProcess(linear()), 0.2, palette)[0]
    assert spread_of_uniform[0, 1] == spread_of_uniform[0, 5]


def test_with_nothing_but_leaps_it_is_the_uniform_process():
    heat, uniform = ColorHeatProcess(linear(), 0.2, 1.0), UniformProcess(linear())
    for t in TIMES:
        torch.testing.assert_close(transition(heat, t), transition(uniform, t), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(heat.rates(PALETTES), uniform.rates(PALETTES))


@settings
def test_rates_sum_to_zero_and_are_positive_between_entries(width, leap):
    rates = ColorHeatProcess(linear(), width, leap).rates(PALETTES)
    torch.testing.assert_close(rates.sum(dim=2), torch.zeros(6, 256), atol=1e-5, rtol=0)
    for row, size in enumerate(SIZES):
        off_diagonal = ~torch.eye(size, dtype=torch.bool)
        assert (rates[row, :size, :size][off_diagonal] > 0).all()
        assert (rates[row, size:] == 0).all()


@settings
def test_the_heats_rate_is_its_derivative(width, leap):
    process = ColorHeatProcess(linear(), width, leap)
    for t in (0.1, 0.5, 0.9):
        times = torch.full((6,), t, dtype=torch.float64)
        numeric = (process.heat(times + 1e-6, PALETTES)[0] - process.heat(times - 1e-6, PALETTES)[0]) / 2e-6
        torch.testing.assert_close(process.heat(times, PALETTES)[1][1:], numeric[1:], rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("width", "leap", "message"), [(0.0, 0.1, "width of color-heat"), (0.2, 0.0, "leap"), (0.2, 1.5, "leap")]
)
def test_options_out_of_range_are_refused(width, leap, message):
    with pytest.raises(InputError, match=message):
        ColorHeatProcess(linear(), width, leap)
