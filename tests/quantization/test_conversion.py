import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter, maximum_filter

from tincture.common.errors import InputError
from tincture.quantization.conversion import (
    SMOOTHERS,
    convert,
    mode_filter,
    remove_isolated,
    with_place_for_transparency,
)
from tincture.quantization.dither import DITHERERS, dither
from tincture.quantization.dither.error_diffusion import KERNELS
from tincture.quantization.encoding import encode
from tincture.quantization.fidelity import fidelity
from tincture.quantization.fit import choose_colors, error_curve, fit_palette, fit_palettes, quantize
from tincture.quantization.histogram import OPAQUE_ALPHA
from tincture.quantization.palettes.choice import rank_palettes
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.order import ORDERS
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.spaces import LINEAR_OF_BYTE, SPACES

PICO_8 = read_palette("pico-8")


def random_frames(seed, count=2, size=(12, 9)):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (count, *size, 4), np.uint8)
    frames[..., 3] = rng.choice([0, 255], (count, *size))
    return list(frames)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from(list(DITHERERS)),
    st.sampled_from([None, *SMOOTHERS]),
    st.sampled_from([None, *ORDERS]),
)
def test_transparent_stays_transparent_and_opaque_stays_opaque(seed, method, smoother, order):
    frames = random_frames(seed)
    palette = with_place_for_transparency(PICO_8, frames)
    converted = convert(frames, palette, method=method, smoother=smoother, order=order)
    for frame, indices in zip(frames, converted.indices, strict=True):
        assert np.array_equal(converted.palette.colors[indices][..., 3], frame[..., 3])


GIVEN_WITH_ALPHA = {
    "two half transparent": ["000000", "c81e1e80", "ffffff", "1e1ec860", "c81e1e"],
    "all of one color": ["40808010", "40808080", "408080", "408080c0"],
    "nearly opaque and nearly clear": ["ffffff", "fffffffe", "00000001", "000000"],
    "a shadow, and nothing opaque": ["00000000", "00000040", "00000080"],
}


@pytest.mark.parametrize("hexes", GIVEN_WITH_ALPHA.values(), ids=list(GIVEN_WITH_ALPHA))
@pytest.mark.parametrize("method", list(DITHERERS))
def test_the_entries_of_a_given_palette_as_pixels_take_themselves(hexes, method):
    palette = Palette.from_hex(hexes)
    frame = palette.colors[None]
    assert with_place_for_transparency(palette, [frame]) == palette
    for exact in (False, True):
        converted = convert([frame], palette, method=method, exact=exact)
        assert converted.indices[0].tolist() == [list(range(len(palette)))]
        assert converted.fidelity[:3] == (np.inf, 0, len(palette))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(list(SPACES)))
def test_soft_pixels_take_the_entry_that_looks_most_like_them_on_black_and_on_white(seed, space):
    rng = np.random.default_rng(seed)
    palette = Palette(np.concatenate([np.zeros((1, 4), np.uint8), rng.integers(1, 255, (9, 4), np.uint8)]))
    frame = rng.integers(1, 255, (8, 8, 4), np.uint8)

    def looks(rgba):  # [N, 2, 3]
        alpha = rgba[:, 3:, None].astype(float) / 255
        return alpha * SPACES[space].from_bytes(rgba)[:, None] + (1 - alpha) * ends

    ends = SPACES[space].from_bytes(np.array([[0] * 3, [255] * 3], np.uint8))
    gaps = ((looks(frame.reshape(-1, 4))[:, None] - looks(palette.colors)) ** 2).sum((2, 3))  # [N, K]
    taken = convert([frame], palette, space=space).indices[0].ravel()
    assert gaps[np.arange(64), taken] == pytest.approx(gaps.min(axis=1), abs=1e-5)


def test_what_is_opaque_stays_opaque_and_what_is_nothing_stays_nothing_in_soft_palettes(rng):
    palette = Palette.from_hex(["c81e1efe", "00000000", "0000ff", "00ff00", "ffffff02"])
    frame = rng.integers(0, 256, (16, 16, 4), np.uint8)
    frame[..., 3] = rng.choice([0, 255], (16, 16))
    for method in DITHERERS:
        shown = palette.colors[convert([frame], palette, method=method).indices[0]]
        assert np.array_equal(shown[..., 3], frame[..., 3])


@pytest.mark.parametrize("method", ["floyd-steinberg", "bayer4", "blue-noise"])
def test_soft_pixels_neither_are_dithered_nor_disturb_the_dither_of_others(rng, method):
    soft = Palette.from_hex(["000000", "ffffff", "ff000080", "0000ff40"])
    frame = rng.integers(0, 256, (20, 20, 4), np.uint8)
    frame[:, :8, 3], frame[:, 8:, 3] = rng.integers(1, 255, (20, 8)), 255
    drawn = dither(frame, soft, method)
    assert np.array_equal(drawn[:, :8], encode(frame, soft)[:, :8])
    others = dither(
        np.where(frame[..., 3:] < 255, np.uint8(0), frame), Palette(soft.colors[:2]).with_transparency(), method
    )
    assert np.array_equal(drawn[:, 8:], others[:, 8:])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(list(DITHERERS)), st.booleans(), st.sampled_from([12, 100]))
def test_every_pixel_that_is_an_entry_takes_it_although_others_have_its_color(seed, method, exact, size):
    rng = np.random.default_rng(seed)
    solid = rng.integers(0, 256, (6, 4), np.uint8) | np.array([0, 0, 0, 255], np.uint8)
    soft = solid.copy()
    soft[:, 3] = rng.integers(1, OPAQUE_ALPHA, 6)
    palette = Palette(rng.permutation(np.concatenate([solid, soft, np.zeros((1, 4), np.uint8)])))
    frame = palette.colors[rng.integers(0, len(palette), (size, size))]
    converted = convert([frame], palette, method=method, exact=exact)
    assert np.array_equal(palette.colors[converted.indices[0]], frame)
    assert (converted.fidelity.psnr, converted.fidelity.delta_e) == (np.inf, pytest.approx(0, abs=1e-6))


def test_of_two_opaque_entries_of_a_color_the_more_opaque_one_is_taken():
    palette = Palette.from_hex(["c81e1e80", "c81e1e", "c81e1ec0", "c81e1e"])
    assert (convert([palette.colors[1][None, None]], palette).indices[0] == 1).all()


def test_opaque_pixels_take_soft_entries_only_where_there_are_no_others():
    red, soft = np.array([[[255, 0, 0, 255]]], np.uint8), Palette.from_hex(["00000000", "0000ff10", "ff000010"])
    assert convert([red], soft).indices[0] == [[2]]
    assert convert([red], Palette(np.append(soft.colors, [[0, 0, 255, 255]], axis=0).astype(np.uint8))).indices[0] == 3


DOORS = {
    "convert": lambda image: convert([image], PICO_8).indices[0],
    "encode": lambda image: encode(image, PICO_8),
    "dither": lambda image: dither(image, PICO_8, "bayer4"),
    "quantize": lambda image: quantize(image, 6).to_rgba(),
    "fit_palette": lambda image: fit_palette([image], 5).colors,
    "fit_palettes": lambda image: fit_palettes([image], 5)[0].colors,
    "choose_colors": lambda image: choose_colors([image]),
    "error_curve": lambda image: error_curve([image], [3, 4]),
    "rank_palettes": lambda image: rank_palettes([image], {"pico-8": PICO_8, "sweetie-16": read_palette("sweetie-16")}),
    "fidelity": lambda image: fidelity([image], [np.zeros(image.shape[:2], np.uint8)], PICO_8),
    "with_place_for_transparency": lambda image: with_place_for_transparency(PICO_8, [image]).colors,
}
WRONG_ARRAYS = {
    "floats": (np.full((6, 5, 3), 0.5), r"not float64 \[6, 5, 3\]"),
    "gray": (np.zeros((6, 5), np.uint8), r"not uint8 \[6, 5\]"),
    "wide": (np.zeros((6, 5, 4), np.uint16), r"not uint16 \[6, 5, 4\]"),
    "planes first": (np.zeros((3, 6, 5), np.uint8), r"not uint8 \[3, 6, 5\]"),
    "a batch": (np.zeros((2, 6, 5, 3), np.uint8), r"not uint8 \[2, 6, 5, 3\]"),
    "gray with alpha": (np.zeros((6, 5, 2), np.uint8), r"not uint8 \[6, 5, 2\]"),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=list(DOORS))
def test_an_rgb_array_is_the_same_picture_as_an_opaque_rgba_one(rng, door):
    rgb = rng.integers(0, 256, (9, 8, 3), np.uint8)
    rgba = np.dstack([rgb, np.full((9, 8), 255, np.uint8)])
    assert np.array_equal(door(rgb), door(rgba))


@pytest.mark.parametrize("door", DOORS.values(), ids=list(DOORS))
@pytest.mark.parametrize(("array", "message"), WRONG_ARRAYS.values(), ids=list(WRONG_ARRAYS))
def test_any_other_array_is_refused_with_its_type_and_shape(door, array, message):
    with pytest.raises(InputError, match=message) as error:
        door(array)
    assert "\n" not in str(error.value)


def test_a_picture_where_several_are_expected_is_refused(rng):
    with pytest.raises(InputError, match=r"not uint8 \[8, 3\]; several are a list"):
        fit_palette(rng.integers(0, 256, (9, 8, 3), np.uint8), 4)


@pytest.mark.parametrize("order", list(ORDERS))
def test_sorting_in_the_end_changes_no_pixel(order):
    frames = random_frames(1)
    palette = with_place_for_transparency(PICO_8, frames)
    plain, ordered = convert(frames, palette), convert(frames, palette, order=order)
    assert plain.palette == palette
    assert sorted(ordered.palette.to_hex()) == sorted(palette.to_hex())
    for before, after in zip(plain.indices, ordered.indices, strict=True):
        assert np.array_equal(plain.palette.colors[before], ordered.palette.colors[after])


def test_a_transparent_entry_is_added_once_last_and_only_where_needed():
    frames = random_frames(3)
    opaque = [frame | np.array([0, 0, 0, 255], np.uint8) for frame in frames]
    assert with_place_for_transparency(PICO_8, opaque) == PICO_8
    extended = with_place_for_transparency(PICO_8, frames)
    assert (len(extended), extended.transparent) == (17, 16)
    assert with_place_for_transparency(extended, frames) == extended
    with pytest.raises(InputError, match="no place"):
        with_place_for_transparency(Palette(np.full((256, 4), 255, np.uint8)), frames)


def speckled():
    indices = np.zeros((7, 7), np.uint8)
    indices[:, 4:] = 1
    indices[2, 1], indices[5, 5] = 3, 0
    return indices


def test_isolated_pixels_vanish_and_edges_stay():
    cleaned = remove_isolated(speckled())
    assert (cleaned[:, :4] == 0).all()
    assert (cleaned[:, 4:] == 1).all()


def test_the_mode_filter_removes_pairs_too():
    indices = np.zeros((9, 9), np.uint8)
    indices[4, 4:6] = 7
    assert np.array_equal(remove_isolated(indices), indices)
    assert (mode_filter(indices) == 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(1, 20))
def test_laws_of_smoothing(seed, height, width):
    indices = np.random.default_rng(seed).integers(0, 4, (height, width)).astype(np.uint8)
    for smoothed in (remove_isolated(indices, transparent=0), mode_filter(indices, transparent=0)):
        assert np.isin(smoothed, indices).all()
        assert np.array_equal(smoothed == 0, indices == 0)
    flat = np.full((height, width), 2, np.uint8)
    assert np.array_equal(mode_filter(flat), flat)


def moving(what, count=4, size=(24, 20)):
    """Frames of a smooth picture in which a part moves, and where nothing does, bool ``[N, H, W]``
    (the first frame counts as moving).
    """
    rng = np.random.default_rng(2)
    corners = rng.integers(0, 256, (3, 3, 3)).astype(np.uint8)
    still = np.array(Image.fromarray(corners).resize(size[::-1], Image.Resampling.BILINEAR).convert("RGBA"))
    frames = np.repeat(still[None], count, axis=0)
    for number in range(count):
        if what == "a strip on top":
            frames[number, :6] = np.roll(still[:6], 5 * number, axis=1)
        elif what == "a sprite":
            frames[number, 2 * number : 2 * number + 9, 3 * number : 3 * number + 7] = (20, 180, 90, 255)
        elif what == "specks":
            frames[number, rng.random(size) < 0.1] = (250, 220, 40, 255)
        elif what == "a hole":
            frames[number, 10 : 15 + number, 8:15] = 0
        elif what == "every other frame" and number % 2:
            frames[number, 5:20] = still[5:20, ::-1]
    return list(frames), np.stack([np.full(size, number > 0) for number in range(count)]) & (
        frames == np.roll(frames, 1, axis=0)
    ).all(axis=-1)


ANIMATIONS = ("a strip on top", "a sprite", "specks", "a hole", "every other frame", "nothing")


@pytest.mark.parametrize("method", [*KERNELS, "bayer4", "blue-noise"])
@pytest.mark.parametrize("what", ANIMATIONS)
def test_what_stands_still_keeps_its_entries_however_it_is_dithered(what, method):
    frames, stands = moving(what)
    returns = (frames[-1] == frames[0]).all(axis=-1)
    assert stands[1:].any()
    for palette, exact in ((PICO_8, True), (fit_palette(frames, 9), False)):
        converted = convert(frames, with_place_for_transparency(palette, frames), method=method, exact=exact)
        indices = np.stack(converted.indices)
        assert np.array_equal(indices[1:][stands[1:]], indices[:-1][stands[1:]])
        # An animation that is played again goes from its last frame to its first.
        assert np.array_equal(indices[-1][returns], indices[0][returns])


@pytest.mark.parametrize("smoother", list(SMOOTHERS))
@pytest.mark.parametrize("what", ANIMATIONS)
def test_smoothing_changes_nothing_where_a_whole_neighborhood_stands_still(what, smoother):
    frames, stands = moving(what)
    palette = with_place_for_transparency(PICO_8, frames)
    indices = np.stack(convert(frames, palette, method="floyd-steinberg", smoother=smoother).indices)
    around = ~np.stack([maximum_filter(~each, size=3) for each in stands])
    assert around[1:].any()
    assert np.array_equal(indices[1:][around[1:]], indices[:-1][around[1:]])


@pytest.mark.parametrize("what", ANIMATIONS)
def test_colors_stay_right_around_what_stands_still(what):
    """As seen from afar, the last frame is about as near to its picture as if it were alone."""
    frames, _ = moving(what, count=8, size=(40, 32))
    palette = with_place_for_transparency(read_palette("e-paper-7"), frames)

    def error(indices):
        shown = LINEAR_OF_BYTE[palette.colors[indices][..., :3]] - LINEAR_OF_BYTE[frames[-1][..., :3]]
        return np.sqrt((gaussian_filter(shown, (2, 2, 0)) ** 2).mean())

    together, alone = (
        convert(each, palette, method="floyd-steinberg", exact=True).indices[-1] for each in (frames, frames[-1:])
    )
    # What stands around a speck can't make up for it.
    assert error(together) < (1.5 if what == "specks" else 1.1) * error(alone)


def test_pictures_of_several_sizes_are_drawn_as_each_alone():
    frames = [random_frames(seed, 1, size)[0] for seed, size in enumerate([(5, 4), (4, 5), (5, 4)])]
    together = convert(frames, PICO_8, method="floyd-steinberg").indices
    alone = [convert([frame], PICO_8, method="floyd-steinberg").indices[0] for frame in frames]
    assert all(np.array_equal(*pair) for pair in zip(together, alone, strict=True))
