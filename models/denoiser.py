"""Denoisers: (x_t, t, palette, conditions) → logits of p(x_0 | x_t).

`PaletteDenoiser` is equivariant to its palette. `IndexDenoiser` is the usual per-index model, the
baseline.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from einops import rearrange
from torch import Tensor, nn

from tincture.common.errors import InputError
from tincture.common.files import physical_memory
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.palettes.tree import ColorTree, at_pixels, color_tree

from .options import DenoiserConfig, Pooling, UNetConfig
from .palette_encoder import PaletteEncoder
from .text import PADDING, Context, TextEncoder, table_for
from .unet import UNet

AUGMENTATIONS = 3
"""How many numbers say how a picture was changed: whether it was mirrored, and how many pixels it
was moved down and right."""


@dataclass(frozen=True, eq=False)
class Conditions:
    """What a denoiser may be told besides the palette. What is left out has no say."""

    class_labels: Tensor | None = None
    """int64 ``[B]``; the number of classes stands for "no label"."""
    luminance: Tensor | None = None
    """How light each pixel shall be, float ``[B, H, W]`` as in `quantization.palettes.luminance`;
    NaN where nothing is known."""
    augmentation_labels: Tensor | None = None
    """How a training picture was changed, float ``[B, 3]``, see `AUGMENTATIONS`. For drawings it is
    left out: they shall look unchanged."""
    words: Tensor | None = None
    """Rows of the words that it is told, int64 ``[B, L]``, as `Vocabulary.encode` gives them."""

    def __getitem__(self, rows: Tensor | slice) -> "Conditions":
        """The conditions of the images at ``rows``."""
        return self._each(lambda value: value[rows])

    def to(self, device: torch.device | str) -> "Conditions":
        """The same conditions on ``device``."""
        return self._each(lambda value: value.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Conditions":
        return Conditions(*(None if value is None else change(value) for value in vars(self).values()))


NO_CONDITIONS = Conditions()


class ConditionEmbedding(nn.Module):
    """One vector for each image, from its time, its class, its words and how it was changed.

    Args:
        channels: size of the vector.
        num_classes: number of labels; one more row stands for "no label".
        time: whether the denoiser is told the time. For the absorbing process the best denoiser
            doesn't depend on it (Ou et al. 2024, arXiv 2406.03736).
        augmentation: whether it is told how a picture was changed. An unchanged picture adds
            nothing to the vector.
    """

    def __init__(self, channels: int, num_classes: int, time: bool, augmentation: bool = False) -> None:
        super().__init__()
        self.channels, self.num_classes = channels, num_classes
        self.classes = nn.Embedding(num_classes + 1, channels)
        self.time = (
            nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels)) if time else None
        )
        self.augmentation = nn.Linear(AUGMENTATIONS, channels, bias=False) if augmentation else None

    def forward(
        self,
        t: Tensor,
        class_labels: Tensor | None,
        augmentation_labels: Tensor | None = None,
        summary: Tensor | None = None,
    ) -> Tensor:
        """Times ``[B]``, labels int64 ``[B]`` and changes ``[B, 3]`` → ``[B, channels]``.

        ``summary`` is of the words, ``[B, channels]`` (`models.text`).
        """
        none = torch.full_like(t, self.num_classes, dtype=torch.long)
        condition = self.classes(none if class_labels is None else class_labels)
        if self.time is not None:
            features = get_timestep_embedding(1000 * t, self.channels, flip_sin_to_cos=True, downscale_freq_shift=0)
            condition = condition + self.time(features.to(condition.dtype))
        if self.augmentation is not None and augmentation_labels is not None:
            condition = condition + self.augmentation(augmentation_labels.to(condition.dtype))
        if summary is not None:
            condition = condition + summary
        return F.silu(condition)


class LuminanceEmbedding(nn.Module):
    """Features of a luminance map (`quantization.palettes.luminance`), zero where nothing is known.

    Args:
        channels: features of each pixel.
        frequencies: octaves of Fourier features of the lightness.
    """

    def __init__(self, channels: int, frequencies: int = 5) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.project = nn.Linear(3 + 2 * frequencies, channels, bias=False)

    def forward(self, luminance: Tensor) -> Tensor:
        """Lightness ``[B, H, W]`` → ``[B, H, W, channels]``."""
        known = ~luminance.isnan()
        opaque = known & (luminance >= 0)
        lightness = luminance.where(opaque, 0.0)[..., None]
        angles = lightness * (2.0 ** torch.arange(self.frequencies, device=luminance.device) * math.pi)
        features = torch.cat([torch.ones_like(lightness), lightness, angles.sin(), angles.cos()], dim=-1)
        flags = torch.stack([known, opaque], dim=-1).to(features.dtype)
        features = torch.cat([flags[..., :1], features * flags[..., 1:]], dim=-1)
        return self.project(features.to(self.project.weight.dtype))


class Denoiser(ModelMixin, ConfigMixin):
    """What both denoisers share: conditions, and a UNet between embedded pixels and logits."""

    condition: ConditionEmbedding
    luminance: LuminanceEmbedding | None
    text: TextEncoder | None
    backbone: UNet

    @property
    def depends_on_time(self) -> bool:
        """Whether the logits change with t alone."""
        return self.condition.time is not None

    @property
    def num_classes(self) -> int:
        """How many labels it knows, "no label" not counted."""
        return self.condition.num_classes

    def check_palette(self, palette: Palette) -> None:
        """Raise InputError if the denoiser can't draw with ``palette``."""

    def hide(self, conditions: Conditions, rand: Callable[..., Tensor]) -> Conditions:
        """Hide some conditions, so that training teaches to draw without them too.

        With the probability ``class_dropout`` a label is replaced by "no label", which
        classifier-free guidance needs. With the probability ``luminance_dropout`` a map is replaced
        by an unknown one. With the probability ``text_dropout`` all words are hidden, and as often
        each word alone: prompts have fewer words than captions. ``rand(*shape)`` gives uniform
        numbers in [0, 1), float ``[B, *shape]``.
        """
        labels, luminance, words = conditions.class_labels, conditions.luminance, conditions.words
        if labels is not None:
            labels = labels.where(rand() >= self.config.class_dropout, self.num_classes)
        if luminance is not None:
            luminance = luminance.where(rand(1, 1) >= self.config.luminance_dropout, torch.nan)
        if words is not None:
            seen = rand(1 + words.shape[1]) >= self.config.text_dropout
            words = words.where(seen[:, :1] & seen[:, 1:], PADDING)
        return replace(conditions, class_labels=labels, luminance=luminance, words=words)

    def read_words(self, conditions: Conditions) -> Context | None:
        """What the words say; none where nothing is told, or to a denoiser that knows none."""
        return None if self.text is None or conditions.words is None else self.text(conditions.words)

    def run_backbone(self, x: Tensor, t: Tensor, conditions: Conditions, context: Context | None) -> Tensor:
        """Embedded pixels ``[B, H, W, D]``, times and conditions → features ``[B, C, H, W]``."""
        if self.luminance is not None and conditions.luminance is not None:
            x = x + self.luminance(conditions.luminance)
        summary = None if context is None else context.summary
        condition = self.condition(t, conditions.class_labels, conditions.augmentation_labels, summary)
        return self.backbone(rearrange(x, "b h w d -> b d h w"), condition)

    def forward(self, x_t: Tensor, t: Tensor, palette: PaletteBatch, conditions: Conditions = NO_CONDITIONS) -> Tensor:
        """Predict the clean entry of every pixel.

        Args:
            x_t: corrupted index maps, int64 ``[B, H, W]``; ``palette.mask_index`` stands for the
                mask, and what is above it for nodes of the `color_tree`.
            t: times, float ``[B]``, 0 (clean) to 1 (noise).
            palette: one palette for each image.
            conditions: what else is told; what a denoiser wasn't made for it ignores.

        Returns:
            Logits, float ``[B, K, H, W]``; minus infinity for padded entries.
        """
        raise NotImplementedError


class PaletteDenoiser(Denoiser):
    """A denoiser that never sees an index as a number.

    Entries enter as tokens, and logits are inner products with tokens. So permuting the palette
    permutes the logits, padding it changes nothing, and a palette of any size works. The arguments
    are the fields of `DenoiserConfig`, the number of classes, the shape of a vocabulary
    (`TextEncoder.shape`), and whether pixels may be at nodes of the palette's `color_tree`.
    """

    @register_to_config
    def __init__(
        self,
        token_channels: int = 64,
        palette_depth: int = 2,
        condition_channels: int = 128,
        num_classes: int = 0,
        class_dropout: float = 0.1,
        time_conditioning: bool = True,
        luminance_dropout: float | None = None,
        augmentation_labels: bool = False,
        vocabulary: dict[str, Any] | None = None,
        text_pooling: Pooling = "attention",
        text_dropout: float = 0.1,
        tree_nodes: bool = False,
        unet: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.condition = ConditionEmbedding(condition_channels, num_classes, time_conditioning, augmentation_labels)
        self.luminance = None if luminance_dropout is None else LuminanceEmbedding(token_channels)
        self.text = _text_encoder(token_channels, condition_channels, text_pooling, vocabulary)
        self.palette_encoder = PaletteEncoder(token_channels, palette_depth)
        self.mask_token = nn.Parameter(torch.randn(token_channels))
        self.entry_in = nn.Linear(token_channels, token_channels)
        self.entry_out = nn.Linear(token_channels, token_channels + 1)  # a key and a bias
        self.backbone = UNet(token_channels, token_channels, condition_channels, UNetConfig(**unet or {}))

    def forward(self, x_t: Tensor, t: Tensor, palette: PaletteBatch, conditions: Conditions = NO_CONDITIONS) -> Tensor:
        """See `Denoiser.forward`."""
        batch, height, _ = x_t.shape
        context = self.read_words(conditions)
        tokens = self.palette_encoder(palette, context)  # [B, K, D]
        entries = self.entry_in(tokens)
        table = torch.cat([entries, self.mask_token.expand(batch, 1, -1)], dim=1)  # [B, K + 1, D]
        tree = color_tree(palette) if self.config.tree_nodes else None
        if tree is not None:
            table = torch.cat([table, self._nodes(entries, tree, palette)], dim=1)  # [B, N, D]
        rows = torch.arange(batch, device=x_t.device)[:, None, None] * table.shape[1] + x_t
        features = self.run_backbone(F.embedding(rows, table.flatten(0, 1)), t, conditions, context)
        keys, bias = self.entry_out(tokens).split([tokens.shape[-1], 1], dim=-1)
        # Scale the K keys and mask the K biases, not the H W K logits: that is cheaper.
        keys = keys * tokens.shape[-1] ** -0.5
        bias = bias.masked_fill(~palette.valid[:, :, None], -torch.inf)
        logits = torch.baddbmm(bias.mT, rearrange(features, "b d h w -> b (h w) d"), keys.mT)  # [B, H W, K]
        if tree is not None:
            logits = logits.masked_fill(~at_pixels(tree.members, x_t), -torch.inf)
        return rearrange(logits, "b (h w) k -> b k h w", h=height)

    def _nodes(self, entries: Tensor, tree: ColorTree, palette: PaletteBatch) -> Tensor:
        """Inner nodes as pixels see them: the mean of their entries, and a share of the mask.

        The share, log n / log K, is what of an entry's name is hidden at a node of n entries.
        """
        members = tree.members[:, palette.mask_index + 1 :].to(entries)
        size = members.sum(dim=2, keepdim=True).clamp_min(1)
        share = size.log() / palette.sizes.clamp_min(2).log()[:, None, None]
        return members @ entries / size + share * self.mask_token


class IndexDenoiser(Denoiser):
    """The usual discrete denoiser: a learned embedding and a learned output row for each index.

    It sees no colors. It makes sense where index k means the same in every image, so for one fixed
    palette. The arguments are those of `PaletteDenoiser` without its palette encoder, and the
    number of entries.
    """

    @register_to_config
    def __init__(
        self,
        num_entries: int,
        token_channels: int = 64,
        condition_channels: int = 128,
        num_classes: int = 0,
        class_dropout: float = 0.1,
        time_conditioning: bool = True,
        luminance_dropout: float | None = None,
        augmentation_labels: bool = False,
        vocabulary: dict[str, Any] | None = None,
        text_pooling: Pooling = "attention",
        text_dropout: float = 0.1,
        unet: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.num_entries = num_entries
        self.condition = ConditionEmbedding(condition_channels, num_classes, time_conditioning, augmentation_labels)
        self.luminance = None if luminance_dropout is None else LuminanceEmbedding(token_channels)
        self.text = _text_encoder(token_channels, condition_channels, text_pooling, vocabulary)
        self.embed = nn.Embedding(num_entries + 1, token_channels)
        self.backbone = UNet(token_channels, num_entries, condition_channels, UNetConfig(**unet or {}))

    def check_palette(self, palette: Palette) -> None:
        """Raise InputError if ``palette`` has more entries than the model has rows."""
        if len(palette) > self.num_entries:
            raise InputError(f"this model knows {self.num_entries} indices; the palette has {len(palette)} entries")

    def forward(self, x_t: Tensor, t: Tensor, palette: PaletteBatch, conditions: Conditions = NO_CONDITIONS) -> Tensor:
        """See `Denoiser.forward`."""
        rows = torch.where(x_t == palette.mask_index, self.num_entries, x_t)
        context = self.read_words(conditions)
        logits = self.run_backbone(self.embed(rows), t, conditions, context)[:, : palette.mask_index]
        return logits.masked_fill(~palette.valid[:, :, None, None], -torch.inf)


def _text_encoder(
    channels: int, condition_channels: int, pooling: Pooling, vocabulary: dict[str, int | bool] | None
) -> TextEncoder | None:
    return None if vocabulary is None else TextEncoder(channels, condition_channels, pooling, **vocabulary)


def bind(denoiser: nn.Module, palette: PaletteBatch, conditions: Conditions) -> Callable[[Tensor, Tensor], Tensor]:
    """Fix palettes and conditions. The result takes (x_t, t), as samplers and bounds call it."""
    return lambda x_t, t: denoiser(x_t, t, palette, conditions)


TRAINING_COPIES = 4
"""How often training holds the weights: as such, their average, their gradients, the optimizer's
momentum."""


def build_denoiser(
    config: DenoiserConfig,
    num_classes: int,
    num_entries: int,
    captions: Sequence[str] = (),
    start: Denoiser | None = None,
    tree_nodes: bool = False,
) -> Denoiser:
    """Make the denoiser that ``config`` describes.

    Args:
        config: its size and shape.
        num_classes: number of labels, "no label" not counted; 0 for an unconditional model.
        num_entries: rows of an index denoiser, the size of the largest palette; a palette denoiser
            has none.
        captions: whose words it shall know, if it is told any.
        start: a denoiser of the same shape, with whose weights, classes and words it begins. It may
            know more classes and words than that one.
        tree_nodes: whether pixels may be at nodes of the palette's tree.

    Raises:
        InputError: the sizes don't fit together, the network doesn't fit into memory, or its words
            can't be read; or ``start`` has another shape.
    """
    if isinstance(start, IndexDenoiser) and start.num_entries != num_entries:
        raise InputError(
            f"the model to begin with knows {start.num_entries} indices, and these data have palettes of {num_entries} "
            "entries: set data.palette to the one that it was trained with"
        )
    known = None if start is None or start.text is None else start.text.table
    table = None if config.text is None else table_for(config.text, captions, known)
    shape = None if table is None else TextEncoder.shape(table)
    with torch.device("meta"):  # shapes without memory
        size = sum(weight.nbytes for weight in _build(config, num_classes, num_entries, shape, tree_nodes).parameters())
    if size * TRAINING_COPIES > physical_memory():
        raise InputError(
            f"a network with {size / 2**30:,.1f} GiB of weights needs {TRAINING_COPIES} times as much to train, and this machine "
            f"has {physical_memory() / 2**30:,.1f} GiB: lower model.unet.channels, model.unet.blocks or model.token_channels"
        )
    denoiser = _build(config, num_classes, num_entries, shape, tree_nodes)
    if table is not None:
        denoiser.text.hold(table)
    if start is not None:
        _begin_with(denoiser, start)
    return denoiser


def _begin_with(denoiser: Denoiser, start: Denoiser) -> None:
    """Take the weights of ``start``. New classes begin as "no label", which is the last row."""
    weights, classes = start.state_dict(), "condition.classes.weight"
    none = weights[classes][-1:]
    weights[classes] = torch.cat([weights[classes], none.expand(max(0, denoiser.num_classes - start.num_classes), -1)])
    own = denoiser.state_dict()
    weights |= {name: own[name] for name in ("text.letters", "text.vectors") if name in own and name in weights}
    if {name: value.shape for name, value in weights.items()} != {name: value.shape for name, value in own.items()}:
        raise InputError("the network of the model to begin with isn't the one that its config.yaml describes")
    denoiser.load_state_dict(weights)


def _build(
    config: DenoiserConfig,
    num_classes: int,
    num_entries: int,
    vocabulary: dict[str, int | bool] | None,
    tree_nodes: bool,
) -> Denoiser:
    options = asdict(config) | {"num_classes": num_classes, "vocabulary": vocabulary}
    del options["text"]  # by now it is a vocabulary
    if options.pop("kind") == "palette":
        return PaletteDenoiser(tree_nodes=tree_nodes, **options)
    del options["palette_depth"]
    return IndexDenoiser(num_entries=num_entries, **options)
