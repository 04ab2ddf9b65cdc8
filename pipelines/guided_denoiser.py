"""A denoiser with everything that was asked of it bound: palettes, conditions, wishes, and how it sees the canvas."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tincture.controls.views import Canvas, View
from tincture.models.denoiser import Conditions, Denoiser
from tincture.quantization.palettes.batch import PaletteBatch


class GuidedDenoiser:
    """What `diffusion.reuse.Reuse` calls, for one batch of images.

    The sampler's canvas becomes the picture (a mirrored canvas unfolds), the picture becomes what the network sees now
    (moved, or in windows). Its answers go the way back; the bias joins them at the picture, where people ask for things.

    Args:
        denoiser: predicts clean entries.
        palette: one for each image.
        told: the conditions of each branch of guidance, maps in the picture's size.
        bias: float ``[B, K, H, W]`` in the picture's size; none for none.
        canvas: how the picture is laid out.
        tie: from the sampler's canvas to the picture; none if they are the same.
        generators: of the images; views that move draw from them.
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
        generators: Sequence[torch.Generator],
        batch_size: int,
    ) -> None:
        self.denoiser, self.palette, self.told, self.bias = denoiser, palette, told, bias
        self.canvas, self.tie, self.generators, self.batch_size = canvas, tie, generators, batch_size

    def __call__(self, x_t: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        """Logits ``[G, b, K, h, w]`` of these ``rows`` of the batch, one for each branch."""
        picture = x_t if self.tie is None else self.tie.show(x_t)
        generators = [self.generators[row] for row in rows.tolist()]
        looks = [look.to(x_t.device) for look in self.canvas.looks(*picture.shape[1:], generators, len(rows))]
        told = [conditions[rows] for conditions in self.told]
        for look in looks:
            picture, told = look.show(picture), [_shown(conditions, look) for conditions in told]
        return torch.stack([self._branch(picture, t, rows, conditions, looks) for conditions in told])

    def _branch(self, picture: Tensor, t: Tensor, rows: Tensor, told: Conditions, looks: list[View]) -> Tensor:
        """Logits for one branch. Of several windows only those of as many images are held at once as fill a batch."""
        each = len(picture) // len(rows)
        at_once = max(self.batch_size // each, 1)
        answers = []
        for first in range(0, len(rows), at_once):
            images = slice(first, min(first + at_once, len(rows)))
            logits = self._asked(picture, t, rows, told, images, each)
            for look in reversed(looks):
                logits = look.of_images(images).gather(logits)
            answers.append(logits)
        logits = torch.cat(answers)
        logits = logits if self.bias is None else logits + self.bias[rows]
        return logits if self.tie is None else self.tie.gather(logits)

    def _asked(self, picture: Tensor, t: Tensor, rows: Tensor, told: Conditions, images: slice, each: int) -> Tensor:
        """The network's answers about all pictures of some images, each of which has ``each``."""
        whose = torch.arange(images.start, images.stop, device=rows.device).repeat_interleave(each)
        pieces = []
        for some in torch.arange(images.start * each, images.stop * each, device=rows.device).split(self.batch_size):
            of = whose[some - images.start * each]
            conditions = Conditions(
                None if told.class_labels is None else told.class_labels[of],
                None if told.luminance is None else told.luminance[some],
            )
            pieces.append(self.denoiser(picture[some], t[of], self.palette[rows[of]], conditions).float())
        return torch.cat(pieces)


def _shown(conditions: Conditions, look: View) -> Conditions:
    luminance = conditions.luminance
    return Conditions(conditions.class_labels, None if luminance is None else look.show(luminance))
