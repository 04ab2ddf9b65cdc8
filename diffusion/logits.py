"""What may be done to a denoiser's logits before a sampler draws from them: guidance, temperature, top-p."""

from collections.abc import Sequence

import torch
from torch import Tensor


def mix(logits: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted sum of log-probabilities: a geometric mixture, up to a constant per pixel.

    With logits of a conditional and an unconditional model and the weights γ and 1 - γ this is classifier-free guidance
    (Schiff et al. 2024, arXiv 2412.10193, eq. 12).

    Args:
        logits: ``[B, K, H, W]`` each; impossible entries are so in the first one.
        weights: as many; they add up to 1.
    """
    if len(logits) == 1:
        return logits[0]
    mixed = sum(weight * branch.log_softmax(dim=1) for weight, branch in zip(weights, logits, strict=True))
    return mixed.masked_fill(logits[0] == -torch.inf, -torch.inf)  # padded entries: infinity minus infinity


def keep_top_p(logits: Tensor, top_p: float) -> Tensor:
    """Keep the fewest entries whose probabilities reach ``top_p`` (Holtzman et al. 2019, arXiv 1904.09751); ``[B, K, H, W]``."""
    ordered, order = logits.softmax(dim=1).sort(dim=1, descending=True, stable=True)
    before = ordered.cumsum(dim=1) - ordered  # the mass of all likelier entries: the likeliest is always kept
    dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, before >= top_p)
    return logits.masked_fill(dropped, -torch.inf)


def sharpen(logits: Tensor, temperature: float, top_p: float) -> Tensor:
    """Divide by the temperature (0: the likeliest entry alone), then keep the top-p entries."""
    if temperature < torch.finfo(logits.dtype).tiny:  # what float32 can't divide by is 0, too
        return torch.full_like(logits, -torch.inf).scatter(1, logits.argmax(dim=1, keepdim=True), 0.0)
    if temperature != 1:
        logits = (logits - logits.amax(dim=1, keepdim=True)) / temperature  # so that only impossible entries overflow
    return keep_top_p(logits, top_p) if top_p < 1 else logits
