import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantization.conversion import SMOOTHERS, convert, with_place_for_transparency
from quantization.dithering import DITHERERS
from quantization.errors import InputError
from quantization.palette import Palette
from quantization.palette_files import read_palette
from quantization.palette_order import ORDERS

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
