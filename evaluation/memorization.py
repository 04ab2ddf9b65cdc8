"""Memorization: how much of a drawn image agrees with its nearest training image, up to recoloring and small shifts."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor
from tqdm import tqdm

from tincture.data.index_maps import IndexMaps
from tincture.quantization.pictures.indexed_image import IndexedImage

from .bootstrap import Measured, subset_bootstrap

CHECK_EVERY = 16
"""Pixels after which it is asked whether a pair can still win."""
NEAR = (0.9, 0.95, 1.0)
"""Agreements that are counted besides: where many held-out images have a twin, no image can agree more than all but 1 % of them."""
FEWEST_HELDOUT = 99
"""Held-out images that a threshold needs: above the largest of fewer, more than 1 % of images that copy nothing would be."""
PAIRS = 16
"""How many pairs a picture of the closest ones shows."""


class NearestTraining(NamedTuple):
    """For each image, its nearest training image."""

    agreement: Tensor
    """The share of pixels that agree, float64 ``[N]``, at most 1: 1 is a copy up to recoloring and a shift."""
    row: Tensor
    """Which training image it is, the first on a tie, int64 ``[N]``."""


def nearest_training(indices: Tensor, training: Tensor, max_shift: int = 1, mirrored: bool = False) -> NearestTraining:
    """Find the training image that agrees most with each of ``indices``.

    Two index maps agree in as many pixels as the best translation of one's entries to the other's explains, in the
    worse of the two directions: recoloring one of two copies changes nothing, and a blank image agrees with another only
    as far as that is blank too.

    Args:
        indices: index maps, ``[N, H, W]``.
        training: index maps of the training set, ``[M, H, W]``.
        max_shift: shifts of up to so many pixels in each direction are tried; what leaves one side enters the other.
        mirrored: whether the images turned left to right are tried too, for a model that learned from such.
    """
    known = training.flatten(1).to(torch.uint8).numpy()
    offsets = range(-max_shift, max_shift + 1)
    best, rows = [], []
    for image in tqdm(indices.to(torch.uint8), desc="nearest training images", unit="image", leave=False):
        sides = (image, image.flip(1)) if mirrored else (image,)
        views = [side.roll((down, right), (0, 1)).flatten() for side in sides for down in offsets for right in offsets]
        agreement, row = _nearest(torch.stack(views).numpy(), known)
        best.append(agreement / image.numel())
        rows.append(row)
    return NearestTraining(torch.tensor(best, dtype=torch.float64), torch.tensor(rows))


@njit(cache=True, nogil=True)
def _nearest(shifted: np.ndarray, known: np.ndarray) -> tuple[int, int]:
    """The largest agreement in pixels of one image, ``[shifts, P]``, with ``known``, ``[M, P]``, and its row there.

    A translation explains as many pixels as the sum over entries of the commonest partner. Counting pixel by pixel, that
    sum grows by one whenever a count exceeds all others of its entry, so a pair that can't catch up any more is left. The
    increments are added rather than branched on: no processor can guess them.
    """
    pixels = known.shape[1]
    entries, known_entries = int(shifted.max()) + 1, int(known.max()) + 1
    together = np.zeros((entries, known_entries), np.int32)  # pixels with entries j and k
    commonest_there, commonest_back = np.zeros(entries, np.int32), np.zeros(known_entries, np.int32)
    best, row = -1, 0
    for m in range(len(known)):
        for shift in range(len(shifted)):
            there = back = seen = 0
            while seen < pixels and min(there, back) + pixels - seen > best:
                stop = min(seen + CHECK_EVERY, pixels)
                for p in range(seen, stop):
                    j, k = shifted[shift, p], known[m, p]
                    together[j, k] += 1
                    exceeds = np.int32(together[j, k] > commonest_there[j])
                    commonest_there[j] += exceeds
                    there += exceeds
                    exceeds = np.int32(together[j, k] > commonest_back[k])
                    commonest_back[k] += exceeds
                    back += exceeds
                seen = stop
            together[:] = 0
            commonest_there[:] = 0
            commonest_back[:] = 0
            if seen == pixels and min(there, back) > best:
                best, row = min(there, back), m
    return best, row


class Copies(NamedTuple):
    """How much drawn images agree with training images, beside held-out images, which no model can have copied."""

    median_agreement: Measured
    """Of the drawn images."""
    heldout_median_agreement: Measured
    heldout_99th_percentile: Measured | None
    """Of the held-out images' agreement: the threshold. None of fewer than `FEWEST_HELDOUT`."""
    share_above: Measured | None
    """Of the drawn images that agree more than that: much more than 1 % is copying. 0 where the threshold is 1."""
    near: tuple[Measured, ...]
    """The share of the drawn images that agree at least as much as each of `NEAR` says."""
    heldout_near: tuple[Measured, ...]
    """Of the held-out images: many more drawn ones are copying."""


def count_copies(drawn: Tensor, heldout: Tensor, replicates: int = 200, seed: int = 0) -> Copies:
    """Compare the agreement of drawn images with that of held-out ones.

    Args:
        drawn: agreement of drawn images, ``[N]``.
        heldout: agreement of held-out images, ``[M]``.
        replicates: subsets of both for the standard errors: the share's holds the threshold's own uncertainty.
        seed: of the subsets.
    """

    def statistics(drawn: Tensor, heldout: Tensor) -> Tensor:
        threshold = calibrated_threshold(heldout)
        above = (drawn > threshold).to(drawn.dtype).mean()
        near = [(side >= agreement).to(drawn.dtype).mean() for side in (drawn, heldout) for agreement in NEAR]
        return torch.stack([drawn.median(), heldout.median(), threshold, above, *near])

    estimate = subset_bootstrap(statistics, drawn.double(), heldout.double(), replicates=replicates, seed=seed)
    single = list(map(Measured, estimate.value.tolist(), estimate.stderr.tolist()))
    threshold, above = single[2:4] if len(heldout) >= FEWEST_HELDOUT else (None, None)
    return Copies(*single[:2], threshold, above, tuple(single[4 : 4 + len(NEAR)]), tuple(single[4 + len(NEAR) :]))


def calibrated_threshold(heldout: Tensor) -> Tensor:
    """What an image that copies nothing exceeds with a chance of at most 1 %, given the agreement of M held-out images, ``[M]``.

    The ⌈0.99 (M + 1)⌉-th smallest (split conformal prediction, Vovk et al. 2005); of fewer than `FEWEST_HELDOUT` the largest.
    """
    return heldout.kthvalue(min(len(heldout), math.ceil(0.99 * (len(heldout) + 1)))).values


def closest_pairs(
    images: Sequence[IndexedImage], found: NearestTraining, training: IndexMaps, pairs: int = PAIRS
) -> list[IndexedImage]:
    """The ``pairs`` images that agree most with a training image, then those training images in the same order."""
    closest = found.agreement.argsort(descending=True, stable=True)[:pairs].tolist()
    return [images[number] for number in closest] + training.pictures(found.row[closest])
