import numpy as np
import pytest
import torch

from tincture.common.errors import InputError
from tincture.controls.wishes import ColorWish, LightnessWish, color_distances, lightness_distances
from tincture.quantization.encoding import encode
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.tests.palettes import random_palette

ALL = slice(None)


def some_pixels(rng, count=2, size=24):
    pixels = rng.integers(0, 256, (count, size, size, 4), np.uint8)
    pixels[..., 3] = np.where(rng.random(pixels.shape[:3]) < 0.2, 0, 255)
    return pixels


@pytest.mark.parametrize("transparent", [None, 3])
@pytest.mark.parametrize("fidelity", [1e9, float("inf")])
def test_in_the_limit_a_target_asks_for_the_nearest_entry(rng, transparent, fidelity):
    pixels = some_pixels(rng)
    palettes = [random_palette(9, 1, transparent), random_palette(5, 2, transparent)]
    bias = ColorWish(pixels, fidelity).bias(PaletteBatch.from_palettes(palettes), ALL)
    bias[1, 5:] = -torch.inf  # padded, as in a denoiser's logits
    for n, palette in enumerate(palettes):
        assert np.array_equal(bias[n].argmax(0).numpy(), encode(pixels[n], palette))


@pytest.mark.parametrize("alphas", [[255, 8, 127, 128, 200, 0], [8, 40, 100, 127, 90, 0], [255, 255, 3, 3, 3, 3]])
def test_half_transparent_entries_are_taken_as_they_are_by_encode(rng, alphas):
    pixels = some_pixels(rng, 1)
    pixels[0, :6, :, 3] = rng.integers(0, 256, (6, 24))
    colors = np.concatenate([rng.integers(0, 256, (6, 3), np.uint8), np.array(alphas, np.uint8)[:, None]], axis=1)
    bias = ColorWish(pixels, float("inf")).bias(PaletteBatch.from_palettes([Palette(colors)]), ALL)
    assert np.array_equal(bias[0].argmax(0).numpy(), encode(pixels[0], Palette(colors)))


def test_transparency_is_farther_from_every_color_than_any_color(rng):
    palette = PaletteBatch.from_palettes([Palette.from_hex(["000000", "00000000", "ffffff"])])
    opaque = np.full((1, 1, 4), 255, np.uint8)
    clear = opaque * np.array([1, 1, 1, 0], np.uint8)
    assert ColorWish(opaque, 1.0).bias(palette, ALL).flatten().tolist() == pytest.approx([-1, -2, 0], abs=1e-4)
    assert ColorWish(clear, 1.0).bias(palette, ALL).flatten().tolist() == [-2, 0, -2]


def test_lightness_is_asked_for_in_any_color_and_not_where_it_is_unknown():
    palette = PaletteBatch.from_palettes([Palette.from_hex(["000000", "ffffff", "00000000"])])
    luminance = torch.tensor([[1.0, 0.25, -1.0, torch.nan]])
    bias = LightnessWish(luminance, 2.0).bias(palette, ALL)[0, :, 0]
    expected = torch.tensor([[-2, -0.125, -2, 0], [0, -1.125, -8, 0], [-8, -3.125, 0, 0]])
    assert torch.allclose(bias, expected, atol=1e-4)


def test_a_transparent_pixel_is_as_light_as_can_be_where_no_entry_is_transparent():
    palette = PaletteBatch.from_palettes([Palette.from_hex(["000000", "ffffff"])])
    bias = LightnessWish(torch.tensor([[-1.0]]), 1.0).bias(palette, ALL)
    assert bias.argmax(1).item() == 1
    infinite = LightnessWish(torch.tensor([[-1.0]]), float("inf")).bias(palette, ALL)
    assert infinite.softmax(dim=1).flatten().tolist() == [0, 1]


def test_infinite_wishes_leave_ties_to_the_model_and_settle_contradictions_by_the_least_miss(rng):
    palette = PaletteBatch.from_palettes([random_palette(6), Palette.from_hex(["ff0000", "00ff00", "ff0000"])])
    pixels, luminance = some_pixels(rng), torch.rand(24, 24)
    logits = torch.randn(2, 6, 24, 24).masked_fill(~palette.valid[:, :, None, None], -torch.inf)
    red = np.array([255, 0, 0, 255], np.uint8)
    tied = logits + ColorWish(np.broadcast_to(red, (24, 24, 4)).copy(), float("inf")).bias(palette, ALL)
    assert torch.equal(tied[1, [0, 2]], logits[1, [0, 2]])
    assert (tied.softmax(dim=1)[1, 1] == 0).all()
    wishes = [ColorWish(pixels, float("inf")), LightnessWish(luminance, float("inf"))]
    together = (logits + sum(wish.bias(palette, ALL) for wish in wishes)).softmax(dim=1)
    misses = color_distances(palette, torch.from_numpy(pixels)) + lightness_distances(palette, luminance[None])
    misses = misses.masked_fill(~palette.valid[:, :, None, None], torch.inf)
    chosen = together.argmax(dim=1, keepdim=True)
    torch.testing.assert_close(misses.gather(1, chosen), misses.min(dim=1, keepdim=True).values)


def test_one_map_stands_for_all_images_and_several_for_one_each(rng):
    pixels = some_pixels(rng, 4)
    palette = PaletteBatch.from_palettes([random_palette(6)] * 2)
    each = ColorWish(pixels, 3.0).bias(palette, slice(1, 3))
    for n in (0, 1):
        assert torch.equal(ColorWish(pixels[n + 1], 3.0).bias(palette, slice(1, 3))[n], each[n])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ColorWish(np.zeros((4, 4, 3), np.uint8), 1.0), r"uint8 \[H, W, 4\]"),
        (lambda: ColorWish(np.zeros((4, 4, 4), np.uint8), -1.0), "fidelity is -1"),
        (lambda: LightnessWish(torch.zeros(4, 4), float("nan")), "fidelity is nan"),
        (lambda: LightnessWish(torch.zeros(4), 1.0), r"float \[H, W\]"),
    ],
)
def test_wrong_wishes_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
