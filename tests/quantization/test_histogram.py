import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tincture.quantization.histogram import FEW_PIXELS, OPAQUE_ALPHA, histogram


def counts_of(images):
    """The definition: how often each color occurs among all opaque pixels, as a dictionary."""
    pixels = np.concatenate([image.reshape(-1, 4) for image in images])
    colors, counts = np.unique(pixels[pixels[:, 3] >= OPAQUE_ALPHA, :3], axis=0, return_counts=True)
    return {tuple(color): count for color, count in zip(colors.tolist(), counts.tolist(), strict=True)}


def counted(images):
    colors, counts = histogram(images)
    assert (counts > 0).all()
    found = {tuple(color): count for color, count in zip(colors.tolist(), counts.tolist(), strict=True)}
    assert len(found) == len(colors)
    return found


def noise(rng, pixels, colors):
    """Pixels in few colors, some more frequent than others, one in ten not opaque."""
    palette = rng.integers(0, 256, (colors, 4), np.uint8)
    palette[:, 3] = np.where(rng.random(colors) < 0.1, rng.integers(0, OPAQUE_ALPHA, colors), 255)
    return palette[(colors * rng.random(pixels) ** 3).astype(int)]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 400), st.integers(1, 3000), st.booleans())
@example(0, 299, 1, True)
@example(0, 12, 40, True)
def test_pictures_together_count_as_one_picture_of_all_their_pixels(seed, parts, colors, is_large):
    rng = np.random.default_rng(seed)
    pixels = noise(rng, FEW_PIXELS * 3 if is_large else FEW_PIXELS // 2, colors)
    cuts = np.sort(rng.integers(0, len(pixels) + 1, parts - 1))
    images = [part[None] for part in np.split(pixels, cuts)]
    assert counted(images) == counted([pixels[None]]) == counts_of(images)


@pytest.mark.parametrize("size", [1, 8, 15, 16, 17])
def test_a_color_that_earlier_pictures_have_filled_up_is_counted_on(size):
    white = np.full((size, size, 4), 255, np.uint8)
    black = white * np.array([0, 0, 0, 1], np.uint8)
    whites = 2 * FEW_PIXELS // size**2
    expected = {(255, 255, 255): whites * size**2, (0, 0, 0): size**2}
    assert counted([white] * whites + [black]) == counted([black] + [white] * whites) == expected
