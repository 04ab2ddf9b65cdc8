"""Foreign palettes: the same picture in a palette that was not made for it.

A picture's own palette holds just the colors that it uses. A palette that a person gives holds others too, and lacks
some; a model that has seen only the first kind tries to use every entry of the second.
"""

import torch
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from .index_maps import Batch


def draw_foreign_palettes(pool: PaletteBatch, count: int, max_entries: int, no_transparency: float) -> PaletteBatch:
    """Make palettes out of the colors of a data set; randomness comes from torch's global generator.

    Half of them have the colors of another picture, half are mixed from all pictures' colors. Sizes are uniform from 2 to
    ``max_entries``. Entries may repeat: of a picture's 16 colors a palette of 16 entries has 12 on average.

    Args:
        pool: the palettes of a data set.
        count: how many to make.
        max_entries: the largest size.
        no_transparency: the share of palettes without a transparent entry; in the others it is entry 0.
    """
    opaque = pool.valid & (pool.colors[..., 3] > 0)
    picture = torch.randint(len(pool.valid), (count, 1)).expand(-1, max_entries)
    mixed = torch.randint(len(pool.valid), (count, max_entries))
    picture = picture.where(torch.rand(count, 1) < 0.5, mixed)
    # The n-th opaque entry of each picture, n random: entries sorted opaque first, n below their number.
    chosen = opaque[picture]  # [count, max_entries, K]
    order = chosen.int().argsort(dim=2, descending=True, stable=True)
    shuffled = torch.rand(count, max_entries).argsort(dim=1)
    entry = order.gather(2, (shuffled % chosen.sum(dim=2).clamp_min(1))[..., None])[..., 0]
    colors = pool.colors[picture, entry]
    transparent = torch.rand(count) >= no_transparency
    colors[transparent, 0] = 0
    sizes = torch.randint(2, max_entries + 1, (count, 1))
    return PaletteBatch(colors, torch.arange(max_entries) < sizes)


def recolor(x_0: Tensor, palette: PaletteBatch, target: PaletteBatch) -> Tensor:
    """Move index maps to other palettes: each entry goes to the nearest one in OKLab, transparent to transparent.

    Where the target has no transparent entry, transparency goes to its lightest entry, like paper.

    Args:
        x_0: int64 ``[B, H, W]``.
        palette: what they are drawn in, ``[B, K]``.
        target: where to, ``[B, L]``; each has an opaque entry.

    Returns:
        int64 ``[B, H, W]``, indices of ``target``.
    """
    lab, target_lab = palette.oklab(), target.oklab()
    distance = torch.cdist(lab, target_lab)  # [B, K, L]
    target_transparent = target.valid & (target.colors[..., 3] == 0)
    distance = distance.masked_fill((target_transparent | ~target.valid)[:, None, :], torch.inf)
    nearest = distance.argmin(dim=2)  # [B, K]
    lightest = target_lab[..., 0].masked_fill(target_transparent | ~target.valid, -torch.inf).argmax(dim=1)
    paper = torch.where(target_transparent.any(dim=1), target_transparent.int().argmax(dim=1), lightest)
    mapping = nearest.where(palette.colors[..., 3] > 0, paper[:, None])
    return mapping.gather(1, x_0.flatten(1)).view_as(x_0)


def with_foreign_palettes(batch: Batch, pool: PaletteBatch, probability: float, max_entries: int = 32) -> Batch:
    """Recolor each picture of ``batch`` with ``probability``; the others keep their palettes, padded as needed."""
    if probability == 0:
        return batch
    target = draw_foreign_palettes(pool, len(batch.x_0), max_entries, no_transparency=0.15)
    chosen = torch.rand(len(batch.x_0)) < probability
    padding = max(0, max_entries - batch.palette.mask_index)
    colors = torch.nn.functional.pad(batch.palette.colors, (0, 0, 0, padding))
    valid = torch.nn.functional.pad(batch.palette.valid, (0, padding))
    colors[chosen, :max_entries], valid[chosen] = target.colors[chosen], False
    valid[chosen, :max_entries] = target.valid[chosen]
    x_0 = batch.x_0.clone()
    x_0[chosen] = recolor(batch.x_0[chosen], batch.palette[chosen], target[chosen])
    return Batch(x_0, PaletteBatch(colors, valid), batch.labels)
