"""The absorbing process: a pixel becomes the mask, once.

Masked diffusion (Shi et al. 2024, arXiv 2406.04329; Sahoo et al. 2024, arXiv 2406.07524).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tincture.quantization.palettes.batch import PaletteBatch

from .draws import Generators, uniform
from .schedules import Schedule


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
        return self.renoise(x_0, torch.zeros_like(t), self.clock(t, palette), palette, generator)

    def clock(self, t: Tensor, palette: PaletteBatch) -> Tensor:
        """The noise, 1 - alpha(t)."""
        return self.schedule.noise(t)

    def renoise(self, x_s: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators = None) -> Tensor:
        """Mask with probability 1 - alpha(t) / alpha(s); masks stay (Sahoo et al. section 3.1)."""
        chance = ((t - s) / (1 - s))[:, None, None]
        return torch.where(uniform(x_s.shape, generator, x_s.device) < chance, palette.mask_index, x_s)

    def posterior(self, x_t: Tensor, p_0: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """Shi et al. eq. 3.

        A masked pixel stays masked with probability (1 - alpha(s)) / (1 - alpha(t)). A pixel that
        holds an entry keeps it.
        """
        stay = (s / t)[:, None, None, None]
        masked = (x_t == palette.mask_index)[:, None]
        of_masked = torch.cat([(1 - stay) * p_0, stay.expand_as(p_0[:, :1])], dim=1)  # [B, K + 1, H, W]
        return torch.where(masked, of_masked, torch.zeros_like(of_masked).scatter_(1, x_t[:, None], 1))

    def negative_elbo(self, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """Cross-entropy on masked pixels times -alpha'(t) / (1 - alpha(t)) (Shi et al. eq. 5)."""
        weight = self.schedule.noise_rate(t) / self.schedule.noise(t)
        nats = surprisal(logits, x_0) * (x_t == palette.mask_index)
        return weight * nats.flatten(1).sum(dim=1)


def surprisal(logits: Tensor, x_0: Tensor) -> Tensor:
    """-log softmax(logits)[x_0] of each pixel.

    Args:
        logits: float ``[B, K, H, W]``; minus infinity for impossible entries, finite for one at
            least.
        x_0: int64 ``[B, H, W]``.

    Returns:
        Nats, float ``[B, H, W]``.
    """
    return _Surprisal.apply(logits, x_0)


class _Surprisal(torch.autograd.Function):
    """log Σ exp(logits) - logits[x_0], with the gradient softmax(logits) - one_hot(x_0).

    Logits are the largest tensors of a training step. `torch.nn.functional.cross_entropy` copies
    them to another memory order, keeps log p of every entry for the backward pass and makes two
    gradients there. This keeps the logits alone, and makes one tensor of their size in each pass.
    """

    @staticmethod
    def forward(context: Any, logits: Tensor, x_0: Tensor) -> Tensor:
        place = x_0[:, None]
        most = logits.amax(dim=1, keepdim=True)
        log_sum = (logits - most).exp_().sum(dim=1, keepdim=True).log_() + most
        context.save_for_backward(logits, log_sum, place)
        return (log_sum - logits.gather(1, place))[:, 0]

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, log_sum, place = context.saved_tensors
        p = (logits - log_sum).exp_()
        p.scatter_add_(1, place, p.new_full((), -1).expand_as(place))
        return p.mul_(gradient[:, None]), None
