"""The surprisal of a pixel's entry, -log p(x_0), in little memory: logits are the largest tensors of a training step."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _Surprisal(torch.autograd.Function):
    """log Σ exp(logits) - logits[x_0], with the gradient softmax(logits) - one_hot(x_0).

    `torch.nn.functional.cross_entropy` copies its logits to another memory order, keeps log p of every entry for the
    backward pass and makes two gradients there. This keeps the logits, and makes one tensor of their size in each pass.
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


def surprisal(logits: Tensor, x_0: Tensor) -> Tensor:
    """-log softmax(logits)[x_0] of each pixel.

    Args:
        logits: float ``[B, K, H, W]``; minus infinity for impossible entries, finite for one at least.
        x_0: int64 ``[B, H, W]``.

    Returns:
        Nats, float ``[B, H, W]``.
    """
    return _Surprisal.apply(logits, x_0)
