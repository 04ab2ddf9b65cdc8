"""Augmentation in training: other pictures that might as well have been in the data set.

Randomness comes from torch's global generator.
"""

import math

import torch
from torch import Tensor

from tincture.quantization.color import oklab_to_srgb
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.luminance import luminance_of_indices, round_to_levels

from .index_maps import Batch

JITTER_CHROMA, JITTER_LIGHTNESS = 0.3, 0.1
"""At a jitter of 1, the spreads of the factor on chroma (of its logarithm) and of lightness."""


def mirror(x_0: Tensor, probability: float) -> tuple[Tensor, Tensor]:
    """Turn each of ``[B, H, W]`` left to right with ``probability``; says which, bool ``[B]``."""
    turned = torch.rand(len(x_0), 1, 1) < probability
    return torch.where(turned, x_0.flip(2), x_0), turned.flatten()


def shift(x_0: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Move each index map, ``[B, H, W]``, by up to ``most`` pixels in both directions.

    The border's pixels are repeated. Also says how far down and to the right, int64 ``[B, 2]``.
    """
    batch, height, width = x_0.shape
    begins = torch.randint(-most, most + 1, (2, batch, 1))
    rows = (torch.arange(height) + begins[0]).clamp(0, height - 1)
    columns = (torch.arange(width) + begins[1]).clamp(0, width - 1)
    moved = x_0[torch.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved, -begins[..., 0].T


def jitter(palette: PaletteBatch, strength: float) -> PaletteBatch:
    """Change all colors of a palette together, in OKLab.

    Their hue is turned by one angle, any angle at a strength of 1; their chroma is multiplied by
    one number, and one number is added to their lightness. Transparent entries stay as they are.
    """
    lab = palette.oklab()
    count = len(lab)
    angle = strength * math.pi * (2 * torch.rand(count, 1) - 1)
    factor = (strength * JITTER_CHROMA * torch.randn(count, 1)).exp()
    lightness = lab[..., 0] + strength * JITTER_LIGHTNESS * torch.randn(count, 1)
    a, b = lab[..., 1], lab[..., 2]
    turned = [factor * (a * angle.cos() - b * angle.sin()), factor * (a * angle.sin() + b * angle.cos())]
    srgb = oklab_to_srgb(torch.stack([lightness.clamp(0, 1), *turned], dim=-1))
    colors = torch.cat([(255 * srgb).round().to(torch.uint8), palette.colors[..., 3:]], dim=-1)
    return PaletteBatch(colors.where(palette.colors[..., 3:] > 0, palette.colors), palette.valid)


def augment(batch: Batch, mirrored: float, shifted: int, jittered: float) -> tuple[Batch, Tensor]:
    """Mirror with a probability, shift by up to so many pixels, jitter palettes with a strength.

    Returns:
        The changed batch, and float ``[B, 3]``: 1 where a picture was mirrored, and how far it was
        then moved down and to the right.
    """
    x_0, palette = batch.x_0, batch.palette
    changes = torch.zeros(len(x_0), 3)
    if mirrored > 0:
        x_0, changes[:, 0] = mirror(x_0, mirrored)
    if shifted > 0:
        x_0, changes[:, 1:] = shift(x_0, shifted)
    if jittered > 0:
        palette = jitter(palette, jittered)
    return Batch(x_0, palette, batch.labels), changes


def rounded_luminance(batch: Batch) -> Tensor:
    """Luminance maps ``[B, H, W]`` as grey images of 4 to 256 levels give them."""
    # Few levels as often as many.
    levels = 2 ** torch.randint(2, 9, (len(batch.x_0),), device=batch.x_0.device)
    return round_to_levels(luminance_of_indices(batch.x_0, batch.palette), levels)


def draw_foreign_palettes(pool: PaletteBatch, count: int, max_entries: int, no_transparency: float) -> PaletteBatch:
    """Make palettes out of the colors of a data set.

    Half of them have the colors of another picture, half are mixed from all pictures' colors. Sizes
    are uniform from 2 to ``max_entries``. Entries may repeat: of a picture's 16 colors, a palette
    of 16 entries has 12 on average.

    Args:
        pool: the palettes of a data set.
        count: how many to make.
        max_entries: the largest size.
        no_transparency: the share of palettes without a transparent entry; in the others it is
            entry 0.
    """
    opaque = pool.valid & (pool.colors[..., 3] > 0)
    picture = torch.randint(len(pool.valid), (count, 1)).expand(-1, max_entries)
    mixed = torch.randint(len(pool.valid), (count, max_entries))
    picture = picture.where(torch.rand(count, 1) < 0.5, mixed)
    # The n-th opaque entry of each picture, n random: entries sorted opaque first, n below their
    # number.
    chosen = opaque[picture]  # [count, max_entries, K]
    order = chosen.int().argsort(dim=2, descending=True, stable=True)
    shuffled = torch.rand(count, max_entries).argsort(dim=1)
    entry = order.gather(2, (shuffled % chosen.sum(dim=2).clamp_min(1))[..., None])[..., 0]
    colors = pool.colors[picture, entry]
    transparent = torch.rand(count) >= no_transparency
    colors[transparent, 0] = 0
    sizes = torch.randint(2, max_entries + 1, (count, 1))
    return PaletteBatch(colors, torch.arange(max_entries) < sizes)


def to_nearest_entries(x_0: Tensor, palette: PaletteBatch, target: PaletteBatch) -> Tensor:
    """Move index maps to other palettes: each entry goes to the nearest one, as in encoding.py.

    Transparency goes to the target's transparent entry or, where it has none, to its lightest, like
    paper.

    Args:
        x_0: int64 ``[B, H, W]``.
        palette: what they are drawn in, ``[B, K]``.
        target: where to, ``[B, L]``; each has an opaque entry.

    Returns:
        int64 ``[B, H, W]``, indices of ``target``.
    """
    transparent = target.valid & (target.colors[..., 3] == 0)
    no_color = transparent | ~target.valid  # [B, L]
    distance = target.squared_distances(palette.oklab(), ~no_color)  # [B, L, K]
    nearest = distance.masked_fill(no_color[..., None], torch.inf).argmin(dim=1)  # [B, K]
    lightest = target.oklab()[..., 0].masked_fill(no_color, -torch.inf).argmax(dim=1)
    paper = torch.where(transparent.any(dim=1), transparent.int().argmax(dim=1), lightest)
    mapping = nearest.where(palette.colors[..., 3] > 0, paper[:, None])
    return mapping.gather(1, x_0.flatten(1)).view_as(x_0)


def with_foreign_palettes(batch: Batch, pool: PaletteBatch, probability: float, max_entries: int = 32) -> Batch:
    """Draw each picture of ``batch``, with ``probability``, in a palette that was not made for it.

    A picture's own palette holds just the colors that it uses. A palette that a person gives holds
    others too, and lacks some. A model that has seen only the first kind tries to use every entry
    of the second. Pictures that aren't chosen keep their palettes, padded as needed.

    Args:
        batch: pictures of a data set.
        pool: its palettes, from which the foreign ones are made.
        probability: 0 to 1.
        max_entries: of a foreign palette.
    """
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
    x_0[chosen] = to_nearest_entries(batch.x_0[chosen], batch.palette[chosen], target[chosen])
    return Batch(x_0, PaletteBatch(colors, valid), batch.labels)
