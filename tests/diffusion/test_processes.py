"""Laws that hold for every process, checked by enumeration in the tiny world."""

import numpy as np
import pytest
import torch

from tincture.diffusion.jumps import JumpProcess
from tincture.diffusion.likelihood import bits_per_pixel, discrete_bits_per_pixel, mean_and_stderr
from tincture.diffusion.process import Process
from tincture.diffusion.schedules import low_discrepancy_times
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette


def corruptions(world, process, t):
    """Every pair (x_0, x_t), each ``[P, 2, 2]``, with its probability, float64 ``[P]``."""
    q = world.marginal(process, t)  # [3, S]
    x_t = torch.cartesian_prod(*[torch.arange(q.shape[1])] * 4).view(-1, 2, 2)
    x_0, x_t = world.states.repeat_interleave(len(x_t), 0), x_t.repeat(len(world.states), 1, 1)
    probability = world.p.repeat_interleave(q.shape[1] ** 4) * q[x_0, x_t].flatten(1).prod(1)
    likely = probability > 0
    return x_0[likely], x_t[likely], probability[likely]


def exact_negative_elbo(world, process, denoise):
    """The expectation of `negative_elbo`, by enumeration and by quadrature over times; nats."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    u = (nodes + 1) / 2
    total = 0.0
    for t, weight in zip(u**2, weights * u, strict=True):  # t = u²: the integrand may rise steeply at 0
        x_0, x_t, probability = corruptions(world, process, t)
        times = torch.full((len(x_0),), t)
        nats = process.negative_elbo(denoise(x_t, times), x_0, x_t, times, world.palette(len(x_0)))
        total += weight * (probability * nats).sum().item()
    return total


def exact_discrete_negative_elbo(world, process, denoise, steps):
    """The expectation of the bound in ``steps`` steps; nats."""
    bits = 0.0
    for step in range(1, steps + 1):
        x_0, x_t, probability = corruptions(world, process, step / steps)

        class At:  # the process, with the corruption given instead of drawn
            def __getattr__(self, name):
                return getattr(process, name)

            def q_sample(self, *_, x_t=x_t):
                return x_t

        place = torch.full((len(x_0),), step)
        estimate = discrete_bits_per_pixel(denoise, At(), x_0, place, steps, world.palette(len(x_0)))
        bits += (probability * estimate).sum().item() / steps
    return bits * np.log(2) * 4


def test_it_is_a_process(process):
    assert isinstance(process, Process)


def test_the_exact_denoisers_negative_elbo_is_the_entropy(world, process):
    bound = exact_negative_elbo(world, process, world.denoiser(process))
    assert bound == pytest.approx(world.entropy, rel=2e-3 if isinstance(process, JumpProcess) else 1e-6)


def test_a_worse_denoisers_negative_elbo_lies_above_the_entropy(world, process):
    denoise = world.denoiser(process)
    assert exact_negative_elbo(world, process, lambda x, t: 0.5 * denoise(x, t).clamp_min(-20)) > 1.02 * world.entropy


def test_the_bound_in_steps_lies_above_the_entropy_and_falls_to_it(world, process):
    bounds = [exact_discrete_negative_elbo(world, process, world.denoiser(process), steps) for steps in (1, 2, 4, 16)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] > world.entropy
    continuous = exact_negative_elbo(world, process, world.denoiser(process))
    assert bounds[-1] - continuous < 0.35 * (bounds[1] - continuous)


def test_the_estimate_over_random_corruptions_agrees_with_the_entropy(world, process):
    generator = torch.Generator().manual_seed(1)
    draws = torch.multinomial(world.p, 20_000, replacement=True, generator=generator)
    t = low_discrepancy_times(200, generator).repeat_interleave(100)  # few different times: each has a table to make
    bits = bits_per_pixel(
        world.denoiser(process), process, world.states[draws], t, world.palette(len(draws)), generator
    )
    mean, stderr = mean_and_stderr(bits)
    assert stderr < 0.03
    assert mean == pytest.approx(world.entropy / np.log(2) / 4, abs=4 * stderr)


@pytest.mark.parametrize(("s", "t"), [(0.35, 0.8), (0.0, 0.5), (0.6, 1.0), (0.5, 0.501)])
def test_the_posterior_is_bayes_rule(world, process, s, t):
    """q(x_s | x_t, x_0) ∝ q(x_t | x_s) q(x_s | x_0), each from the marginals alone."""
    q_s, q_t = world.marginal(process, s), world.marginal(process, t)
    states = q_s.shape[1]
    step = torch.linalg.solve(
        world.transition(process, s), world.transition(process, t)
    )  # q(x_t | x_s): q_t = q_s · step
    s_, t_ = process.clock(torch.tensor([[s], [t]], dtype=torch.float64), world.palette(1))
    for x_0 in range(3):
        for x_t in range(states):
            if q_t[x_0, x_t] == 0:
                continue
            bayes = q_s[x_0] * step[:, x_t]
            p_0 = torch.eye(3)[x_0].view(1, 3, 1, 1)
            ours = process.posterior(torch.full((1, 1, 1), x_t), p_0, s_, t_, world.palette(1)).flatten().double()
            torch.testing.assert_close(ours, bayes / bayes.sum(), atol=2e-6, rtol=1e-4)


def test_corrupting_twice_is_corrupting_once(world, process):
    generator = torch.Generator().manual_seed(0)
    count = 60_000
    x_0, palette = torch.full((count, 2, 2), 1), world.palette(count)
    s, t = torch.full((count,), 0.3), torch.full((count,), 0.7)
    x_s = process.q_sample(x_0, s, palette, generator)
    x_t = process.renoise(x_s, *process.clock(torch.stack([s, t]), palette), palette, generator)
    expected = world.marginal(process, 0.7)[1]
    shares = torch.bincount(x_t.flatten(), minlength=len(expected)) / x_t.numel()
    torch.testing.assert_close(shares.double(), expected, atol=5e-3, rtol=0)
    x_t = x_t.flatten(1).double()
    assert x_t.T.corrcoef().fill_diagonal_(0).abs().max() < 0.02  # pixels are corrupted independently


def test_at_time_one_nothing_is_left_and_the_prior_is_that(world, process, p_value):
    count = 20_000
    palette, generator = world.palette(count), torch.Generator().manual_seed(0)
    noise = process.q_sample(torch.zeros(count, 2, 2).long(), torch.ones(count), palette, generator)
    prior = process.prior(palette, 2, 2, generator)
    if not isinstance(process, JumpProcess):
        assert (noise == world.mask).all()
        assert (prior == world.mask).all()
    else:
        for x in (noise, prior):
            assert p_value(torch.bincount(x.flatten(), minlength=3), torch.full((3,), 1 / 3)) > 0.001


def test_the_ends_of_time_are_finite(world, process):
    count = len(world.states)
    for t in (1.0, 1 - 2**-24, 1e-6):
        times = torch.full((count,), t)
        x_t = process.q_sample(world.states, times, world.palette(count), torch.Generator().manual_seed(0))
        logits = torch.zeros(count, 3, 2, 2, requires_grad=True)
        nats = process.negative_elbo(logits, world.states, x_t, times, world.palette(count))
        nats.sum().backward()
        assert nats.isfinite().all()
        assert (nats >= 0).all()
        assert logits.grad.isfinite().all()


def test_palettes_of_different_sizes_share_a_batch(process):
    """Bound, gradient and posterior of each image are what they are alone."""
    generator = torch.Generator().manual_seed(0)
    sizes = (2, 5, 7)
    palettes = [
        Palette.from_hex([f"{n:06x}" for n in torch.randint(0, 2**24, (size,), generator=generator).tolist()])
        for size in sizes
    ]
    together = PaletteBatch.from_palettes(palettes)
    x_0 = torch.stack([torch.randint(0, size, (4, 4), generator=generator) for size in sizes])
    s, t = torch.tensor([0.2, 0.5, 0.1]), torch.tensor([0.4, 0.9, 0.6])
    x_t = process.q_sample(x_0, t, together, generator)
    logits = torch.randn(3, 7, 4, 4, generator=generator).masked_fill(~together.valid[:, :, None, None], -torch.inf)
    leaf = logits.clone().requires_grad_()
    nats = process.negative_elbo(leaf, x_0, x_t, t, together)
    nats.sum().backward()
    clock = process.clock(torch.stack([s, t]), together)
    posterior = process.posterior(x_t, logits.softmax(1), *clock, together)
    assert leaf.grad.isfinite().all()
    torch.testing.assert_close(posterior.sum(1), torch.ones(3, 4, 4), atol=1e-5, rtol=0)
    for row, size in enumerate(sizes):
        alone = PaletteBatch.from_palettes([palettes[row]])
        own_x = x_t[row : row + 1]
        x_alone = torch.where(own_x >= 7, own_x - 7 + size, own_x)
        own = logits[row : row + 1, :size].clone().requires_grad_()
        nats_alone = process.negative_elbo(own, x_0[row : row + 1], x_alone, t[row : row + 1], alone)
        nats_alone.sum().backward()
        torch.testing.assert_close(nats[row], nats_alone[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(leaf.grad[row, :size], own.grad[0], rtol=1e-3, atol=1e-5)
        clock = process.clock(torch.stack([s, t])[:, row : row + 1], alone)
        here = process.posterior(x_alone, own.detach().softmax(1), *clock, alone)
        torch.testing.assert_close(posterior[row, :size], here[0, :size], rtol=1e-4, atol=1e-6)
        assert (posterior[row, size:7] == 0).all()
