"""Copies: how much of a drawn image agrees with its nearest training image.

Images are compared up to recoloring and small shifts.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from tincture.common.kernels import kernel
from tincture.data.index_maps import IndexMaps
from tincture.quantization.pictures.indexed_image import IndexedImage

from .bootstrap import Measured, subset_bootstrap

CHECK_EVERY = 16
"""Pixels after which the search asks whether a pair can still win."""
NEAR = (0.9, 0.95, 1.0)
"""Agreements that are counted as well. Where many held-out images have a twin in the training set,
the threshold is 1, and no image is above it."""
FEWEST_HELDOUT = 99
"""How many held-out images a threshold needs. With fewer, more than 1 % of the images that copy
nothing would be above the largest of them."""
PAIRS = 16
"""How many pairs the picture of the closest ones shows."""


class NearestTraining(NamedTuple):
    """For each image, its nearest training image."""

    agreement: Tensor
    """The share of pixels that agree, float64 ``[N]``: 1 is a copy up to recoloring and a shift."""
    row: Tensor
    """Which training image it is, int64 ``[N]``; the first one on a tie."""


def nearest_training(indices: Tensor, training: Tensor, max_shift: int = 1, mirrored: bool = False) -> NearestTraining:
    """Find the training image that agrees most with each of ``indices``.

    The best translation of one index map's entries to the other's explains some of the pixels. Two
    maps agree in that many, in the worse of the two directions. So recoloring a copy changes
    nothing, and a blank image agrees with another only as far as that is blank too.

    Args:
        indices: index maps, ``[N, H, W]``.
        training: index maps of the training set, ``[M, H, W]``.
        max_shift: shifts of up to so many pixels in each direction are tried; what leaves one side
            enters the other.
        mirrored: whether mirrored images are tried too, for a model that learned from such.
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


def places_by_size(images: Sequence[IndexedImage]) -> dict[tuple[int, int], list[int]]:
    """Where the images of each height and width stand."""
    places: dict[tuple[int, int], list[int]] = {}
    for place, image in enumerate(images):
        places.setdefault(image.indices.shape, []).append(place)
    return places


def nearest_of_their_size(
    images: Sequence[IndexedImage], training: IndexMaps, max_shift: int = 1, mirrored: bool = False
) -> NearestTraining:
    """Find the `nearest_training` image of each image among those of its own size.

    An image of a size that the training set lacks agrees with none.
    """
    found = NearestTraining(torch.zeros(len(images), dtype=torch.float64), torch.zeros(len(images), dtype=torch.long))
    known = training.rows_by_size()
    for (height, width), places in places_by_size(images).items():
        if height == width and height in known:
            rows = known[height]
            indices = torch.from_numpy(np.stack([images[place].indices for place in places]))
            nearest = nearest_training(indices, training.subset(rows).indices, max_shift, mirrored)
            found.agreement[places], found.row[places] = nearest.agreement, rows[nearest.row]
    return found


@kernel
def _nearest(shifted: np.ndarray, known: np.ndarray) -> tuple[int, int]:
    """The largest agreement of ``shifted``, ``[shifts, P]``, with ``known``, ``[M, P]``; its row.

    A translation explains the pixels in which each entry meets its commonest partner. Counted pixel
    by pixel, their number grows by one whenever a count exceeds all others of its entry.
    """
    pixels = known.shape[1]
    entries, known_entries = int(shifted.max()) + 1, int(known.max()) + 1
    together = np.zeros((entries, known_entries), np.int32)  # pixels with entries j and k
    commonest_there, commonest_back = np.zeros(entries, np.int32), np.zeros(known_entries, np.int32)
    best, row = -1, 0
    for m in range(len(known)):
        for shift in range(len(shifted)):
            there = back = seen = 0
            # Leave a pair as soon as the pixels that remain can't make it the best.
            while seen < pixels and min(there, back) + pixels - seen > best:
                stop = min(seen + CHECK_EVERY, pixels)
                for p in range(seen, stop):
                    j, k = shifted[shift, p], known[m, p]
                    together[j, k] += 1
                    # Add the increments instead of branching: no processor can guess them.
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
    """How much drawn images agree with training images, and how much held-out images do.

    No model can have copied a held-out image.
    """

    median_agreement: Measured
    """Of the drawn images."""
    heldout_median_agreement: Measured
    heldout_99th_percentile: Measured | None
    """The threshold. None with fewer than `FEWEST_HELDOUT` images."""
    share_above: Measured | None
    """The share of drawn images above the threshold. Much more than 1 % is copying. Where the
    threshold is 1, the share is 0 whatever was drawn."""
    near: tuple[Measured, ...]
    """The share of drawn images that agree at least as much as each of `NEAR` says."""
    heldout_near: tuple[Measured, ...]
    """The same share of held-out images. A much larger share of drawn images is copying."""


def count_copies(drawn: Tensor, heldout: Tensor, replicates: int = 200, seed: int = 0) -> Copies:
    """Compare the agreement of drawn images with that of held-out ones.

    Args:
        drawn: agreement of drawn images, ``[N]``.
        heldout: agreement of held-out images, ``[M]``.
        replicates: subsets of both for the standard errors; the share's error includes the
            threshold's.
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
    """An agreement that an image which copies nothing exceeds with a chance of at most 1 %.

    Of the agreements of M held-out images, ``[M]``, it is the ⌈0.99 (M + 1)⌉-th smallest (split
    conformal prediction, Vovk et al. 2005), or the largest of fewer than `FEWEST_HELDOUT`.
    """
    return heldout.kthvalue(min(len(heldout), math.ceil(0.99 * (len(heldout) + 1)))).values


def closest_pairs(
    images: Sequence[IndexedImage], found: NearestTraining, training: IndexMaps, pairs: int = PAIRS
) -> list[IndexedImage]:
    """The images that agree most with a training image, then those training images in order."""
    closest = found.agreement.argsort(descending=True, stable=True)[:pairs].tolist()
    return [images[number] for number in closest] + training.pictures(found.row[closest])
