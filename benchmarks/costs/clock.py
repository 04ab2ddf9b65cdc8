"""Seconds of a processor, of several works in turn, so that a busy machine slows all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping

from tqdm import tqdm


def medians(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median processor time of each work over so many rounds of all, after one that isn't counted; seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    with tqdm(total=(rounds + 1) * len(works), desc="timing", unit="work") as bar:
        for number in range(rounds + 1):
            for name, work in works.items():
                started = time.process_time()
                work()
                if number:
                    seconds[name].append(time.process_time() - started)
                bar.update()
    return {name: statistics.median(each) for name, each in seconds.items()}
