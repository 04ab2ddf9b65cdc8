"""A denoiser that looks at one drawing in several palettes at once."""

import torch
from torch import Tensor

from tincture.controls.joint import JointPalettes
from tincture.models.denoiser import Conditions, Denoiser
from tincture.quantization.palettes.batch import PaletteBatch


class JointDenoiser:
    """Answers with the geometric mean of what the denoiser says about the drawing in each palette.

    So a drawing is likely where it is likely in every one of them: a shade that one palette lacks isn't used to tell
    things apart, and a match of entries that one palette makes ugly is avoided. Where several entries of the drawing are
    one entry of a palette, that palette has no opinion which of them it is.

    Args:
        denoiser: predicts clean entries.
        joint: the palettes.
    """

    def __init__(self, denoiser: Denoiser, joint: JointPalettes) -> None:
        self.denoiser, self.palettes = denoiser, PaletteBatch.from_palettes(joint.palettes).to(denoiser.device)
        self.entries = torch.tensor(list(map(list, joint.entries)), device=denoiser.device)  # [P, K]

    def __call__(self, x_t: Tensor, t: Tensor, palette: PaletteBatch, conditions: Conditions) -> Tensor:
        """Logits ``[B, K, H, W]`` for the drawings; arguments as for `Denoiser.forward`, with the drawing's palette."""
        count = len(self.entries)
        mask = torch.full((count, 1), self.palettes.mask_index, device=x_t.device)
        table = torch.cat([self.entries, mask], dim=1)  # [P, K + 1]
        shown = table[:, x_t]  # [P, B, H, W]
        whose = torch.arange(count, device=x_t.device).repeat_interleave(len(x_t))
        rows = torch.arange(len(x_t), device=x_t.device).repeat(count)
        logits = self.denoiser(shown.flatten(0, 1), t[rows], self.palettes[whose], conditions[rows])
        logits = logits.float().log_softmax(dim=1).unflatten(0, (count, -1))  # [P, B, L, H, W]
        alike = torch.zeros(count, logits.shape[2], device=x_t.device)
        alike.scatter_add_(1, self.entries, torch.ones_like(self.entries, dtype=alike.dtype))
        each = self.entries[:, None, :, None, None].expand(-1, len(x_t), -1, *x_t.shape[1:])
        split = alike.gather(1, self.entries).log()[:, None, :, None, None]
        return (logits.gather(2, each) - split).mean(dim=0)
