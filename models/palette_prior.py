"""A prior over palettes: how likely a set of colors is, whatever its order, and what draws one.

A set is read in one order, by green, then red, then blue. So its order costs nothing: what comes
next is larger. A causal transformer looks at the colors so far and, in no order, at those that are
kept. It says what comes next in three steps: p(green), p(red | green), p(blue | green, red).
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from einops import rearrange
from torch import Tensor, nn

from tincture.common.errors import InputError
from tincture.quantization.color import srgb_to_oklab
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette

from .options import DEPTHS, WIDTHS
from .palette_sets import BITS, RGB, VALUES, Known, keys_of

OCTAVES = 6
"""Of a channel's Fourier features; the highest repeats after 16 of 256 values."""

_STEPS = (1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 255)
KNOTS = (*(-step for step in reversed(_STEPS)), 0, *_STEPS)
"""Distances from a value, between which the logits of its neighbors are straight lines."""

FLOOR = -14.0
"""The least logarithm of a possible value's probability: no set takes many more bits than raw."""

KNOWN_FEATURES, PLACE_FEATURES = 8, 7


class CausalBlock(nn.Module):
    """Pre-norm attention and feed-forward. What it has read stays with whoever asks."""

    def __init__(self, channels: int, head_channels: int, dropout: float) -> None:
        super().__init__()
        self.attention_heads = channels // head_channels
        self.attention_norm = nn.LayerNorm(channels)
        self.to_qkv = nn.Linear(channels, 3 * channels)
        self.to_out = nn.Linear(channels, channels)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Read N more tokens, ``[B, N, C]``, after P that were read before.

        ``mask``, bool ``[B, N, P + N]``, says what each looks at. ``past`` is what this returned
        for the tokens before, next to the new ones.
        """
        qkv = rearrange(
            self.to_qkv(self.attention_norm(x)), "b n (three h d) -> three b h n d", three=3, h=self.attention_heads
        )
        seen = qkv[1:] if past is None else torch.cat([past, qkv[1:]], dim=3)
        mixed = F.scaled_dot_product_attention(qkv[0], *seen, attn_mask=mask[:, None])
        x = x + self.dropout(self.to_out(rearrange(mixed, "b h n d -> b n (h d)")))
        return x + self.dropout(self.feed_forward(x)), seen


class ChannelHead(nn.Module):
    """The logits of a channel's values: a number for each, and a curve around each ``anchor``.

    Anchors are values that the channel may be near to. A curve is straight between `KNOTS`.
    """

    def __init__(self, channels: int, features: int, anchors: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Linear(channels + features, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels), nn.GELU())
        )
        self.values = nn.Linear(channels, VALUES)
        self.curves = nn.Linear(channels, anchors * len(KNOTS))
        for layer in (self.values, self.curves):  # at first all values are as likely
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor, anchors: Tensor) -> Tensor:
        """Features ``[..., channels + features]``, anchors int64 ``[..., A]`` → ``[..., 256]``."""
        h = self.body(features)
        curves = self.curves(h).unflatten(-1, (-1, len(KNOTS))) @ _curve_table(h.dtype, h.device)  # [..., A, 511]
        distances = torch.arange(VALUES, device=h.device) - anchors.clamp(0, VALUES - 1)[..., None]
        return self.values(h) + curves.gather(-1, distances + VALUES - 1).sum(dim=-2)


@lru_cache
@torch.inference_mode(False)  # who draws first may train afterwards
def _curve_table(dtype: torch.dtype, device: torch.device) -> Tensor:
    """What the number at each knot adds at each distance from -255 to 255, ``[knots, 511]``."""
    distances = np.arange(1 - VALUES, VALUES)
    table = np.stack([np.interp(distances, KNOTS, row) for row in np.eye(len(KNOTS))])
    return torch.from_numpy(table).to(device, dtype)


class PalettePrior(ModelMixin, ConfigMixin):
    """A distribution over sets of K colors, K from 1 to 256, of which one may be transparent.

    A codec asks for the logits of all channels at once to encode, and value by value to decode.
    They have the module's dtype; in float64, both ways give the same numbers to 1e-10::

        entries, known = coded(palettes)                     # int64 [B, N, 3]: the values to encode
        logits = prior.channel_logits(entries, known)        # [B, N, 3, 256]

        reading = prior.begin(known)
        for _ in range(3 * int(known.counts.max())):
            reading.take(decode(reading.logits()))           # [B, 256] → int64 [B]
        palettes = reading.palettes()                        # in `set_order`, if none is kept

    Row b has ``known.counts[b]`` colors. The logits after them mean nothing, and what is taken then
    is left out.

    Args:
        channels: features of a token.
        depth: transformer blocks.
        head_channels: features of an attention head.
        num_classes: classes that it may be told; 0 for none.
        word_channels: numbers of a word's vector; 0 for a prior that is told no words.
        dropout: in training.

    Raises:
        InputError: a number is out of range, or the channels don't divide into heads.
    """

    @register_to_config
    def __init__(
        self,
        channels: int = 64,
        depth: int = 3,
        head_channels: int = 16,
        num_classes: int = 0,
        word_channels: int = 0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        DEPTHS.check("depth", depth)
        for name, width in (("channels", channels), ("head_channels", head_channels)):
            WIDTHS.check(name, width)
        if channels % head_channels:
            raise InputError(f"{channels} channels don't divide into attention heads of {head_channels}")
        channel = 1 + 2 * OCTAVES
        color = 6 * channel
        self.embed = nn.Linear(2 * color + PLACE_FEATURES, channels)
        self.embed_kept = nn.Linear(color, channels)
        self.embed_known = nn.Linear(KNOWN_FEATURES, channels)
        self.embed_words = (
            nn.Sequential(nn.Linear(word_channels, channels), nn.LayerNorm(channels)) if word_channels else None
        )
        self.classes = nn.Embedding(num_classes + 1, channels)
        nn.init.normal_(self.classes.weight, std=0.02)
        self.blocks = nn.ModuleList(CausalBlock(channels, head_channels, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(channels)
        self.heads = nn.ModuleList(ChannelHead(channels, 2 * number * channel + 3, 1 + number) for number in range(3))

    def channel_logits(self, entries: Tensor, known: Known) -> Tensor:
        """Logits of each channel's values, given all before it, ``[B, N, 3, 256]``.

        They needn't be normalized, and are -inf where a value is impossible: the order, a kept
        color, or too few larger colors for those that follow rule it out.

        Args:
            entries: int64 ``[B, N, 3]``, as `coded` gives them.
            known: what is known before.

        Raises:
            InputError: no palette has such sizes.
        """
        reading = self.begin(known)
        hidden = reading.read(entries)
        return torch.stack([reading.logits_of(channel, hidden, entries) for channel in range(3)], dim=2)

    def bits(self, entries: Tensor, known: Known) -> Tensor:
        """The code length of each set, ``[B]``; arguments as for `channel_logits`."""
        told = self.channel_logits(entries, known).log_softmax(dim=-1).gather(-1, entries[..., None])[..., 0]
        is_real = torch.arange(entries.shape[1], device=entries.device) < known.counts[:, None]
        return -told.sum(dim=2).where(is_real, 0).sum(dim=1) / math.log(2)

    def begin(self, known: Known) -> "PaletteReading":
        """Read, or draw, palettes value by value; raises InputError if none has such sizes."""
        return PaletteReading(self, known)

    @torch.inference_mode()
    def draw(self, known: Known, rand: Callable[[], Tensor], temperature: float = 1.0) -> list[Palette]:
        """Draw a palette for each row of what is known.

        Args:
            known: sizes, kept colors and conditions.
            rand: gives a number in [0, 1) for each row, ``[B]``, at each call.
            temperature: below 1, likely values are favored; 0 takes the likeliest.

        Raises:
            InputError: no palette has such sizes.
        """
        reading = self.begin(known)
        for _ in range(3 * int(reading.counts.max())):
            reading.take(_drawn(reading.logits(), rand(), temperature))
        return reading.palettes()


def _drawn(logits: Tensor, numbers: Tensor, temperature: float) -> Tensor:
    """Values int64 ``[B]``, by inverting the cumulative distribution."""
    if temperature == 0:
        return logits.argmax(dim=1)
    cumulative = (logits.double() / temperature).softmax(dim=1).cumsum(dim=1)
    drawn = (cumulative <= numbers.to(cumulative)[:, None] * cumulative[:, -1:]).sum(dim=1)
    return drawn.clamp_max(VALUES - 1)


class PaletteReading:
    """B palettes of which the colors become known value by value (see `PalettePrior`)."""

    def __init__(self, prior: PalettePrior, known: Known) -> None:
        sizes, counts = known.sizes, known.counts
        if sizes.min() < 1 or sizes.max() > MAX_ENTRIES:
            raise InputError(
                f"a palette has 1 to {MAX_ENTRIES} entries, not {int(sizes.max() if sizes.min() > 0 else sizes.min())}"
            )
        if counts.min() < 0:
            size = int(sizes[counts.argmin()])
            raise InputError(f"a palette of {size} entries has no place for {size - int(counts.min())}: ask for more")
        self.prior, self.known, self.counts, self.dtype = prior, known, counts, prior.dtype
        self.kept = sizes.new_zeros(len(sizes), 0, 3) if known.kept is None else known.kept
        keys = keys_of(self.kept)
        self._kept_keys = keys.where(keys >= 0, 2 * VALUES**3).sort(dim=1).values  # [B, M]; none is far above all
        self._colors = VALUES**3 - known.kept_counts[:, None]
        # What the transformer has read, and may look at.
        self._past: list[Tensor | None] = [None] * len(prior.blocks)
        self._seen = torch.zeros(len(sizes), 0, dtype=torch.bool, device=sizes.device)
        self._begin()
        # The colors so far, and the values of the next one.
        self._entries = sizes.new_zeros(len(sizes), 0, 3)
        self._values: list[Tensor] = []
        self._hidden: Tensor | None = None

    def logits(self) -> Tensor:
        """Those of the next channel's values, ``[B, 256]``; see `PalettePrior.channel_logits`."""
        place, channel = self._entries.shape[1], len(self._values)
        color = torch.stack([*self._values, *[torch.zeros_like(self.counts)] * (3 - channel)], dim=1)
        entries = torch.cat([self._entries, color[:, None]], dim=1)
        if self._hidden is None:
            self._hidden = self.read(entries, place)
        return self.logits_of(channel, self._hidden, entries, place)[:, 0]

    def take(self, values: Tensor) -> None:
        """Let these be the values of that channel, int64 ``[B]``."""
        self._values.append(values)
        if len(self._values) == 3:
            self._entries = torch.cat([self._entries, torch.stack(self._values, dim=1)[:, None]], dim=1)
            self._values, self._hidden = [], None

    def palettes(self) -> list[Palette]:
        """What has been read: the transparent entry, those that are kept, and the others."""
        palettes = []
        for row, count in enumerate(self.counts.tolist()):
            kept = self.kept[row][self.kept[row, :, 0] >= 0]
            opaque = F.pad(torch.cat([kept, self._entries[row, :count]])[:, RGB], (0, 1), value=255)
            clear = opaque.new_zeros(int(self.known.transparent[row]), 4)
            palettes.append(Palette(torch.cat([clear, opaque]).to(torch.uint8).cpu().numpy()))
        return palettes

    # ---- The transformer ----

    def _begin(self) -> None:
        """Read what is known: a token of its own, those of kept colors, and those of words."""
        prior, known, dtype = self.prior, self.known, self.dtype
        sizes, counts, kept = (each.to(dtype) for each in (known.sizes, self.counts, known.kept_counts))
        changed = torch.zeros_like(known.transparent) if known.changed is None else known.changed
        features = [
            *(torch.ones_like(sizes), known.transparent.to(dtype), changed.to(dtype), sizes.log2() / 8),
            *((1 + counts).log2() / 8, 1 / (1 + counts), (1 + kept).log2() / 8, kept / sizes),
        ]
        none = torch.full_like(known.sizes, prior.config.num_classes)
        told = prior.embed_known(torch.stack(features, dim=1)) + prior.classes(
            none if known.labels is None else known.labels
        )
        self._told = told[:, None]  # [B, 1, C]
        tokens, valid = [self._told], [torch.ones_like(none, dtype=torch.bool)[:, None]]
        if self.kept.shape[1]:
            tokens.append(prior.embed_kept(_color_features(self.kept, dtype)) + self._told)
            valid.append(self.kept[..., 0] >= 0)
        if known.words is not None and prior.embed_words is not None:
            tokens.append(prior.embed_words(known.words.to(dtype)))
            valid.append((known.words != 0).any(dim=2))
        self._seen = torch.cat(valid, dim=1)
        self._through_blocks(torch.cat(tokens, dim=1), self._seen[:, None].expand(-1, self._seen.shape[1], -1))

    def read(self, entries: Tensor, begin: int = 0) -> Tensor:
        """What is known ahead of each of ``entries`` from ``begin`` on, ``[B, N - begin, C]``."""
        dtype, (last, second) = self.dtype, (_earlier(entries, by)[:, begin:] for by in (1, 2))
        places = torch.arange(begin, entries.shape[1], device=entries.device).to(dtype).expand(len(entries), -1)
        counts = self.counts.clamp_min(1)[:, None].to(dtype)
        left = (counts - places).clamp_min(1)
        features = [
            *((last[..., 0] >= 0).to(dtype), (second[..., 0] >= 0).to(dtype), keys_of(last).to(dtype) / VALUES**3),
            *(1 / left, left.log2() / 8, (1 + places).log2() / 8, places / counts),
        ]
        features = [_color_features(last, dtype), _color_features(second, dtype), torch.stack(features, dim=-1)]
        tokens = self.prior.embed(torch.cat(features, dim=-1)) + self._told
        batch, number = tokens.shape[:2]
        before = self._seen[:, None].expand(-1, number, -1)
        causal = self._seen.new_ones(number, number).tril().expand(batch, -1, -1)
        self._seen = torch.cat([self._seen, self._seen.new_ones(batch, number)], dim=1)
        return self.prior.norm(self._through_blocks(tokens, torch.cat([before, causal], dim=2)))

    def _through_blocks(self, x: Tensor, mask: Tensor) -> Tensor:
        for number, block in enumerate(self.prior.blocks):
            x, self._past[number] = block(x, mask, self._past[number])
        return x

    # ---- What comes next ----

    def logits_of(self, channel: int, hidden: Tensor, entries: Tensor, begin: int = 0) -> Tensor:
        """Logits of a channel of each of ``entries`` from ``begin`` on, ``[B, N - begin, 256]``.

        The channels before it are known; ``hidden`` is what `read` gave.
        """
        dtype, before, colors = self.dtype, _earlier(entries, 1)[:, begin:], entries[:, begin:]
        last = before.clamp_min(0)
        told = [_channel_features(values[..., :channel].to(dtype)).flatten(-2) for values in (colors, colors - last)]
        anchors = [last[..., channel], *(colors[..., each] for each in range(channel))]
        if channel:  # as far from the last color as the channel before is
            anchors[0] = anchors[0] + anchors[-1] - last[..., channel - 1]
        features = torch.cat([hidden, *told, last.to(dtype) / (VALUES - 1)], dim=-1)
        logits = self.prior.heads[channel](features, torch.stack(anchors, dim=-1))
        impossible = ~self._possible(channel, keys_of(before), colors, begin)
        logits = logits.masked_fill(impossible, -torch.inf).log_softmax(dim=-1)
        return logits.clamp_min(FLOOR).masked_fill(impossible, -torch.inf)

    def _possible(self, channel: int, before: Tensor, colors: Tensor, begin: int) -> Tensor:
        """Which values a channel may have, bool ``[B, N, 256]``.

        A color's key is larger than that before it, and none that is kept, and so small that there
        are colors left for all that follow. At most 255 are kept where one is to follow, so some
        blue is left to each green and red.
        """
        left = self.counts[:, None] - torch.arange(begin, begin + colors.shape[1], device=colors.device)
        low, high = (
            self._free(before + 1 - torch.searchsorted(self._kept_keys, before)),
            self._free(self._colors - left),
        )
        # Those keys that begin with the channels that are known, and with each value.
        begun = sum((colors[..., each] << BITS * (channel - each) for each in range(channel)), torch.zeros_like(before))
        shift, values = BITS * (2 - channel), torch.arange(VALUES, device=colors.device)
        least, most = (low >> shift) - begun, (high >> shift) - begun
        possible = (values >= least[..., None]) & (values <= most[..., None])
        if channel == 2 and self._kept_keys.shape[1]:
            kept = (self._kept_keys[:, None] - begun[..., None]).clamp(-1, VALUES) + 1  # [B, N, M]
            is_kept = torch.zeros(*before.shape, VALUES + 2, dtype=torch.bool, device=colors.device).scatter(
                2, kept, True
            )
            possible &= ~is_kept[..., 1:-1]
        return possible | (left <= 0)[..., None]

    def _free(self, places: Tensor) -> Tensor:
        """The keys that have these places, ``[B, N]``, among those of colors that aren't kept."""
        ahead = self._kept_keys - torch.arange(self._kept_keys.shape[1], device=places.device)
        return places + torch.searchsorted(ahead, places, right=True)


def _earlier(entries: Tensor, by: int) -> Tensor:
    """The color so many places before each, -1 where there is none."""
    return F.pad(entries, (0, 0, by, 0), value=-1)[:, : entries.shape[1]]


def _channel_features(values: Tensor) -> Tensor:
    """Values up to 255 with sines and cosines of some octaves, ``[..., 1 + 2 OCTAVES]``."""
    scaled = values[..., None] / (VALUES - 1)
    angles = scaled * 2.0 ** torch.arange(OCTAVES, dtype=values.dtype, device=values.device) * math.pi
    return torch.cat([scaled, angles.sin(), angles.cos()], dim=-1)


def _color_features(colors: Tensor, dtype: torch.dtype) -> Tensor:
    """Features of colors ``[..., 3]`` in sRGB and OKLab; zero where there is none."""
    rgb = colors[..., RGB].clamp_min(0).to(dtype)
    oklab = srgb_to_oklab(rgb / (VALUES - 1)) * (VALUES - 1)
    features = _channel_features(torch.cat([rgb, oklab], dim=-1))
    return (features * (colors[..., :1, None] >= 0)).flatten(-2)
