import pytest
import torch

from tincture.quantization.color import _transposed, linear_to_srgb, oklab_to_srgb, srgb_to_linear, srgb_to_oklab

# CSS Color Module Level 4's reference conversions of the sRGB primaries, to the digits that uint8
# colors need.
PUBLISHED = {
    (255, 255, 255): (1.0, 0.0, 0.0),
    (255, 0, 0): (0.62796, 0.22486, 0.12585),
    (0, 255, 0): (0.86644, -0.23389, 0.17950),
    (0, 0, 255): (0.45201, -0.03246, -0.31153),
    (0, 0, 0): (0.0, 0.0, 0.0),
}


@pytest.mark.parametrize(("srgb", "oklab"), PUBLISHED.items())
def test_oklab_matches_published_values(srgb, oklab):
    converted = srgb_to_oklab(torch.tensor(srgb, dtype=torch.uint8))
    torch.testing.assert_close(converted, torch.tensor(oklab), atol=2e-5, rtol=0)


def test_middle_grey_has_the_linear_value_of_the_standard():
    assert srgb_to_linear(torch.tensor(0.5)).item() == pytest.approx(0.21404, abs=1e-5)


def test_every_step_of_a_grid_of_colors_survives_the_way_to_oklab_and_back():
    levels = torch.arange(0, 256, 15, dtype=torch.uint8)
    colors = torch.cartesian_prod(levels, levels, levels)
    back = (oklab_to_srgb(srgb_to_oklab(colors)) * 255).round().to(torch.uint8)
    assert torch.equal(back, colors)


def test_transfer_curves_are_inverse():
    values = torch.linspace(0, 1, 1001, dtype=torch.float64)
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-7, rtol=0)


def test_grey_has_no_chroma_and_lightness_rises():
    greys = torch.arange(256, dtype=torch.uint8)[:, None].expand(-1, 3)
    oklab = srgb_to_oklab(greys)
    assert oklab[:, 1:].abs().max() < 1e-4
    assert (oklab[1:, 0] > oklab[:-1, 0]).all()


def test_colors_can_be_learned_where_others_were_converted_without_a_gradient():
    for convert in (srgb_to_oklab, oklab_to_srgb):
        _transposed.cache_clear()
        with torch.inference_mode():
            convert(torch.full((1, 3), 0.5))
        colors = torch.full((1, 3), 0.5, requires_grad=True)
        convert(colors).sum().backward()
        assert colors.grad.isfinite().all()
