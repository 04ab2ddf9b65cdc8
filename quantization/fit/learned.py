"""A palette whose colors are parameters, trained with Adam on the squared error.

The error of a pixel x is a soft minimum over the colors c_k, at a temperature T:

    -T log mean_k exp(-|x - c_k|² / T)        (Rose 1998, equation 14)

While T is high, every color feels every pixel, so that none is left without any. As T falls, the
minimum gets hard, and each color ends in the middle of its own pixels. This is deterministic
annealing (Rose 1998, "Deterministic annealing for clustering, compression, …").
"""

import numpy as np
import torch
from torch import Tensor, nn

from ..nearest import nearest
from .kmeans import move_centers

STEPS = 400
BATCH = 4096
_FIRST_TEMPERATURE, _LAST_TEMPERATURE = 0.3, 1e-3
"""In units of the mean squared distance to the nearest color at the start."""
_LEARNING_RATE, _LAST_LEARNING_RATE = 0.3, 0.03
"""In units of the root of that distance: how far Adam moves a color in a step."""
_MOST_STARTS = 4
"""Few colors end in one of several minima, and are cheap: the best of so many is taken."""
_MOVE_EVERY, _MOVE_UNTIL = 20, 0.7
"""Steps from one move to the next, and the share of all steps after which there is none."""
_MOVE_BATCHES = 32
"""Batches that judge a move: a rare color far away counts as much as a common one nearby."""


class LearnedPalette(nn.Module):
    """A layer that replaces each pixel by its nearest color and lets gradients through.

    Args:
        centers: the first colors, float ``[K, 3]``, in any space with Euclidean distances.
        temperature: of the soft assignment, in squared units of that space.
    """

    def __init__(self, centers: Tensor, temperature: float = 1e-3) -> None:
        super().__init__()
        self.centers = nn.Parameter(centers.clone())
        self.temperature = temperature

    def squared_distances(self, pixels: Tensor) -> Tensor:
        """From each pixel, ``[..., 3]``, to each color: ``[..., K]``."""
        return (pixels[..., None, :] - self.centers).square().sum(-1)

    def assignment(self, pixels: Tensor) -> Tensor:
        """The soft assignment ``softmax(-d² / T)`` of pixels ``[..., 3]``, as ``[..., K]``."""
        return (-self.squared_distances(pixels) / self.temperature).softmax(-1)

    def error(self, pixels: Tensor) -> Tensor:
        """The mean soft minimum over pixels ``[N, 3]``, but for a term that no color changes.

        Its gradient is that of the squared distances, weighted by the soft assignment.
        """
        # |x - c|² without |x|², which cancels in the gradient.
        distances = self.centers.square().sum(-1) - 2 * pixels @ self.centers.T  # [N, K]
        return -self.temperature * (-distances / self.temperature).logsumexp(-1).mean()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Replace pixels ``[..., 3]`` by colors.

        Returns:
            Each pixel's nearest color, ``[..., 3]``, and its index, int64 ``[...]``. The gradient
            of the colors, to the pixels and to the parameters, is that of their mean under the soft
            assignment (straight through).
        """
        assignment = self.assignment(pixels)
        indices = assignment.argmax(-1)
        soft = assignment @ self.centers
        return soft + (self.centers[indices] - soft).detach(), indices


def fit_learned(
    points: np.ndarray, weights: np.ndarray, k: int, seed: int = 0, fixed: np.ndarray | None = None
) -> np.ndarray:
    """Train a `LearnedPalette`; arguments and result as for `kmeans.kmeans`."""
    fixed = np.empty((0, 3), np.float32) if fixed is None else fixed
    if len(points) <= k:
        return np.concatenate([fixed, points])
    generator = torch.Generator().manual_seed(seed)
    data, chances = torch.from_numpy(points).float(), torch.from_numpy(np.asarray(weights, np.float64))
    if len(data) > 1 << 24:  # torch draws from at most 2²⁴ categories
        data, chances = data[: 1 << 24], chances[: 1 << 24]
    still = torch.from_numpy(np.ascontiguousarray(fixed)).float()
    starts = max(1, min(_MOST_STARTS, 64 // k))
    trained = [_train(data, chances, k, still, generator) for _ in range(starts)]
    return min(trained, key=lambda centers: chances.numpy() @ nearest(data.numpy(), centers)[1])


def _train(data: Tensor, chances: Tensor, k: int, still: Tensor, generator: torch.Generator) -> np.ndarray:
    """Train once; ``still`` are the fixed colors, ``[F, 3]``, which come first in the result."""
    # Begin at pixels, and measure everything in units of the error there.
    start = data[torch.multinomial(chances, k, generator=generator)]
    palette = LearnedPalette(torch.cat([still, start]))
    order = torch.multinomial(chances, STEPS * BATCH, replacement=True, generator=generator)
    with torch.no_grad():
        unit = palette.squared_distances(data[order[:BATCH]]).amin(-1).mean().clamp_min(1e-9).item()
    optimizer = torch.optim.Adam(palette.parameters(), lr=_LEARNING_RATE * unit**0.5, betas=(0.8, 0.95))

    for step, batch in enumerate(order.view(STEPS, BATCH)):
        # Cool down and slow down, both geometrically.
        progress = step / (STEPS - 1)
        palette.temperature = unit * _FIRST_TEMPERATURE ** (1 - progress) * _LAST_TEMPERATURE**progress
        optimizer.param_groups[0]["lr"] = unit**0.5 * _LEARNING_RATE ** (1 - progress) * _LAST_LEARNING_RATE**progress

        optimizer.zero_grad()
        palette.error(data[batch]).backward()
        palette.centers.grad[: len(still)] = 0
        optimizer.step()

        # While the assignment is soft, two colors can come to share one place.
        if step % _MOVE_EVERY == _MOVE_EVERY - 1 and progress < _MOVE_UNTIL:
            _move_centers(palette, data[order[: _MOVE_BATCHES * BATCH]], len(still))
    return palette.centers.detach().numpy()


@torch.no_grad()
def _move_centers(palette: LearnedPalette, pixels: Tensor, fixed: int) -> None:
    """Move up to an eighth of the colors to where they gain most, as k-means does."""
    indices = torch.from_numpy(nearest(pixels.numpy(), palette.centers.numpy())[0])
    columns = torch.cat([torch.ones(len(pixels), 1), pixels, pixels.square()], dim=1).double()
    sums = torch.zeros(len(palette.centers), 7, dtype=torch.float64).index_add_(0, indices, columns)
    move_centers(palette.centers.data.numpy(), sums.numpy(), fixed, max(1, len(palette.centers) // 8))
