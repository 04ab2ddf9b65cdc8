"""The uniform process: a pixel jumps to any entry (Austin et al. 2021, arXiv 2107.03006; Schiff et al. 2024, arXiv 2412.10193)."""

import torch
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from .jumps import JumpProcess


class UniformProcess(JumpProcess):
    """R = J/K - I, with J all ones: Q_b = e^-b I + (1 - e^-b) J/K, and b(t) = -log alpha(t)."""

    def rates(self, palette: PaletteBatch) -> Tensor:
        """J/K - I between real entries."""
        shares, eye = _shares_and_eye(palette)
        return shares - eye * palette.valid[:, :, None]

    def heat(self, t: Tensor, palette: PaletteBatch) -> tuple[Tensor, Tensor]:
        """-log alpha(t), and -alpha'(t) / alpha(t)."""
        noise = self.schedule.noise(t)
        return -torch.log1p(-noise), self.schedule.noise_rate(t) / (1 - noise)

    def transition(self, heat: Tensor, palette: PaletteBatch) -> Tensor:
        """Stay with probability e^-b, else draw any entry."""
        shares, eye = _shares_and_eye(palette)
        heat = heat.to(shares)[:, None, None]
        mixed = torch.exp(-heat) * eye - torch.expm1(-heat) * shares
        return torch.where(palette.valid[:, :, None], mixed, eye)


def _shares_and_eye(palette: PaletteBatch) -> tuple[Tensor, Tensor]:
    """J/K between real entries, float32 ``[B, K, K]``, and the identity ``[K, K]``."""
    real = palette.valid.float()
    shares = real[:, :, None] * real[:, None, :] / palette.sizes[:, None, None]
    return shares, torch.eye(real.shape[1], device=real.device)
