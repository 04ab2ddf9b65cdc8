"""A denoiser as a codec asks it: in float64, so that every machine gets nearly the same answers."""

import copy
import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tincture.common.errors import InputError
from tincture.models.denoiser import PaletteDenoiser
from tincture.pipelines.palette_bank import PaletteBank
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import MAX_ENTRIES

from .arithmetic import SELDOM

AT_ONCE = 1 << 14
"""About so many pixels go through the network at once."""


class CodecNetwork:
    """What the codec asks of a pipeline.

    Args:
        pipeline: of the absorbing process, with a denoiser that is equivariant to its palette and
            isn't told the time; it stays as it is.

    Raises:
        InputError: the pipeline's model is of another kind.
    """

    def __init__(self, pipeline: PaletteDiffusionPipeline) -> None:
        denoiser, prior, bank = pipeline.denoiser, pipeline.palette_prior, pipeline.palette_bank
        is_ours = isinstance(denoiser, PaletteDenoiser) and pipeline.scheduler.config.process == "absorbing"
        if not is_ours or denoiser.depends_on_time:
            raise InputError("this model can't compress: that takes an absorbing process and no time_conditioning")
        self.window: int = pipeline.config.size
        if prior is None:
            raise InputError("this model has no prior over palettes, which it takes to compress; publish.py fits one")
        self.denoiser, self.prior = (copy.deepcopy(each).double().eval() for each in (denoiser, prior))
        self.sizes = _sizes(bank)
        self.fingerprint = fingerprint(self.denoiser, self.prior, bank)
        for module in list(self.denoiser.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.Conv2d) and child.kernel_size == (3, 3):
                    setattr(module, name, FewerProducts(child))

    @torch.inference_mode()
    def logits(self, x_t: Tensor, palette: PaletteBatch) -> Tensor:
        """Logits ``[B, K, H, W]`` of index maps ``[B, H, W]``, float64, on the CPU."""
        x_t, palette = x_t.to(self.denoiser.device), palette.to(self.denoiser.device)
        batch = max(AT_ONCE // x_t[0].numel(), 1)
        parts = [slice(first, first + batch) for first in range(0, len(x_t), batch)]
        times = torch.zeros(len(x_t), dtype=torch.float64, device=x_t.device)
        return torch.cat([self.denoiser(x_t[rows], times[rows], palette[rows]).cpu() for rows in parts])


def _sizes(bank: PaletteBank) -> np.ndarray:
    """How often the bank's palettes have so many entries and a transparent one, ``[256, 2]``."""
    is_clear = (bank.colors[..., 3] == 0) & bank.valid
    places = 2 * (bank.valid.sum(dim=1) - 1) + is_clear.any(dim=1)
    counts = torch.bincount(places[~bank.heldout].cpu(), minlength=2 * MAX_ENTRIES)
    return (1.0 + SELDOM * counts.double().numpy()).reshape(MAX_ENTRIES, 2)


def fingerprint(*modules: nn.Module) -> bytes:
    """What tells models apart: 32 bytes made of the names, shapes and values of all weights."""
    digest = hashlib.sha256()
    for module in modules:
        for name, values in sorted(module.state_dict().items()):
            digest.update(f"{name} {list(values.shape)} ".encode())
            digest.update(values.double().cpu().contiguous().numpy().tobytes())
    return digest.digest()


class FewerProducts(nn.Module):
    """A 3×3 convolution with a third of the products, and exact for all that matters in float64.

    Winograd's F(4×4, 3×3) (Lavin and Gray 2015, arXiv 1509.09308) makes 16 pixels of 36 products
    for each pair of channels instead of 144. torch has no quick convolution in float64.

    Args:
        layer: the same convolution, of stride 1, padded by 1.
    """

    TILE = 4
    _OF_INPUT = torch.tensor(
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        dtype=torch.float64,
    )
    _OF_WEIGHT = torch.tensor(
        [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float64
    )
    """24 times the usual one, whose fractions are no floats."""
    _OF_OUTPUT = torch.tensor(
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float64
    )

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        weight = torch.einsum("ui,vj,ocij->uvco", self._OF_WEIGHT, self._OF_WEIGHT, layer.weight) / 24**2
        self.register_buffer("weight", weight.flatten(0, 1).contiguous())  # [36, C, O]
        self.register_buffer("bias", layer.bias)
        self.register_buffer("of_input", torch.kron(self._OF_INPUT, self._OF_INPUT))  # [36, 36]
        self.register_buffer("of_output", torch.kron(self._OF_OUTPUT, self._OF_OUTPUT))  # [16, 36]

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` → ``[B, O, H, W]``."""
        batch, channels, height, width = x.shape
        rows, columns = -(-height // self.TILE), -(-width // self.TILE)
        x = F.pad(x.movedim(1, -1), (0, 0, 1, columns * self.TILE - width + 1, 1, rows * self.TILE - height + 1))
        image, down, right, channel = x.contiguous().stride()
        tiles = x.contiguous().as_strided(
            (6, 6, batch, rows, columns, channels),
            (down, right, image, self.TILE * down, self.TILE * right, channel),
        )
        seen = (self.of_input @ tiles.reshape(36, -1)).view(36, -1, channels)
        made = self.of_output @ (seen @ self.weight).flatten(1)  # [16, B rows columns O]
        made = made.view(self.TILE, self.TILE, batch, rows, columns, -1).permute(2, 5, 3, 0, 4, 1)
        made = made.reshape(batch, -1, rows * self.TILE, columns * self.TILE) + self.bias[:, None, None]
        return made[..., :height, :width]
