"""Split: work shared among the processes of one launch, and put together again on all of them.

Nothing here does anything in a single process, or where ``split`` is false.
"""

import os
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object, reduce
from torch import Tensor

Item = TypeVar("Item")

PATIENCE = timedelta(hours=12)
"""How long processes wait for each other: one of them may be encoding a data set for all."""


def process_count() -> int:
    """How many processes were started together, by what the launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def processes(cpu: bool = False) -> PartialState:
    """This process among those that ``accelerate launch`` or torchrun started; on processors if ``cpu``, else on a GPU if there is one."""
    # Without a GPU, accelerate takes several processes for single ones unless it is told to use processors.
    return PartialState(cpu=cpu or (process_count() > 1 and not torch.cuda.is_available()), timeout=PATIENCE)


def own_batches(count: int, batch_size: int, split: bool) -> list[slice]:
    """This process's share of ``count`` rows, in batches: neighbors, none twice and none left out."""
    start, stop = 0, count
    if split:
        state = processes()
        start, stop = (count * (state.process_index + edge) // state.num_processes for edge in (0, 1))
    return [slice(first, min(first + batch_size, stop)) for first in range(start, stop, batch_size)]


def joined(values: Tensor, split: bool) -> Tensor:
    """The values of all processes, each of which has zeros where others know the value.

    A sum in which all terms but one are zero is exact, and nothing is padded.
    """
    if not split or processes().num_processes == 1:
        return values
    return reduce(values.to(processes().device), reduction="sum").to(values.device)


def gathered(items: list[Item], split: bool) -> list[Item]:
    """The items of all processes, in the order of the processes."""
    return gather_object(items) if split else items


def part() -> None:
    """Part from the other processes, once all have come here; nothing can be shared after it.

    A process that ends while they are joined may abort: gloo's threads still let go of tensors when the interpreter is
    gone (https://github.com/pytorch/pytorch/pull/179291).
    """
    state = PartialState()
    state.wait_for_everyone()
    state.destroy_process_group()
