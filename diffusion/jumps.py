"""Jump processes: a pixel jumps between the palette's entries, at symmetric rates.

With rates R, ``[K, K]`` and rows that sum to zero, a pixel that has been corrupted for a "heat" b
holds entry y instead of x with probability ``Q_b[x, y]``, where ``Q_b = exp(b R)`` is symmetric
too.

`UniformProcess` is the plain one; `color_heat.ColorHeatProcess` knows the colors.
"""

from abc import ABC, abstractmethod

import torch
from einops import rearrange
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from .draws import Generators, categorical
from .schedules import Schedule


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

    @abstractmethod
    def rates(self, palette: PaletteBatch) -> Tensor:
        """R, ``[B, K, K]``; zero for padded entries."""

    @abstractmethod
    def heat(self, t: Tensor, palette: PaletteBatch) -> tuple[Tensor, Tensor]:
        """b(t) and its derivative, both ``[B]``; b(1) is infinite."""

    @abstractmethod
    def transition(self, heat: Tensor, palette: PaletteBatch) -> Tensor:
        """Q_b for heats ``[B]``, float32 ``[B, K, K]``: positive between real entries.

        Padded entries stay what they are.
        """

    def prior(self, palette: PaletteBatch, height: int, width: int, generator: Generators = None) -> Tensor:
        """Each pixel holds any of the palette's entries."""
        shares = palette.valid.float()[:, :, None, None]
        return categorical(shares.expand(-1, -1, height, width), generator)

    def q_sample(self, x_0: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators = None) -> Tensor:
        """Draw from row x_0 of Q_b(t)."""
        return self._draw(x_0, self.heat(t, palette)[0], palette, generator)

    def renoise(self, x_s: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators = None) -> Tensor:
        """Draw from row x_s of Q, with the heat between the two times."""
        return self._draw(x_s, self.heat(t, palette)[0] - self.heat(s, palette)[0], palette, generator)

    def _draw(self, x: Tensor, heat: Tensor, palette: PaletteBatch, generator: Generators) -> Tensor:
        rows = _rows(self.transition(heat, palette), x)
        return categorical(rearrange(rows, "b (h w) k -> b k h w", h=x.shape[1]), generator)

    def posterior(self, x_t: Tensor, p_0: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """Austin et al. 2021 (arXiv 2107.03006) eq. 3, averaged over p_0.

        p(x_s | x_t) = Σ_x0 q(x_t | x_s) q(x_s | x_0) / q(x_t | x_0) · p_0(x_0). Their eq. 4 leaves
        the division by q(x_t | x_0) out, but a p_0 that has seen x_t needs it.
        """
        heat_s, heat_t = self.heat(s, palette)[0], self.heat(t, palette)[0]
        to_x_t = _rows(self.transition(heat_t, palette), x_t)  # [B, H W, x_0] is q(x_t | x_0), since Q is symmetric
        step = _rows(self.transition(heat_t - heat_s, palette), x_t)  # [B, H W, x_s] is q(x_t | x_s)
        weights = _ratio(rearrange(p_0, "b k h w -> b (h w) k"), to_x_t, palette)
        return rearrange(step * (weights @ self.transition(heat_s, palette)), "b (h w) k -> b k h w", h=x_t.shape[1])

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
        from_x_0, to_x_t = _rows(q, x_0), _rows(q, x_t)  # [B, H W, K]
        p_0 = rearrange(logits.softmax(dim=1), "b k h w -> b (h w) k")
        real = palette.valid[:, None, :]
        truth = torch.where(real, from_x_0 / from_x_0.gather(2, x_t.flatten(1)[..., None]), 1)
        model = torch.where(real, _ratio(p_0, to_x_t, palette) @ q, 1)
        rates = _rows(self.rates(palette), x_t).clamp_min(0)  # the diagonal is no jump
        divergence = rates * truth * _excess(model, truth)
        # At t = 1 the rate is infinite and the divergence zero. In the limit their product is zero.
        heat_rate = torch.where(heat_rate.isfinite(), heat_rate, 0).to(divergence)
        return heat_rate * divergence.flatten(1).sum(dim=1)


class UniformProcess(JumpProcess):
    """A pixel jumps to any entry: R = J/K - I, with J all ones.

    So Q_b = e^-b I + (1 - e^-b) J/K, and b(t) = -log alpha(t) (Austin et al. 2021, arXiv
    2107.03006; Schiff et al. 2024, arXiv 2412.10193).
    """

    def rates(self, palette: PaletteBatch) -> Tensor:
        """J/K - I between real entries."""
        shares, eye = _shares_and_eye(palette)
        return shares - eye * palette.valid[:, :, None]

    def heat(self, t: Tensor, palette: PaletteBatch) -> tuple[Tensor, Tensor]:
        """-log alpha(t), and -alpha'(t) / alpha(t)."""
        noise = self.schedule.noise(t)
        return -torch.log1p(-noise), self.schedule.noise_rate(t) / (1 - noise)

    def transition(self, heat: Tensor, palette: PaletteBatch) -> Tensor:
        """Stay with probability e^-b, otherwise draw any entry."""
        shares, eye = _shares_and_eye(palette)
        heat = heat.to(shares)[:, None, None]
        mixed = torch.exp(-heat) * eye - torch.expm1(-heat) * shares
        return torch.where(palette.valid[:, :, None], mixed, eye)


def _shares_and_eye(palette: PaletteBatch) -> tuple[Tensor, Tensor]:
    """J/K between real entries, float32 ``[B, K, K]``, and the identity ``[K, K]``."""
    real = palette.valid.float()
    shares = real[:, :, None] * real[:, None, :] / palette.sizes[:, None, None]
    return shares, torch.eye(real.shape[1], device=real.device)


def _rows(matrix: Tensor, x: Tensor) -> Tensor:
    """Row x of each pixel: ``[B, K, K]`` and ``[B, H, W]`` → ``[B, H W, K]``."""
    return matrix.gather(1, x.flatten(1)[..., None].expand(-1, -1, matrix.shape[2]))


def _ratio(p_0: Tensor, to_x_t: Tensor, palette: PaletteBatch) -> Tensor:
    """p_0(x_0) / q(x_t | x_0), and zero for padded entries, ``[B, H W, K]``."""
    padded = ~palette.valid[:, None, :]
    return p_0.masked_fill(padded, 0) / to_x_t.masked_fill(padded, 1)


def _excess(model: Tensor, truth: Tensor) -> Tensor:
    """ρ - 1 - log ρ with ρ = model / truth, without cancellation where the two are close."""
    x = (model - truth) / truth  # ρ - 1
    small = x.abs() < 1e-2
    near = torch.where(small, x, 0)  # gradients flow through both branches, so each must be finite everywhere
    series = near * near * (0.5 - near * (1 / 3 - near * (0.25 - 0.2 * near)))  # x²/2 - x³/3 + x⁴/4 - x⁵/5
    return torch.where(small, series, x - (model / truth).log())
