"""Memorization: how much of a drawn image agrees with its nearest training image, up to recoloring and small shifts."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from tqdm import tqdm


class NearestTraining(NamedTuple):
    """For each image, its nearest training image."""

    agreement: Tensor
    """The share of pixels that agree, float ``[N]``, at most 1: 1 is a copy up to recoloring and a shift."""
    row: Tensor
    """Which training image it is, int64 ``[N]``."""


def nearest_training(indices: Tensor, training: Tensor, max_shift: int = 1) -> NearestTraining:
    """Find the training image that agrees most with each of ``indices``.

    Two index maps agree in as many pixels as the best translation of one's entries to the other's explains, in the
    worse of the two directions: recoloring one of two copies changes nothing, and a blank image agrees with no other.

    Args:
        indices: index maps, ``[N, H, W]``.
        training: index maps of the training set, ``[M, H, W]``.
        max_shift: shifts of up to so many pixels in each direction are tried; what leaves one side enters the other.
    """
    entries = int(training.max()) + 1
    known = rearrange(F.one_hot(training.long(), entries).float(), "m h w k -> (h w) (m k)")  # [H W, M K]
    best, rows = [], []
    for image in tqdm(indices.long(), desc="nearest training images", unit="image", leave=False):
        agreement = torch.zeros(len(training))
        for down in range(-max_shift, max_shift + 1):
            for right in range(-max_shift, max_shift + 1):
                one_hot = rearrange(F.one_hot(image.roll((down, right), (0, 1))).float(), "h w j -> j (h w)")
                together = rearrange(one_hot @ known, "j (m k) -> m j k", k=entries)  # pixels with entries j and k
                there, back = together.amax(dim=2).sum(dim=1), together.amax(dim=1).sum(dim=1)
                agreement = torch.maximum(agreement, torch.minimum(there, back))
        best.append(agreement.max() / image.numel())
        rows.append(agreement.argmax())
    return NearestTraining(torch.stack(best), torch.stack(rows))
