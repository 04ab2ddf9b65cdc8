"""What benchmarks measure with: time in turns, operations, bytes of tensors, process memory."""

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from tqdm import tqdm

_RESET = Path("/proc/self/clear_refs")
aten = torch.ops.aten
CPU_ATTENTION = {
    aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda gradient, q, k, v, *_, **__: (
        sdpa_backward_flop_count(gradient, q, k, v)
    ),
}
"""torch's counter knows only the attention of GPUs, and would count a CPU's as nothing."""


def medians(
    works: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """The median seconds of each work over so many rounds of all, after a round that isn't counted.

    The works take turns, so a busy machine slows all of them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    with tqdm(total=(rounds + 1) * len(works), desc="timing", unit="work", leave=False) as bar:
        for number in range(rounds + 1):
            for name, work in works.items():
                started = clock()
                work()
                if number:
                    seconds[name].append(clock() - started)
                bar.update()
    return {name: statistics.median(each) for name, each in seconds.items()}


def operations(run: Callable[[], object]) -> int:
    """Multiplications and additions of matrix products, convolutions and attentions in ``run``."""
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
        run()
    return counter.get_total_flops()


def dispatched(run: Callable[[], object]) -> int:
    """How many tensor operations ``run`` dispatches: each costs a CPU, or starts a GPU's kernel.

    It is the same on each run and on each machine. Passes backward are counted, too, on a CPU.
    """
    with _Dispatches() as counter:
        run()
    return counter.count


class _Dispatches(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(
        self, function: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        self.count += 1
        return function(*args, **(kwargs or {}))


def tensor_bytes(run: Callable[[], object]) -> int:
    """The most bytes of tensors that live at once in ``run``, above those that lived before.

    It is the same on each run, whatever else the machine does. Scratch space inside of libraries
    isn't counted.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def process_memory(run: Callable[[], object]) -> tuple[float, float]:
    """By how much ``run`` raises this process's memory at most, and to what, MiB; NaN off Linux.

    Linux keeps the highest mark. A child's ``resource.ru_maxrss`` would begin with its parent's.
    """
    if not _RESET.exists():
        return float("nan"), float("nan")
    before = _status("VmRSS")
    _RESET.write_text("5")  # the mark starts again from what is held now
    run()
    peak = _status("VmHWM")
    return peak - before, peak


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 2**10
