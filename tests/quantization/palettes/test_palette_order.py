import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincture.common.errors import InputError
from tincture.quantization.palettes.order import ORDERS, merge_near, reorder, sorting
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage


def random_indexed(seed, entries):
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 256, (entries, 4), np.uint8)
    colors[:, 3] = 255
    colors[rng.integers(entries)] *= rng.integers(2, dtype=np.uint8)  # half of the palettes have transparency
    return IndexedImage(rng.integers(0, entries, (9, 7)).astype(np.uint8), Palette(colors))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 256), st.sampled_from(list(ORDERS)))
def test_sorting_changes_no_pixel_and_is_done_at_once(seed, entries, order):
    image = random_indexed(seed, entries)
    positions = sorting(image.palette, order)
    assert sorted(positions) == list(range(entries))
    ordered = reorder(image, positions)
    assert np.array_equal(ordered.to_rgba(), image.to_rgba())
    assert np.array_equal(sorting(ordered.palette, order), np.arange(entries))
    assert ordered.palette.transparent in (None, 0)


def test_luminance_is_that_of_light_not_of_bytes():
    palette = Palette.from_hex(["ffffff", "0000ff", "00ff00", "000000", "ff0000"])
    assert sorting(palette, "luminance").tolist() == [3, 1, 4, 2, 0]


def test_hues_follow_the_rainbow_behind_the_grays():
    rainbow = ["000000", "808080", "ffffff", "ff0000", "ffff00", "00ff00", "00ffff", "0000ff", "ff00ff"]
    shuffled = [rainbow[k] for k in (4, 8, 1, 6, 0, 5, 7, 2, 3)]
    palette = Palette.from_hex(shuffled)
    assert Palette(palette.colors[sorting(palette, "hue")]).to_hex() == rainbow


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 100))
def test_merging_at_distance_0_changes_no_pixel_and_leaves_no_duplicate(seed, entries):
    colors = random_indexed(seed, entries).palette.colors
    doubled = Palette(np.concatenate([colors, colors[colors[:, 3] > 0]]))
    merged, new_index = merge_near(doubled, 0)
    assert np.array_equal(merged.colors[new_index], doubled.colors)
    assert len(np.unique(merged.colors, axis=0)) == len(merged)


def test_the_first_of_near_entries_stays_exactly():
    palette = Palette.from_hex(["ff0000", "00ff00", "fe0101", "00fe01", "00000000", "000000"])
    merged, new_index = merge_near(palette, 0.02)
    assert merged.to_hex() == ["ff0000", "00ff00", "00000000", "000000"]
    assert new_index.tolist() == [0, 1, 0, 1, 2, 3]


def test_wrong_wishes_are_refused():
    palette = Palette.from_hex(["ff0000"])
    with pytest.raises(InputError, match="unknown order 'size'; choose from luminance, hue"):
        sorting(palette, "size")
    with pytest.raises(InputError, match="distance of -1"):
        merge_near(palette, -1)
