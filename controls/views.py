"""Views: what a sampler's canvas looks like to the network, and what the network's answers mean for the canvas.

A view is a table that says, for each pixel of each picture the network sees, which pixel of the canvas it shows. A pixel
that is shown several times gets the mean of the answers: a geometric mean of probabilities, as in guidance. Symmetry,
seamless tiles and pictures larger than a network's own are one mechanism with three tables, and the network needs no change.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from tincture.common.errors import InputError, Range
from tincture.common.options import OneOf, check_options
from tincture.diffusion.draws import Generators, uniform, widest_float

AXES = {"x": (False, True), "y": (True, False), "both": (True, True)}
"""Name → whether it holds vertically (over rows), and horizontally (over columns)."""

SIDE = Range(1, 1 << 16)
"""Pixels of a side of a picture to draw."""

TILE_PADDING = 8
"""Pixels of the neighboring tiles that the network sees on each side."""


class Axis(NamedTuple):
    """One axis of a view, for each image (B of them, or 1 for all)."""

    positions: Tensor
    """Which place of the canvas each place of each picture shows, int64 ``[B, n, L]``."""
    weights: Tensor
    """How much an answer there counts, float ``[n, L]``, not negative."""


@dataclass(frozen=True, eq=False)
class View:
    """A canvas as one or more pictures.

    Args:
        source: for each pixel of the n pictures, the pixel of the canvas that it shows, counted row by row; int64
            ``[B or 1, n, H, W]``. Every pixel of the canvas is shown somewhere.
        weight: how much the network's answer counts there, float ``[n, H, W]``, positive at least once for each.
        size: height and width of the canvas.
    """

    source: Tensor
    weight: Tensor
    size: tuple[int, int]

    @classmethod
    def of(cls, rows: Axis, columns: Axis, size: tuple[int, int]) -> "View":
        """The view whose pictures are all pairs of a piece of the rows and a piece of the columns."""
        source = rows.positions[:, :, None, :, None] * size[1] + columns.positions[:, None, :, None, :]
        weight = rows.weights[:, None, :, None] * columns.weights[None, :, None, :]
        return cls(source.flatten(1, 2), weight.flatten(0, 1), size)

    @property
    def pictures(self) -> int:
        """How many pictures show one canvas."""
        return len(self.weight)

    @property
    def area(self) -> Tensor:
        """How many pixels of the pictures show each pixel of the canvas, float ``[h, w]``; of a view for all images."""
        return torch.bincount(self.source.flatten(), minlength=self.size[0] * self.size[1]).view(self.size).float()

    def to(self, device: torch.device | str) -> "View":
        """The same view on ``device``."""
        return View(self.source.to(device), self.weight.to(device), self.size)

    def of_images(self, images: slice) -> "View":
        """The same view for some of the images."""
        return self if len(self.source) == 1 else View(self.source[images], self.weight, self.size)

    def show(self, canvas: Tensor) -> Tensor:
        """Canvases ``[B, h, w]`` → the pictures of each, one after the other, ``[B n, H, W]``."""
        source = self.source.expand(len(canvas), -1, -1, -1)
        return canvas.flatten(1).gather(1, source.flatten(1)).view(-1, *source.shape[2:])

    def gather(self, logits: Tensor) -> Tensor:
        """The network's answers about the pictures, ``[B n, K, H, W]`` → about the canvases, ``[B, K, h, w]``."""
        answers = rearrange(logits, "(b n) k h w -> b k (n h w)", n=self.pictures)
        weight = self.weight.flatten().to(answers)
        source = self.source.flatten(1).expand(len(answers), -1)
        # Summed widely: on a GPU the order of a sum varies, and a rounded sum should not.
        sums = torch.zeros(*answers.shape[:2], self.size[0] * self.size[1], device=answers.device)
        sums = sums.to(widest_float(answers.device))
        weighted = torch.where(weight > 0, answers * weight, 0.0)  # minus infinity times 0 is not a number
        sums.scatter_add_(2, source[:, None].expand_as(answers), weighted.to(sums))
        total = torch.zeros_like(sums[:, 0]).scatter_add_(1, source, weight.to(sums).expand_as(source))
        return (sums / total[:, None]).to(logits).unflatten(2, self.size)


def whole_axis(length: int) -> Axis:
    """Shows every place once, in order."""
    return Axis(torch.arange(length)[None, None], torch.ones(1, length))


def mirrored_axis(length: int) -> Axis:
    """Shows the first half, and the same backwards; the canvas is ``ceil(length / 2)`` long."""
    places = torch.arange(length)
    return Axis(torch.minimum(places, length - 1 - places)[None, None], torch.ones(1, length))


def tiled_axis(length: int, shift: Tensor, padding: int = TILE_PADDING) -> Axis:
    """Shows one period of an endless row of tiles, from ``shift``, int64 ``[B]``, and ``padding`` more on both sides.

    What the network answers about the padding doesn't count: it stands near the border of its picture.
    """
    places = torch.arange(-padding, length + padding)
    return Axis(
        (places + shift[:, None]).remainder(length)[:, None],
        ((places >= 0) & (places < length)).float()[None],
    )


def window_axis(length: int, window: int, phase: Tensor) -> Axis:
    """Shows pieces of ``window`` places that overlap by half, all of them moved by ``phase`` in [0, 1), ``[B]``.

    None sticks out over an end of the canvas. Answers count by a squared sine, the middle of a window most.
    """
    if length <= window:
        return whole_axis(length)
    stride = max(window // 2, 1)
    starts = torch.arange(-(-(length - window) // stride) + 2) * stride
    offset = (phase * stride).long()
    starts = (starts - offset[:, None]).clamp(0, length - window)  # [B, n]
    inside = torch.arange(window)
    weight = torch.sin(torch.pi * (inside + 0.5) / window).square()
    return Axis(starts[:, :, None] + inside, weight.expand(starts.shape[1], -1))


@dataclass(frozen=True)
class Canvas:
    """Symmetry, borders, and how much the network sees at once.

    Args:
        mirror: be symmetric along these axes; along x, the left and the right half mirror each other.
        tile: repeat without a seam along these axes. The network sees the picture moved around by a
            random distance, another one at each step, with a part of its neighbors.
        window: the network sees pieces of at most so many pixels, which overlap by half and move at
            each step; 0 for the whole picture at once. If left out, the commands take the model's own
            size where a picture is given, and the whole picture elsewhere.

    Raises:
        InputError: a name or a number isn't allowed.
    """

    mirror: Annotated[str | None, OneOf(AXES)] = None
    tile: Annotated[str | None, OneOf(AXES)] = None
    window: Annotated[int | None, Range(0, SIDE.high)] = None

    def __post_init__(self) -> None:
        check_options(self)
        if self.window == 1:
            raise InputError("window is 1; it must be at least 2 pixels, or 0 for the whole picture")

    def tie(self, height: int, width: int) -> View | None:
        """From the part that is drawn to the picture, ``height × width``; none if they are the same."""
        if self.mirror is None:
            return None
        vertical, horizontal = AXES[self.mirror]
        rows = mirrored_axis(height) if vertical else whole_axis(height)
        columns = mirrored_axis(width) if horizontal else whole_axis(width)
        return View.of(
            rows, columns, (-(-height // 2) if vertical else height, -(-width // 2) if horizontal else width)
        )

    def looks(self, height: int, width: int, generators: Generators, images: int) -> list[View]:
        """From the picture to what the network sees this time; the first is applied first.

        What is random comes from ``generators``, one for each of the ``images``: two or four numbers of each at every
        call, as the layout needs.
        """
        views = []
        nowhere = torch.zeros(images, dtype=torch.long)
        if self.tile is not None:
            vertical, horizontal = AXES[self.tile]
            where = uniform((images, 2), generators, nowhere.device)
            rows, columns = (
                tiled_axis(length, (where[:, axis] * length).long()) if tiled else whole_axis(length)
                for axis, (length, tiled) in enumerate(((height, vertical), (width, horizontal)))
            )
            views.append(View.of(rows, columns, (height, width)))
            height, width = views[0].source.shape[2:]
        if self.window and max(height, width) > self.window:
            phase = uniform((images, 2), generators, nowhere.device)
            rows, columns = window_axis(height, self.window, phase[:, 0]), window_axis(width, self.window, phase[:, 1])
            views.append(View.of(rows, columns, (height, width)))
        return views


WHOLE = Canvas()
"""The picture as it is, seen at once."""
