"""Color heat: a pixel jumps more often between near colors, so noise spreads as heat does.

This is D3PM's Gaussian kernel (Austin et al. 2021, arXiv 2107.03006), carried from grey levels to
colors and to continuous time. Its nearest relative is the metric-induced path of Shaul et al. 2024
(arXiv 2412.03487).
"""

from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from tincture.common.errors import InputError
from tincture.quantization.palettes.batch import PaletteBatch

from .draws import LOOK_EVERY, is_waited_for, widest_float
from .jumps import JumpProcess
from .schedules import Schedule

_NEWTON_STEPS = 100
_TOLERANCE = 1e-10
"""Of log alpha."""
_LOG_ALPHA_LEAST = -80.0
"""Less is zero in float32."""


class Spectrum(NamedTuple):
    """R's part that depends on color, R_h = V diag(-values) V^T."""

    rates: Tensor
    """R_h, ``[B, K, K]``, float64 where there is one."""
    values: Tensor
    """``[B, K]``, not negative, rising; their mean over the changing modes is 1."""
    vectors: Tensor
    """V, ``[B, K, K]``."""
    changing: Tensor
    """Which modes are neither the constant one nor those of padded entries, bool ``[B, K]``."""
    shares: Tensor
    """J/K, as exactly as the others, ``[B, K, K]``."""


class ColorHeatProcess(JumpProcess):
    """R = (1 - leap) R_h + leap (J/K - I), R_h[i, j] ∝ exp(-|c_i - c_j|² / 2 width²) for i ≠ j.

    Both parts are scaled so that the mean of their changing modes' decay rates is 1. The leap, a
    jump to any entry, keeps distant colors connected. Since J commutes with R_h, ::

        Q_b = e^(-leap b) exp((1 - leap) b R_h) + (1 - e^(-leap b)) J/K,

    where every probability is at least that of the second term.

    A color c is OKLab around mid grey, times alpha, and alpha itself. So a transparent entry is at
    a distance of 1 or more from opaque colors.

    Args:
        schedule: alpha(t).
        width: of the kernel, in OKLab; black and white are 1 apart.
        leap: the share of jumps that go anywhere, above 0; 1 is the uniform process.

    Raises:
        InputError: the width or the leap is out of range.
    """

    def __init__(self, schedule: Schedule, width: float = 0.2, leap: float = 0.1) -> None:
        super().__init__(schedule)
        if not width > 0:
            raise InputError(f"the width of color-heat is {width}; it must be above 0")
        if not 0 < leap <= 1:
            raise InputError(f"the leap of color-heat is {leap}; it must be above 0 and at most 1")
        self.width, self.leap = width, leap
        self._spectra: WeakKeyDictionary[PaletteBatch, Spectrum] = WeakKeyDictionary()

    def spectrum(self, palette: PaletteBatch) -> Spectrum:
        """The eigenvalues and eigenvectors of R_h, made once for each batch of palettes."""
        if palette not in self._spectra:
            rates = self._color_rates(palette)
            values, vectors = torch.linalg.eigh(-rates)
            padded = (~palette.valid).sum(dim=1, keepdim=True)
            changing = torch.arange(values.shape[1], device=values.device) > padded  # the zeros come first
            shares = self.pairs(palette).real / palette.sizes[:, None, None].to(values)
            self._spectra[palette] = Spectrum(rates, values.clamp_min(0), vectors, changing, shares)
        return self._spectra[palette]

    def _color_rates(self, palette: PaletteBatch) -> Tensor:
        """R_h, ``[B, K, K]``, float64 where there is one."""
        wide = widest_float(palette.colors.device)
        alpha = palette.colors[..., 3:].to(wide) / 255
        mid_grey = torch.tensor([0.5, 0, 0], dtype=wide, device=alpha.device)
        colors = torch.cat([(palette.oklab().to(wide) - mid_grey) * alpha, alpha], dim=2)
        distances = torch.cdist(colors, colors, compute_mode="donot_use_mm_for_euclid_dist")
        kernel = torch.exp(-(distances**2) / (2 * self.width**2))
        others = ~torch.eye(kernel.shape[1], dtype=torch.bool, device=kernel.device)  # 1 + tiny - 1 would lose the tiny
        kernel = kernel * (palette.valid[:, :, None] & palette.valid[:, None, :] & others)
        kernel = kernel - torch.diag_embed(kernel.sum(dim=2))
        trace = -kernel.diagonal(dim1=1, dim2=2).sum(dim=1)
        scale = (palette.sizes - 1) / trace.where(trace > 0, 1)  # one entry alone has nowhere to jump
        return kernel * scale[:, None, None]

    def rates(self, palette: PaletteBatch) -> Tensor:
        """R, float32."""
        spectrum = self.spectrum(palette)
        leaps = spectrum.shares - torch.diag_embed(palette.valid.to(spectrum.shares))
        return ((1 - self.leap) * spectrum.rates + self.leap * leaps).float()

    def heat(self, t: Tensor, palette: PaletteBatch) -> tuple[Tensor, Tensor]:
        """The b at which the mean decay of the changing modes is alpha(t), by Newton's method.

        The logarithm of the mean decay is convex and falls with b, so Newton's steps from 0
        approach b from below.
        """
        _, values, _, changing, _ = self.spectrum(palette)
        values = (1 - self.leap) * values + self.leap  # of -R: the leap decays all changing modes alike
        count = changing.sum(dim=1).clamp_min(1)
        t = t.to(values)
        log_alpha = torch.log1p(-self.schedule.noise(t))
        target = log_alpha.clamp_min(_LOG_ALPHA_LEAST)
        b = torch.zeros_like(target)
        for step in range(1, _NEWTON_STEPS + 1):
            decays = torch.exp(-values * b[..., None]) * changing
            alpha = decays.sum(dim=-1) / count
            rate = (values * decays).sum(dim=-1) / count
            # An entry that is alone in its palette has no changing modes, and stays at b = 0.
            missing = torch.where(changing.any(dim=1), alpha.log() - target, 0)
            b = b + (missing * alpha / rate).clamp_min(0).nan_to_num(0)
            if (step % LOOK_EVERY == 0 or not is_waited_for(b.device)) and missing.max() < _TOLERANCE:
                break
        ended = log_alpha == -torch.inf
        return b.masked_fill(ended, torch.inf), (self.schedule.noise_rate(t) / rate).masked_fill(ended, torch.inf)

    def transition(self, heat: Tensor, palette: PaletteBatch) -> Tensor:
        """e^(-leap b) exp((1 - leap) b R_h) + (1 - e^(-leap b)) J/K, by way of float64."""
        _, values, vectors, _, shares = self.spectrum(palette)
        _, real, eye, _ = self.pairs(palette)
        # Beyond the highest heat e^(-leap b) is zero.
        cold = -heat.to(values).clamp_max(1e3 / self.leap)[..., None, None]
        spread = ((vectors * torch.exp((1 - self.leap) * cold * values[:, None, :])) @ vectors.mT).clamp_min(0)
        leaps = self.leap * cold
        return torch.where(real, torch.exp(leaps) * spread - torch.expm1(leaps) * shares, eye.to(spread)).float()
