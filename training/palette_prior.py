"""Fit the prior over palettes to a model's bank, in a minute or so."""

import math

import torch
from torch import Tensor
from tqdm import tqdm

from tincture.data.augmentation import jitter
from tincture.diffusion.draws import mixed_seed
from tincture.models.palette_prior import PalettePrior
from tincture.models.palette_sets import BITS, CODING_ORDER, VALUES, Known, coded, keys_of
from tincture.models.text import PADDING, TextEncoder
from tincture.pipelines.palette_bank import PaletteBank
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette

from .optimizers import ExponentialAverage, learning_rate_factor, muon, set_learning_rates
from .run_config import TrainConfig

STEPS = TrainConfig.palette_prior_steps
"""If nobody says how many."""

PALETTES, COLORS = 64, 2048
"""In a step, at most, if all palettes had the entries of the largest."""

CHANGED, KEPT, THINNED, HIDDEN, HIDDEN_WORDS = 0.4, 0.25, 0.1, 0.3, 0.1
"""How often a palette's colors are jittered; some are kept; some are left out; its class, and as
often its caption, isn't told; each word of a caption isn't."""

ALIKE = 8
"""Times as many palettes as a step has, of which it has some of about one size."""

JOINED_EVERY = 10
"""Steps between those that learn from several palettes in one, as many as `MAX_ENTRIES` hold."""


def fit_palette_prior(
    bank: PaletteBank, num_classes: int = 0, text: TextEncoder | None = None, steps: int = STEPS, seed: int = 0
) -> PalettePrior:
    """Fit a prior to the palettes that a model has learned from.

    Args:
        bank: its training side is learned from.
        num_classes: classes of its labels; 0 for none.
        text: what the words of the bank mean; none for a prior that is told no words.
        steps: of 64 palettes each; 200 take half a minute on a CPU.
        seed: of all chance.

    Returns:
        The prior with averaged weights, on the CPU.
    """
    palettes = PaletteBatch(bank.colors, bank.valid)
    is_soft = (palettes.valid & (palettes.colors[..., 3] > 0) & (palettes.colors[..., 3] < 255)).any(dim=1)
    rows = (~bank.heldout & ~is_soft & palettes.valid.any(dim=1)).nonzero()[:, 0].cpu()
    word_channels = 0 if text is None or not bank.config.caption_words else text.vectors.shape[1]
    config = TrainConfig()
    with torch.random.fork_rng():
        torch.manual_seed(mixed_seed(seed, len(rows)))
        prior = PalettePrior(num_classes=num_classes, word_channels=word_channels)
        average, optimizers = ExponentialAverage(prior, config.ema_decay), muon(prior, config)
        size = max(1, min(PALETTES, COLORS // palettes.mask_index))
        for step in tqdm(range(steps if len(rows) else 0), desc="fitting the prior over palettes", leave=False):
            set_learning_rates(optimizers, learning_rate_factor(step / steps, config.warmup))
            # Palettes of about one size, so that few places are empty.
            drawn = rows[torch.randint(len(rows), (ALIKE * size,))]
            first = int(torch.randint((ALIKE - 1) * size + 1, ()))
            some = drawn[palettes.sizes[drawn].argsort()][first : first + size]
            joined = 2 ** (1 + step // JOINED_EVERY % 4) if step % JOINED_EVERY == JOINED_EVERY - 1 else 1
            entries, known = _examples(palettes[some], _told(bank, some, num_classes, text), joined)
            for optimizer in optimizers:
                optimizer.zero_grad()
            (prior.bits(entries, known).sum() / known.counts.sum().clamp_min(1)).backward()
            torch.nn.utils.clip_grad_norm_(prior.parameters(), config.clip_norm)
            for optimizer in optimizers:
                optimizer.step()
            average.update_parameters(prior)
    return average.module.eval()


@torch.inference_mode()
def heldout_palette_bytes(prior: PalettePrior, bank: PaletteBank) -> tuple[float, float]:
    """Bytes of a held-out palette as a set, told nothing: mean and standard error.

    Not a number where there are fewer than two palettes to measure on.
    """
    rows = bank.heldout.nonzero()[:, 0].tolist()
    palettes = [Palette(bank.colors[row][bank.valid[row]].cpu().numpy()) for row in rows]
    palettes = [palette for palette in palettes if not palette.is_soft]
    parts = (palettes[first : first + PALETTES] for first in range(0, len(palettes), PALETTES))
    lengths = torch.cat([torch.zeros(0), *(prior.bits(*coded(part)) / 8 for part in parts)])
    return lengths.mean().item(), lengths.std().item() / math.sqrt(max(len(lengths), 1))


def _told(bank: PaletteBank, rows: Tensor, num_classes: int, text: TextEncoder | None) -> dict[str, Tensor]:
    """The class and the words of these palettes, some of them hidden."""
    labels = bank.labels[rows].clamp(0, num_classes)
    told = {"labels": labels.masked_fill(torch.rand(len(rows)) < HIDDEN, num_classes)}
    if text is not None and bank.config.caption_words:
        words = bank.words[rows].long()
        hidden = (torch.rand(len(rows), 1) < HIDDEN) | (torch.rand(words.shape) < HIDDEN_WORDS)
        words = words.masked_fill(hidden, PADDING).to(text.letters.device)
        told["words"] = text.vectors_of(words).detach().float().cpu()
    return told


def _examples(palettes: PaletteBatch, told: dict[str, Tensor], joined: int) -> tuple[Tensor, Known]:
    """What to learn from: some palettes changed, thinned, joined, or kept in part."""
    changed = torch.rand(len(palettes.valid)) < CHANGED
    others = jitter(palettes, 1.0, lambda *shape: torch.rand(len(changed), *shape))
    colors = others.colors.where(changed[:, None, None], palettes.colors).long()
    transparent = ((colors[..., 3] == 0) & palettes.valid).any(dim=1)

    # Sets of keys, [B, N], in ascending order; `none` stands after the last.
    none = VALUES**3
    keys = keys_of(colors[..., CODING_ORDER]).where(palettes.valid & (colors[..., 3] > 0), none)
    if joined > 1:  # those that are told something else follow as one of the first's
        count = len(keys) // joined
        keys = keys[: count * joined].view(count, -1)[:, : MAX_ENTRIES - 1]
        changed, transparent, told = changed[:count], transparent[:count], {}
    keys = _distinct(keys, none)
    share = torch.rand(len(keys), 1) * (torch.rand(len(keys), 1) < THINNED)
    gone = torch.rand(keys.shape) < share
    gone[:, 0] = False
    keys = keys.masked_fill(gone, none).sort(dim=1).values
    share = torch.rand(len(keys), 1) * (torch.rand(len(keys), 1) < KEPT)
    is_kept = (torch.rand(keys.shape) < share) & (keys < none)

    rest, kept = keys.masked_fill(is_kept, none), keys.masked_fill(~is_kept, none)
    entries, kept = (_colors(part, none) for part in (rest, kept))
    sizes = (keys < none).sum(dim=1) + transparent
    return entries.clamp_min(0), Known(sizes, transparent, kept, changed=changed, **told)


def _distinct(keys: Tensor, none: int) -> Tensor:
    keys = keys.sort(dim=1).values
    keys[:, 1:] = keys[:, 1:].where(keys[:, 1:] != keys[:, :-1], none)
    return keys.sort(dim=1).values


def _colors(keys: Tensor, none: int) -> Tensor:
    """The colors of keys ``[B, N]``, those that are there first; -1 for none; ``[B, M, 3]``."""
    keys = keys.sort(dim=1).values
    keys = keys[:, : int((keys < none).sum(dim=1).max())]
    colors = torch.stack([keys >> 2 * BITS, keys >> BITS & VALUES - 1, keys & VALUES - 1], dim=2)
    return colors.where(keys[..., None] < none, -1)
