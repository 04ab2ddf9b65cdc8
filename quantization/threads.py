"""Slices of a long array, worked on by as many threads as there are cores: numba's kernels release the GIL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numba

Result = TypeVar("Result")

SLICE = 1 << 16
"""Elements in a slice. Slices don't depend on the number of threads, so neither does any rounding."""


def over_slices(work: Callable[[int, int], Result], length: int, size: int = SLICE) -> list[Result]:
    """Call ``work(start, stop)`` for each slice of ``range(length)``, in threads where there is more than one.

    The threads live only as long as the call: nothing is left over that a forked process would miss. Their number
    is numba's (``NUMBA_NUM_THREADS``, or one for each core).

    Returns:
        What ``work`` returned, in the slices' order.
    """
    starts = range(0, length, size)
    threads = min(len(starts), numba.config.NUMBA_NUM_THREADS)
    if threads <= 1:
        return [work(start, min(start + size, length)) for start in starts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda start: work(start, min(start + size, length)), starts))
