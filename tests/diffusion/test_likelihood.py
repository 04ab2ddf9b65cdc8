import itertools
import math

import pytest
import torch

from tincture.diffusion.likelihood import (
    any_order_bits_per_pixel,
    bits_per_pixel,
    cross_entropy,
    hybrid_loss,
    order_bits_per_pixel,
    pixel_orders,
)
from tincture.diffusion.schedules import low_discrepancy_times


def corrupted(world, process, t=0.4):
    generator, count = torch.Generator().manual_seed(0), 50
    x_0, times, palette = world.states[:count], torch.full((count,), t), world.palette(count)
    logits = torch.randn(count, 3, 2, 2, generator=generator)
    return logits, x_0, process.q_sample(x_0, times, palette, generator), times, palette


def test_the_hybrid_is_the_bound_plus_the_weighted_cross_entropy_in_bits(world, process):
    logits, x_0, x_t, t, palette = corrupted(world, process)
    loss, bound = hybrid_loss(process, logits, x_0, x_t, t, palette, weight=0.3)
    nats = process.negative_elbo(logits, x_0, x_t, t, palette)
    torch.testing.assert_close(bound, nats / math.log(2) / 4)
    plain = cross_entropy(process, logits, x_0, x_t, palette)
    torch.testing.assert_close(loss - bound, 0.3 * plain / math.log(2) / 4, atol=1e-5, rtol=1e-4)


def test_cross_entropy_counts_pixels_whose_entry_is_not_known(world, process):
    logits, x_0, x_t, _, palette = corrupted(world, process)
    unknown = x_t == world.mask if process.has_mask else torch.ones_like(x_t, dtype=torch.bool)
    picked = -logits.log_softmax(1).gather(1, x_0[:, None])[:, 0]
    torch.testing.assert_close(cross_entropy(process, logits, x_0, x_t, palette), (picked * unknown).sum((1, 2)))


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
    monkeypatch.setattr("tincture.diffusion.likelihood.widest_float", lambda device: torch.float32)
    narrow = order_bits_per_pixel(world.denoise, world.states, order, palette)
    assert (wide.dtype, narrow.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(narrow.double(), wide, atol=1e-5, rtol=1e-5)


def test_each_order_is_a_distribution_over_images(world):
    bits = bits_of_all_orders(world, flattened(world))
    assert bits.std(dim=0).max() > 0.01
    torch.testing.assert_close((2 ** (-4 * bits)).sum(dim=1), torch.ones(24, dtype=torch.float64), atol=1e-5, rtol=0)


def test_the_mean_over_orders_is_the_negative_elbo(world):
    """The continuous-time bound is the mean over orders (Hoogeboom et al. 2021)."""
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


def test_kinds_of_orders_are_taken_in_turn(world):
    denoise, count = flattened(world), len(world.states)
    asked = denoise, world.states, world.palette(count)
    rows = order_bits_per_pixel(denoise, world.states, torch.arange(4).expand(count, -1), world.palette(count))
    drawn = any_order_bits_per_pixel(*asked, 1, torch.Generator().manual_seed(0), kinds=["random"]).mean
    both = any_order_bits_per_pixel(*asked, 3, torch.Generator().manual_seed(0), kinds=["raster", "random", "raster"])
    assert (rows - drawn).abs().max() > 0.01
    torch.testing.assert_close(both.mean, (2 * rows + drawn) / 3)


def test_random_orders_are_uniform_permutations(p_value):
    orders = pixel_orders(torch.zeros(24_000, 2, 2), "random", torch.Generator().manual_seed(0))
    places = (orders[:, None] == ALL_ORDERS).all(-1).long().argmax(dim=1)
    assert p_value(torch.bincount(places, minlength=24), torch.full((24,), 1 / 24)) > 0.001
