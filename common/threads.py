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

    The caller's thread works too; the others live only as long as the call, so nothing is left over that a forked
    process would miss. Their number is numba's (``NUMBA_NUM_THREADS``, or one for each core).

    Returns:
        What ``work`` returned, in the slices' order.
    """
    starts = range(0, length, size)
    results: dict[int, Result] = {}
    queue = iter(starts)  # shared: taking the next one is atomic

    def drain() -> None:
        for start in queue:
            results[start] = work(start, min(start + size, length))

    helpers = min(len(starts), numba.config.NUMBA_NUM_THREADS) - 1
    if helpers > 0:
        with ThreadPoolExecutor(helpers) as pool:
            futures = [pool.submit(drain) for _ in range(helpers)]
            drain()
        for future in futures:
            future.result()  # raises what it raised
    else:
        drain()
    return [results[start] for start in starts]
