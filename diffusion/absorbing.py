"""The absorbing process: a pixel becomes the mask, once (Shi et al. 2024, arXiv 2406.04329; Sahoo et al. 2024, arXiv 2406.07524)."""

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config
from einops import rearrange
from torch import Tensor

from quantization.errors import choose
from quantization.palette import PaletteBatch

from .draws import Generators, uniform
from .schedules import SCHEDULES


class AbsorbingProcess(SchedulerMixin, ConfigMixin):
    """Masked diffusion; implements `diffusion.process.Process`.

    Args:
        schedule: a name in `SCHEDULES`.
    """

    @register_to_config
    def __init__(self, schedule: str = "linear") -> None:
        self.schedule = choose("schedule", schedule, SCHEDULES)

    def prior(self, palette: PaletteBatch, height: int, width: int, generator: Generators = None) -> Tensor:
        """All masks; nothing is drawn."""
        shape = (len(palette.colors), height, width)
        return torch.full(shape, palette.mask_index, device=palette.colors.device)

    def q_sample(self, x_0: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators = None) -> Tensor:
        """Mask each pixel with probability 1 - alpha(t) (Shi et al. eq. 2)."""
        noise = self.schedule.noise(t)[:, None, None]
        return torch.where(uniform(x_0.shape, generator, x_0.device) < noise, palette.mask_index, x_0)

    def posterior(self, x_t: Tensor, p_0: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """A masked pixel stays so with probability (1 - alpha(s)) / (1 - alpha(t)) (Shi et al. eq. 3); others are kept."""
        stay = (self.schedule.noise(s) / self.schedule.noise(t))[:, None, None, None]
        of_masked = torch.cat([(1 - stay) * p_0, stay.expand_as(p_0[:, :1])], dim=1)  # [B, K + 1, H, W]
        kept = rearrange(F.one_hot(x_t, palette.mask_index + 1), "b h w k -> b k h w").to(p_0.dtype)
        return torch.where((x_t == palette.mask_index)[:, None], of_masked, kept)

    def negative_elbo(self, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """Cross-entropy on masked pixels, weighted by -alpha'(t) / (1 - alpha(t)) (Shi et al. eq. 5)."""
        cross_entropy = F.cross_entropy(logits, x_0, reduction="none") * (x_t == palette.mask_index)
        weight = self.schedule.noise_rate(t) / self.schedule.noise(t)
        return weight * cross_entropy.flatten(1).sum(dim=1)
