"""The exact likelihood of a masked model: pixels unmasked one by one, in given orders.

A denoiser of the absorbing process is an any-order autoregressive model (Hoogeboom et al. 2021, arXiv 2110.02037): for an
order σ, ``p_σ(x) = Π p(x_σ(i) | x_σ(<i))``. First-hitting sampling draws from the mean of p_σ over all orders.

That is so for a denoiser that doesn't look at the time. One that does is told one time for each number of masked pixels here, where
the bound and first-hitting sampling tell it random ones: then p_σ is still a likelihood, of the sampler that tells it these times.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from .draws import Generators, uniform, widest_float
from .likelihood import Denoise, to_bits


def random_orders(x_0: Tensor, generator: Generators = None) -> Tensor:
    """An order of each image's pixels, uniform over all orders, int64 ``[B, H W]``."""
    return uniform(x_0.flatten(1).shape, generator, x_0.device).argsort(dim=1)


def order_bits_per_pixel(
    denoise: Denoise, x_0: Tensor, orders: Tensor, palette: PaletteBatch, times: Tensor | None = None
) -> Tensor:
    """-log2 p_σ(x_0) per pixel, ``[B]``, by as many calls of ``denoise`` as there are pixels.

    Args:
        denoise: as for `likelihood.bits_per_pixel`.
        x_0: clean index maps, int64 ``[B, H, W]``.
        orders: the position that is unmasked first, second …, int64 ``[B, H W]``.
        palette: one palette for each image.
        times: the time that a denoiser is told when n pixels are masked, at place n - 1; by default n / (H W).
    """
    batch, pixels = orders.shape
    times = torch.arange(1, pixels + 1, device=x_0.device) / pixels if times is None else times
    clean = x_0.flatten(1)
    x_t = torch.full_like(clean, palette.mask_index)
    nats = torch.zeros(batch, dtype=widest_float(x_0.device), device=x_0.device)
    for n in range(pixels):
        place = orders[:, n : n + 1]  # [B, 1]
        logits = denoise(x_t.view_as(x_0), times[pixels - n - 1].expand(batch)).float().flatten(2)  # [B, K, H W]
        there = logits.gather(2, place[:, None].expand(-1, logits.shape[1], -1))[..., 0].log_softmax(dim=1)
        entry = clean.gather(1, place)
        nats -= there.gather(1, entry)[:, 0].to(nats)
        x_t = x_t.scatter(1, place, entry)
    return to_bits(nats, x_0)


class AnyOrderBits(NamedTuple):
    """Bits per pixel of each image over several orders, ``[B]`` each."""

    mean: Tensor
    """An unbiased estimate of the continuous-time negative ELBO, if the denoiser doesn't look at the time."""
    best: Tensor
    """In the cheapest of the orders: what a codec that names the order could reach, but for the name."""
    mixture: Tensor
    """-log2 of the mean of p_σ: a bound too, tighter than the mean the more orders there are (Burda et al. 2015, arXiv
    1509.00519); its limit is the likelihood of first-hitting sampling."""


def any_order_bits_per_pixel(
    denoise: Denoise,
    x_0: Tensor,
    palette: PaletteBatch,
    orders: int,
    generator: Generators = None,
    times: Tensor | None = None,
) -> AnyOrderBits:
    """The likelihood in ``orders`` random orders of each image; arguments as for `order_bits_per_pixel`."""
    bits = torch.stack(
        [order_bits_per_pixel(denoise, x_0, random_orders(x_0, generator), palette, times) for _ in range(orders)]
    )
    scale = math.log(2) * x_0[0].numel()
    mixture = (math.log(orders) - (-bits * scale).logsumexp(dim=0)) / scale
    return AnyOrderBits(bits.mean(dim=0), bits.min(dim=0).values, mixture)
