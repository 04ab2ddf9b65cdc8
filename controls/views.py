"""Views: what the network sees of a sampler's canvas, and what its answers mean for the canvas.

A view is a table. For each pixel of each picture that the network sees, it says which pixel of the
canvas is shown there. A pixel that is shown several times gets the mean of the answers about it,
which is a geometric mean of probabilities, as in guidance. Symmetry, seamless tiles and pictures
larger than the network's own are three such tables, and the network needs no change.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from tincture.diffusion.draws import Streams, widest_float

from .options import AXES, Canvas

TILE_PADDING = 8
"""Pixels of the neighboring tiles that the network sees on each side."""


class Axis(NamedTuple):
    """One axis of a view, for each image (B of them, or 1 for all)."""

    positions: Tensor
    """Which place of the canvas each place of each of n pictures shows, int64 ``[B, n, L]``."""
    weights: Tensor
    """How much an answer there counts, float ``[n, L]``, not negative."""


@dataclass(frozen=True, eq=False)
class View:
    """A canvas as one or more pictures.

    Args:
        source: which pixel of the canvas each pixel of the n pictures shows, counted row by row;
            int64 ``[B or 1, n, H, W]``. Every pixel of the canvas is shown somewhere.
        weight: how much the network's answer counts there, float ``[n, H, W]``; positive at least
            once for each pixel of the canvas.
        size: height and width of the canvas.
    """

    source: Tensor
    weight: Tensor
    size: tuple[int, int]

    @classmethod
    def of(cls, rows: Axis, columns: Axis, size: tuple[int, int]) -> "View":
        """The view that pairs every piece of the rows with every piece of the columns."""
        source = rows.positions[:, :, None, :, None] * size[1] + columns.positions[:, None, :, None, :]
        weight = rows.weights[:, None, :, None] * columns.weights[None, :, None, :]
        return cls(source.flatten(1, 2), weight.flatten(0, 1), size)

    @property
    def pictures(self) -> int:
        """How many pictures show one canvas."""
        return len(self.weight)

    @property
    def area(self) -> Tensor:
        """How many pixels show each pixel of the canvas, ``[h, w]``; of a view for all images."""
        return torch.bincount(self.source.flatten(), minlength=self.size[0] * self.size[1]).view(self.size).float()

    def to(self, device: torch.device | str) -> "View":
        """The same view on ``device``."""
        return View(self.source.to(device), self.weight.to(device), self.size)

    def of_images(self, images: slice) -> "View":
        """The same view for some of the images."""
        return self if len(self.source) == 1 else View(self.source[images], self.weight, self.size)

    def show(self, canvas: Tensor) -> Tensor:
        """Canvases ``[B, h, w]`` → the pictures of each in turn, ``[B n, H, W]``."""
        source = self.source.expand(len(canvas), -1, -1, -1)
        return canvas.flatten(1).gather(1, source.flatten(1)).view(-1, *source.shape[2:])

    def gather(self, logits: Tensor) -> Tensor:
        """Answers about the pictures, ``[B n, K, H, W]`` → about the canvases, ``[B, K, h, w]``."""
        answers = rearrange(logits, "(b n) k h w -> b k (n h w)", n=self.pictures)
        weight = self.weight.flatten().to(answers)
        source = self.source.flatten(1).expand(len(answers), -1)
        # In float64, because a GPU sums in no fixed order, and the rounded sum should not vary.
        sums = torch.zeros(*answers.shape[:2], self.size[0] * self.size[1], device=answers.device)
        sums = sums.to(widest_float(answers.device))
        weighted = torch.where(weight > 0, answers * weight, 0.0)  # -inf times 0 is not a number
        sums.scatter_add_(2, source[:, None].expand_as(answers), weighted.to(sums))
        total = torch.zeros_like(sums[:, 0]).scatter_add_(1, source, weight.to(sums).expand_as(source))
        return (sums / total[:, None]).to(logits).unflatten(2, self.size)


def whole_axis(length: int, device: torch.device | None = None) -> Axis:
    """Shows every place once, in order."""
    return Axis(torch.arange(length, device=device)[None, None], torch.ones(1, length, device=device))


def mirrored_axis(length: int) -> Axis:
    """Shows the canvas, ``ceil(length / 2)`` long, and the same backwards."""
    places = torch.arange(length)
    return Axis(torch.minimum(places, length - 1 - places)[None, None], torch.ones(1, length))


def tiled_axis(length: int, shift: Tensor, padding: int = TILE_PADDING) -> Axis:
    """Shows a period of an endless row of tiles from ``shift`` on, int64 ``[B]``, and padding.

    The padding is the neighboring tiles' pixels on both sides. It stands near the border of the
    network's picture, so answers about it don't count.
    """
    places = torch.arange(-padding, length + padding, device=shift.device)
    return Axis(
        (places + shift[:, None]).remainder(length)[:, None],
        ((places >= 0) & (places < length)).float()[None],
    )


def window_axis(length: int, window: int, phase: Tensor) -> Axis:
    """Shows pieces of ``window`` places that overlap by half, moved by ``phase`` (``[B]``, 0 to 1).

    No piece sticks out over an end of the canvas. Answers count by a squared sine, which is largest
    in the middle of a piece.
    """
    if length <= window:
        return whole_axis(length, phase.device)
    stride = max(window // 2, 1)
    starts = torch.arange(-(-(length - window) // stride) + 2, device=phase.device) * stride
    offset = (phase * stride).long()
    starts = (starts - offset[:, None]).clamp(0, length - window)  # [B, n]
    inside = torch.arange(window, device=phase.device)
    weight = torch.sin(torch.pi * (inside + 0.5) / window).square()
    return Axis(starts[:, :, None] + inside, weight.expand(starts.shape[1], -1))


def symmetry_view(canvas: Canvas, height: int, width: int) -> View | None:
    """From the part that is drawn to the whole picture; none if they are the same."""
    if canvas.mirror is None:
        return None
    vertical, horizontal = AXES[canvas.mirror]
    rows = mirrored_axis(height) if vertical else whole_axis(height)
    columns = mirrored_axis(width) if horizontal else whole_axis(width)
    return View.of(rows, columns, (-(-height // 2) if vertical else height, -(-width // 2) if horizontal else width))


def moving_views(canvas: Canvas, height: int, width: int, streams: Streams) -> list[View]:
    """From the pictures to what the network sees this time; the first view is applied first.

    What is random comes from each picture's own stream: four numbers at every call, if anything
    is.
    """
    vertical, horizontal = (False, False) if canvas.tile is None else AXES[canvas.tile]
    padding = 2 * TILE_PADDING
    is_cut = canvas.window and max(height + padding * vertical, width + padding * horizontal) > canvas.window
    if canvas.tile is None and not is_cut:
        return []
    views, where = [], streams(4)  # [B, 4]
    if canvas.tile is not None:
        rows, columns = (
            tiled_axis(length, (where[:, axis] * length).long()) if tiled else whole_axis(length, where.device)
            for axis, (length, tiled) in enumerate(((height, vertical), (width, horizontal)))
        )
        views.append(View.of(rows, columns, (height, width)))
        height, width = views[0].source.shape[2:]
    if is_cut:
        rows, columns = window_axis(height, canvas.window, where[:, 2]), window_axis(width, canvas.window, where[:, 3])
        views.append(View.of(rows, columns, (height, width)))
    return views
