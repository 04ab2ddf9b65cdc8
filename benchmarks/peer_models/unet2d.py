"""diffusers' `UNet2DModel` as the backbone of a per-index denoiser."""

from diffusers import UNet2DModel
from torch import Tensor, nn

from .per_index import PerIndexDenoiser


class UNet2D(nn.Module):
    """Three levels of (1, 2, 2) · ``width`` features, two blocks each, attention at the middle one: DDPM's shape, made small."""

    def __init__(self, in_channels: int, out_channels: int, width: int) -> None:
        super().__init__()
        self.model = UNet2DModel(
            in_channels=in_channels,
            out_channels=out_channels,
            block_out_channels=(width, 2 * width, 2 * width),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            layers_per_block=2,
            norm_num_groups=8,
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Features ``[B, C, H, W]`` at times ``[B]`` in 0 … 1, told to the model as 0 … 1,000."""
        return self.model(x, 1000 * t).sample


def unet2d(num_entries: int, width: int) -> PerIndexDenoiser:
    """A per-index denoiser on `UNet2D`."""
    return PerIndexDenoiser(num_entries, width, UNet2D(width, num_entries, width))
