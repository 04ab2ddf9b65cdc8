"""How weights change: optimizers by name, their learning rates, and the average of the weights."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from .run_config import TrainConfig

MATRIX_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
"""Layers whose weights Muon takes; biases, norms and embeddings go to AdamW."""


@torch.no_grad()
def orthogonalize(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Push all singular values of a matrix ``[M, N]`` towards 1, by Newton–Schulz iteration.

    Each iteration is x ← p(g) x with the Gram matrix g = x xᵀ and p(g) = a + b g + c g² (Jordan
    2024, https://kellerjordan.github.io/posts/muon, whose coefficients bring values between about
    0.7 and 1.2: as good as exactly 1). Polynomials of g commute, so the iteration can run on g
    alone, g ← p(g)² g, and x is multiplied once, by the product of all p(g): for a convolution's
    long matrix that is a third of the work.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.float()
    x = x / x.norm().clamp_min(1e-7)  # a gradient of zero stays zero
    tall = x.shape[0] > x.shape[1]
    gram = x.mT @ x if tall else x @ x.mT
    product = None
    for iteration in range(iterations):
        p = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        p.diagonal().add_(a)
        product = p if product is None else p @ product
        if iteration < iterations - 1:
            gram = p @ gram @ p
    return (x @ product if tall else product @ x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose updates are orthogonalized (Jordan et al. 2024), for matrices and tensors.

    torch.optim.Muon takes matrices only, and iterates in bfloat16, which CPUs are slow at; most
    weights here are convolutions, and training on a CPU matters.

    Args:
        params: weights, ``[M, …]``; each is treated as a matrix ``[M, N]``.
        lr: the size of an update's singular values, before the factor √max(1, M/N).
        momentum: decay of the moving average of gradients, used as Nesterov does.
        weight_decay: per unit of learning rate.
    """

    def __init__(self, params: list[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Update all weights that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                average = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                update = orthogonalize(weight.grad.lerp(average, group["momentum"]).flatten(1))
                factor = max(1.0, update.shape[0] / update.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.view(weight.shape), alpha=-group["lr"] * factor)


def _adamw(parameters: list[Tensor], config: TrainConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        parameters,
        lr=config.learning_rate,
        betas=(0.9, config.beta2),
        weight_decay=config.weight_decay,
        fused=True,
    )


def adamw(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101) for all parameters."""
    return [_adamw(list(model.parameters()), config)]


def muon(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the weights of `MATRIX_LAYERS`, AdamW for the rest."""
    weights = [layer.weight for layer in model.modules() if isinstance(layer, MATRIX_LAYERS)]
    taken = {id(weight) for weight in weights}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    rate = config.learning_rate * config.muon_rate_factor
    return [Muon(weights, rate, weight_decay=config.weight_decay), _adamw(rest, config)]


OPTIMIZERS: dict[str, Callable[[nn.Module, TrainConfig], list[torch.optim.Optimizer]]] = {
    "adamw": adamw,
    "muon": muon,
}
"""Each makes a list, because Muon leaves some parameters to AdamW."""


def learning_rate_factor(fraction: float, warmup: float) -> float:
    """The learning rate as a part of its peak, when ``fraction`` of the budget has passed.

    It rises linearly over the first ``warmup`` of the budget, and falls as a cosine over all of it.
    """
    rise = min(1.0, fraction / warmup) if warmup > 0 else 1.0
    return rise * 0.5 * (1 + math.cos(math.pi * fraction))


def set_learning_rates(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Set all learning rates to ``factor`` times those that the optimizers were made with."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("peak_lr", group["lr"]) * factor


def exponential_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """Exponential moving average. Its decay starts low, so the first weights are soon forgotten."""

    def update(averages: list[Tensor], weights: list[Tensor], count: Tensor) -> None:
        now = min(decay, (1 + count.item()) / (10 + count.item()))
        torch._foreach_lerp_(averages, weights, 1 - now)

    return torch.no_grad()(update)
