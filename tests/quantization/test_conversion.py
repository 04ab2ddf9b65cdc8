import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincture.common.errors import InputError
from tincture.quantization.conversion import (
    SMOOTHERS,
    convert,
    mode_filter,
    remove_isolated,
    with_place_for_transparency,
)
from tincture.quantization.dither import DITHERERS
from tincture.quantization.histogram import OPAQUE_ALPHA
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.order import ORDERS
from tincture.quantization.palettes.palette import Palette

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


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(list(DITHERERS)), st.booleans(), st.sampled_from([12, 200]))
def test_opaque_pixels_take_opaque_entries_although_soft_ones_have_their_color(seed, method, exact, size):
    rng = np.random.default_rng(seed)
    solid = rng.integers(0, 256, (6, 4), np.uint8) | np.array([0, 0, 0, 255], np.uint8)
    soft = solid.copy()
    soft[:, 3] = rng.integers(1, OPAQUE_ALPHA, 6)
    palette = Palette(rng.permutation(np.concatenate([solid, soft, np.zeros((1, 4), np.uint8)])))
    frame = palette.colors[rng.integers(0, len(palette), (size, size))]
    converted = convert([frame], palette, method=method, exact=exact)
    is_opaque = frame[..., 3] == 255
    shown = palette.colors[converted.indices[0]]
    assert np.array_equal(shown[is_opaque], frame[is_opaque])
    assert (shown[~is_opaque] == 0).all()
    assert (converted.fidelity.psnr, converted.fidelity.delta_e) == (np.inf, pytest.approx(0, abs=1e-6))


def test_of_two_opaque_entries_of_a_color_the_more_opaque_one_is_taken():
    palette = Palette.from_hex(["c81e1e80", "c81e1e", "c81e1ec0", "c81e1e"])
    assert (convert([palette.colors[1][None, None]], palette).indices[0] == 1).all()


def test_opaque_pixels_take_soft_entries_only_where_there_are_no_others():
    red, soft = np.array([[[255, 0, 0, 255]]], np.uint8), Palette.from_hex(["00000000", "0000ff10", "ff000010"])
    assert convert([red], soft).indices[0] == [[2]]
    assert convert([red], Palette(np.append(soft.colors, [[0, 0, 255, 255]], axis=0).astype(np.uint8))).indices[0] == 3


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
