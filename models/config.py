"""What a run says about its denoiser, and the denoiser made from it."""

from dataclasses import asdict, dataclass, field
from typing import Literal

from .denoiser import Denoiser, IndexDenoiser, PaletteDenoiser
from .unet import UNetConfig


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
    """

    kind: Literal["palette", "index"] = "palette"
    token_channels: int = 64
    palette_depth: int = 2
    condition_channels: int = 128
    class_dropout: float = 0.1
    time_conditioning: bool = True
    luminance_dropout: float | None = None
    unet: UNetConfig = field(default_factory=UNetConfig)


def build_denoiser(config: DenoiserConfig, num_classes: int, num_entries: int) -> Denoiser:
    """Make the denoiser that ``config`` describes.

    Args:
        config: its size and shape.
        num_classes: number of labels, "no label" not counted; 0 for an unconditional model.
        num_entries: rows of an index denoiser: the size of the largest palette. A palette denoiser needs none.

    Raises:
        InputError: the sizes don't fit together.
    """
    options = asdict(config)
    if options.pop("kind") == "palette":
        return PaletteDenoiser(num_classes=num_classes, **options)
    options.pop("palette_depth")
    return IndexDenoiser(num_entries=num_entries, num_classes=num_classes, **options)
