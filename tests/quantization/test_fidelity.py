import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tincture.quantization.color import linear_to_oklab, srgb_to_oklab
from tincture.quantization.conversion import convert
from tincture.quantization.dither import dither
from tincture.quantization.fidelity import EYE_BLUR, fidelity
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.spaces import LINEAR_OF_BYTE

GRAYS = Palette.from_hex(["00000000", "000000", "0a0a0a", "ffffff"])


def solid(value, alpha=255, size=(4, 5)):
    return np.full((*size, 4), (value, value, value, alpha), np.uint8)


def test_equal_pictures_are_infinitely_faithful():
    result = fidelity([solid(10)], [np.full((4, 5), 2, np.uint8)], GRAYS)
    assert result[:3] == (float("inf"), 0, 1)


def test_the_definitions_on_one_color():
    result = fidelity([solid(0)], [np.full((4, 5), 2, np.uint8)], GRAYS)
    assert result.psnr == pytest.approx(20 * np.log10(255 / 10))
    assert fidelity([solid(0)], [np.full((4, 5), 3, np.uint8)], GRAYS).delta_e == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("alpha", [254, 128, 60])
def test_another_alpha_is_no_exact_copy(alpha):
    palette = Palette(np.array([[10, 10, 10, alpha]], np.uint8))
    result = fidelity([solid(10)], [np.zeros((4, 5), np.uint8)], palette)
    on_black, on_white = (alpha / 255 * 10 + (1 - alpha / 255) * background for background in (0, 255))
    light = [srgb_to_oklab(np.full(3, value / 255))[0] for value in (10, on_black, on_white)]
    squares = ((on_black - 10) ** 2 + (on_white - 10) ** 2) / 2
    assert result.psnr == pytest.approx(10 * np.log10(255**2 / squares), abs=1e-3)
    assert result.delta_e == pytest.approx((abs(light[1] - light[0]) + abs(light[2] - light[0])) / 2, abs=1e-4)
    assert fidelity([solid(10, alpha=alpha)], [np.zeros((4, 5), np.uint8)], palette)[:3] == (np.inf, 0, 1)


def test_what_is_lost_or_added_counts_although_one_side_is_transparent():
    clear, white = np.zeros((4, 5), np.uint8), np.full((4, 5), 3, np.uint8)
    assert fidelity([solid(255)], [clear], GRAYS).delta_e == pytest.approx(0.5, abs=1e-4)  # unseen on white
    assert fidelity([solid(0, alpha=0)], [white], GRAYS).delta_e == pytest.approx(0.5, abs=1e-4)
    soft = [fidelity([solid(0, alpha=alpha)], [clear], GRAYS).delta_e for alpha in (1, 60, 127)]
    assert 0 < soft[0] < soft[1] < soft[2] < 0.5


WALLS = {  # a color, entries, and the flat one that is nearest pixel by pixel in some metric
    "gray on e-paper": ((128, 128, 128), ["000000", "ffffff", "ff8000"], 2),
    "beige in four": ((200, 180, 150), ["000000", "ffffff", "ff8000", "404080"], 2),
    "pale blue in black and white": ((150, 160, 190), ["000000", "ffffff", "00a0ff"], 2),
    "brown in six": ((120, 80, 50), ["000000", "ffffff", "ff0000", "ffff00", "00ff00", "0000ff"], 2),
}


@pytest.mark.parametrize(("color", "hexes", "flat"), WALLS.values(), ids=list(WALLS))
def test_a_wall_of_a_flat_wrong_color_never_beats_dots_that_mix_to_the_right_one(color, hexes, flat):
    wall, palette = np.full((48, 48, 3), color, np.uint8), Palette.from_hex(hexes)
    dots = dither(wall, palette, "floyd-steinberg", exact=True)
    wrong = np.full((48, 48), flat, np.uint8)
    by_pixel = [fidelity([wall], [drawn], palette).delta_e for drawn in (dots, wrong)]
    seen = [fidelity([wall], [drawn], palette, EYE_BLUR).delta_e for drawn in (dots, wrong)]
    assert by_pixel[0] > by_pixel[1]  # which misled
    assert seen[0] < 0.6 * seen[1]


@pytest.mark.parametrize("size", [(5, 7), (70, 40), (200, 3)])
def test_the_blur_is_a_gaussian_in_linear_light_over_the_whole_picture(rng, size):
    palette = Palette(rng.integers(0, 256, (9, 4), np.uint8) | np.array([0, 0, 0, 255], np.uint8))
    image, indices = rng.integers(0, 256, (*size, 3), np.uint8), rng.integers(0, 9, size).astype(np.uint8)
    seen = [
        linear_to_oklab(gaussian_filter(LINEAR_OF_BYTE[rgb].astype(float), (2, 2, 0), mode="nearest"))
        for rgb in (image, palette.colors[indices, :3])
    ]
    expected = np.linalg.norm(seen[0] - seen[1], axis=-1).mean()
    assert fidelity([image], [indices], palette, blur=2).delta_e == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("is_dithered", [False, True])
def test_a_conversion_says_whether_it_was_blurred(is_dithered):
    converted = convert([solid(128)], GRAYS, method="bayer4" if is_dithered else "none")
    assert converted.fidelity.blur == (EYE_BLUR if is_dithered else 0)


def test_transparent_pixels_are_left_out_but_their_entry_is_used():
    frame = solid(10)
    frame[:2, :, 3] = 0
    indices = np.full((4, 5), 2, np.uint8)
    indices[:2] = 0
    assert fidelity([frame], [indices], GRAYS)[:3] == (float("inf"), 0, 2)
    assert fidelity([solid(9, alpha=0)], [np.zeros((4, 5), np.uint8)], GRAYS)[:3] == (None, None, 1)


def test_frames_are_averaged_by_their_pixels(rng):
    frames = [rng.integers(0, 256, (6, 6, 4), np.uint8) | np.array([0, 0, 0, 255], np.uint8) for _ in range(2)]
    indices = [rng.integers(1, 4, (6, 6)).astype(np.uint8) for _ in range(2)]
    parts = [fidelity([frame], [index_map], GRAYS) for frame, index_map in zip(frames, indices, strict=True)]
    both = fidelity(frames, indices, GRAYS)
    assert both.delta_e == pytest.approx(np.mean([part.delta_e for part in parts]))
    assert 10 ** (-both.psnr / 10) == pytest.approx(np.mean([10 ** (-part.psnr / 10) for part in parts]))
