"""What a GPU is given besides the network: short numbers, and few commands that do much."""

import logging
import warnings
from typing import Any

import torch
from torch import nn
from torch.utils._triton import has_triton

from tincture.common.processes import process_count

from .run_config import TrainConfig

SHAPES = 64
"""How many shapes of batches a run may have; each is compiled once."""

logger = logging.getLogger(__name__)


def number_format(config: TrainConfig, device: torch.device) -> torch.dtype:
    """What matrix products of the forward pass are computed in: bf16 or float32."""
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    is_short = {"auto": has_bf16, "no": False, "bf16": True}[config.mixed_precision]
    return torch.bfloat16 if is_short else torch.float32


def autocast(config: TrainConfig, device: torch.device) -> torch.autocast:
    """The context of the forward pass, with the numbers of `number_format`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=number_format(config, device) == torch.bfloat16)


def compile_where_it_pays(network: nn.Module, config: TrainConfig, device: torch.device) -> bool:
    """Compile ``network`` for a GPU that has triton, unless ``config`` forbids it.

    Returns:
        Whether it is compiled.
    """
    if config.compile == "no" or device.type != "cuda" or not has_triton():
        return False
    logger.info("compiling the network for this GPU: the first step takes a minute")
    # A CUDA graph is one command. It writes gradients where the next call does, so the parts of a
    # batch couldn't add to them; and nobody has tried it with processes that average them.
    takes_whole_batches = config.accumulation == 1 and process_count() == 1
    compile_network(network, mode="reduce-overhead" if takes_whole_batches else "default")
    return True


def compile_network(network: nn.Module, **options: Any) -> None:
    """Compile ``network`` in place, for the shapes that come; ``options`` are torch.compile's.

    Its parameters keep their names, and copies of it aren't compiled. Where a compiler fails, it
    says so, and the network runs as it was.
    """
    torch._dynamo.config.recompile_limit = SHAPES
    torch._dynamo.config.suppress_errors = True
    warnings.filterwarnings("ignore", "Dynamo detected a call to a `functools.lru_cache`")  # of a constant
    network.compile(dynamic=False, **options)
