import itertools
import math

import pytest
import torch

from tincture.diffusion.any_order import any_order_bits_per_pixel, order_bits_per_pixel, random_orders
from tincture.diffusion.likelihood import bits_per_pixel
from tincture.diffusion.schedules import low_discrepancy_times

ALL_ORDERS = torch.tensor(list(itertools.permutations(range(4))))


def flattened(world):
    """A denoiser that isn't the exact one, so that its orders disagree."""
    return lambda x_t, t: 0.4 * world.denoise(x_t, t).clamp_min(-9)


def bits_of_all_orders(world, denoise):
    """Bits per pixel of the 81 states in each of the 24 orders, ``[24, 81]``."""
    count = len(world.states)
    return torch.stack(
        [
            order_bits_per_pixel(denoise, world.states, order.expand(count, -1), world.palette(count))
            for order in ALL_ORDERS
        ]
    )


def test_every_order_of_the_exact_denoiser_gives_the_exact_likelihood(world):
    bits = bits_of_all_orders(world, world.denoise)
    torch.testing.assert_close(bits, (-world.p.log2() / 4).expand(24, -1), atol=1e-5, rtol=1e-5)


def test_likelihoods_need_no_float64_where_the_device_has_none(world, monkeypatch):
    order = torch.tensor([2, 0, 3, 1]).expand(len(world.states), -1)
    palette = world.palette(len(world.states))
    wide = order_bits_per_pixel(world.denoise, world.states, order, palette)
    monkeypatch.setattr("tincture.diffusion.any_order.widest_float", lambda device: torch.float32)
    narrow = order_bits_per_pixel(world.denoise, world.states, order, palette)
    assert (wide.dtype, narrow.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(narrow.double(), wide, atol=1e-5, rtol=1e-5)


def test_each_order_is_a_distribution_over_images(world):
    bits = bits_of_all_orders(world, flattened(world))
    assert bits.std(dim=0).max() > 0.01
    torch.testing.assert_close((2 ** (-4 * bits)).sum(dim=1), torch.ones(24, dtype=torch.float64), atol=1e-5, rtol=0)


def test_the_mean_over_orders_is_the_negative_elbo(world):
    """The continuous-time bound is the mean over orders (Hoogeboom et al. 2021): by enumeration and by draws."""
    denoise = flattened(world)
    exact = bits_of_all_orders(world, denoise).mean(dim=0)
    generator = torch.Generator().manual_seed(0)
    draws = torch.multinomial(world.p, 40_000, replacement=True, generator=generator)
    estimates = bits_per_pixel(
        denoise,
        world.processes["absorbing"],
        world.states[draws],
        low_discrepancy_times(len(draws), generator),
        world.palette(len(draws)),
        generator,
    )
    difference = (estimates - exact[draws]).double()
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(len(draws))


def test_more_orders_tighten_the_mixture_towards_the_likelihood(world):
    denoise, generator = flattened(world), torch.Generator().manual_seed(0)
    all_bits = bits_of_all_orders(world, denoise)
    likelihood = math.log2(24) / 4 - (-all_bits * 4 * math.log(2)).logsumexp(0) / math.log(2) / 4
    bounds = []
    for orders in (1, 4, 64):
        repeated = world.states.repeat(20, 1, 1)
        found = any_order_bits_per_pixel(denoise, repeated, world.palette(len(repeated)), orders, generator)
        assert (found.best <= found.mixture + 1e-9).all()
        assert (found.mixture <= found.mean + 1e-9).all()
        bounds.append((world.p.repeat(20) * found.mixture).sum().item() / 20)
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx((world.p * likelihood).sum().item(), abs=5e-3)


def test_orders_are_uniform_permutations(p_value):
    orders = random_orders(torch.zeros(24_000, 2, 2), torch.Generator().manual_seed(0))
    places = (orders[:, None] == ALL_ORDERS).all(-1).long().argmax(dim=1)
    assert p_value(torch.bincount(places, minlength=24), torch.full((24,), 1 / 24)) > 0.001
