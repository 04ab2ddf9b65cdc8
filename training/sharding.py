"""Sharding: each process keeps its share of weights, gradients and optimizer state only (FSDP2, torch.distributed.fsdp.fully_shard)."""

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from tincture.models.unet import Level


def shard(denoiser: nn.Module, device: torch.device, processes: int) -> None:
    """Spread the weights of ``denoiser`` over all processes, in place; those of a `Level` are put together while it runs."""
    mesh = init_device_mesh(device.type, (processes,))
    for module in denoiser.modules():
        if isinstance(module, Level):
            fully_shard(module, mesh=mesh)
    fully_shard(denoiser, mesh=mesh)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which each process may hold a share; all processes call this alike."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def share_like(tensor: Tensor, other: Tensor) -> Tensor:
    """This process's share of a tensor that all of them hold whole, cut as ``other`` is."""
    if not isinstance(other, DTensor):
        return tensor
    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)


def whole_weights(denoiser: nn.Module) -> nn.Module:
    """A module with the parameters of ``denoiser``, in their order, all of them whole; it has no buffers."""
    weights = list(denoiser.parameters())
    if not any(isinstance(weight, DTensor) for weight in weights):
        return denoiser
    return nn.ParameterList(nn.Parameter(whole(weight.detach()), requires_grad=False) for weight in weights)
