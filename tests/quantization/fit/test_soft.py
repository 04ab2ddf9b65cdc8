import numpy as np
import pytest

from tincture.quantization.dither import dither
from tincture.quantization.fidelity import fidelity
from tincture.quantization.fit import QUANTIZERS, choose_colors, error_curve, fit_palette, quantize
from tincture.quantization.palettes.palette import Palette


def feathered(color, size=48, edge=1.0):
    """A disc of one color whose alpha falls to nothing, uint8 ``[size, size, 4]``."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    alpha = (255 * ((1 - np.hypot(x, y) / (size / 2)) / edge).clip(0, 1)).round()
    return np.dstack([np.full((size, size, 3), color), alpha]).astype(np.uint8)


def icon_with_shadow(color):
    """An opaque gradient over a black shadow."""
    image = feathered((0, 0, 0), edge=0.8)
    image[8:32, 8:36, :3] = np.linspace(color, (20, 20, 60), 24)[:, None]
    image[8:32, 8:36, 3] = 255
    return image


def haze(seed):
    """Colors and alphas that change smoothly, opaque on one side and nothing on the other."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, 40)
    corners = rng.integers(0, 256, (2, 3))
    rgb = corners[0] + ramp[:, None, None] * (corners[1] - corners[0]) + np.zeros((40, 40, 1))
    return np.dstack([rgb, (300 * ramp[None] + np.zeros((40, 1))).clip(0, 255)]).astype(np.uint8)


SOFT = {
    "a red disc": feathered((200, 60, 40)),
    "a white glow": feathered((255, 255, 255), edge=0.5),
    "an icon with a shadow": icon_with_shadow((255, 200, 80)),
    "a blue icon with a shadow": icon_with_shadow((90, 170, 255)),
    "haze": haze(0),
    "other haze": haze(1),
}
pictures = pytest.mark.parametrize("image", SOFT.values(), ids=list(SOFT))


@pytest.mark.parametrize("color", [(200, 60, 40), (255, 255, 255), (0, 0, 0), (12, 200, 99)])
@pytest.mark.parametrize("method", ["kmeans", "mixtures", "octree"])
def test_a_feathered_disc_of_one_hue_keeps_all_of_its_alphas(color, method):
    image = feathered(color)
    assert len(np.unique(image[..., 3])) > 130
    drawn = quantize(image, 256, method, alpha="soft").to_rgba()
    assert np.array_equal(drawn[..., 3], image[..., 3])
    assert np.array_equal(drawn[drawn[..., 3] > 0], image[image[..., 3] > 0])


@pictures
def test_the_error_is_far_below_that_of_hard_edges_and_falls_with_the_number_of_colors(image):
    def error(count, alpha):
        drawn = quantize(image, count, alpha=alpha)
        assert len(drawn.palette) <= count
        return fidelity([image], [drawn.indices], drawn.palette).delta_e

    soft = [error(count, "soft") for count in (8, 16, 32, 256)]
    assert soft == sorted(soft, reverse=True)
    assert soft[1] < error(16, "hard") / 3
    assert soft[2] < 0.02
    assert soft[3] < 0.006


@pictures
def test_opaque_stays_opaque_nothing_stays_nothing_and_what_is_halfway_becomes_neither(image):
    palette = fit_palette([image], 24, alpha="soft")
    for drawn in (quantize(image, 24, alpha="soft").to_rgba(), palette.colors[dither(image, palette, "bayer4")]):
        assert (drawn[image[..., 3] == 255, 3] == 255).all()
        assert (drawn[image[..., 3] == 0, 3] == 0).all()
        halfway = drawn[(image[..., 3] > 30) & (image[..., 3] < 225), 3]
        assert 0 < halfway.min() <= halfway.max() < 255


@pytest.mark.parametrize("method", [name for name in QUANTIZERS if name != "learned"])
def test_a_picture_without_soft_pixels_gets_the_palette_of_hard_edges(rng, method):
    image = rng.integers(0, 256, (20, 20, 4), np.uint8)
    image[..., 3] = rng.choice([0, 255], (20, 20))
    keep = Palette.from_hex(["ff0000"])
    hard, soft = (fit_palette([image], 9, method, keep=keep, alpha=alpha) for alpha in ("hard", "soft"))
    assert hard == soft


def test_clusters_of_soft_colors_are_found_at_their_means():
    rng = np.random.default_rng(0)
    centers = np.array([[200, 40, 40, 60], [40, 40, 200, 120], [20, 200, 60, 200]])
    image = (centers[rng.integers(0, 3, 900)] + rng.integers(-2, 3, (900, 4))).astype(np.uint8).reshape(30, 30, 4)
    palette = fit_palette([image], 3, alpha="soft")
    assert np.abs(palette.colors.astype(int) - centers).max() <= 1  # in the order of their alphas


@pytest.mark.parametrize("hexes", [["ff00ff"], ["00000040"], ["12345680", "ffffff", "00000001"]])
@pictures
def test_kept_colors_come_first_and_once_whatever_their_alpha(image, hexes):
    palette = fit_palette([image], 12, keep=Palette.from_hex(hexes), alpha="soft").to_hex()
    assert palette[: len(hexes) + 1] == ["00000000", *hexes]
    assert len(set(palette)) == len(palette) <= 12


@pictures
def test_hardware_with_few_bits_can_show_soft_entries_too(image):
    colors = fit_palette([image], 12, channel_bits=(3, 3, 2), alpha="soft").colors
    assert set(np.unique(colors[:, 0])) <= {round(255 * level / 7) for level in range(8)}
    assert set(np.unique(colors[:, 2])) <= {0, 85, 170, 255}
    assert len(np.unique(colors, axis=0)) == len(colors) <= 12


@pictures
def test_the_error_curve_is_the_error_of_the_pictures(image):
    for count, error in zip((6, 20), error_curve([image], (6, 20), alpha="soft"), strict=True):
        drawn = quantize(image, count, alpha="soft")
        visible = image[..., 3] > 0
        alone = np.where(visible[..., None], image, np.uint8(0))
        assert error == pytest.approx(fidelity([alone], [drawn.indices], drawn.palette).delta_e, abs=2e-5)


@pictures
def test_auto_stays_below_the_error_that_is_allowed(image):
    count = choose_colors([image], max_error=0.02, alpha="soft")
    drawn = quantize(image, count, alpha="soft")
    assert count < 64
    assert fidelity([image], [drawn.indices], drawn.palette).delta_e <= 0.02


def test_auto_takes_all_of_few_colors_alphas_included():
    image = np.array([[[9, 9, 9, alpha] for alpha in (0, 10, 20, 30, 255)]], np.uint8)
    assert (choose_colors([image], alpha="soft"), choose_colors([image])) == (5, 2)
    assert quantize(image, 5, alpha="soft").palette.colors[:, 3].tolist() == [0, 10, 20, 30, 255]


def test_one_palette_serves_the_soft_pixels_of_several_pictures():
    images = [feathered((200, 60, 40)), feathered((40, 60, 200))]
    palette = fit_palette(images, 32, alpha="soft")
    soft = palette.colors[(palette.colors[:, 3] > 0) & (palette.colors[:, 3] < 255)].astype(int)
    assert ((soft[:, 0] > soft[:, 2]).any(), (soft[:, 0] < soft[:, 2]).any()) == (True, True)
