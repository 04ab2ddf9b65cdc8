from functools import partial
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tincture.common.errors import InputError
from tincture.quantization.histogram import OPAQUE_ALPHA
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.recolor import (
    GENTLE,
    color_costs,
    match_entries,
    match_palettes,
    recolor,
    recolor_solid,
)
from tincture.quantization.spaces import SPACES

CHANNEL = st.sampled_from([0, 1, 60, 128, 254, 255])  # so that equal lightness, equal distances and near ones occur


def palettes(least=1, most=8, distinct=True):
    """Opaque palettes, of different colors or with repetitions."""
    colors = st.lists(st.tuples(CHANNEL, CHANNEL, CHANNEL), min_size=least, max_size=most, unique=distinct)
    return colors.map(lambda rows: Palette(np.array([(*row, 255) for row in rows], np.uint8)))


@st.composite
def images(draw, least=1, most=8, distinct=True):
    """Images that use all of their palette's entries, each at least once."""
    palette = draw(palettes(least, most, distinct))
    more = draw(arrays(np.uint8, 12, elements=st.integers(0, len(palette) - 1)))
    return IndexedImage(np.concatenate([np.arange(len(palette), dtype=np.uint8), more])[None], palette)


def with_transparency(palette, place):
    return Palette(np.insert(palette.colors, place % (len(palette) + 1), 0, axis=0))


def parts(indices):
    """The index map up to names: each pixel's index replaced by where it occurs first."""
    return np.unique(indices, return_index=True)[1][np.unique(indices, return_inverse=True)[1]]


@settings(deadline=None)
@given(images(), palettes(8, 12, distinct=False), st.sampled_from([0, 0.5, 1]))
def test_there_and_back_is_the_identity(image, target, stretch):
    if len(np.unique(target.colors, axis=0)) < len(image.palette):
        target = Palette(np.concatenate([target.colors, read_palette("endesga-16").colors]))
    there = recolor(image, target, stretch=stretch)
    assert there.palette == target
    assert np.array_equal(parts(there.indices), parts(image.indices))
    assert len(np.unique(target.colors[np.unique(there.indices)], axis=0)) == len(image.palette)
    back = recolor(there, image.palette, stretch=stretch)
    assert np.array_equal(back.indices, image.indices)


@settings(deadline=None)
@given(images(), palettes(8, 12), st.integers(0, 20))
def test_there_and_back_holds_for_transparent_images_in_palettes_with_a_transparent_entry(image, target, place):
    palette, target = with_transparency(image.palette, place), with_transparency(target, place // 2)
    image = IndexedImage(np.append(np.arange(len(palette)), image.indices).astype(np.uint8)[None], palette)
    there = recolor(image, target)
    assert np.array_equal(there.indices == target.transparent, image.indices == palette.transparent)
    assert np.array_equal(recolor(there, palette).indices, image.indices)


@settings(deadline=None)
@given(images(distinct=False), st.randoms(), st.sampled_from([0, GENTLE, np.inf]))
def test_to_its_own_palette_in_any_order_no_pixel_changes(image, random, distinct):
    ways = {"reversible": distinct == np.inf, "distinct": distinct}
    assert np.array_equal(recolor(image, image.palette, **ways).indices, image.indices)
    order = random.sample(range(len(image.palette)), len(image.palette))
    moved = recolor(image, Palette(image.palette.colors[order]), **ways)
    assert np.array_equal(moved.to_rgba(), image.to_rgba())


@settings(deadline=None)
@given(st.integers(0, 2**31), st.booleans(), st.booleans(), st.sampled_from([0, GENTLE, np.inf]))
def test_what_is_soft_becomes_transparent_and_what_is_opaque_stays_so(seed, reversible, is_soft_target, distinct):
    rng = np.random.default_rng(seed)
    source, target = rng.integers(0, 256, (2, 9, 4), np.uint8)
    target[:, 3] = np.where(is_soft_target & (rng.random(9) < 0.5), rng.integers(1, OPAQUE_ALPHA, 9), 255)
    target[:2, 3] = 0, 255
    target = Palette(rng.permutation(target))
    source[np.flatnonzero(source[:, 3] == 0)[1:], 3] = 9
    image = IndexedImage(rng.integers(0, 9, (6, 7)).astype(np.uint8), Palette(source))
    solid = recolor_solid(image, target, reversible=reversible, distinct=distinct)
    assert solid.palette == target
    before, after = image.to_rgba()[..., 3], solid.to_rgba()[..., 3]
    if target.is_soft:
        assert np.array_equal(after == 0, before == 0)
        if not reversible and distinct < np.inf:  # else soft ones may need the places of opaque ones
            assert np.array_equal(after == 255, before == 255)
    else:
        assert np.array_equal(after, np.where(before < OPAQUE_ALPHA, 0, 255))


SUBSETS = {
    "two half transparent": ["000000", "c81e1e80", "ffffff", "1e1ec860", "c81e1e"],
    "a shadow": ["00000000", "00000040", "00000080", "ff8040"],
    "pico-8 in part": ["1d2b53", "ff004d", "fff1e8"],
    "doubled": ["ff0000", "00ff00", "ff0000", "0000ff"],
}


@pytest.mark.parametrize("hexes", SUBSETS.values(), ids=list(SUBSETS))
@pytest.mark.parametrize("way", [partial(recolor_solid, reversible=False), recolor_solid, recolor])
def test_a_picture_that_a_palette_holds_stays_as_it_is_alpha_included(hexes, way):
    own = Palette.from_hex(hexes)
    image = IndexedImage(np.arange(len(own), dtype=np.uint8)[None], own)
    assert np.array_equal(way(image, own).indices, image.indices)
    others = np.delete(read_palette("pico-8").colors, [1, 7, 8], axis=0)
    for target in (
        Palette(np.concatenate([own.colors, others])),
        Palette(np.concatenate([others, own.colors[::-1]])),
    ):
        moved = way(image, target)
        assert np.array_equal(moved.to_rgba(), image.to_rgba())
    assert np.array_equal(way(image, Palette(np.concatenate([own.colors, others]))).indices, image.indices)


@settings(deadline=None)
@given(images(5, 8), palettes(1, 4))
def test_where_colors_are_too_few_all_of_them_are_used(image, target):
    assert set(recolor(image, target).indices.ravel().tolist()) == set(range(len(target)))


@settings(deadline=None)
@given(images(), palettes(), st.randoms())
def test_the_order_of_either_palette_does_not_matter(image, target, random):
    order, target_order = (random.sample(range(len(p)), len(p)) for p in (image.palette, target))
    shuffled = IndexedImage(np.argsort(order).astype(np.uint8)[image.indices], Palette(image.palette.colors[order]))
    again = recolor(shuffled, Palette(target.colors[target_order]))
    assert np.array_equal(again.to_rgba(), recolor(image, target).to_rgba())


@pytest.mark.parametrize(("n", "m"), [(3, 3), (2, 5), (4, 2)])
@pytest.mark.parametrize("distinct", [0, 0.05, np.inf])
def test_no_other_matching_is_better(rng, n, m, distinct):
    costs, weights = rng.random((n, m)), rng.random(n)
    worth = min(distinct, 100)

    def value(mapping):
        return (weights / weights.sum() * costs[range(n), mapping]).sum() - worth * len(set(mapping))

    best = min(value(mapping) for mapping in product(range(m), repeat=n))
    found = match_entries(costs, weights, distinct)
    assert value(found.tolist()) == pytest.approx(best)
    if distinct == np.inf and n <= m:
        assert value(found.tolist()) == pytest.approx(min(map(value, permutations(range(m), n))))


def test_entries_without_weight_take_no_place_from_others():
    costs = np.array([[0.0, 1.0], [0.1, 1.0]])
    assert match_entries(costs, np.array([1.0, 0.0])).tolist() == [0, 0]
    assert match_entries(costs, np.array([1.0, 1.0])).tolist() == [0, 1]


def test_large_areas_come_nearest_to_their_color():
    target = Palette.from_hex(["0000ff", "00ff00"])
    palette = Palette.from_hex(["0000f0", "0000ff"])
    for larger in (0, 1):
        indices = np.full((4, 4), larger, np.uint8)
        indices[0, 0] = 1 - larger
        moved = recolor(IndexedImage(indices, palette), target, reversible=False, distinct=np.inf)
        assert (moved.indices[3, 3], moved.indices[0, 0]) == (0, 1)


def test_areas_and_a_way_back_contradict_each_other():
    """Where areas weigh, two images become one: so `recolor` doesn't weigh them when it is to be
    reversible.
    """
    palette, target = Palette.from_hex(["0000f0", "0000ff"]), Palette.from_hex(["0000ff", "00ff00"])
    first = IndexedImage(np.array([[0, 0, 0, 1]], np.uint8), palette)
    second = IndexedImage(np.array([[1, 1, 1, 0]], np.uint8), palette)
    by_area = [recolor(image, target, reversible=False, distinct=np.inf) for image in (first, second)]
    assert np.array_equal(by_area[0].indices, by_area[1].indices)
    assert not np.array_equal(recolor(first, target).indices, recolor(second, target).indices)


def test_rare_shades_come_together_rather_than_change_their_hue():
    blues = Palette(np.array([(40 + 3 * k, 60 + 3 * k, 200 + 3 * k, 255) for k in range(12)], np.uint8))
    image = IndexedImage(np.arange(12, dtype=np.uint8).repeat(4).reshape(6, 8), blues)
    target = read_palette("pico-8")
    gentle, strict = (np.unique(recolor(image, target, reversible=way).indices) for way in (False, True))
    assert (len(gentle) < 6, len(strict)) == (True, 12)


@settings(deadline=None)
@given(images(), palettes())
def test_more_worth_of_distinct_colors_never_gives_fewer(image, target):
    used = [
        len(np.unique(recolor(image, target, reversible=False, distinct=worth).indices))
        for worth in (0, 1e-4, 1e-2, 1, np.inf)
    ]
    assert used == sorted(used)
    assert used[-1] == min(len(image.palette), len(target))


def test_transparency_becomes_paper_that_no_other_color_shares_where_there_is_room():
    palette = Palette.from_hex(["00000000", "ffffff", "808080"])
    image = IndexedImage(np.array([[0, 1, 1, 1, 2]], np.uint8), palette)
    roomy, narrow = Palette.from_hex(["000000", "ffffff", "a0a0a0"]), Palette.from_hex(["000000", "ffffff"])
    assert recolor(image, roomy).indices.tolist() == [[1, 2, 2, 2, 0]]
    assert recolor(image, narrow).indices.tolist() == [[1, 1, 1, 1, 0]]
    clear = IndexedImage(np.zeros((2, 2), np.uint8), Palette.from_hex(["00000000"]))
    assert recolor(clear, roomy).indices.tolist() == [[1, 1], [1, 1]]


def test_nothing_opaque_to_recolor_to_is_the_users_mistake():
    image = IndexedImage(np.zeros((1, 1), np.uint8), Palette.from_hex(["123456"]))
    with pytest.raises(InputError, match="no opaque entry"):
        recolor(image, Palette.from_hex(["00000000"]))


def test_costs_are_the_same_there_and_back_and_squared_distances_without_stretching():
    first, second = read_palette("pico-8"), read_palette("nintendo-gameboy-bgb")
    assert np.array_equal(color_costs(first, second), color_costs(second, first).T)
    points = [SPACES["oklab"].from_bytes(palette.colors).astype(float) for palette in (first, second)]
    plain = ((points[0][:, None] - points[1]) ** 2).sum(-1)
    assert color_costs(first, second, stretch=0) == pytest.approx(plain)


def test_frames_of_one_palette_share_a_matching_by_their_areas_together():
    source, target = Palette.from_hex(["0000f0", "0000ff"]), Palette.from_hex(["0000ff", "00ff00"])
    assert match_palettes(source, target, np.array([9.0, 1.0])).tolist() == [0, 1]
    assert match_palettes(source, target, np.array([1.0, 9.0])).tolist() == [1, 0]


@pytest.mark.parametrize("reversible", [True, False])
def test_soft_edges_take_the_color_of_what_they_surround(reversible):
    pixels = np.array([[[200, 40, 40, alpha] for alpha in (255, 220, 170, 140, 100)]], np.uint8)
    target = read_palette("pico-8").with_transparency()
    image = IndexedImage(np.arange(5, dtype=np.uint8)[None], Palette(pixels[0]))
    solid = recolor_solid(image, target, reversible=reversible).to_rgba()
    assert np.array_equal(solid[0, :, 3], [255] * 4 + [0])
    assert len(np.unique(solid[0, :4], axis=0)) == 1


def test_stretching_keeps_more_of_the_order_of_lightness():
    """Pale drawings, of colors that lie close together, in the four shades of a Game Boy."""
    target, rng = read_palette("nintendo-gameboy-bgb"), np.random.default_rng(0)
    kept = {0.0: 0.0, 0.5: 0.0, 1.0: 0.0}
    for _ in range(30):
        grays = np.sort(rng.integers(150, 256, 8)).astype(np.uint8)
        palette = Palette(np.column_stack([grays, grays, grays, np.full(8, 255, np.uint8)]))
        image = IndexedImage(rng.integers(0, 8, (16, 16)).astype(np.uint8), palette)
        for stretch in kept:
            light = SPACES["oklab"].from_bytes(target.colors)[:, 0]
            moved = light[recolor(image, target, reversible=False, stretch=stretch).indices]
            kept[stretch] += np.corrcoef(moved.ravel(), image.indices.ravel())[0, 1]
    assert kept[0.0] < kept[0.5]
