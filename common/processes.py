"""The processes of one launch (torchrun, ``accelerate launch``) and their shares of the work.

Each gets all results. Where ``distributed`` is false, each does all of the work, too. torch and
accelerate take seconds to import, so the functions that need them do that: a command can say first
what is wrong with its options.
"""

import os
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from accelerate import PartialState
    from torch import Tensor

Item = TypeVar("Item")

PATIENCE = timedelta(hours=12)
"""How long processes wait for each other: one of them may be encoding a data set for all."""


def process_count() -> int:
    """How many processes were started together, by what the launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this process speaks and writes for all that were started together."""
    return os.environ.get("RANK", "0") == "0"


def processes(cpu: bool = False) -> "PartialState":
    """This process among those of its launch: on a GPU if there is one, unless ``cpu``."""
    import torch
    from accelerate import PartialState

    # Without a GPU, accelerate takes several processes for single ones unless it is told ``cpu``.
    return PartialState(cpu=cpu or (process_count() > 1 and not torch.cuda.is_available()), timeout=PATIENCE)


def own_batches(count: int, batch_size: int, distributed: bool) -> list[slice]:
    """This process's share of ``count`` rows, neighbors all, cut into batches."""
    start, stop = 0, count
    if distributed:
        state = processes()
        start, stop = (count * (state.process_index + edge) // state.num_processes for edge in (0, 1))
    return [slice(first, min(first + batch_size, stop)) for first in range(start, stop, batch_size)]


def joined(values: "Tensor", distributed: bool) -> "Tensor":
    """The values of all processes, each of which holds zeros where others know the value.

    A sum is exact if all of its terms but one are zero, and nothing needs padding.
    """
    if not distributed or processes().num_processes == 1:
        return values
    from accelerate.utils import reduce

    return reduce(values.to(processes().device), reduction="sum").to(values.device)


def gathered(items: list[Item], distributed: bool) -> list[Item]:
    """The items of all processes, in the order of the processes."""
    if not distributed:
        return items
    from accelerate.utils import gather_object

    return gather_object(items)


def leave_group() -> None:
    """Leave the group once all processes have come here. Nothing can be shared afterwards.

    A process that ends while the group exists may abort, because gloo's threads still free tensors
    after the interpreter has gone (https://github.com/pytorch/pytorch/pull/179291).
    """
    state = processes()
    state.wait_for_everyone()
    state.destroy_process_group()
