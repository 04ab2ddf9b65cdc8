"""Ways to draw index maps that `benchmarks.peers` compares, by name."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import nn

from tincture.diffusion.absorbing import AbsorbingProcess
from tincture.diffusion.jumps import UniformProcess
from tincture.diffusion.schedules import linear
from tincture.models.denoiser import build_denoiser
from tincture.models.options import DenoiserConfig

from .ddpm import DDPMPeer, NoisePredictor
from .discrete import DiscretePeer
from .flow import FlowPeer
from .networks import meta_unet, unet2d
from .peer import Peer, nearest_width, num_parameters

OUR_SAMPLERS = ("remasking", "ancestral")
"""By which our network is drawn with, seeing colors or not."""

MASKED_SAMPLERS = ("ancestral", "remasking")
"""How other networks draw under masked diffusion: first as their paper does, then as ours does."""

OUR_JITTER = 0.1
"""How far the colors of our network's training palettes are changed. The other networks see no
colors, and train on the same index maps."""

NetworkOfWidth = Callable[[int, int], nn.Module]
"""(entries, width) → a per-index network."""

HYBRID_WEIGHT = 1.0
"""In D3PM, λ is 0.001 and stands beside the term of one step of 1,000, drawn for each image. Here
it stands beside the sum of all terms, so it is 1."""


def _ours(config: DenoiserConfig, entries: int) -> Peer:
    """Masked diffusion with the denoiser that is equivariant to its palette."""
    network = build_denoiser(replace(config, kind="palette"), 0, entries)
    return DiscretePeer(network, AbsorbingProcess(linear()), samplers=OUR_SAMPLERS, palette_jitter=OUR_JITTER)


def _per_index(config: DenoiserConfig, entries: int) -> Peer:
    """Masked diffusion (Shi et al. 2024, arXiv 2406.04329) with an embedding for each index.

    It has an output row for each index too, and our UNet.
    """
    network = build_denoiser(replace(config, kind="index"), 0, entries)
    return DiscretePeer(network, AbsorbingProcess(linear()), samplers=OUR_SAMPLERS)


def _d3pm(config: DenoiserConfig, entries: int) -> Peer:
    """D3PM uniform (Austin et al. 2021, arXiv 2107.03006) on our UNet, told the time."""
    network = build_denoiser(replace(config, kind="index", time_conditioning=True), 0, entries)
    return DiscretePeer(network, UniformProcess(linear()), HYBRID_WEIGHT)


def _masked(config: DenoiserConfig, entries: int, network: NetworkOfWidth) -> Peer:
    """Masked diffusion on another project's network, with as many parameters as ours."""
    return DiscretePeer(_of_our_size(config, entries, network), AbsorbingProcess(linear()), samplers=MASKED_SAMPLERS)


def _flow_matching(config: DenoiserConfig, entries: int, cross_entropy: bool = False) -> Peer:
    """Discrete flow matching as in Meta's package, on Meta's UNet made as large as ours."""
    return FlowPeer(_of_our_size(config, entries, meta_unet), cross_entropy)


def _ddpm(config: DenoiserConfig, _: int) -> Peer:
    """Continuous diffusion in RGBA on our UNet, quantized afterwards."""
    return DDPMPeer(NoisePredictor(config))


def _of_our_size(config: DenoiserConfig, entries: int, network: NetworkOfWidth) -> nn.Module:
    ours = num_parameters(build_denoiser(replace(config, kind="palette"), 0, entries))
    return network(entries, nearest_width(lambda width: network(entries, width), ours))


PEERS: dict[str, Callable[[DenoiserConfig, int], Peer]] = {
    "ours": _ours,
    "per-index": _per_index,
    "d3pm-uniform": _d3pm,
    "unet2d": partial(_masked, network=unet2d),
    "meta-unet": partial(_masked, network=meta_unet),
    "flow-matching": _flow_matching,
    "flow-matching-ce": partial(_flow_matching, cross_entropy=True),
    "ddpm": _ddpm,
}
"""Each is made from the size of our network and the number of entries."""
