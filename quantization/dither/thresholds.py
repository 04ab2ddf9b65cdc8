"""Threshold matrices: Bayer 1973, and blue noise by the void-and-cluster method (Ulichney 1993)."""

from functools import lru_cache

import numpy as np
from numba import njit

BLUE_NOISE_SIZE = 64
_SIGMA = 1.5  # of the Gaussian that measures how clustered points are: Ulichney's choice


@lru_cache
def bayer(n: int) -> np.ndarray:
    """Bayer's matrix with the thresholds ``(rank + ½) / n²``, float32 ``[n, n]``; n is a power of two, at least 2."""
    ranks = np.zeros((1, 1))
    while len(ranks) < n:
        ranks = np.block([[4 * ranks, 4 * ranks + 2], [4 * ranks + 3, 4 * ranks + 1]])
    return ((ranks + 0.5) / n**2).astype(np.float32)


@njit(cache=True)
def _toggle(energy: np.ndarray, bell: np.ndarray, place: int, sign: float) -> None:
    size = len(bell)
    row, column = place // size, place % size
    for i in range(size):
        for j in range(size):
            energy[i * size + j] += sign * bell[(i - row) % size, (j - column) % size]


@njit(cache=True)
def _extreme(energy: np.ndarray, pattern: np.ndarray, cluster: bool) -> int:
    """The tightest cluster (a one with the most energy) or the largest void (a zero with the least)."""
    best = -1
    for place in range(len(energy)):
        if pattern[place] == cluster and (
            best < 0 or (energy[place] > energy[best] if cluster else energy[place] < energy[best])
        ):
            best = place
    return best


@njit(cache=True)
def _void_and_cluster(pattern: np.ndarray, bell: np.ndarray) -> np.ndarray:
    """Ranks, int64 ``[n²]``, from an initial binary pattern of few ones, which is spread out first."""
    energy = np.zeros(len(pattern))
    for place in np.flatnonzero(pattern):
        _toggle(energy, bell, place, 1.0)
    while True:
        cluster = _extreme(energy, pattern, True)
        pattern[cluster] = False
        _toggle(energy, bell, cluster, -1.0)
        void = _extreme(energy, pattern, False)
        pattern[void] = True
        _toggle(energy, bell, void, 1.0)
        if void == cluster:
            break
    ranks = np.zeros(len(pattern), np.int64)
    ones = np.count_nonzero(pattern)
    kept_pattern, kept_energy = pattern.copy(), energy.copy()
    for rank in range(ones - 1, -1, -1):
        cluster = _extreme(energy, pattern, True)
        pattern[cluster] = False
        _toggle(energy, bell, cluster, -1.0)
        ranks[cluster] = rank
    pattern, energy = kept_pattern, kept_energy
    for rank in range(ones, len(pattern)):
        void = _extreme(energy, pattern, False)
        pattern[void] = True
        _toggle(energy, bell, void, 1.0)
        ranks[void] = rank
    return ranks


@lru_cache
def blue_noise(size: int = BLUE_NOISE_SIZE) -> np.ndarray:
    """A void-and-cluster matrix, always the same one; thresholds ``(rank + ½) / size²``, float32 ``[size, size]``."""
    offset = np.minimum(np.arange(size), size - np.arange(size))
    bell = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * _SIGMA**2))
    pattern = np.random.default_rng(0).permutation(size * size) < size * size // 10
    return ((_void_and_cluster(pattern, bell).reshape(size, size) + 0.5) / size**2).astype(np.float32)
