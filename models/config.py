"""What a run says about its denoiser, and the denoiser made from it."""

from dataclasses import asdict, dataclass, field
from typing import Literal

import torch

from tincture.common.errors import SHARE, InputError, Range
from tincture.common.files import physical_memory

from .denoiser import Denoiser, IndexDenoiser, PaletteDenoiser
from .unet import DEPTHS, WIDTHS, UNetConfig


@dataclass(frozen=True)
class DenoiserConfig:
    """Size and shape of the network.

    Args:
        kind: palette is equivariant to its palette; index is the plain per-index model, for one fixed palette.
        token_channels: features of a palette entry's token, and of a pixel that enters the UNet.
        palette_depth: transformer blocks of the palette encoder (kind palette only).
        condition_channels: size of the vector that carries time and class.
        class_dropout: how often training hides the label, 0 to 1.
        time_conditioning: whether the network is told the time; for the absorbing process it needn't be.
        luminance_dropout: how often training hides the luminance map, 0 to 1; null for a model that is never shown one.
        augmentation_labels: whether the network is told how a training picture was mirrored and moved, so that it learns
            from changed pictures and still draws as if there had been none (Karras et al. 2022, arXiv 2206.00364, appendix F.2).

    Raises:
        InputError: a number is out of range.
    """

    kind: Literal["palette", "index"] = "palette"
    token_channels: int = 64
    palette_depth: int = 2
    condition_channels: int = 128
    class_dropout: float = 0.1
    time_conditioning: bool = True
    luminance_dropout: float | None = None
    augmentation_labels: bool = False
    unet: UNetConfig = field(default_factory=UNetConfig)

    def __post_init__(self) -> None:
        WIDTHS.check("model.token_channels", self.token_channels)
        DEPTHS.check("model.palette_depth", self.palette_depth)
        Range(2, WIDTHS.high).check("model.condition_channels", self.condition_channels)
        SHARE.check("model.class_dropout", self.class_dropout)
        if self.luminance_dropout is not None:
            SHARE.check("model.luminance_dropout", self.luminance_dropout)


COPIES = 4
"""Of the weights in training: themselves, their average, their gradients and the optimizer's momentum."""


def build_denoiser(config: DenoiserConfig, num_classes: int, num_entries: int) -> Denoiser:
    """Make the denoiser that ``config`` describes.

    Args:
        config: its size and shape.
        num_classes: number of labels, "no label" not counted; 0 for an unconditional model.
        num_entries: rows of an index denoiser: the size of the largest palette. A palette denoiser needs none.

    Raises:
        InputError: the sizes don't fit together, or the network doesn't fit into memory.
    """
    with torch.device("meta"):  # shapes without memory
        size = sum(weight.nbytes for weight in _build(config, num_classes, num_entries).parameters())
    if size * COPIES > physical_memory():
        raise InputError(
            f"a network with {size / 2**30:,.1f} GiB of weights needs {COPIES} times as much to train, and this machine "
            f"has {physical_memory() / 2**30:,.1f} GiB: lower model.unet.channels, model.unet.blocks or model.token_channels"
        )
    return _build(config, num_classes, num_entries)


def _build(config: DenoiserConfig, num_classes: int, num_entries: int) -> Denoiser:
    options = asdict(config)
    if options.pop("kind") == "palette":
        return PaletteDenoiser(num_classes=num_classes, **options)
    options.pop("palette_depth")
    return IndexDenoiser(num_entries=num_entries, num_classes=num_classes, **options)
