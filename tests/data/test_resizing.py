import numpy as np
import pytest
from PIL import Image

from tincture.common.errors import InputError
from tincture.data.resizing import describe_changes, fit_to_size, read_to_size


def gradient(height, width):
    rows, columns = np.indices((height, width))
    return np.stack([rows % 256, columns % 256, rows * 0, rows * 0 + 255], axis=-1).astype(np.uint8)


def art(height, width, colors=5, seed=0):
    """A figure that touches all four edges."""
    rng = np.random.default_rng(seed)
    palette = np.concatenate([rng.integers(0, 256, (colors, 3)), np.full((colors, 1), 255)], axis=1).astype(np.uint8)
    return palette[rng.integers(0, colors, (height, width))]


def enlarged(pixels, factor):
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def framed(pixels, height, width, top, left):
    canvas = np.zeros((height, width, 4), np.uint8)
    canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return canvas


def visible(pixels):
    """What is left without transparent margins."""
    rows, columns = (np.flatnonzero((pixels[..., 3] > 0).any(axis=axis)) for axis in (1, 0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@pytest.mark.parametrize("resize", ["area", "nearest", "crop"])
@pytest.mark.parametrize("shape", [(16, 16), (40, 20), (20, 40), (7, 9), (1, 30)])
def test_every_picture_gets_the_size(resize, shape):
    assert fit_to_size(gradient(*shape), 16, resize).pixels.shape == (16, 16, 4)


def test_a_picture_of_the_right_size_is_not_touched():
    pixels = gradient(16, 16)
    assert fit_to_size(pixels, 16, "area").pixels is pixels


def test_crop_takes_the_center_unscaled_and_pads_with_transparency():
    assert np.array_equal(fit_to_size(gradient(10, 8), 4, "crop").pixels, gradient(10, 8)[3:7, 2:6])
    padded = fit_to_size(gradient(2, 2), 4, "crop").pixels
    assert np.array_equal(padded[1:3, 1:3], gradient(2, 2))
    assert padded[..., 3].sum() == 4 * 255


def test_nearest_mixes_no_colors():
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[::2] = 255
    assert set(np.unique(fit_to_size(pixels, 16, "nearest").pixels)) <= {0, 255}


def test_area_averages_and_gives_transparent_pixels_no_say():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (200, 100, 50, 255)
    pixels[1, 1] = (0, 255, 0, 0)
    assert fit_to_size(pixels, 1, "area").pixels[0, 0, :3].tolist() == pytest.approx([200, 100, 50], abs=4)


@pytest.mark.parametrize("resize", ["pad", "auto"])
@pytest.mark.parametrize(
    ("whole", "given", "change"),
    [
        (art(32, 24), art(32, 24), "padded"),
        (art(9, 31, colors=40), art(9, 31, colors=40), "padded"),
        (art(16, 16), enlarged(art(16, 16), 3), "reduced 3 times and padded"),
        (art(32, 32), enlarged(art(32, 32), 2), "reduced 2 times"),
        (art(24, 12), enlarged(art(24, 12), 4), "reduced 4 times and padded"),
        (art(30, 20), framed(art(30, 20), 48, 48, 17, 3), "trimmed and padded"),
        (art(20, 10), enlarged(framed(art(20, 10), 40, 40, 1, 30), 2), "reduced 2 times and trimmed and padded"),
    ],
)
def test_pixel_art_keeps_its_pixels_whole(resize, whole, given, change):
    resized = fit_to_size(given, 32, resize)
    assert resized.change == change
    assert resized.pixels.shape == (32, 32, 4)
    assert np.array_equal(visible(resized.pixels), whole)
    rows = np.flatnonzero(resized.pixels[..., 3].any(axis=1))
    assert abs(rows[0] - (31 - rows[-1])) <= 1  # in the middle


def test_hidden_colors_of_transparent_pixels_hide_no_enlargement():
    given = enlarged(framed(art(12, 12), 16, 16, 2, 2), 4)
    hidden = np.random.default_rng(1).integers(0, 256, given.shape, np.uint8)
    hidden[..., 3] = 0
    resized = fit_to_size(np.where(given[..., 3:] > 0, given, hidden), 16, "pad")
    assert resized.change == "reduced 4 times"
    assert np.array_equal(visible(resized.pixels), art(12, 12))


@pytest.mark.parametrize("given", [art(48, 48), art(33, 20), art(40, 64, colors=60), enlarged(art(40, 40), 2)])
@pytest.mark.parametrize("resize", ["pad", "auto"])
def test_pixel_art_that_does_not_fit_whole_is_refused_and_not_blurred(tmp_path, given, resize):
    Image.fromarray(given).save(tmp_path / "figure.png")
    with pytest.raises(InputError, match=r"figure\.png: \d+×\d+ pixels don't fit whole into 32×32: raise data\.size"):
        read_to_size(tmp_path / "figure.png", 32, resize)


def photograph(height, width):
    return np.dstack(
        [np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8), gradient(height, width)[..., 3]]
    )


@pytest.mark.parametrize(
    ("given", "change"),
    [
        (photograph(60, 80), "scaled and cropped"),
        (photograph(64, 64), "scaled"),
        (photograph(32, 40), "cropped"),
        (photograph(20, 28), "scaled and cropped"),
        (art(300, 200), "scaled and cropped"),  # a drawing, far too large to be pixel art of this size
        (art(50, 40, colors=200), "scaled and cropped"),  # soft edges
    ],
)
def test_other_pictures_are_scaled_as_before(given, change):
    resized, before = (fit_to_size(given, 32, resize) for resize in ("auto", "area"))
    assert resized.change == before.change == change
    assert np.array_equal(resized.pixels, before.pixels)


@pytest.mark.parametrize(
    ("shape", "change"), [((8, 8), "padded"), ((20, 40), "cropped"), ((8, 40), "padded and cropped")]
)
def test_crop_says_what_it_did(shape, change):
    assert fit_to_size(gradient(*shape), 16, "crop").change == change


def test_changes_are_counted_in_a_line():
    counts = {"": 3, "padded": 12, "scaled and cropped": 1}
    assert describe_changes(counts, [32]) == "brought to 32×32: 12 padded, 3 had it, 1 scaled and cropped"
    assert describe_changes({"padded": 1}, [8, 16]) == "brought to 8×8 or 16×16: 1 padded"


@pytest.mark.parametrize("resize", ["auto", "pad", "area", "nearest", "crop"])
@pytest.mark.parametrize(
    ("shape", "size", "change"),
    [
        ((16, 16), 16, ""),
        ((5, 9), 16, "padded"),
        ((17, 16), 24, "padded"),
        ((24, 24), 24, ""),
        ((25, 32), 32, "padded"),
    ],
)
def test_of_several_sizes_the_smallest_holds_a_picture_whole(resize, shape, size, change):
    given = art(*shape)
    resized = fit_to_size(given, (32, 16, 24), resize)
    assert resized.change == change
    assert resized.pixels.shape == (size, size, 4)
    assert np.array_equal(visible(resized.pixels), given)


@pytest.mark.parametrize(
    ("given", "resize", "size", "change"),
    [
        (enlarged(art(16, 12), 4), "auto", 16, "reduced 4 times and padded"),
        (framed(art(20, 10), 48, 48, 17, 3), "pad", 24, "trimmed and padded"),
        (gradient(40, 60), "area", 32, "scaled and cropped"),
        (gradient(40, 20), "crop", 32, "padded and cropped"),
    ],
)
def test_a_picture_larger_than_all_sizes_is_resized_and_that_is_said(given, resize, size, change):
    resized = fit_to_size(given, (16, 24, 32), resize)
    assert (resized.pixels.shape[:2], resized.change) == ((size, size), change)


def test_pixel_art_larger_than_all_sizes_is_refused():
    with pytest.raises(InputError, match="48×40 pixels don't fit whole into 32×32"):
        fit_to_size(art(40, 48), (16, 32), "auto")
