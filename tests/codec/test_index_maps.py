import numpy as np
import pytest
import torch
from torch import nn

from tincture.codec.arithmetic import Decoder, Encoder
from tincture.codec.index_maps import GROUPS, IndexMap, code_index_maps, look
from tincture.codec.network import CodecNetwork, FewerProducts
from tincture.common.errors import InputError
from tincture.diffusion.orders import halton
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.tests.codec.conftest import make_pipeline


@pytest.mark.parametrize("size", [(8, 8), (5, 9), (1, 1), (13, 4)])
def test_a_convolution_with_fewer_products_is_that_convolution(size):
    layer = nn.Conv2d(5, 7, 3, padding=1).double()
    x = torch.randn(3, 5, *size, dtype=torch.float64)
    assert torch.allclose(FewerProducts(layer)(x), layer(x), rtol=0, atol=1e-13)


def test_the_network_answers_as_the_denoiser_does(network, pipeline, rng):
    palette = PaletteBatch.from_colors([rng.integers(0, 256, (5, 4)).astype(np.uint8)])
    x_t = torch.from_numpy(rng.integers(0, 6, (1, 8, 8)))
    expected = pipeline.denoiser(x_t, torch.zeros(1), palette)
    assert torch.allclose(network.logits(x_t, palette), expected.double(), atol=1e-4)


def test_the_network_answers_alike_whatever_the_batch(network, rng):
    """Much nearer than the codec's margin of 1e-7: a float32 anywhere would show."""
    palette = PaletteBatch.from_colors([rng.integers(0, 256, (5, 4)).astype(np.uint8) for _ in range(9)])
    x_t = torch.from_numpy(rng.integers(0, 6, (9, 8, 8)))
    together = network.logits(x_t, palette)
    alone = torch.cat([network.logits(x_t[row : row + 1], palette[row : row + 1]) for row in range(9)])
    assert (together - alone).abs().max() < 1e-11
    reordered = network.logits(4 - x_t.where(x_t < 5, -1), type(palette)(palette.colors.flip(1), palette.valid))
    assert (together - reordered.flip(1)).abs().max() < 1e-11


def test_a_model_that_is_told_the_time_is_refused():
    pipeline = make_pipeline()
    pipeline.denoiser.condition.time = nn.Identity()
    with pytest.raises(InputError, match="time_conditioning"):
        CodecNetwork(pipeline)


@pytest.mark.parametrize("shape", [(8, 8), (3, 5), (20, 13), (8, 9)])
def test_every_pixel_is_looked_at_once_in_some_window(network, shape, monkeypatch, rng):
    x_t = torch.from_numpy(rng.integers(0, 3, (2, *shape)))
    palette = PaletteBatch.from_colors([np.zeros((2, 4), np.uint8)] * 2)

    def shown(windows, palettes):
        assert max(windows.shape[1:]) <= network.window
        return torch.stack([windows, 2 * windows], dim=1).double()

    monkeypatch.setattr(network, "logits", shown)
    for call in range(4):
        assert torch.equal(look(network, x_t, palette, call), torch.stack([x_t, 2 * x_t], dim=1).double())


def test_groups_follow_the_order_and_end_with_all_pixels():
    for calls, shares in GROUPS.items():
        assert len(shares) == calls
        assert shares[-1] == 256
        assert list(shares) == sorted(set(shares))


def test_the_code_is_as_long_as_the_network_says(network, rng):
    """Against the ten lines that the format means: a pixel costs -log2 of its share."""
    colors, indices = rng.integers(0, 256, (6, 4)).astype(np.uint8), rng.integers(0, 6, (8, 8)).astype(np.uint8)
    encoder = Encoder()
    code_index_maps(network, [IndexMap(encoder, (8, 8), colors, indices)], 1)
    order, x_t, bits = halton(8, 8).ravel().argsort(), np.full(64, 6), 0.0
    for first, last in zip([0, *GROUPS[8]], GROUPS[8], strict=False):
        places = order[-(-first * 64 // 256) : -(-last * 64 // 256)]
        logits = network.logits(torch.from_numpy(x_t).view(1, 8, 8), PaletteBatch.from_colors([colors]))
        shares = logits.log_softmax(dim=1).flatten(2)[0].numpy()
        bits -= shares[indices.flat[places].astype(int), places].sum() / np.log(2)
        x_t[places] = indices.flat[places]
    assert bits - 1 < 8 * len(encoder.finish()) < bits + 12


def test_maps_of_many_shapes_come_back_in_whatever_company(network, rng):
    shapes = [(1, 1), (8, 8), (8, 8), (3, 17), (20, 9), (1, 30), (8, 8)]
    sizes = [1, 2, 256, 7, 16, 3, 5]
    maps = [
        (shape, rng.integers(0, 256, (size, 4)).astype(np.uint8), rng.integers(0, size, shape).astype(np.uint8))
        for shape, size in zip(shapes, sizes, strict=True)
    ]
    coders = [Encoder() for _ in maps]
    code_index_maps(network, [IndexMap(coder, *each) for coder, each in zip(coders, maps, strict=True)], 2)
    for coder, (shape, colors, indices) in zip(coders, maps, strict=True):
        (back,) = code_index_maps(network, [IndexMap(Decoder(coder.finish()), shape, colors)], 2)
        assert np.array_equal(back, indices)
