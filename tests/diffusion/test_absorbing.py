import numpy as np
import pytest
import torch

from diffusion.absorbing import AbsorbingProcess
from diffusion.likelihood import bits_per_pixel, mean_and_stderr
from diffusion.schedules import SCHEDULES, low_discrepancy_times
from quantization.errors import InputError

both_schedules = pytest.mark.parametrize("process", [AbsorbingProcess(name) for name in SCHEDULES], ids=list(SCHEDULES))


def exact_negative_elbo(world, process):
    """The expectation of `negative_elbo` over data, masks and times, by enumeration and Gauss–Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    total = 0.0
    count = len(world.states)
    palette = world.palette(count)
    for t, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        times = torch.full((count,), t, dtype=torch.float64)
        noise = process.schedule.noise(times[:1]).item()
        for pattern in world.mask_patterns:
            masked = int(pattern.sum())
            probability = noise**masked * (1 - noise) ** (4 - masked)
            x_t = torch.where(pattern, world.mask, world.states)
            nats = process.negative_elbo(world.denoise(x_t, times), world.states, x_t, times, palette)
            total += weight * probability * (world.p * nats).sum().item()
    return total


@both_schedules
def test_the_exact_denoisers_negative_elbo_is_the_entropy(world, process):
    assert exact_negative_elbo(world, process) == pytest.approx(world.entropy, rel=1e-6)


@both_schedules
def test_a_worse_denoisers_negative_elbo_lies_above_the_entropy(world, process):
    class Flatter:
        def __getattr__(self, name):
            return getattr(world, name)

        def denoise(self, x_t, t):
            return 0.5 * world.denoise(x_t, t).clamp_min(-20)

    assert exact_negative_elbo(Flatter(), process) > 1.02 * world.entropy


@both_schedules
def test_the_estimate_over_random_corruptions_agrees_with_the_entropy(world, process):
    generator = torch.Generator().manual_seed(1)
    draws = torch.multinomial(world.p, 40_000, replacement=True, generator=generator)
    t = low_discrepancy_times(len(draws), generator)
    bits = bits_per_pixel(world.denoise, process, world.states[draws], t, world.palette(len(draws)), generator)
    mean, stderr = mean_and_stderr(bits)
    assert stderr < 0.015
    assert mean == pytest.approx(world.entropy / np.log(2) / 4, abs=4 * stderr)


@both_schedules
def test_pixels_are_masked_independently_with_the_schedules_probability(world, process):
    x_0 = world.states[torch.zeros(20_000, dtype=torch.long)]
    x_t = process.q_sample(x_0, torch.full((20_000,), 0.3), world.palette(20_000), torch.Generator().manual_seed(0))
    masked = (x_t == world.mask).flatten(1).double()
    noise = process.schedule.noise(torch.tensor(0.3)).item()
    assert masked.mean().item() == pytest.approx(noise, abs=0.01)
    assert masked.T.cov().fill_diagonal_(0).abs().max() < 0.01
    assert torch.equal(x_t[x_t != world.mask], x_0[x_t != world.mask])


@both_schedules
def test_the_posterior_is_bayes_rule(world, process):
    """q(x_s | x_t, x_0) ∝ q(x_t | x_s) q(x_s | x_0), each from the marginals alone."""
    noise = process.schedule.noise
    s, t = torch.tensor([0.35], dtype=torch.float64), torch.tensor([0.8], dtype=torch.float64)
    entries, mask = 3, 3

    def marginal(time):  # q(x_time | x_0), rows x_0
        kept = 1 - noise(time).item()
        table = torch.zeros(4, 4, dtype=torch.float64)
        table[:3, :3], table[:3, 3], table[3, 3] = torch.eye(3) * kept, 1 - kept, 1
        return table

    q_s, q_t = marginal(s), marginal(t)
    step = torch.linalg.solve(q_s, q_t)  # q(x_t | x_s), because q_t = q_s · step
    for x_0 in range(entries):
        for x_t in (x_0, mask):
            bayes = q_s[x_0] * step[:, x_t]
            p_0 = torch.nn.functional.one_hot(torch.tensor(x_0), entries).double().view(1, entries, 1, 1)
            from_process = process.posterior(torch.full((1, 1, 1), x_t), p_0, s, t, world.palette(1))
            torch.testing.assert_close(from_process.flatten(), bayes / bayes.sum())


@both_schedules
def test_schedules_are_exact_at_both_ends_and_their_rate_is_the_derivative(process):
    noise, rate = process.schedule.noise, process.schedule.noise_rate
    assert noise(torch.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    torch.testing.assert_close(rate(t), (noise(t + 1e-6) - noise(t - 1e-6)) / 2e-6, atol=1e-6, rtol=1e-6)


def test_low_discrepancy_times_put_one_in_every_slot():
    times = low_discrepancy_times(64, torch.Generator().manual_seed(0))
    assert times.min() > 0
    assert times.max() <= 1
    assert sorted(((times - 1e-6) * 64).floor().tolist()) == list(range(64))


def test_an_unknown_schedule_is_refused():
    with pytest.raises(InputError, match="unknown schedule 'cubic'; choose from linear, cosine"):
        AbsorbingProcess("cubic")
