"""Augmentation in training: other pictures that might as well have been in the data set.

All of a batch is changed at once, on its own device, by a number of tensor operations that doesn't
depend on how many pictures it has.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from tincture.quantization.color import oklab_to_srgb, srgb_to_oklab
from tincture.quantization.palettes.batch import PaletteBatch, on_black_and_white
from tincture.quantization.palettes.luminance import luminance_of_indices, round_to_levels

from .index_maps import Batch

Rand = Callable[..., Tensor]
"""All chance: ``rand(*shape)`` gives uniform numbers in [0, 1), float ``[B, *shape]``, new ones at
each call, on the device of the batch. Whoever cuts a batch lets each part have its numbers."""

JITTER_CHROMA, JITTER_LIGHTNESS = 0.3, 0.1
"""At a jitter of 1, the spreads of the factor on chroma (of its logarithm) and of lightness."""


def mirror(x_0: Tensor, probability: float, rand: Rand) -> tuple[Tensor, Tensor]:
    """Turn each of ``[B, H, W]`` left to right with ``probability``; says which, bool ``[B]``."""
    turned = rand(1, 1) < probability
    return torch.where(turned, x_0.flip(2), x_0), turned.flatten()


def shift(x_0: Tensor, most: int, rand: Rand) -> tuple[Tensor, Tensor]:
    """Move each index map, ``[B, H, W]``, by up to ``most`` pixels in both directions.

    The border's pixels are repeated. Also says how far down and to the right, int64 ``[B, 2]``.
    """
    batch, height, width = x_0.shape
    begins = whole(rand(2), 2 * most + 1) - most  # [B, 2]
    device = x_0.device
    rows = (torch.arange(height, device=device) + begins[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=device) + begins[:, 1:]).clamp(0, width - 1)
    moved = x_0[torch.arange(batch, device=device)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved, -begins


def jitter(palette: PaletteBatch, strength: float, rand: Rand) -> PaletteBatch:
    """Change all colors of a palette together, in OKLab.

    Their hue is turned by one angle, any angle at a strength of 1; their chroma is multiplied by
    one number, and one number is added to their lightness. Transparent entries stay as they are.
    """
    lab = palette.oklab()
    angle = strength * math.pi * (2 * rand(1).to(lab) - 1)
    normal = torch.special.ndtri(rand(2, 1).clamp_min(1e-9)).to(lab)  # [B, 2, 1]
    factor = (strength * JITTER_CHROMA * normal[:, 0]).exp()
    lightness = lab[..., 0] + strength * JITTER_LIGHTNESS * normal[:, 1]
    a, b = lab[..., 1], lab[..., 2]
    turned = [factor * (a * angle.cos() - b * angle.sin()), factor * (a * angle.sin() + b * angle.cos())]
    srgb = oklab_to_srgb(torch.stack([lightness.clamp(0, 1), *turned], dim=-1))
    colors = torch.cat([(255 * srgb).round().to(torch.uint8), palette.colors[..., 3:]], dim=-1)
    return PaletteBatch(colors.where(palette.colors[..., 3:] > 0, palette.colors), palette.valid)


def augment(batch: Batch, mirrored: float, shifted: int, jittered: float, rand: Rand) -> tuple[Batch, Tensor]:
    """Mirror with a probability, shift by up to so many pixels, jitter palettes with a strength.

    Returns:
        The changed batch, and float ``[B, 3]``: 1 where a picture was mirrored, and how far it was
        then moved down and to the right.
    """
    x_0, palette = batch.x_0, batch.palette
    changes = torch.zeros(len(x_0), 3, device=x_0.device)
    if mirrored > 0:
        x_0, changes[:, 0] = mirror(x_0, mirrored, rand)
    if shifted > 0:
        x_0, changes[:, 1:] = shift(x_0, shifted, rand)
    if jittered > 0:
        palette = jitter(palette, jittered, rand)
    return replace(batch, x_0=x_0, palette=palette), changes


def rounded_luminance(batch: Batch, rand: Rand) -> Tensor:
    """Luminance maps ``[B, H, W]`` as grey images of 4 to 256 levels give them."""
    # Few levels as often as many.
    levels = 2 ** (2 + whole(rand(), 7))
    return round_to_levels(luminance_of_indices(batch.x_0, batch.palette), levels)


def whole(numbers: Tensor, count: int) -> Tensor:
    """Uniform numbers in [0, 1) as whole numbers from 0 to ``count`` - 1, int64."""
    return (numbers * count).long().clamp_max(count - 1)


def opaque_first(palettes: PaletteBatch) -> PaletteBatch:
    """The opaque entries of each palette, in their order, as its only ones."""
    opaque = palettes.valid & (palettes.colors[..., 3] > 0)
    order = opaque.int().argsort(dim=1, descending=True, stable=True)
    return PaletteBatch(palettes.colors.gather(1, order[..., None].expand(-1, -1, 4)), opaque.gather(1, order))


def draw_foreign_colors(pool: PaletteBatch, entries: int, rand: Rand) -> Tensor:
    """Draw opaque colors, uint8 ``[B, entries, 4]``, as `draw_foreign_palettes` says."""
    pictures = whole(rand(1 + entries), len(pool.valid))  # one for a whole palette, or one for each entry
    picture = pictures[:, :1].where(rand(1) < 0.5, pictures[:, 1:])  # [B, entries]
    shuffled = rand(entries).argsort(dim=1)
    return pool.colors[picture, shuffled % pool.sizes.clamp_min(1)[picture]]


def draw_foreign_palettes(pool: PaletteBatch, max_entries: int, no_transparency: float, rand: Rand) -> PaletteBatch:
    """Make palettes out of the colors of a data set.

    Half of them have the colors of another picture, half are mixed from all pictures' colors. Sizes
    are uniform from 2 to ``max_entries``. Entries may repeat: of a picture's 16 colors, a palette
    of 16 entries has 12 on average.

    Args:
        pool: the palettes of a data set, `opaque_first`.
        max_entries: the largest size.
        no_transparency: the share of palettes without a transparent entry; in the others it is
            entry 0.
        rand: draws for as many palettes as shall be made.
    """
    colors = draw_foreign_colors(pool, max_entries, rand)
    transparent = rand(1) >= no_transparency
    colors[:, 0] = colors[:, 0].where(~transparent, 0)
    sizes = 2 + whole(rand(1), max_entries - 1)
    return PaletteBatch(colors, torch.arange(max_entries, device=colors.device) < sizes)


def with_unused_entries(batch: Batch, pool: PaletteBatch, probability: float, most: int, rand: Rand) -> Batch:
    """Give each palette of ``batch``, with ``probability``, colors of other pictures, too.

    A picture uses up its own palette, and a model that has seen nothing else uses up the palettes
    that people give. The picture stays as it is. Its palette gets 1 to ``most`` entries more, less
    those that it has already: nobody could tell which of two equal entries a picture uses.

    Args:
        batch: pictures of a data set. All palettes come back padded by ``most`` entries more.
        pool: its palettes, `opaque_first`, of which the colors are (`draw_foreign_palettes`).
        probability: 0 to 1.
        most: entries, at least 1.
        rand: of all chance.
    """
    if probability == 0:
        return batch
    own, foreign = batch.palette, draw_foreign_colors(pool, most, rand)
    known = (foreign[:, :, None] == own.colors[:, None]).all(dim=3) & own.valid[:, None]  # [B, most, K]
    number = (1 + whole(rand(1), most)) * (rand(1) < probability)
    unused = (torch.arange(most, device=own.valid.device) < number) & ~known.any(dim=2)
    palette = PaletteBatch(torch.cat([own.colors, foreign], dim=1), torch.cat([own.valid, unused], dim=1))
    return replace(batch, palette=palette)


def to_nearest_entries(x_0: Tensor, palette: PaletteBatch, target: PaletteBatch) -> Tensor:
    """Move index maps to other palettes: each entry goes to the nearest one in OKLab and alpha.

    In a coarse palette that need not be the one that `quantization.metric` takes, which looks at
    each palette on the CPU: a step of training has no time for that.

    Transparency goes to the target's transparent entry or, where it has none, to its lightest, like
    paper.

    Args:
        x_0: int64 ``[B, H, W]``.
        palette: what they are drawn in, ``[B, K]``.
        target: where to, ``[B, L]``; each has an opaque entry.

    Returns:
        int64 ``[B, H, W]``, indices of ``target``.
    """
    both = torch.cat([palette.colors, target.colors], dim=1)
    oklab, sizes = srgb_to_oklab(both[..., :3]), [palette.mask_index, target.mask_index]
    points, target_points = on_black_and_white(oklab, both[..., 3]).split(sizes, dim=1)
    transparent = target.valid & (target.colors[..., 3] == 0)
    no_color = transparent | ~target.valid  # [B, L]
    distance = torch.cdist(points, target_points).masked_fill(no_color[:, None, :], torch.inf)  # [B, K, L]
    nearest = distance.argmin(dim=2)  # [B, K]
    lightest = oklab[:, palette.mask_index :, 0].masked_fill(no_color, -torch.inf).argmax(dim=1)
    paper = torch.where(transparent.any(dim=1), transparent.int().argmax(dim=1), lightest)
    mapping = nearest.where(palette.colors[..., 3] > 0, paper[:, None])
    return mapping.gather(1, x_0.flatten(1)).view_as(x_0)


def with_foreign_palettes(
    batch: Batch, pool: PaletteBatch, probability: float, rand: Rand, max_entries: int = 32
) -> Batch:
    """Draw each picture of ``batch``, with ``probability``, in a palette that was not made for it.

    A picture's own palette holds just the colors that it uses. A palette that a person gives holds
    others too, and lacks some. A model that has seen only the first kind tries to use every entry
    of the second. Pictures that aren't chosen keep their palettes, padded as needed.

    Args:
        batch: pictures of a data set.
        pool: its palettes, `opaque_first`, from which the foreign ones are made.
        probability: 0 to 1.
        rand: of all chance.
        max_entries: of a foreign palette.
    """
    if probability == 0:
        return batch
    target = draw_foreign_palettes(pool, max_entries, 0.15, rand)
    # Everything is computed for all pictures: to pick some out, a GPU would have to be waited for.
    chosen = rand(1, 1) < probability
    size = max(max_entries, batch.palette.mask_index)
    own, foreign = batch.palette.padded(size), target.padded(size)
    x_0 = to_nearest_entries(batch.x_0, batch.palette, target).where(chosen, batch.x_0)
    colors, valid = foreign.colors.where(chosen, own.colors), foreign.valid.where(chosen[:, 0], own.valid)
    return replace(batch, x_0=x_0, palette=PaletteBatch(colors, valid))
