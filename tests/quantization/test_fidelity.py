import numpy as np
import pytest

from tincture.quantization.fidelity import fidelity
from tincture.quantization.palettes.palette import Palette

GRAYS = Palette.from_hex(["00000000", "000000", "0a0a0a", "ffffff"])


def solid(value, alpha=255, size=(4, 5)):
    return np.full((*size, 4), (value, value, value, alpha), np.uint8)


def test_equal_pictures_are_infinitely_faithful():
    result = fidelity([solid(10)], [np.full((4, 5), 2, np.uint8)], GRAYS)
    assert result == (float("inf"), 0, 1)


def test_the_definitions_on_one_color():
    result = fidelity([solid(0)], [np.full((4, 5), 2, np.uint8)], GRAYS)
    assert result.psnr == pytest.approx(20 * np.log10(255 / 10))
    assert fidelity([solid(0)], [np.full((4, 5), 3, np.uint8)], GRAYS).delta_e == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("alpha", [254, 128, 60])
def test_another_alpha_is_no_exact_copy(alpha):
    palette = Palette(np.array([[10, 10, 10, alpha]], np.uint8))
    result = fidelity([solid(10)], [np.zeros((4, 5), np.uint8)], palette)
    gap = 255 - alpha
    assert result == (pytest.approx(10 * np.log10(255**2 / (gap**2 / 3))), pytest.approx(gap / 255), 1)
    same = fidelity([solid(10, alpha=alpha)], [np.zeros((4, 5), np.uint8)], palette)
    assert same == ((np.inf, 0, 1) if alpha >= 128 else (None, None, 1))


def test_transparent_pixels_are_left_out_but_their_entry_is_used():
    frame = solid(10)
    frame[:2, :, 3] = 0
    indices = np.full((4, 5), 2, np.uint8)
    indices[:2] = 0
    assert fidelity([frame], [indices], GRAYS) == (float("inf"), 0, 2)
    assert fidelity([solid(9, alpha=0)], [np.zeros((4, 5), np.uint8)], GRAYS) == (None, None, 1)


def test_frames_are_averaged_by_their_pixels(rng):
    frames = [rng.integers(0, 256, (6, 6, 4), np.uint8) | np.array([0, 0, 0, 255], np.uint8) for _ in range(2)]
    indices = [rng.integers(1, 4, (6, 6)).astype(np.uint8) for _ in range(2)]
    parts = [fidelity([frame], [index_map], GRAYS) for frame, index_map in zip(frames, indices, strict=True)]
    both = fidelity(frames, indices, GRAYS)
    assert both.delta_e == pytest.approx(np.mean([part.delta_e for part in parts]))
    assert 10 ** (-both.psnr / 10) == pytest.approx(np.mean([10 ** (-part.psnr / 10) for part in parts]))
