from typing import get_args

import pytest
import torch

from tincture.models.options import Normalization, UNetConfig
from tincture.models.unet import NORMALIZATIONS, UNet


@pytest.mark.parametrize("name", NORMALIZATIONS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_features_are_normalized_over_what_the_name_says(name, memory_format):
    torch.manual_seed(0)
    x = (3 + 2 * torch.randn(2, 16, 3, 5)).to(memory_format=memory_format)
    layer = NORMALIZATIONS[name](16)
    torch.nn.init.normal_(layer.weight)
    expected = torch.empty_like(x)
    for image in range(2):
        for channel in range(16):
            for row, column in ((row, column) for row in range(3) for column in range(5)):
                group = x[image, channel // 2 * 2 : channel // 2 * 2 + 2]
                seen = group if name == "group" else x[image, :, row, column]
                mean = 0 if name == "rms" else seen.mean()
                scale = ((seen - mean) ** 2).mean().sqrt()
                expected[image, channel, row, column] = (x[image, channel, row, column] - mean) / scale
    expected *= layer.weight[:, None, None]
    torch.testing.assert_close(layer(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_one_picture_of_one_position_is_normalized_as_among_others(name):
    torch.manual_seed(0)
    x, layer = torch.randn(2, 8, 1, 1), NORMALIZATIONS[name](8)
    torch.testing.assert_close(layer(x[:1]), layer(x)[:1])


@pytest.mark.parametrize("name", get_args(Normalization))
def test_a_network_has_no_other_normalization_than_the_one_asked_for(name):
    unet = UNet(8, 8, 16, UNetConfig(channels=(8, 32), head_channels=8, normalization=name))
    norms = {type(module).__name__ for module in unet.modules() if "norm" in type(module).__name__.lower()}
    assert norms == {type(NORMALIZATIONS[name](8)).__name__}
    assert unet(torch.randn(2, 8, 6, 6), torch.randn(2, 16)).shape == (2, 8, 6, 6)
