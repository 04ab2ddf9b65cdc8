import pytest
import torch

from tincture.diffusion.likelihood import pixel_orders
from tincture.diffusion.orders import ORDERS

SPREAD_OUT = ("halton", "lattice")


def orders(kind, images, height, width):
    """The order of each image's pixels."""
    return pixel_orders(torch.zeros(images, height, width), kind, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5, 3), (16, 16), (24, 9)])
def test_an_order_has_every_pixel_once_at_any_size(kind, height, width):
    pixels = height * width
    assert torch.equal(orders(kind, 3, height, width).sort().values, torch.arange(pixels).expand(3, -1))


def neighbors(kind, share):
    """How many neighbors, of four, are among the first ``share`` of the pixels too, in the mean."""
    first = orders(kind, 50, 16, 16)[:, : round(256 * share)]
    chosen = torch.zeros(50, 256).scatter_(1, first, 1).view(50, 16, 16)
    return sum((chosen * chosen.roll(1, dim)).sum() * 2 for dim in (1, 2)).item() / chosen.sum().item()


@pytest.mark.parametrize("kind", SPREAD_OUT)
def test_pixels_of_the_first_calls_are_seldom_neighbors_in_a_spread_out_order(kind):
    assert neighbors("random", 0.25) == pytest.approx(1, abs=0.05)
    assert neighbors(kind, 0.25) < 0.5


@pytest.mark.parametrize("kind", SPREAD_OUT)
def test_any_pixel_may_come_first_in_a_spread_out_order(kind, p_value):
    counts = torch.bincount(orders(kind, 20_000, 4, 8)[:, 0], minlength=32)
    assert p_value(counts, torch.full((32,), 1 / 32)) > 0.001


def test_a_raster_is_read_as_text_is():
    assert orders("raster", 2, 2, 3).tolist() == [[0, 1, 2, 3, 4, 5]] * 2
