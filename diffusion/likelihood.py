"""Bits per pixel: what training minimizes, the bounds, and the exact likelihood of a masked model.

Bits per pixel are the negative ELBO (or the exact negative log-likelihood) of an index map given
its palette, in bits, divided by the number of its pixels.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from .absorbing import surprisal
from .draws import Generators, widest_float
from .options import OrderName
from .orders import ORDERS
from .process import Process

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x_t int64 [B, H, W], t [B]) → logits [B, K, H, W]: a denoiser with palette and conditions bound
to it."""


def to_bits(nats: Tensor, x_0: Tensor) -> Tensor:
    """Nats per image as bits per pixel."""
    return nats / (math.log(2) * x_0[0].numel())


def mean_and_stderr(values: Tensor) -> tuple[float, float]:
    """The mean of ``values``, ``[N]``, and its standard error (not a number for fewer than two)."""
    values = values.double()
    return values.mean().item(), (values.std() / math.sqrt(len(values))).item() if len(values) > 1 else math.nan


# What training minimizes


def hybrid_loss(
    process: Process, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, palette: PaletteBatch, weight: float
) -> tuple[Tensor, Tensor]:
    """The negative ELBO plus ``weight`` times the cross-entropy.

    This is D3PM's hybrid loss (Austin et al. 2021, arXiv 2107.03006, eq. 5).

    Returns:
        The loss and the negative ELBO alone, both in bits per pixel, ``[B]``.
    """
    bound = to_bits(process.negative_elbo(logits, x_0, x_t, t, palette), x_0)
    if weight == 0:
        return bound, bound
    return bound + weight * to_bits(cross_entropy(process, logits, x_0, x_t, palette), x_0), bound


def cross_entropy(process: Process, logits: Tensor, x_0: Tensor, x_t: Tensor, palette: PaletteBatch) -> Tensor:
    """-log p(x_0 | x_t) at the pixels whose clean entry x_t doesn't tell, nats per image, ``[B]``.

    With a mask these are the masked pixels, otherwise all pixels. Shapes are those of
    `Process.negative_elbo`.
    """
    nats = surprisal(logits, x_0)
    if process.has_mask:
        nats = nats * (x_t == palette.mask_index)
    return nats.flatten(1).sum(dim=1)


# Bounds


def bits_per_pixel(
    denoise: Denoise, process: Process, x_0: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators = None
) -> Tensor:
    """Estimate the continuous-time bound of each image from one corruption at one time.

    Args:
        denoise: the network, with palette and conditions bound to it.
        process: how ``x_0`` is corrupted.
        x_0: clean index maps, int64 ``[B, H, W]``.
        t: times, each uniform in (0, 1], ``[B]``.
        palette: one palette for each image.
        generator: of the corruption.

    Returns:
        float ``[B]``; the mean over times and corruptions is the bound.
    """
    x_t = process.q_sample(x_0, t, palette, generator)
    return to_bits(process.negative_elbo(denoise(x_t, t).float(), x_0, x_t, t, palette), x_0)


def discrete_bits_per_pixel(
    denoise: Denoise,
    process: Process,
    x_0: Tensor,
    step: Tensor,
    steps: int,
    palette: PaletteBatch,
    generator: Generators = None,
) -> Tensor:
    """Estimate the bound of ancestral sampling in even steps, from one corruption at one of them.

    The bound is ``steps · KL(q(x_s | x_t, x_0) ‖ p(x_s | x_t))`` (Austin et al. 2021, arXiv
    2107.03006, eq. 1). x_1 is pure noise, so the prior costs nothing. It falls towards the
    continuous-time bound as the steps grow.

    Args:
        step: uniform in 1 … steps, int64 ``[B]``; other arguments, and the result, as for
            `bits_per_pixel`.
        steps: how many.
    """
    s, t = (step - 1) / steps, step / steps
    x_t = process.q_sample(x_0, t, palette, generator)
    p_0 = denoise(x_t, t).float().softmax(dim=1)
    certain = torch.zeros_like(p_0).scatter_(1, x_0[:, None], 1)
    s, t = process.clock(torch.stack([s, t]), palette)
    q = process.posterior(x_t, certain, s, t, palette)
    p = process.posterior(x_t, p_0, s, t, palette)
    kl = torch.where(q > 0, torch.xlogy(q, q) - torch.xlogy(q, p), 0)  # [B, S, H, W]
    return to_bits(steps * kl.flatten(1).sum(dim=1), x_0)


# The exact likelihood of a masked model
#
# A denoiser of the absorbing process is an any-order autoregressive model (Hoogeboom et al. 2021,
# arXiv 2110.02037): for an order σ of the pixels, p_σ(x) = Π p(x_σ(i) | x_σ(<i)). First-hitting
# sampling draws from the mean of p_σ over all orders.
#
# That holds for a denoiser that doesn't look at the time. Here, one that does is told one time for
# each number of masked pixels; the bound and first-hitting sampling tell it random ones. Then p_σ
# is still a likelihood: that of the sampler that tells it these times.


def pixel_orders(x_0: Tensor, kind: OrderName = "random", generator: Generators = None) -> Tensor:
    """An order of each image's pixels, of that kind, int64 ``[B, H W]``."""
    return ORDERS[kind](x_0.shape, generator, x_0.device).flatten(1).argsort(dim=1, stable=True)


def order_bits_per_pixel(
    denoise: Denoise, x_0: Tensor, orders: Tensor, palette: PaletteBatch, times: Tensor | None = None
) -> Tensor:
    """-log2 p_σ(x_0) per pixel, ``[B]``, by as many calls of ``denoise`` as there are pixels.

    Args:
        denoise: as for `bits_per_pixel`.
        x_0: clean index maps, int64 ``[B, H, W]``.
        orders: the position that is unmasked first, second …, int64 ``[B, H W]``.
        palette: one palette for each image.
        times: at place n - 1, the time that a denoiser is told when n pixels are masked; by default
            n / (H W).
    """
    batch, pixels = orders.shape
    times = torch.arange(1, pixels + 1, device=x_0.device) / pixels if times is None else times
    clean = x_0.flatten(1)
    x_t = torch.full_like(clean, palette.mask_index)  # [B, H W]
    nats = torch.zeros(batch, dtype=widest_float(x_0.device), device=x_0.device)
    for n in range(pixels):
        place = orders[:, n : n + 1]  # [B, 1]
        logits = denoise(x_t.view_as(x_0), times[pixels - n - 1].expand(batch)).float().flatten(2)  # [B, K, H W]
        there = logits.gather(2, place[:, None].expand(-1, logits.shape[1], -1))[..., 0].log_softmax(dim=1)  # [B, K]
        entry = clean.gather(1, place)
        nats -= there.gather(1, entry)[:, 0].to(nats)
        x_t = x_t.scatter(1, place, entry)
    return to_bits(nats, x_0)


class AnyOrderBits(NamedTuple):
    """Bits per pixel of each image over several orders, ``[B]`` each."""

    mean: Tensor
    """An unbiased estimate of the continuous-time negative ELBO, if the denoiser doesn't look at
    the time."""
    best: Tensor
    """In the cheapest of the orders: what a codec that names the order could reach, without the
    cost of the name."""
    mixture: Tensor
    """-log2 of the mean of p_σ (Burda et al. 2015, arXiv 1509.00519). This is a bound too; it falls
    as orders are added, and its limit is the likelihood of first-hitting sampling."""


def any_order_bits_per_pixel(
    denoise: Denoise,
    x_0: Tensor,
    palette: PaletteBatch,
    orders: int,
    generator: Generators = None,
    times: Tensor | None = None,
    kinds: Sequence[OrderName] = ("random",),
) -> AnyOrderBits:
    """The likelihood in so many orders, of these kinds in turn.

    Other arguments are as for `order_bits_per_pixel`.
    """
    drawn = [pixel_orders(x_0, kinds[number % len(kinds)], generator) for number in range(orders)]
    bits = torch.stack([order_bits_per_pixel(denoise, x_0, order, palette, times) for order in drawn])
    nats_per_bit = math.log(2) * x_0[0].numel()
    mixture = (math.log(orders) - (-bits * nats_per_bit).logsumexp(dim=0)) / nats_per_bit
    return AnyOrderBits(bits.mean(dim=0), bits.min(dim=0).values, mixture)
