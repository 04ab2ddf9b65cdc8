"""Denoisers: (x_t, t, palette, conditions) → logits of p(x_0 | x_t).

`PaletteDenoiser` is equivariant to its palette; `IndexDenoiser` is the usual per-index model, the baseline it must beat.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from einops import rearrange
from torch import Tensor, nn

from tincture.common.errors import InputError
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette

from .luminance import LuminanceEmbedding
from .palette_encoder import PaletteEncoder
from .unet import UNet, UNetConfig

AUGMENTATIONS = 3
"""Numbers that say how a picture was changed: whether it was mirrored, and by how many pixels it was moved down and to the right."""


class Condition(nn.Module):
    """One vector per image from its time, its class and what was done to it.

    Args:
        channels: size of the vector.
        num_classes: number of labels; one more row stands for "no label".
        time: whether the denoiser is told the time at all; for the absorbing process the best one needn't be
            (Ou et al. 2024, arXiv 2406.03736).
        augmentation: whether it is told how a picture was changed. An unchanged one adds nothing to the vector.
    """

    def __init__(self, channels: int, num_classes: int, time: bool, augmentation: bool = False) -> None:
        super().__init__()
        self.channels, self.num_classes = channels, num_classes
        self.classes = nn.Embedding(num_classes + 1, channels)
        self.time = (
            nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels)) if time else None
        )
        self.augmentation = nn.Linear(AUGMENTATIONS, channels, bias=False) if augmentation else None

    def forward(self, t: Tensor, class_labels: Tensor | None, augmentation_labels: Tensor | None = None) -> Tensor:
        """Times ``[B]``, labels int64 ``[B]`` (none at all: no label for any image) and changes ``[B, 3]`` → ``[B, channels]``."""
        none = torch.full_like(t, self.num_classes, dtype=torch.long)
        condition = self.classes(none if class_labels is None else class_labels)
        if self.time is not None:
            features = get_timestep_embedding(1000 * t, self.channels, flip_sin_to_cos=True, downscale_freq_shift=0)
            condition = condition + self.time(features.to(condition.dtype))
        if self.augmentation is not None and augmentation_labels is not None:
            condition = condition + self.augmentation(augmentation_labels.to(condition.dtype))
        return F.silu(condition)


@dataclass(frozen=True, eq=False)
class Conditions:
    """What a denoiser may be told besides the palette. Whatever is left out, it draws without."""

    class_labels: Tensor | None = None
    """int64 ``[B]``; the number of classes stands for "no label"."""
    luminance: Tensor | None = None
    """How light each pixel shall be, float ``[B, H, W]`` as in `quantization.palettes.luminance`; not a number where nothing is known."""
    augmentation_labels: Tensor | None = None
    """How a training picture was changed, float ``[B, 3]``, see `AUGMENTATIONS`. Drawings are told nothing: they are to look unchanged."""

    def __getitem__(self, rows: Tensor | slice) -> "Conditions":
        """The conditions of the images at ``rows``."""
        return self._each(lambda value: value[rows])

    def to(self, device: torch.device | str) -> "Conditions":
        """The same conditions on ``device``."""
        return self._each(lambda value: value.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Conditions":
        return Conditions(*(None if value is None else change(value) for value in self._values()))

    def _values(self) -> tuple[Tensor | None, ...]:
        return self.class_labels, self.luminance, self.augmentation_labels

    @staticmethod
    def cat(parts: Sequence["Conditions"]) -> "Conditions":
        """One batch of several, all of which know the same kinds of things."""
        kinds = zip(*(part._values() for part in parts), strict=True)
        return Conditions(*(None if values[0] is None else torch.cat(values) for values in kinds))


NO_CONDITIONS = Conditions()


class Denoiser(ModelMixin, ConfigMixin):
    """What the two denoisers share: their conditions, and a UNet between pixel embeddings and logits."""

    condition: Condition
    luminance: LuminanceEmbedding | None
    backbone: UNet

    @property
    def depends_on_time(self) -> bool:
        """Whether the logits change with t alone."""
        return self.condition.time is not None

    @property
    def num_classes(self) -> int:
        """Labels that it knows, "no label" not counted."""
        return self.condition.num_classes

    def check_palette(self, palette: Palette) -> None:
        """Raise InputError if the denoiser can't draw with ``palette``."""

    def hide(self, conditions: Conditions) -> Conditions:
        """Hide labels and luminance maps as often as training should, so that the denoiser also learns to draw without.

        Randomness comes from torch's global generator: a label is replaced by "no label" with the probability
        ``class_dropout``, for classifier-free guidance, a map by an unknown one with ``luminance_dropout``.
        """
        labels, luminance = conditions.class_labels, conditions.luminance
        if labels is not None:
            labels = labels.where(torch.rand(len(labels)) >= self.config.class_dropout, self.num_classes)
        if luminance is not None:
            luminance = luminance.where(torch.rand(len(luminance), 1, 1) >= self.config.luminance_dropout, torch.nan)
        return Conditions(labels, luminance, conditions.augmentation_labels)

    def run_backbone(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """Embedded pixels ``[B, H, W, D]``, times and conditions → the UNet's features ``[B, C, H, W]``."""
        if self.luminance is not None and conditions.luminance is not None:
            x = x + self.luminance(conditions.luminance)
        condition = self.condition(t, conditions.class_labels, conditions.augmentation_labels)
        return self.backbone(rearrange(x, "b h w d -> b d h w"), condition)

    def forward(self, x_t: Tensor, t: Tensor, palette: PaletteBatch, conditions: Conditions = NO_CONDITIONS) -> Tensor:
        """Predict the clean entry of every pixel.

        Args:
            x_t: corrupted index maps, int64 ``[B, H, W]``; ``palette.mask_index`` stands for the mask.
            t: times, float ``[B]``, 0 (clean) to 1 (noise).
            palette: one palette for each image.
            conditions: class and luminance; a luminance is ignored by a denoiser that wasn't made for one.

        Returns:
            Logits, float ``[B, K, H, W]``; minus infinity for padded entries.
        """
        raise NotImplementedError


def bind(denoiser: nn.Module, palette: PaletteBatch, conditions: Conditions) -> Callable[[Tensor, Tensor], Tensor]:
    """Fix a denoiser's palettes and conditions: what is left takes (x_t, t), as samplers and bounds call it."""
    return lambda x_t, t: denoiser(x_t, t, palette, conditions)


def _luminance_embedding(channels: int, dropout: float | None) -> LuminanceEmbedding | None:
    return None if dropout is None else LuminanceEmbedding(channels)


class PaletteDenoiser(Denoiser):
    """A denoiser that never sees an index as a number: entries enter as tokens, logits are inner products with them.

    Permuting the palette permutes the logits, padding it changes nothing, and a palette of any size works.
    The arguments are the fields of `models.config.DenoiserConfig`, and the number of classes.
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
        unet: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.condition = Condition(condition_channels, num_classes, time_conditioning, augmentation_labels)
        self.luminance = _luminance_embedding(token_channels, luminance_dropout)
        self.palette_encoder = PaletteEncoder(token_channels, palette_depth)
        self.mask_token = nn.Parameter(torch.randn(token_channels))
        self.entry_in = nn.Linear(token_channels, token_channels)
        self.entry_out = nn.Linear(token_channels, token_channels + 1)  # a key and a bias
        self.backbone = UNet(token_channels, token_channels, condition_channels, UNetConfig(**unet or {}))

    def forward(self, x_t: Tensor, t: Tensor, palette: PaletteBatch, conditions: Conditions = NO_CONDITIONS) -> Tensor:
        """See `Denoiser.forward`."""
        batch, height, _ = x_t.shape
        tokens = self.palette_encoder(palette)  # [B, K, D]
        table = torch.cat([self.entry_in(tokens), self.mask_token.expand(batch, 1, -1)], dim=1)  # [B, K + 1, D]
        rows = torch.arange(batch, device=x_t.device)[:, None, None] * table.shape[1] + x_t
        features = self.run_backbone(F.embedding(rows, table.flatten(0, 1)), t, conditions)
        keys, bias = self.entry_out(tokens).split([tokens.shape[-1], 1], dim=-1)
        # What can be done to the K keys and biases needn't be done to H W features or H W K logits.
        keys = keys * tokens.shape[-1] ** -0.5
        bias = bias.masked_fill(~palette.valid[:, :, None], -torch.inf)
        logits = torch.baddbmm(bias.mT, rearrange(features, "b d h w -> b (h w) d"), keys.mT)  # [B, H W, K]
        return rearrange(logits, "b (h w) k -> b k h w", h=height)


class IndexDenoiser(Denoiser):
    """The usual discrete denoiser: a learned embedding and a learned output row for each index; colors are not seen.

    It makes sense where index k means the same in every image: one fixed palette. The arguments are those of
    `PaletteDenoiser` without its palette encoder, and the number of entries.
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
        unet: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.num_entries = num_entries
        self.condition = Condition(condition_channels, num_classes, time_conditioning, augmentation_labels)
        self.luminance = _luminance_embedding(token_channels, luminance_dropout)
        self.embed = nn.Embedding(num_entries + 1, token_channels)
        self.backbone = UNet(token_channels, num_entries, condition_channels, UNetConfig(**unet or {}))

    def check_palette(self, palette: Palette) -> None:
        """Raise InputError if ``palette`` has more entries than the model has rows."""
        if len(palette) > self.num_entries:
            raise InputError(f"this model knows {self.num_entries} indices; the palette has {len(palette)} entries")

    def forward(self, x_t: Tensor, t: Tensor, palette: PaletteBatch, conditions: Conditions = NO_CONDITIONS) -> Tensor:
        """See `Denoiser.forward`."""
        rows = torch.where(x_t == palette.mask_index, self.num_entries, x_t)
        logits = self.run_backbone(self.embed(rows), t, conditions)[:, : palette.mask_index]
        return logits.masked_fill(~palette.valid[:, :, None, None], -torch.inf)
