"""The absorbing process: a pixel becomes the mask, once (Shi et al. 2024, arXiv 2406.04329; Sahoo et al. 2024, arXiv 2406.07524)."""

import torch
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from .draws import Generators, uniform
from .schedules import Schedule
from .surprisal import surprisal


class AbsorbingProcess:
    """Masked diffusion; implements `diffusion.process.Process`.

    Args:
        schedule: alpha(t).
    """

    has_mask = True

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def prior(self, palette: PaletteBatch, height: int, width: int, generator: Generators = None) -> Tensor:
        """All masks; nothing is drawn."""
        shape = (len(palette.colors), height, width)
        return torch.full(shape, palette.mask_index, device=palette.colors.device)

    def q_sample(self, x_0: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators = None) -> Tensor:
        """Mask each pixel with probability 1 - alpha(t) (Shi et al. eq. 2)."""
        return self.renoise(x_0, torch.zeros_like(t), t, palette, generator)

    def renoise(self, x_s: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators = None) -> Tensor:
        """Mask each pixel that isn't, with probability 1 - alpha(t) / alpha(s) (Sahoo et al. section 3.1)."""
        noise_s, noise_t = self.schedule.noise(s), self.schedule.noise(t)
        chance = ((noise_t - noise_s) / (1 - noise_s))[:, None, None]
        return torch.where(uniform(x_s.shape, generator, x_s.device) < chance, palette.mask_index, x_s)

    def posterior(self, x_t: Tensor, p_0: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """A masked pixel stays so with probability (1 - alpha(s)) / (1 - alpha(t)) (Shi et al. eq. 3); others are kept."""
        stay = (self.schedule.noise(s) / self.schedule.noise(t))[:, None, None, None]
        masked = (x_t == palette.mask_index)[:, None]
        of_masked = torch.cat([(1 - stay) * p_0, stay.expand_as(p_0[:, :1])], dim=1)  # [B, K + 1, H, W]
        return torch.where(masked, of_masked, torch.zeros_like(of_masked).scatter_(1, x_t[:, None], 1))

    def negative_elbo(self, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """Cross-entropy on masked pixels, weighted by -alpha'(t) / (1 - alpha(t)) (Shi et al. eq. 5)."""
        nats = surprisal(logits, x_0) * (x_t == palette.mask_index)
        weight = self.schedule.noise_rate(t) / self.schedule.noise(t)
        return weight * nats.flatten(1).sum(dim=1)
