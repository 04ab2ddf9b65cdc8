"""Jump processes: a pixel jumps between the palette's entries, at symmetric rates.

With rates R, ``[K, K]`` and rows that sum to zero, a pixel that has been corrupted for a "heat" b
holds entry y instead of x with probability ``Q_b[x, y]``, where ``Q_b = exp(b R)`` is symmetric
too.

`UniformProcess` is the plain one; `color_heat.ColorHeatProcess` knows the colors.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from einops import rearrange
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from .draws import Generators, categorical
from .schedules import Schedule


class Pairs(NamedTuple):
    """What jumps need of palettes whatever their colors."""

    shares: Tensor
    """J/K between real entries, and zero elsewhere, float32 ``[B, K, K]``."""
    real: Tensor
    """Which pairs are of two real entries, bool ``[B, K, K]``."""
    eye: Tensor
    """Float32 ``[K, K]``."""
    padded: Tensor
    """Which entries are none, bool ``[B, 1, K]``."""


class JumpProcess(ABC):
    """What symmetric jump processes share; implements `diffusion.process.Process`.

    Args:
        schedule: alpha(t) = (trace Q_b(t) - 1) / (K - 1). This is the probability that a pixel
            still holds its clean entry, beyond that of holding it by chance, in the mean over
            entries.
    """

    has_mask = False

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._pairs: WeakKeyDictionary[PaletteBatch, Pairs] = WeakKeyDictionary()

    def pairs(self, palette: PaletteBatch) -> Pairs:
        """Made once for each batch of palettes."""
        if palette not in self._pairs:
            real = palette.valid[:, :, None] & palette.valid[:, None, :]
            eye = torch.eye(real.shape[1], device=real.device)
            self._pairs[palette] = Pairs(real / palette.sizes[:, None, None], real, eye, ~palette.valid[:, None, :])
        return self._pairs[palette]

    @abstractmethod
    def rates(self, palette: PaletteBatch) -> Tensor:
        """R, ``[B, K, K]``; zero for padded entries."""

    @abstractmethod
    def heat(self, t: Tensor, palette: PaletteBatch) -> tuple[Tensor, Tensor]:
        """b(t) and its derivative at times ``[*, B]``, both ``[*, B]``; b(1) is infinite."""

    @abstractmethod
    def transition(self, heat: Tensor, palette: PaletteBatch) -> Tensor:
        """Q_b for heats ``[*, B]``, float32 ``[*, B, K, K]``: positive between real entries.

        Padded entries stay what they are.
        """

    def prior(self, palette: PaletteBatch, height: int, width: int, generator: Generators = None) -> Tensor:
        """Each pixel holds any of the palette's entries."""
        shares = palette.valid.float()[:, :, None, None]
        return categorical(shares.expand(-1, -1, height, width), generator)

    def q_sample(self, x_0: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators = None) -> Tensor:
        """Draw from row x_0 of Q_b(t)."""
        return self._draw(x_0, self.clock(t, palette), palette, generator)

    def clock(self, t: Tensor, palette: PaletteBatch) -> Tensor:
        """The heat, b(t)."""
        return self.heat(t, palette)[0]

    def renoise(self, x_s: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators = None) -> Tensor:
        """Draw from row x_s of Q, with the heat between the two times."""
        return self._draw(x_s, t - s, palette, generator)

    def _draw(self, x: Tensor, heat: Tensor, palette: PaletteBatch, generator: Generators) -> Tensor:
        (rows,) = _rows([self.transition(heat, palette)], x)
        return categorical(rearrange(rows, "b (h w) k -> b k h w", h=x.shape[1]), generator)

    def posterior(self, x_t: Tensor, p_0: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """Austin et al. 2021 (arXiv 2107.03006) eq. 3, averaged over p_0.

        p(x_s | x_t) = Σ_x0 q(x_t | x_s) q(x_s | x_0) / q(x_t | x_0) · p_0(x_0). Their eq. 4 leaves
        the division by q(x_t | x_0) out, but a p_0 that has seen x_t needs it.
        """
        q_t, q_between, q_s = self.transition(torch.stack([t, t - s, s]), palette)  # [B, K, K] each
        # q(x_t | x_0) and q(x_t | x_s), since Q is symmetric: [B, H W, K] each.
        to_x_t, step = _rows([q_t, q_between], x_t)
        weights = self._ratio(rearrange(p_0, "b k h w -> b (h w) k"), to_x_t, palette)
        return rearrange(step * weights.bmm(q_s), "b (h w) k -> b k h w", h=x_t.shape[1])

    def negative_elbo(self, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """The divergence of the true reverse jumps from the model's.

        This is Campbell et al. 2022 (arXiv 2205.14987), Prop. 2.

        Back in time, a pixel jumps from x_t to y at the rate b'(t) R[x_t, y] r(y), where r is the
        truth's or the model's::

            r(y) = Q[x_0, y] / Q[x_0, x_t]        r_θ(y) = Σ_x0 p(x_0) Q[x_0, y] / Q[x_0, x_t]

        As a score entropy (Lou et al. 2023, arXiv 2310.16834) the divergence is
        b'(t) Σ_y R[x_t, y] (r_θ - r - r log(r_θ / r)).
        """
        heat, heat_rate = self.heat(t, palette)
        q = self.transition(heat, palette)
        (from_x_0,), (to_x_t,) = _rows([q], x_0), _rows([q], x_t)  # [B, H W, K]
        p_0 = rearrange(logits.softmax(dim=1), "b k h w -> b (h w) k")
        real = palette.valid[:, None, :]
        truth = torch.where(real, from_x_0 / from_x_0.gather(2, x_t.flatten(1)[..., None]), 1)
        model = torch.where(real, self._ratio(p_0, to_x_t, palette) @ q, 1)
        rates = _rows([self.rates(palette)], x_t)[0].clamp_min(0)  # the diagonal is no jump
        divergence = rates * truth * _excess(model, truth)
        # At t = 1 the rate is infinite and the divergence zero. In the limit their product is zero.
        heat_rate = torch.where(heat_rate.isfinite(), heat_rate, 0).to(divergence)
        return heat_rate * divergence.flatten(1).sum(dim=1)

    def _ratio(self, p_0: Tensor, to_x_t: Tensor, palette: PaletteBatch) -> Tensor:
        """p_0(x_0) / q(x_t | x_0), and zero for padded entries, ``[B, H W, K]``."""
        padded = self.pairs(palette).padded
        return p_0.masked_fill(padded, 0) / to_x_t.masked_fill(padded, 1)


class UniformProcess(JumpProcess):
    """A pixel jumps to any entry: R = J/K - I, with J all ones.

    So Q_b = e^-b I + (1 - e^-b) J/K, and b(t) = -log alpha(t) (Austin et al. 2021, arXiv
    2107.03006; Schiff et al. 2024, arXiv 2412.10193).
    """

    def rates(self, palette: PaletteBatch) -> Tensor:
        """J/K - I between real entries."""
        pairs = self.pairs(palette)
        return pairs.shares - pairs.eye * pairs.real

    def heat(self, t: Tensor, palette: PaletteBatch) -> tuple[Tensor, Tensor]:
        """-log alpha(t), and -alpha'(t) / alpha(t)."""
        noise = self.schedule.noise(t)
        return -torch.log1p(-noise), self.schedule.noise_rate(t) / (1 - noise)

    def transition(self, heat: Tensor, palette: PaletteBatch) -> Tensor:
        """Stay with probability e^-b, otherwise draw any entry."""
        shares, real, eye, _ = self.pairs(palette)
        cold = -heat.to(shares)[..., None, None]
        return torch.where(real, torch.exp(cold) * eye - torch.expm1(cold) * shares, eye)


def _rows(matrices: Sequence[Tensor], x: Tensor) -> list[Tensor]:
    """Row x of each pixel: ``[B, K, K]`` each and ``[B, H, W]`` → ``[B, H W, K]`` each."""
    rows = x.flatten(1)[..., None].expand(-1, -1, matrices[0].shape[-1])
    return [matrix.gather(1, rows) for matrix in matrices]


def _excess(model: Tensor, truth: Tensor) -> Tensor:
    """ρ - 1 - log ρ with ρ = model / truth, without cancellation where the two are close."""
    x = (model - truth) / truth  # ρ - 1
    small = x.abs() < 1e-2
    near = torch.where(small, x, 0)  # gradients flow through both branches, so each must be finite everywhere
    series = near * near * (0.5 - near * (1 / 3 - near * (0.25 - 0.2 * near)))  # x²/2 - x³/3 + x⁴/4 - x⁵/5
    return torch.where(small, series, x - (model / truth).log())
