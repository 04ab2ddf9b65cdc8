"""Multi-head self-attention (Vaswani et al. 2017, arXiv 1706.03762) over a sequence of features."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tincture.common.errors import InputError


class SelfAttention(nn.Module):
    """Self-attention without positions: permuting the sequence permutes the output.

    Args:
        channels: features of each element; a multiple of ``head_channels``.
        head_channels: features of each head.

    Raises:
        InputError: it isn't.
    """

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        if channels % head_channels:
            raise InputError(f"{channels} channels don't divide into attention heads of {head_channels}")
        self.heads = channels // head_channels
        self.to_qkv = nn.Linear(channels, 3 * channels)
        self.to_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Mix the elements of ``x``, ``[B, N, C]``; nothing is read from those where ``valid``, ``[B, N]``, is false."""
        q, k, v = rearrange(self.to_qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        mask = None if valid is None else valid[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.to_out(rearrange(mixed, "b h n d -> b n (h d)"))
