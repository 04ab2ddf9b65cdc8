"""The palettes of a model's data set, kept with the model, to draw from when none is given."""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

from tincture.common.errors import InputError
from tincture.diffusion.draws import Streams
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette


class PaletteBank(ModelMixin, ConfigMixin):
    """Palettes, with the label of the picture that each came from. All its tensors are buffers.

    Args:
        count: how many palettes.
        entries: the padded size of each.
    """

    @register_to_config
    def __init__(self, count: int, entries: int) -> None:
        super().__init__()
        self.register_buffer("colors", torch.zeros(count, entries, 4, dtype=torch.uint8))
        self.register_buffer("valid", torch.zeros(count, entries, dtype=torch.bool))
        self.register_buffer("labels", torch.zeros(count, dtype=torch.long))
        self.register_buffer("heldout", torch.zeros(count, dtype=torch.bool))

    @classmethod
    def of(cls, palettes: PaletteBatch, labels: torch.Tensor, heldout: torch.Tensor) -> "PaletteBank":
        """A bank of B palettes, with labels int64 ``[B]`` and sides of the split bool ``[B]``."""
        bank = cls(*palettes.valid.shape)
        bank.colors.copy_(palettes.colors)
        bank.valid.copy_(palettes.valid)
        bank.labels.copy_(labels)
        bank.heldout.copy_(heldout)
        return bank

    def draw(self, streams: Streams, heldout: bool = False, label: int | None = None) -> list[Palette]:
        """Draw a palette for each image from a side of the split.

        It is of a picture with ``label``, if one is given.

        Raises:
            InputError: the bank has no such palette.
        """
        found = self.heldout == heldout
        if label is not None:
            found = found & (self.labels == label)
        rows = torch.nonzero(found)[:, 0]
        if len(rows) == 0:
            raise InputError("the model's bank has no palette of that class on that side of the split; give --palette")
        drawn = rows[(streams().to(rows.device) * len(rows)).long()]
        colors, valid = self.colors[drawn].cpu().numpy(), self.valid[drawn].cpu().numpy()
        return [Palette(each[is_real]) for each, is_real in zip(colors, valid, strict=True)]
