"""What is counted: floating-point operations, bytes of tensors, memory of the process."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from benchmarks.process_memory import can_measure, peak_mib, reset_peak, resident_mib

from .work import Setting, Work

aten = torch.ops.aten
CPU_ATTENTION = {
    aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda gradient, q, k, v, *_, **__: (
        sdpa_backward_flop_count(gradient, q, k, v)
    ),
}
"""The counter knows the attention of GPUs only, and would count a CPU's as nothing."""


def operations(run: Callable[[], object]) -> int:
    """Multiplications and additions of the matrix products, convolutions and attentions in ``run``."""
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
        run()
    return counter.get_total_flops()


def tensor_bytes(run: Callable[[], object]) -> int:
    """The most bytes of tensors that live at once in ``run``, above those that lived before.

    It is the same on each run, whatever the machine does besides. Scratch space inside of libraries is not in it.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


@dataclass(frozen=True)
class Counts:
    """What a setting costs, but for time."""

    weights: int
    training_operations: float
    """Of the network and the loss, forward and backward, for an image."""
    update_operations: int
    """Of the optimizer, for a step."""
    drawing_operations: float
    """Of a call of the network, for an image."""
    training_bytes: float
    """Of tensors, for an image more in a batch."""
    drawing_bytes: float
    training_mib: float
    """By how much a training step of all images raises the process's resident memory; not a number off Linux."""
    drawing_mib: float
    process_mib: float
    """The process's whole memory at the most, in training."""


def count(setting: Setting) -> Counts:
    """Count everything, memory in a process of its own."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once; no child sees what another has run
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_count, setting).result()


def resident(run: Callable[[], object]) -> tuple[float, float]:
    """By how much ``run`` raises this process's memory, and to what, MiB."""
    if not can_measure():
        return float("nan"), float("nan")
    before = resident_mib()
    reset_peak()
    run()
    return peak_mib() - before, peak_mib()


def _count(setting: Setting) -> Counts:
    torch.set_num_threads(1)
    work = Work(setting)
    _warm_up(work)
    training_mib, process_mib = resident(work.step)
    drawing_mib, _ = resident(work.draw)
    training_operations, update_operations = operations(work.learn), operations(work.update)
    drawing_operations = operations(work.draw)
    other = Work(replace(setting, images=max(1, setting.images // 2) if setting.images > 1 else 2))
    more = setting.images - other.setting.images
    return Counts(
        work.weights,
        training_operations / setting.images,
        update_operations,
        drawing_operations / setting.images,
        (tensor_bytes(work.step) - tensor_bytes(other.step)) / more,
        (tensor_bytes(work.draw) - tensor_bytes(other.draw)) / more,
        training_mib,
        drawing_mib,
        process_mib,
    )


def _warm_up(work: Work) -> None:
    """Make what stays between steps, the optimizer's state and the libraries' own, with the first picture alone."""
    small = Work(replace(work.setting, images=1))
    small.step()
    for parameter in work.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    work.update()
