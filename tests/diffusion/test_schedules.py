import pytest
import torch

from tincture.common.errors import InputError
from tincture.diffusion.schedules import SCHEDULES, fitted_knots, interpolated, low_discrepancy_times, make_schedule

KNOTS = [0.0, 0.05, 0.3, 0.35, 0.9, 1.0]
every_schedule = pytest.mark.parametrize("schedule", [*map(make_schedule, SCHEDULES), interpolated(KNOTS)])


@every_schedule
def test_schedules_are_exact_at_both_ends_and_their_rate_is_the_derivative(schedule):
    assert schedule.noise(torch.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]
    t = torch.linspace(0.05, 0.95, 18, dtype=torch.float64)
    numeric = (schedule.noise(t + 1e-6) - schedule.noise(t - 1e-6)) / 2e-6
    torch.testing.assert_close(schedule.noise_rate(t), numeric, atol=1e-6, rtol=1e-6)


@every_schedule
def test_time_is_the_inverse_of_noise(schedule):
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    torch.testing.assert_close(schedule.time(schedule.noise(t)), t, atol=1e-7, rtol=0)
    assert schedule.time(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0.0, 1.0])


def test_a_fitted_schedule_carries_equal_bits_in_equal_times():
    """With 1 + 9 n² bits at the noise level n, a quarter of the 4 bits is spent at n + 3 n³ = 1."""
    noise = low_discrepancy_times(40_000, torch.Generator().manual_seed(0)) ** 2  # any schedule: here polynomial
    bits = (1 + 9 * noise**2) * 2 * noise.sqrt()  # times dn/dt, as an estimate at a uniform time is
    schedule = interpolated(fitted_knots(noise, bits))
    levels = schedule.noise(torch.linspace(0, 1, 5, dtype=torch.float64))
    spent = (levels + 3 * levels**3).diff()
    torch.testing.assert_close(spent, torch.ones(4, dtype=torch.float64), atol=0.02, rtol=0)


def test_low_discrepancy_times_put_one_in_every_slot():
    times = low_discrepancy_times(64, torch.Generator().manual_seed(0))
    assert times.min() > 0
    assert times.max() <= 1
    assert sorted(((times - 1e-6) * 64).floor().tolist()) == list(range(64))


def test_an_unknown_schedule_is_refused():
    with pytest.raises(InputError, match="unknown schedule 'cubic'; choose from linear, cosine, polynomial"):
        make_schedule("cubic")
    with pytest.raises(InputError, match="no fitted schedule"):
        make_schedule("fitted")
    with pytest.raises(InputError, match="rise from 0 to 1"):
        interpolated([0, 0.6, 0.5, 1])
