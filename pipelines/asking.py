"""How the network is asked: all that stands between a sampler's canvas and the network's logits.

::

    sampler's canvas ─ mirror ─► picture ─ tile ─ windows ─► network
    sampler ◄─ mirror ─ + wishes ◄─ tile ─ windows ◄─ logits ◄──┘

A sampler asks about its canvas x_t. The canvas becomes the picture: a mirrored canvas unfolds. The
picture becomes what the network sees this time: moved around, if it is a tile, and cut into
windows, if it is large (`controls.views`). The network is asked once for each branch of guidance
(`guidance_branches`, `LateGuidance`), and about each palette, if the drawing is shown in several
(`JointDenoiser`). Its logits go the same way back. The biases of wishes join them at the picture,
because that is where people ask for things. `GuidedDenoiser` does all this for one batch; around
it, `Reuse` doesn't ask again about images that haven't changed. `diffusion.guidance.Prediction`
then mixes the branches.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tincture.controls.joint import JointPalettes
from tincture.controls.options import Canvas
from tincture.controls.views import View, moving_views
from tincture.diffusion.draws import Streams, is_waited_for
from tincture.diffusion.guidance import Told, branch_weights
from tincture.models.denoiser import Conditions, Denoiser
from tincture.quantization.palettes.batch import PaletteBatch


class Branch(NamedTuple):
    """Conditions under which the denoiser is asked, and the weight of its answer."""

    conditions: Conditions
    weight: float

    def of_images(self, rows: slice, device: torch.device) -> "Branch":
        """The same for some of the images, on that device."""
        return self._replace(conditions=self.conditions[rows].to(device))


def guidance_branches(
    num_images: int,
    told: Told,
    negatives: Sequence[Told],
    luminance: Tensor | None,
    guidance_scale: float,
    negative_scale: float,
) -> list[Branch]:
    """The branches of `diffusion.guidance.branch_weights`, as conditions for ``num_images`` images.

    ``luminance`` is float ``[num_images, H, W]``, or none.
    """
    branches = []
    for each, weight in branch_weights(told, negatives, guidance_scale, negative_scale).items():
        labels = None if each.label is None else torch.full((num_images,), each.label)
        words = None if each.words is None else torch.tensor(each.words)[torch.arange(num_images) % len(each.words)]
        branches.append(Branch(Conditions(labels, luminance if each.luminance else None, words=words), weight))
    return branches


class Reuse:
    """A denoiser that isn't asked twice: images in which nothing changed keep their last logits.

    That is so on a CPU. A GPU is asked about all images each time, because nobody knows which ones
    changed without waiting for it.

    Args:
        denoise: (x_t ``[b, H, W]``, t ``[b]``, rows int64 ``[b]``) → logits ``[G, b, K, H, W]`` of
            these rows of the batch, from G branches.
        depends_on_time: whether the logits change with t alone.
    """

    def __init__(self, denoise: Callable[[Tensor, Tensor, Tensor], Tensor], depends_on_time: bool) -> None:
        self.denoise, self.depends_on_time = denoise, depends_on_time
        self.image_calls = 0
        self._rows = self._x_t = self._t = self._logits = None

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Logits ``[G, B, K, H, W]`` of the batch, by a call for those images that changed."""
        if self._rows is None:
            self._rows = torch.arange(len(x_t), device=x_t.device)
        rows = self._rows
        if self._logits is not None and not is_waited_for(x_t.device):
            changed = (x_t != self._x_t).flatten(1).any(dim=1)
            if self.depends_on_time:
                changed |= t != self._t
            rows = changed.nonzero()[:, 0]
        if len(rows) == len(x_t):
            self._logits = self.denoise(x_t, t, self._rows)
        elif len(rows) > 0:
            # A new tensor: whoever holds the last answer may still read it.
            self._logits = self._logits.index_copy(1, rows, self.denoise(x_t[rows], t[rows], rows))
        self.image_calls += len(rows)
        self._x_t, self._t = x_t, t
        return self._logits


class LateGuidance:
    """A denoiser that is asked under all branches of guidance only from a step on.

    Args:
        make: a `GuidedDenoiser` of one batch, by what it is told.
        phases: the branches before guidance begins, and those from then on.
        is_early: which steps come before, bool ``[steps]``.
        depends_on_time: as for `Reuse`.
    """

    def __init__(
        self,
        make: Callable[[Sequence[Conditions]], "GuidedDenoiser"],
        phases: Sequence[Sequence[Branch]],
        is_early: Tensor,
        depends_on_time: bool,
    ) -> None:
        self.weights = [[branch.weight for branch in branches] for branches in phases]
        self.phases = [Reuse(make([branch.conditions for branch in each]), depends_on_time) for each in phases]
        self.starts = int(is_early.sum())

    def __call__(self, x_t: Tensor, t: Tensor, step: int) -> tuple[Sequence[Tensor], Sequence[float]]:
        """Logits ``[B, K, H, W]`` of each branch of that step, and the branches' weights."""
        phase = step >= self.starts
        return self.phases[phase](x_t, t).unbind(0), self.weights[phase]

    @property
    def image_calls(self) -> int:
        """How many images the denoiser was asked about."""
        return sum(phase.image_calls for phase in self.phases)


class GuidedDenoiser:
    """A denoiser with all that was asked of one batch: palettes, conditions, wishes and layout.

    Args:
        denoiser: predicts clean entries.
        palette: one for each image.
        told: the conditions of each branch of guidance, maps in the picture's size.
        bias: float ``[B, K, H, W]`` in the picture's size; none for none.
        canvas: how the picture is laid out.
        tie: from the sampler's canvas to the picture; none if they are the same.
        streams: of the images; views that move draw from them.
        batch_size: pictures that the network sees at once.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        palette: PaletteBatch,
        told: Sequence[Conditions],
        bias: Tensor | None,
        canvas: Canvas,
        tie: View | None,
        streams: Streams,
        batch_size: int,
    ) -> None:
        self.denoiser, self.palette, self.told, self.bias = denoiser, palette, told, bias
        self.canvas, self.tie, self.streams, self.batch_size = canvas, tie, streams, batch_size

    def __call__(self, x_t: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        """Logits ``[G, b, K, h, w]`` of these ``rows`` of the batch, one for each branch."""
        palette, told, bias, streams = self.palette, self.told, self.bias, self.streams
        if len(rows) < len(streams):
            palette, streams, bias = palette[rows], streams[rows], None if bias is None else bias[rows]
            told = [conditions[rows] for conditions in told]
        # The way to the network: canvas → picture → what the network sees, with the maps of its
        # conditions.
        picture = x_t if self.tie is None else self.tie.show(x_t)
        looks = moving_views(self.canvas, *picture.shape[1:], streams)
        for look in looks:
            picture, told = look.show(picture), [_shown(conditions, look) for conditions in told]
        # The way back, for each branch.
        answers = []
        for conditions in told:
            logits = self._branch(picture, t, palette, conditions, looks)
            logits = logits if bias is None else logits + bias
            answers.append(logits if self.tie is None else self.tie.gather(logits))
        return torch.stack(answers)

    def _branch(self, picture: Tensor, t: Tensor, palette: PaletteBatch, told: Conditions, looks: list[View]) -> Tensor:
        """Logits ``[b, K, h, w]`` of one branch; ``picture`` holds all windows of each image."""
        images, windows = len(t), len(picture) // len(t)
        if windows > 1:
            whose = torch.arange(images, device=t.device).repeat_interleave(windows)
            t, palette = t[whose], palette[whose]
            told = replace(replace(told, luminance=None)[whose], luminance=told.luminance)
        # Windows take memory, so only as many images as fill a batch hold the logits of theirs at
        # once.
        at_once = max(self.batch_size // windows, 1)
        answers = []
        for first in range(0, images, at_once):
            group = _cut(slice(first * windows, (first + at_once) * windows), picture, t, palette, told)
            parts = range(0, len(group[0]), self.batch_size)
            asked = [_cut(slice(part, part + self.batch_size), *group) for part in parts]
            logits = torch.cat([self.denoiser(*each).float() for each in asked])
            for look in reversed(looks):
                logits = look.of_images(slice(first, first + at_once)).gather(logits)
            answers.append(logits)
        return torch.cat(answers)


def _cut(where: slice, *values: Any) -> tuple[Any, ...]:
    """That part of each value, all as they are if it is the whole."""
    is_whole = where.start == 0 and where.stop >= len(values[0])
    return values if is_whole else tuple(value[where] for value in values)


def _shown(conditions: Conditions, look: View) -> Conditions:
    luminance = conditions.luminance
    return replace(conditions, luminance=None if luminance is None else look.show(luminance))


class JointDenoiser:
    """A denoiser that looks at one drawing in several palettes at once.

    It answers with the geometric mean. So a drawing is likely where it is likely in every palette:
    a shade that one palette lacks isn't used to tell things apart, and a match of entries that
    looks bad in one palette is avoided. Where several entries of the drawing are one entry of a
    palette, that palette has no opinion which of them it is.

    Args:
        denoiser: predicts clean entries.
        joint: the palettes.
    """

    def __init__(self, denoiser: Denoiser, joint: JointPalettes) -> None:
        self.denoiser, self.palettes = denoiser, PaletteBatch.from_palettes(joint.palettes).to(denoiser.device)
        self.entries = torch.tensor(list(map(list, joint.entries)), device=denoiser.device)  # [P, K]

    def __call__(self, x_t: Tensor, t: Tensor, palette: PaletteBatch, conditions: Conditions) -> Tensor:
        """Logits ``[B, K, H, W]`` in the drawing's palette; arguments as for `Denoiser.forward`."""
        # Show the drawings in each palette: entry k becomes the palette's own, the mask stays the
        # mask.
        count = len(self.entries)
        mask = torch.full((count, 1), self.palettes.mask_index, device=x_t.device)
        table = torch.cat([self.entries, mask], dim=1)  # [P, K + 1]
        shown = table[:, x_t]  # [P, B, H, W]
        whose = torch.arange(count, device=x_t.device).repeat_interleave(len(x_t))
        rows = torch.arange(len(x_t), device=x_t.device).repeat(count)
        logits = self.denoiser(shown.flatten(0, 1), t[rows], self.palettes[whose], conditions[rows])
        logits = logits.float().log_softmax(dim=1).unflatten(0, (count, -1))  # [P, B, L, H, W]
        # Back to the drawing's entries: those that are one entry of a palette share its probability
        # evenly.
        alike = torch.zeros(count, logits.shape[2], device=x_t.device)
        alike.scatter_add_(1, self.entries, torch.ones_like(self.entries, dtype=alike.dtype))
        each = self.entries[:, None, :, None, None].expand(-1, len(x_t), -1, *x_t.shape[1:])
        split = alike.gather(1, self.entries).log()[:, None, :, None, None]
        return (logits.gather(2, each) - split).mean(dim=0)  # [B, K, H, W]
