import numpy as np
import pytest

from tincture.common.errors import InputError
from tincture.pipelines.posterior_mean import dithered_means, mean_color
from tincture.quantization.dither import DITHERERS
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

GREYS = Palette.from_hex(["000000", "ffffff", "00000000"])


def image(*rows, palette=GREYS):
    return IndexedImage(np.array(rows, np.uint8), palette)


def test_colors_are_averaged_in_linear_light_and_by_their_opacity():
    first, second, third, fourth = mean_color([image([0, 1, 1, 2]), image([1, 1, 2, 2])])[0].tolist()
    assert first == [188, 188, 188, 255]  # half of the light of white
    assert second == [255, 255, 255, 255]
    assert third == [255, 255, 255, 128]
    assert fourth[3] == 0


def test_where_drawings_agree_the_result_is_theirs_and_elsewhere_their_mean():
    generator = np.random.default_rng(0)
    drawn = [image(*(generator.random((32, 32)) < 0.25)) for _ in range(64)]
    (mean,) = dithered_means(drawn, 64, "floyd-steinberg")
    assert mean.palette == GREYS
    assert 0.22 < mean.indices.mean() < 0.28
    same = [image([0, 1, 2], [1, 1, 0])] * 3
    results = dithered_means(same + drawn[:3], 3, "floyd-steinberg")
    assert len(results) == 2
    assert np.array_equal(results[0].indices, same[0].indices)


@pytest.mark.parametrize("method", DITHERERS)
def test_where_drawings_agree_on_a_half_transparent_entry_it_stays(rng, method):
    palette = Palette.from_hex(["000000", "ff000020", "00ff0064", "0000ffc0", "ffffff", "00000000"])
    drawn = IndexedImage(rng.integers(0, 6, (8, 8)).astype(np.uint8), palette)
    (mean,) = dithered_means([drawn] * 3, 3, method)
    assert np.array_equal(mean.indices, drawn.indices)


def test_kept_pixels_are_not_dithered():
    generator = np.random.default_rng(0)
    drawn = [image(*(generator.random((8, 8)) < 0.5)) for _ in range(2)]
    for one in drawn[1:]:
        keep = one.indices == drawn[0].indices
    (mean,) = dithered_means(drawn, 2, "bayer2", keep)
    assert np.array_equal(mean.indices[keep], drawn[0].indices[keep])


def test_drawings_in_different_palettes_have_no_mean():
    with pytest.raises(InputError, match="different palettes"):
        dithered_means([image([0]), image([0], palette=Palette.from_hex(["000000"]))], 2, "none")
