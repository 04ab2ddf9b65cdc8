"""Color proportions: drawings that use each entry as much as a reference does.

At each step the prediction p is replaced by the distribution nearest to it, in relative entropy,
whose marginal, averaged over pixels, has the wanted proportions: the I-projection (Csiszár 1975).
It is p · exp(λ_k), with one number λ_k for each entry. Iterative proportional fitting finds these
numbers (Deming and Stephan 1940). Pixels that are drawn already count as they are.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tincture.common.errors import SHARE, InputError
from tincture.diffusion.draws import widest_float
from tincture.diffusion.guidance import Prediction, mix
from tincture.quantization.pictures.indexed_image import IndexedImage

ITERATIONS = 30
LEAST_TEMPERATURE = 0.1
"""λ is looked for at no lower one: the iterations don't reach what a sharper prediction needs."""
LEAST = 1e-2
"""Pixels asked of an entry that has had its share: few enough to stop it, and λ stays finite."""


@dataclass(frozen=True, eq=False)
class Proportions:
    """Which share of an image's pixels each entry shall have.

    Args:
        shares: at least 0, float ``[K]`` for all images or ``[N, K]``; only ratios matter. An entry
            whose share is not a number is free, and the others share what it leaves.
        strength: 0 asks for nothing, 1 for the whole; between them, λ is scaled.

    Raises:
        InputError: the shape, a share or the strength is wrong, or there is nothing to share.
    """

    shares: Tensor
    strength: float = 1.0

    def __post_init__(self) -> None:
        shares = torch.as_tensor(self.shares)
        if not shares.is_floating_point() or shares.ndim not in (1, 2):
            raise InputError(f"proportions are float [K] or [N, K], not {shares.dtype} {list(shares.shape)}")
        if (shares < 0).any() or shares.isinf().any() or not (shares.nansum(dim=-1) > 0).all():
            raise InputError("proportions are numbers of 0 or more, at least one of them above 0")
        SHARE.check("the strength of proportions", self.strength)
        shares = shares.view(-1, shares.shape[-1])
        object.__setattr__(self, "shares", shares / shares.nansum(dim=1, keepdim=True))

    @classmethod
    def of(cls, image: IndexedImage, strength: float = 1.0) -> "Proportions":
        """Those of an image; a transparent entry that the image doesn't use is free."""
        entries = len(image.palette)
        shares = torch.bincount(torch.tensor(image.indices).flatten().long(), minlength=entries).float()
        clear = image.palette.transparent
        if clear is not None and shares[clear] == 0 and entries > 1:
            shares[clear] = torch.nan
        return cls(shares, strength)

    def steer(self, prediction: Prediction, drawn: Tensor, images: slice, area: Tensor | None = None) -> Prediction:
        """The prediction whose marginals are in proportion.

        Args:
            prediction: of B images, ``[B, K, H, W]``.
            drawn: the entries of pixels that won't change, int64 ``[B, H, W]``; K or more for
                others.
            images: which ones of all images these are.
            area: for how many pixels of the picture each of these stands, float ``[H, W]``; 1 if
                left out.
        """
        logits = mix(prediction.branches, prediction.weights)
        # The temperature will sharpen the sum of logits and λ.
        temperature = max(prediction.temperature, LEAST_TEMPERATURE)
        shares = (self.shares if len(self.shares) == 1 else self.shares[images]).to(logits)
        area = torch.ones_like(logits[0, 0]) if area is None else area.to(logits)
        multipliers = self.strength * temperature * _multipliers(logits / temperature, drawn, shares, area)
        branches = [branch + multipliers[:, :, None, None] for branch in prediction.branches]
        return replace(prediction, branches=branches)


def _multipliers(logits: Tensor, drawn: Tensor, shares: Tensor, area: Tensor) -> Tensor:
    """λ of each entry, ``[B, K]``: 0 for free ones, and 0 on the wanted average over others."""
    entries = logits.shape[1]
    wanted = torch.nn.functional.pad(shares, (0, entries - shares.shape[1]))  # nothing is asked of padding
    free = wanted.isnan()
    wanted = wanted.nan_to_num(0.0)
    # What each entry has had, and which pixels are left to share.
    area = area.flatten()
    is_drawn = (drawn < entries).flatten(1)
    flat = logits.flatten(2).to(widest_float(logits.device))  # [B, K, N]; λ rounded depends on B
    one_hot = torch.zeros_like(flat).scatter_(1, drawn.flatten(1).clamp_max(entries - 1)[:, None], 1.0)
    had = (one_hot * (is_drawn * area)[:, None]).sum(dim=2)  # [B, K]
    left = (~is_drawn * area)[:, None]  # [B, 1, N]
    # Iterative proportional fitting: each round scales all entries to what is asked of them.
    multipliers = torch.zeros_like(had)
    for _ in range(ITERATIONS):
        expected = ((flat + multipliers[:, :, None]).softmax(dim=1) * left).sum(dim=2)
        shared = (had + expected).masked_fill(free, 0.0).sum(dim=1, keepdim=True)
        asked = (wanted * shared - had).clamp_min(LEAST)
        change = (asked / expected.clamp_min(1e-9)).log().masked_fill(free, 0.0)
        multipliers = multipliers + change
        # Only ratios are asked for. They don't say how much the free entries have.
        mean = (wanted * multipliers).sum(dim=1, keepdim=True)
        multipliers = (multipliers - mean).masked_fill(free, 0.0)
    return multipliers.to(logits)
