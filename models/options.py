"""What a run says about its network: sizes and shapes. No torch is needed to read or check them."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from tincture.common.errors import SHARE, InputError, Range
from tincture.common.options import OneOf

WIDTHS, DEPTHS, LEVELS, PATCHES = Range(1, 8192), Range(0, 64), Range(1, 8), Range(1, 64)
"""Wider than any UNet ever trained. What lies outside is a mistake, or made to fill the memory."""

GROUPS = 8
"""Groups of every group normalization."""

Normalization = Literal["group", "layer", "rms"]
Pooling = Literal["attention", "mean"]


@dataclass(frozen=True)
class UNetConfig:
    """Size and shape of a UNet.

    Args:
        patch_size: edge of a patch, pixels; 1 for none.
        channels: features at each level, each level at half the resolution of the one before;
            multiples of 8.
        blocks: residual blocks of each level, on the way down and again on the way up (once for the
            last level).
        attention: whether each level has self-attention.
        attention_head_channels: features of an attention head.
        head_channels: features of the full-resolution head, a multiple of 8.
        head_blocks: residual blocks of that head.
        dropout: probability inside residual blocks, 0 to 1.
        normalization: group: over all positions and the features of each of 8 groups; layer and
            rms: at each position over all features.

    Raises:
        InputError: the numbers don't fit together.
    """

    patch_size: int = 2
    channels: tuple[int, ...] = (64, 128)
    blocks: tuple[int, ...] = (2, 2)
    attention: tuple[bool, ...] = (False, True)
    attention_head_channels: int = 32
    head_channels: int = 64
    head_blocks: int = 2
    dropout: float = 0.0
    normalization: Normalization = "group"

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.blocks) == len(self.attention) >= 1:
            raise InputError("unet.channels, unet.blocks and unet.attention must name one value for each level")
        LEVELS.check("the number of levels in unet.channels", len(self.channels))
        PATCHES.check("unet.patch_size", self.patch_size)
        WIDTHS.check("unet.attention_head_channels", self.attention_head_channels)
        SHARE.check("unet.dropout", self.dropout)
        OneOf(get_args(Normalization)).check("unet.normalization", self.normalization)
        for depth in (*self.blocks, self.head_blocks):
            DEPTHS.check("a number in unet.blocks and unet.head_blocks", depth)
        for width in (*self.channels, self.head_channels):
            WIDTHS.check("a number in unet.channels and unet.head_channels", width)
            if width < GROUPS or width % GROUPS:
                raise InputError(f"unet.channels and unet.head_channels must be multiples of {GROUPS}, not {width}")


@dataclass(frozen=True)
class DenoiserConfig:
    """What a run says about its denoiser: the size and shape of the network.

    Args:
        kind: palette is equivariant to its palette; index is the usual per-index model, for one
            fixed palette.
        token_channels: features of a palette entry's token, and of a pixel that enters the UNet.
        palette_depth: transformer blocks of the palette encoder (of the kind palette).
        condition_channels: size of the vector that carries time and class.
        class_dropout: how often training hides the label, 0 to 1.
        time_conditioning: whether the network is told the time; the absorbing process doesn't need
            it.
        luminance_dropout: how often training hides the luminance map, 0 to 1; null for a model that
            takes none.
        augmentation_labels: whether the network is told how a training picture was mirrored and
            moved. Then it learns from changed pictures and still draws unchanged ones (Karras et
            al. 2022, arXiv 2206.00364, appendix F.2).
        text: the vectors of the words in captions: minilm, learned, or a file that
            tools/make_vocabulary.py wrote; null for a network that is told no words.
        text_pooling: attention lets palette entries look at each word; mean shows them one mean of
            all words.
        text_dropout: how often training hides a caption, and as often each word of the others, 0 to
            1.

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
    text: str | None = None
    text_pooling: Pooling = "attention"
    text_dropout: float = 0.1
    unet: UNetConfig = field(default_factory=UNetConfig)

    def __post_init__(self) -> None:
        WIDTHS.check("model.token_channels", self.token_channels)
        DEPTHS.check("model.palette_depth", self.palette_depth)
        Range(2, WIDTHS.high).check("model.condition_channels", self.condition_channels)
        SHARE.check("model.class_dropout", self.class_dropout)
        if self.luminance_dropout is not None:
            SHARE.check("model.luminance_dropout", self.luminance_dropout)
        OneOf(get_args(Pooling)).check("model.text_pooling", self.text_pooling)
        SHARE.check("model.text_dropout", self.text_dropout)
