import numpy as np
import pytest
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.animation import Animation
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.resizing import Resizing
from tincture.quantization.spaces import LINEAR_OF_BYTE

RED, CLEAR = (255, 0, 0, 255), (0, 0, 0, 0)


def photo(height, width, seed=0):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 5, 3)).astype(np.uint8))
    return np.array(small.resize((width, height), Image.Resampling.BICUBIC).convert("RGBA"))


def art(height, width, colors=5, seed=0):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 256, (colors, 4)).astype(np.uint8) | np.array([0, 0, 0, 255], np.uint8)
    table[0] = CLEAR
    return table[rng.integers(0, colors, (height, width))]


@pytest.mark.parametrize("own", [(300, 400), (30, 40), (7, 500), (500, 3), (480, 800), (1, 1)])
@pytest.mark.parametrize("wanted", [(80, 48), (5, 90), (640, 2)])
@pytest.mark.parametrize("kind", [photo, art])
def test_every_size_becomes_what_is_asked_for(own, wanted, kind):
    frames = [kind(*own, seed=seed) for seed in range(2)]
    size = f"{wanted[0]}x{wanted[1]}"
    for way in ("cover", "exact"):
        assert {frame.shape for frame in Resizing(size, way).resized(frames)} == {(wanted[1], wanted[0], 4)}
    ((height, width, _),) = {frame.shape for frame in Resizing(size, "fit").resized(frames)}
    assert (width <= wanted[0], height <= wanted[1]) == (True, True)
    if kind is photo:
        assert width == wanted[0] or height == wanted[1]
        scale = min(wanted[0] / own[1], wanted[1] / own[0])
        assert (width, height) == (max(1, round(own[1] * scale)), max(1, round(own[0] * scale)))


@pytest.mark.parametrize("factor", [2, 3, 7])
@pytest.mark.parametrize("shape", [(16, 16), (24, 32), (5, 1)])
def test_pixel_art_is_enlarged_pixel_by_pixel_and_comes_back(shape, factor):
    image = art(*shape)
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    size = f"{shape[1] * factor}x{shape[0] * factor}"
    for way in ("cover", "fit", "exact"):
        assert np.array_equal(Resizing(size, way).resized([image])[0], large)
        assert np.array_equal(Resizing(f"{shape[1]}x{shape[0]}", way).resized([large])[0], image)


@pytest.mark.parametrize(("size", "factor"), [("100x100", 3), ("800x480", 15), ("65x33", 1)])
def test_pixel_art_fits_by_the_largest_whole_factor(size, factor):
    image = art(32, 24)
    assert np.array_equal(
        Resizing(size, "fit").resized([image])[0], image.repeat(factor, axis=0).repeat(factor, axis=1)
    )


def test_pixel_art_that_covers_is_cut_alike_on_both_sides():
    image = art(8, 8)
    large = image.repeat(5, axis=0).repeat(5, axis=1)  # 5 is the first factor that covers
    assert np.array_equal(Resizing("36x24").resized([image])[0], large[8:32, 2:38])


def test_a_photograph_that_covers_shows_its_middle():
    image = photo(90, 60)
    assert np.array_equal(Resizing("60x60").resized([image])[0], image[15:75])
    assert np.array_equal(Resizing("30x90").resized([image])[0], image[:, 15:45])


@pytest.mark.parametrize("pair", [(0, 255), (20, 200), (100, 101)])
def test_fine_patterns_look_as_light_as_from_afar(pair):
    """In bytes the mean would be darker."""
    checkers = np.indices((96, 96)).sum(0) % 2
    image = np.full((96, 96, 4), 255, np.uint8)
    image[..., :3] = np.where(checkers, *pair)[..., None]
    image[0, :70, 0] = np.arange(70)  # so many colors, it is no pixel art
    shown = Resizing("24x24").resized([image])[0][2:-2, 2:-2, :3]
    assert np.abs(LINEAR_OF_BYTE[shown] - LINEAR_OF_BYTE[list(pair)].mean()).max() < 0.01


@pytest.mark.parametrize("hidden", [(0, 255, 0, 0), (0, 0, 0, 0), (255, 255, 255, 0)])
def test_what_is_transparent_lends_no_color(hidden):
    image = np.full((70, 70, 4), hidden, np.uint8)
    image[10:45, 10:45] = RED
    for way in ("cover", "fit", "exact"):
        small = Resizing("17x13", way).resized([image])[0]
        assert (small[small[..., 3] > 0][:, :3] == RED[:3]).all()
        assert ((small[..., 3] > 0) & (small[..., 3] < 255)).any()


@pytest.mark.parametrize("way", ["cover", "exact"])
def test_edges_get_no_halos(way):
    image = np.full((90, 90, 4), 255, np.uint8)
    image[..., :3] = np.where(np.arange(90) < 47, 60, 200)[:, None]
    image[0, :70, 0] = np.arange(60, 130)
    for size in ("31x31", "200x190"):
        resized = Resizing(size, way).resized([image])[0][12:, :, 1]
        assert (resized.min(), resized.max()) == (60, 200)


def test_a_picture_of_that_size_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (9, 12, 4), np.uint8)
    for way in ("cover", "fit", "exact"):
        assert np.array_equal(Resizing("12x9", way).resized([image])[0], image)


@pytest.mark.parametrize("size", ["", "9", "9x", "x9", "9x0", "-1x9", "9x9x9", "9,9", "1e3x9", "99999x1"])
def test_other_sizes_are_refused(size):
    with pytest.raises(InputError, match="--size is"):
        Resizing(size)


def test_enlarged_pixel_art_keeps_its_palette_and_every_index():
    """Even where two entries are equal, as long as no pixel holds the second one."""
    palette = Palette.from_hex(["ff0000", "00000000", "0000ff", "00ff00", "0000ff"])
    image = IndexedImage(np.random.default_rng(0).integers(0, 4, (6, 9)).astype(np.uint8), palette)
    still = Animation([image.to_rgba()], [0], indexed=image)
    for size, factor in (("18x12", 2), ("45x30", 5), ("9x6", 1)):
        enlarged = Resizing(size)(still)
        assert enlarged.indexed.palette == palette
        assert np.array_equal(enlarged.indexed.indices, image.enlarged(factor).indices)
    assert Resizing("7x5", "exact")(still).indexed is None  # new colors between the old ones
