"""Work on slices of a long array in threads, which numba's kernels allow by releasing the GIL."""

from collections.abc import Callable
from typing import TypeVar

from .kernels import is_compiled, threads

Result = TypeVar("Result")

SLICE = 1 << 16
"""Elements in a slice. It doesn't depend on the number of threads, so neither does any rounding."""


def over_slices(work: Callable[[int, int], Result], length: int, size: int = SLICE) -> list[Result]:
    """Call ``work(start, stop)`` for each slice of ``range(length)``, several at a time.

    The caller's thread works too. The others live only as long as the call, so that a forked
    process misses none. Their number is numba's (``NUMBA_NUM_THREADS``, or one for each core);
    there are none before kernels are compiled.

    Returns:
        What ``work`` returned, in the slices' order.
    """
    starts = range(0, length, size)
    results: dict[int, Result] = {}
    queue = iter(starts)  # shared: taking the next one is atomic

    def drain() -> None:
        for start in queue:
            results[start] = work(start, min(start + size, length))

    helpers = min(len(starts), threads()) - 1 if is_compiled() else 0  # NumPy holds the GIL
    if helpers > 0:
        from concurrent.futures import ThreadPoolExecutor  # not above: small work needs none

        with ThreadPoolExecutor(helpers) as pool:
            futures = [pool.submit(drain) for _ in range(helpers)]
            drain()
        for future in futures:
            future.result()  # raises what it raised
    else:
        drain()
    return [results[start] for start in starts]
