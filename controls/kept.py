"""The picture that a drawing starts from.

Kept pixels make it an inpainting or an outpainting; a picture that is only partly corrupted is
varied.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import Palette

from .options import STRENGTHS
from .views import View


@dataclass(frozen=True, eq=False)
class Init:
    """Index maps to start from.

    The absorbing process draws the other pixels given the kept ones, exactly. A process without a
    mask takes a kept pixel for a noisy one. It believes little of it while the noise is high, so
    its drawings fit the kept pixels only nearly.

    Args:
        indices: entries of the palettes that are drawn with, integers ``[H, W]`` for all images or
            ``[N, H, W]``.
        keep: which pixels are kept, bit for bit; bool of the same shape, or ``[H, W]``; none of
            them if left out.
        strength: the noise level to which the others are corrupted before the drawing begins, above
            0; at 1 they are drawn anew.

    Raises:
        InputError: a shape, a type or the strength is wrong, there is nothing to draw, or nothing
            to start from.
    """

    indices: Tensor
    keep: Tensor | None = None
    strength: float = 1.0

    def __post_init__(self) -> None:
        indices = torch.as_tensor(self.indices)
        if indices.is_floating_point() or indices.dtype == torch.bool or indices.ndim not in (2, 3):
            raise InputError(
                f"an initial image is integers [H, W] or [N, H, W], not {indices.dtype} {list(indices.shape)}"
            )
        indices = indices.view(-1, *indices.shape[-2:]).long()
        keep = torch.zeros_like(indices, dtype=torch.bool) if self.keep is None else torch.as_tensor(self.keep)
        if keep.dtype != torch.bool or keep.shape[-2:] != indices.shape[-2:] or keep.ndim not in (2, 3):
            raise InputError(f"keep is bool {list(indices.shape[-2:])}, not {keep.dtype} {list(keep.shape)}")
        keep = keep.view(-1, *keep.shape[-2:])
        if len(keep) not in (1, len(indices)) and len(indices) != 1:
            raise InputError(f"{len(keep)} masks for {len(indices)} initial images; give one, or one for each")
        STRENGTHS.check("the strength", self.strength)
        if keep.flatten(1).all(dim=1).any():
            raise InputError("every pixel of the initial image is kept: there is nothing to draw")
        if self.strength == 1 and not keep.any():
            raise InputError("nothing of the initial image would be left: keep some pixels, or lower the strength")
        object.__setattr__(self, "indices", indices)
        object.__setattr__(self, "keep", keep)

    def check(self, palettes: list[Palette], height: int, width: int) -> None:
        """Raise InputError if this doesn't fit images of that size, in these palettes."""
        count = max(len(self.indices), len(self.keep))
        if self.indices.shape[1:] != (height, width):
            have = "×".join(map(str, reversed(self.indices.shape[1:])))
            raise InputError(f"the initial image is {have} pixels; the picture to draw is {width}×{height}")
        if count not in (1, len(palettes)):
            raise InputError(f"{count} initial images for {len(palettes)} images; give one, or one for each")
        highest = self.indices.flatten(1).max(dim=1).values.expand(len(palettes))
        for index, palette in zip(highest.tolist(), palettes, strict=True):
            if not index < len(palette):
                raise InputError(f"the initial image holds the index {index}; the palette has {len(palette)} entries")
        if self.indices.min() < 0:
            raise InputError(f"the initial image holds the index {int(self.indices.min())}; entries start at 0")

    def on_canvas(self, images: slice, count: int, tie: View | None) -> tuple[Tensor, Tensor]:
        """Index maps and kept pixels of the part that is drawn, ``[count, h, w]`` each.

        A tie may show a pixel of that part several times in the picture. A kept one of these
        decides about it, else the first.

        Raises:
            InputError: tied pixels are kept with different entries.
        """
        indices, keep = (v.expand(count, -1, -1) if len(v) == 1 else v[images] for v in (self.indices, self.keep))
        if tie is None:
            return indices.clone(), keep
        # The highest and the lowest entry that is kept of each pixel: they must be the same.
        tie = tie.to(indices.device)
        height, width = tie.size
        shown = tie.source.flatten(1).expand(count, -1)
        kept = indices.where(keep, -1).flatten(1)
        highest = kept.new_full((count, height * width), -1).scatter_reduce(1, shown, kept, "amax")
        lowest = torch.full_like(highest, 256).scatter_reduce(1, shown, kept.where(kept >= 0, 256), "amin")
        if ((highest >= 0) & (highest != lowest)).any():
            raise InputError("the kept pixels are not symmetric, so they can't be kept in a mirrored picture")
        decided = highest.view(count, height, width)
        return indices[:, :height, :width].where(decided < 0, decided), decided >= 0
