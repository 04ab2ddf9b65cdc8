"""The palettes of a model's data set, kept with the model, to draw from when none is given."""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

from tincture.common.errors import InputError
from tincture.diffusion.draws import Streams
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette

MOST_ALIKE = 16
"""Among how many palettes one is drawn, if a prompt says of which pictures."""


class PaletteBank(ModelMixin, ConfigMixin):
    """Palettes, with the label and the words of the picture that each came from.

    All its tensors are buffers.

    Args:
        count: how many palettes.
        entries: the padded size of each.
        caption_words: rows of words for each; 0 for a model that knows none.
    """

    @register_to_config
    def __init__(self, count: int, entries: int, caption_words: int = 0) -> None:
        super().__init__()
        self.register_buffer("colors", torch.zeros(count, entries, 4, dtype=torch.uint8))
        self.register_buffer("valid", torch.zeros(count, entries, dtype=torch.bool))
        self.register_buffer("labels", torch.zeros(count, dtype=torch.long))
        self.register_buffer("heldout", torch.zeros(count, dtype=torch.bool))
        if caption_words > 0:
            self.register_buffer("words", torch.zeros(count, caption_words, dtype=torch.int32))

    @classmethod
    def of(
        cls, palettes: PaletteBatch, labels: torch.Tensor, heldout: torch.Tensor, words: torch.Tensor | None = None
    ) -> "PaletteBank":
        """A bank of B palettes, with labels int64 ``[B]`` and sides of the split bool ``[B]``.

        ``words`` are those of the pictures' captions, ``[B, L]`` (`Vocabulary.encode`).
        """
        bank = cls(*palettes.valid.shape, 0 if words is None else words.shape[1])
        bank.colors.copy_(palettes.colors)
        bank.valid.copy_(palettes.valid)
        bank.labels.copy_(labels)
        bank.heldout.copy_(heldout)
        if words is not None:
            bank.words.copy_(words)
        return bank

    def draw(
        self,
        streams: Streams,
        heldout: bool = False,
        label: int | None = None,
        likeness: torch.Tensor | None = None,
        prompts: torch.Tensor | None = None,
    ) -> list[Palette]:
        """Draw a palette for each image from a side of the split.

        It is of a picture with ``label``, if one is given, and of one of those `MOST_ALIKE` what
        the image's prompt says: ``likeness`` is float ``[P, count]`` for P prompts, and ``prompts``
        says which of them each image has, int64 ``[B]``.

        Raises:
            InputError: the bank has no such palette.
        """
        found = self.heldout == heldout
        if label is not None:
            found = found & (self.labels == label)
        rows = torch.nonzero(found)[:, 0]
        if len(rows) == 0:
            raise InputError("the model's bank has no palette of that class on that side of the split; give --palette")
        chance = streams().to(rows.device)
        if likeness is None:
            drawn = rows[(chance * len(rows)).long()]
        else:
            alike = rows[likeness[:, rows].topk(min(MOST_ALIKE, len(rows)), dim=1).indices]  # [P, MOST_ALIKE]
            drawn = alike[prompts.to(rows.device), (chance * alike.shape[1]).long()]
        colors, valid = self.colors[drawn].cpu().numpy(), self.valid[drawn].cpu().numpy()
        return [Palette(each[is_real]) for each, is_real in zip(colors, valid, strict=True)]
