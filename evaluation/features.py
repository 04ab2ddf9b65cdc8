"""Features of images by networks trained on ImageNet: what Fréchet distance, precision, recall and the like are measured on.

Every number depends on the network, so its name goes with it everywhere; numbers by different names can't be compared.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from tincture.common.errors import InputError, choose

from .efficientnet_lite import load_efficientnet_lite0
from .inception import load_inception

BACKGROUND = 127
"""Gray level behind transparent pixels. The networks see it as zero, and hardly any entry has this color, whereas white,
which many pictures hold, would hide whether a pixel is white or left out."""


@dataclass(frozen=True)
class FeatureExtractor:
    """A network and the size of the pictures it is given."""

    name: str
    size: int
    """Edge length in pixels to which pictures are enlarged."""
    network: Callable[[Tensor], Tensor]
    """RGB from 0 to 255, float ``[B, 3, size, size]``, to features, ``[B, D]``."""
    device: torch.device

    @torch.inference_mode()
    def __call__(self, rgba: Tensor, batch_size: int = 16) -> Tensor:
        """The features of pictures.

        Args:
            rgba: sRGB with alpha, uint8 ``[N, H, W, 4]``.
            batch_size: pictures at once; small ones stay in the processor's cache.

        Returns:
            float64 ``[N, D]``, on the CPU: distances of near features are differences of large numbers.

        Raises:
            InputError: ``rgba`` has another type or shape, or no picture.
        """
        if rgba.dtype != torch.uint8 or rgba.ndim != 4 or rgba.shape[3] != 4 or rgba.numel() == 0:
            raise InputError(f"pictures are uint8 [N, H, W, 4], not {rgba.dtype} {list(rgba.shape)}")
        batches = tqdm(rgba.split(batch_size), desc=f"{self.name} features", unit="batch", leave=False)
        return torch.cat([self.network(prepare(batch.to(self.device), self.size)).cpu() for batch in batches]).double()


def prepare(rgba: Tensor, size: int) -> Tensor:
    """Lay pictures over gray and enlarge them.

    Pixels become squares of whole pixels (nearest neighbor, by the largest whole factor that fits, at least 1) before what
    remains is interpolated, so that pixel art stays sharp and photographs are merely resized.

    Args:
        rgba: uint8 ``[B, H, W, 4]``.
        size: edge length of the result.

    Returns:
        RGB from 0 to 255, float ``[B, 3, size, size]``, channels last in memory, which convolutions are fastest with.
    """
    color, alpha = rgba.movedim(3, 1).float().split([3, 1], dim=1)
    rgb = BACKGROUND + (color - BACKGROUND) * alpha / 255
    factor = max(size // max(rgb.shape[2:]), 1)
    rgb = rgb.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    if rgb.shape[2:] != (size, size):
        rgb = F.interpolate(rgb, (size, size), mode="bilinear", antialias=True)
    return rgb.contiguous(memory_format=torch.channels_last)


def _efficientnet_lite0(device: torch.device) -> Callable[[Tensor], Tensor]:
    return load_efficientnet_lite0().to(device, memory_format=torch.channels_last).features


EXTRACTORS: dict[str, tuple[int, Callable[[torch.device], Callable[[Tensor], Tensor]]]] = {
    "efficientnet-lite0": (128, _efficientnet_lite0),  # a third of the work of 224
    "efficientnet-lite0-224": (224, _efficientnet_lite0),  # the size that it was trained at
    "inception": (299, load_inception),
}
"""The size of the pictures, and what loads the network to a device."""


def load_extractor(name: str = "efficientnet-lite0", device: torch.device | str = "cpu") -> FeatureExtractor:
    """Load a feature extractor by name.

    Raises:
        InputError: there is none of this name, or the package or the weights it needs are missing.
    """
    size, load = choose("feature extractor", name, EXTRACTORS)
    return FeatureExtractor(name, size, load(torch.device(device)), torch.device(device))
