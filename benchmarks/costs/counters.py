"""What is counted: floating-point operations, bytes of tensors, memory of the process."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from ..process_memory import can_measure, peak_mib, reset_peak, resident_mib
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
    call_operations: float
    """Of a call of the network, for an image."""
    training_bytes: float
    """Of tensors, for an image more in a batch; gradients of weights are there already."""
    call_bytes: float
    choice_bytes: float
    """Of a sampler's step with the network's answer, which is not counted again."""
    training_mib: float
    """By how much a training step of all images raises the process's resident memory; not a number off Linux."""
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
    counted = [operations(run) for run in (work.learn, work.update, work.call)]
    other = Work(replace(setting, images=max(1, setting.images // 2) if setting.images > 1 else 2))
    more = setting.images - other.setting.images
    grown = [(a - b) / more for a, b in zip(_bytes(work), _bytes(other), strict=True)]
    training, update, call = counted
    return Counts(
        work.weights, training / setting.images, update, call / setting.images, *grown, training_mib, process_mib
    )


def _bytes(work: Work) -> list[int]:
    """Of tensors in training, in a call, and in a sampler's step."""
    work.keep_gradients()
    found = [tensor_bytes(work.learn), tensor_bytes(work.call)]
    return [*found, tensor_bytes(work.choose)]


def _warm_up(work: Work) -> None:
    """Make what stays between steps, the optimizer's state and the libraries' own, with one small picture."""
    Work(replace(work.setting, images=1, size=work.setting.stride)).step()
    work.keep_gradients()
    work.update()
