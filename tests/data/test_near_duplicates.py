"""Near-duplicates stand on one side of the split, and other pictures don't."""

from collections import Counter

import numpy as np
import pytest

from tincture.data import near_duplicates
from tincture.data.near_duplicates import joined
from tincture.data.sources import ALWAYS_HELD_OUT, ALWAYS_LEARNED, LabelledImage, is_heldout, name_hash


@pytest.fixture
def sprite(rng):
    """A shape of 8×8 in five colors in the middle of 12×12 pixels."""

    def make(seed=0):
        rng = np.random.default_rng(seed)
        table = rng.integers(0, 256, (5, 4), np.uint8) | np.array([0, 0, 0, 255], np.uint8)
        pixels = np.zeros((12, 12, 4), np.uint8)
        shape = rng.random((8, 8)) < 0.8
        shape[0, 0] = shape[-1, -1] = True
        pixels[2:10, 2:10] = table[rng.integers(0, 5, (8, 8))] * shape[..., None]
        return pixels

    return make


def groups(*pixels, sides=None):
    """Which pictures are one thing, as numbers in order of appearance."""
    sides = sides or [name_hash(str(n)) for n in range(len(pixels))]
    images = [LabelledImage(f"{n}", each, "", side) for n, (each, side) in enumerate(zip(pixels, sides, strict=True))]
    found = [image.side for image in joined(images)]
    return [found.index(side) for side in found]


def recolored(pixels, seed=9):
    colors, places = np.unique(pixels.reshape(-1, 4), axis=0, return_inverse=True)
    table = np.random.default_rng(seed).integers(0, 256, colors.shape, np.uint8)
    table[:, 3] = colors[:, 3]
    table[colors[:, 3] == 0] = 0
    return table[places].reshape(pixels.shape)


def test_moved_mirrored_turned_and_recolored_pictures_are_one_thing(sprite):
    original, other = sprite(), sprite(1)
    same = [np.roll(original, (1, -1), (0, 1)), original[:, ::-1], np.rot90(original), recolored(original)]
    assert groups(original, other, *same, recolored(other[::-1])) == [0, 1, 0, 0, 0, 0, 1]


def test_a_detail_may_differ_but_not_the_drawing(sprite):
    original = sprite()
    retouched, redrawn = original.copy(), original.copy()
    y, x = np.argwhere(original[3:9, 3:9, 3] > 0)[0] + 3
    retouched[y, x, :3] ^= 255
    shape = original[..., 3] > 0
    redrawn[shape] = np.random.default_rng(5).permutation(original[shape])
    assert groups(original, retouched, redrawn) == [0, 0, 2]


def test_busy_pictures_that_fill_their_square_are_told_apart(rng):
    table = rng.integers(0, 256, (30, 4), np.uint8) | np.array([0, 0, 0, 255], np.uint8)
    floors = [table[rng.integers(0, 30, (16, 16))] for _ in range(6)]
    moved = np.roll(floors[1], 1, 0), np.roll(floors[4], -1, 1)
    assert groups(*floors, floors[2][::-1], *moved) == [0, 1, 2, 3, 4, 5, 2, 1, 4]


@pytest.mark.parametrize("block", [1, 2, 3])
def test_all_pairs_are_compared_however_many_at_a_time(sprite, monkeypatch, block):
    monkeypatch.setattr(near_duplicates, "BLOCK", block)
    sprites = [sprite(n) for n in range(3)]
    assert groups(*sprites, *(recolored(each) for each in sprites[::-1])) == [0, 1, 2, 2, 1, 0]


def test_photographs_are_one_thing_only_if_they_are_equal(rng):
    photo = rng.integers(0, 256, (12, 12, 4), np.uint8) | np.array([0, 0, 0, 255], np.uint8)
    assert groups(photo, recolored(photo), photo.copy()) == [0, 1, 0]


def test_specks_and_empty_pictures_are_told_apart_by_their_hashes(sprite):
    speck = np.zeros((12, 12, 4), np.uint8)
    speck[3, 3:6] = 255
    moved, empty = np.roll(speck, 2, 1), speck * 0
    assert groups(speck, moved, empty, sprite()) == [0, 1, 2, 3]


def test_what_has_one_hash_is_one_thing_and_joins_what_is_like_either(sprite):
    one, other = sprite(1), sprite(2)
    assert groups(one, other, one[:, ::-1], other[::-1], sides=[5, 5, 6, 7]) == [0, 0, 0, 0]


def test_a_group_is_held_out_as_often_as_a_single_picture():
    """Whatever hash it takes, it isn't the least one."""
    copies, images = 4, []
    for number in range(100):
        pixels = np.full((2, 2, 4), number, np.uint8)
        images += [LabelledImage("", pixels, "", name_hash(f"{number} {copy}")) for copy in range(copies)]
    found = joined(images)
    assert set(Counter(image.side for image in found).values()) == {copies}
    assert 12 <= sum(is_heldout(image.side, 0.3) for image in found) / copies <= 48  # expected: 30 ± 4.6


def test_a_picture_that_joins_no_group_changes_no_side(sprite):
    images = [LabelledImage(f"{n}", sprite(n // 2), "", name_hash(str(n))) for n in range(10)]
    before = [image.side for image in joined(images)]
    after = joined([LabelledImage("new", sprite(99), "", name_hash("new")), *images])
    assert [image.side for image in after[1:]] == before
    assert before == [image.side for image in joined(images[::-1])][::-1]


def test_a_split_of_its_own_is_kept_but_for_copies(sprite):
    original, other = sprite(), sprite(1)
    pixels = [original, recolored(original), original.copy(), other]
    images = [
        LabelledImage(f"{n}", each, "", side)
        for n, (each, side) in enumerate(
            zip(pixels, [ALWAYS_LEARNED, ALWAYS_LEARNED, ALWAYS_HELD_OUT, ALWAYS_LEARNED], strict=True)
        )
    ]
    assert [image.side for image in joined(images)] == [
        ALWAYS_HELD_OUT,
        ALWAYS_LEARNED,
        ALWAYS_HELD_OUT,
        ALWAYS_LEARNED,
    ]
