"""A denoiser that isn't asked twice: images in which nothing changed keep their last logits."""

from collections.abc import Callable

import torch
from torch import Tensor


class Reuse:
    """Wraps a denoiser for one batch of images.

    Args:
        denoise: (x_t ``[b, H, W]``, t ``[b]``, rows int64 ``[b]``) → logits ``[G, b, K, H, W]`` of these rows of the
            batch, from G branches.
        depends_on_time: whether the logits change with t alone.
    """

    def __init__(self, denoise: Callable[[Tensor, Tensor, Tensor], Tensor], depends_on_time: bool) -> None:
        self.denoise, self.depends_on_time = denoise, depends_on_time
        self.image_calls = 0
        self._x_t = self._t = self._logits = None

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Logits ``[G, B, K, H, W]`` for the whole batch, by a call for those of its images that need one."""
        if self._logits is None:
            changed = torch.ones(len(x_t), dtype=torch.bool, device=x_t.device)
        else:
            changed = (x_t != self._x_t).flatten(1).any(dim=1)
            if self.depends_on_time:
                changed |= t != self._t
        rows = changed.nonzero().flatten()
        if len(rows) == len(x_t):
            self._logits = self.denoise(x_t, t, rows)
        elif len(rows) > 0:
            # A new tensor: whoever holds the last answer may still read it.
            self._logits = self._logits.index_copy(1, rows, self.denoise(x_t[rows], t[rows], rows))
        self.image_calls += len(rows)
        self._x_t, self._t = x_t, t
        return self._logits
