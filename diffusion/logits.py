"""What may be done to a denoiser's logits before a sampler draws from them: bias, guidance, temperature, top-p."""

import torch
from torch import Tensor


def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance for discrete models (Schiff et al. 2024, arXiv 2412.10193, eq. 12).

    Log-probabilities ``scale · log p(x_0 | x_t, c) + (1 - scale) · log p(x_0 | x_t)``, up to a constant per pixel;
    scale 1 is the conditional model, 0 the unconditional one. All ``[B, K, H, W]``.
    """
    guided = scale * conditional.log_softmax(dim=1) + (1 - scale) * unconditional.log_softmax(dim=1)
    return guided.masked_fill(conditional == -torch.inf, -torch.inf)  # padded entries: infinity minus infinity


def keep_top_p(logits: Tensor, top_p: float) -> Tensor:
    """Keep the fewest entries whose probabilities reach ``top_p`` (Holtzman et al. 2019, arXiv 1904.09751); ``[B, K, H, W]``."""
    ordered, order = logits.softmax(dim=1).sort(dim=1, descending=True, stable=True)
    before = ordered.cumsum(dim=1) - ordered  # the mass of all likelier entries: the likeliest is always kept
    dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, before >= top_p)
    return logits.masked_fill(dropped, -torch.inf)


def sharpen(logits: Tensor, temperature: float, top_p: float) -> Tensor:
    """Divide by the temperature (0: the likeliest entry alone), then keep the top-p entries."""
    if temperature == 0:
        return torch.full_like(logits, -torch.inf).scatter(1, logits.argmax(dim=1, keepdim=True), 0.0)
    logits = logits / temperature
    return keep_top_p(logits, top_p) if top_p < 1 else logits
