import math

import torch

from tincture.diffusion.losses import cross_entropy, hybrid_loss


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
