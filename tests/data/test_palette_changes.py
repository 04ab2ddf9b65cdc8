import numpy as np
import pytest

from tincture.data.palette_changes import ColorChange, PaletteJitter, into_gamut
from tincture.quantization.color import oklab_to_linear, srgb_to_oklab
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

NONE = PaletteJitter(lightness=0, contrast=0, chroma=0, hue=0, noise=0)


@pytest.fixture
def image(rng):
    colors = np.concatenate([read_palette("endesga-32").colors, [[9, 9, 9, 0], [200, 10, 10, 90]]]).astype(np.uint8)
    return IndexedImage(rng.integers(0, 34, (9, 7)).astype(np.uint8), Palette(colors))


def test_no_strength_is_no_change(image, rng):
    cube = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3, [255]), -1).reshape(1, -1, 4).astype(np.uint8)
    assert np.array_equal(NONE.pixels(cube, rng), cube)
    assert NONE(image, rng).palette == image.palette


def test_the_index_map_and_alpha_stay(image, rng):
    changed = PaletteJitter()(image, rng)
    assert np.array_equal(changed.indices, image.indices)
    assert np.array_equal(changed.palette.colors[:, 3], image.palette.colors[:, 3])
    assert np.array_equal(changed.palette.colors[32], image.palette.colors[32])
    assert (changed.palette.colors[:32] != image.palette.colors[:32]).any(axis=1).mean() > 0.8


def test_a_picture_changes_as_its_palette_does(image):
    jitter = PaletteJitter(noise=0)
    by_palette = jitter(image, np.random.default_rng(5)).to_rgba()
    by_pixel = jitter.pixels(image.to_rgba(), np.random.default_rng(5))
    visible = image.indices != 32
    assert np.array_equal(by_palette[visible], by_pixel[visible])


def test_the_change_is_what_its_parts_say():
    oklab = np.array([[0.5, 0.05, 0.0], [0.6, 0.0, -0.05]])
    turned = ColorChange(contrast=1, lightness=0.1, chroma=2, hue=90).apply(oklab)
    assert turned.tolist() == [pytest.approx([0.6, 0, 0.1]), pytest.approx([0.7, 0.1, 0])]
    flat = ColorChange(contrast=0.5, lightness=0, chroma=0, hue=0).apply(oklab)
    assert flat.tolist() == [pytest.approx([0.5, 0, 0]), pytest.approx([0.55, 0, 0])]


def test_strengths_bound_every_draw(rng):
    jitter = PaletteJitter(lightness=0.1, contrast=0.2, chroma=0.3, hue=40)
    draws = np.array([jitter.draw(rng) for _ in range(500)]) - [1, 0, 1, 0]
    assert (np.abs(draws) <= [0.2, 0.1, 0.3, 40]).all()
    assert (np.abs(draws).max(axis=0) > np.array([0.2, 0.1, 0.3, 40]) * 0.95).all()


def test_gamut_mapping_keeps_lightness_and_hue_and_takes_no_more_chroma_than_it_must(rng):
    oklab = rng.uniform([0.05, -0.4, -0.4], [0.95, 0.4, 0.4], (500, 3))
    mapped = into_gamut(oklab)
    assert np.array_equal(mapped[:, 0], oklab[:, 0])
    share = (np.linalg.norm(mapped[:, 1:], axis=1) / np.linalg.norm(oklab[:, 1:], axis=1))[:, None]
    assert np.allclose(mapped[:, 1:], oklab[:, 1:] * share)
    linear = oklab_to_linear(mapped)
    assert linear.min() > -1e-3
    assert linear.max() < 1 + 1e-3
    is_changed = share[:, 0] < 1
    more = oklab_to_linear(np.concatenate([oklab[:, :1], oklab[:, 1:] * (share + 0.01)], axis=1))[is_changed]
    assert ((more < 0) | (more > 1)).any(axis=1).all()
    inside = srgb_to_oklab(rng.integers(0, 256, (200, 3)).astype(np.uint8)).astype(np.float64)
    assert np.array_equal(into_gamut(inside), inside)


def test_noise_moves_entries_each_on_its_own(image):
    jitter = PaletteJitter(lightness=0, contrast=0, chroma=0, hue=0, noise=0.02)
    gray = IndexedImage(np.zeros((1, 1), np.uint8), Palette(np.full((200, 4), (120, 120, 120, 255), np.uint8)))
    moved = jitter(gray, np.random.default_rng(0)).palette.colors[:, :3]
    spread = srgb_to_oklab(moved).std(axis=0, ddof=1)
    assert spread.tolist() == pytest.approx([0.02] * 3, rel=0.2)
