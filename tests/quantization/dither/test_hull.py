from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincture.quantization.dither.hull import mixable, project_to_hull
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.spaces import mixing_coordinates


def some_entries(rng, shape):
    entries = rng.random((rng.integers(1, 40), 3)).astype(np.float32)
    if shape == "plane":
        entries[:, 2] = 0.3
    elif shape == "line":
        entries[:] = entries[:, :1]
    elif shape == "doubled":
        entries = np.concatenate([entries, entries]) ** 4
    return entries


def project_by_active_sets(point, entries):
    """The nearest of the nearest points of all planes through up to four entries that are
    mixtures: the reference.
    """
    best, distance = entries[0], np.inf
    for size in range(1, 5):
        for corral in combinations(range(len(entries)), size):
            chosen = entries[list(corral)]
            ways = (chosen[1:] - chosen[0]).T
            shares = np.linalg.lstsq(ways, point - chosen[0], rcond=None)[0]
            if (shares >= -1e-9).all() and shares.sum() <= 1 + 1e-9:
                found = chosen[0] + ways @ shares
                if np.linalg.norm(found - point) < distance:
                    best, distance = found, np.linalg.norm(found - point)
    return best


@pytest.mark.parametrize("shape", ["any", "plane", "line", "doubled"])
def test_projection_equals_its_reference(rng, shape):
    entries = some_entries(rng, shape)[:10]
    points = (rng.random((40, 3)) * 1.4 - 0.2).astype(np.float32)
    expected = [project_by_active_sets(point.astype(np.float64), entries.astype(np.float64)) for point in points]
    np.testing.assert_allclose(project_to_hull(points, entries), expected, atol=2e-4)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["any", "plane", "line", "doubled"]))
def test_laws_of_the_projection(seed, shape):
    rng = np.random.default_rng(seed)
    entries = some_entries(rng, shape)
    points = (rng.random((60, 3)) * 1.4 - 0.2).astype(np.float32)
    once = project_to_hull(points, entries)
    np.testing.assert_array_equal(project_to_hull(entries, entries), entries)  # vertices and what lies between stay
    inside = (rng.dirichlet(np.full(len(entries), 0.3), 60) @ entries).astype(np.float32)
    np.testing.assert_array_equal(project_to_hull(inside, entries), inside)
    np.testing.assert_allclose(project_to_hull(once, entries), once, atol=2e-4)
    # The nearest point of a convex set: no entry reaches beyond the plane that stands there
    # across the way to it.
    off = (points - once).astype(np.float64)
    distance = np.linalg.norm(off, axis=1, keepdims=True)
    way = off / np.maximum(distance, 1e-3)
    beyond = way @ entries.T - (way * once).sum(-1, keepdims=True)
    assert beyond.max() < 1e-3


def test_no_points():
    assert project_to_hull(np.empty((0, 3), np.float32), np.zeros((1, 3), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("space", ["linear", "oklab"])
@pytest.mark.parametrize("name", ["e-paper-7", "nintendo-gameboy-bgb", "1bit-black-and-white"])
def test_colors_become_mixable_and_those_that_are_stay(rng, name, space):
    colors = read_palette(name).colors[:, :3]
    entries = mixing_coordinates(colors, space)
    pixels = np.concatenate([rng.integers(0, 256, (20, 30, 3), np.uint8), np.resize(colors, (2, 30, 3))])
    opaque = rng.random((22, 30)) < 0.8
    image = np.dstack([pixels, np.where(opaque, 255, 0)]).astype(np.uint8)
    points, goals = mixing_coordinates(pixels, space)[opaque], mixable(image, colors, space)[opaque]
    projected = project_to_hull(points, entries)
    np.testing.assert_allclose(project_to_hull(goals, entries), goals, atol=2e-4)
    stays = np.linalg.norm(projected - points, axis=1) == 0
    assert stays.any()
    np.testing.assert_array_equal(goals[stays], points[stays])


def test_four_greens_show_a_red_by_its_lightness_not_only_by_their_extremes():
    """The nearest mixture of red is of the darkest and the lightest alone; the goal also takes
    those between.
    """
    colors = read_palette("nintendo-gameboy-bgb").colors[:, :3]
    red = np.full((1, 1, 4), (150, 40, 20, 255), np.uint8)
    goal = mixable(red, colors, "linear")[0, 0]
    entries = mixing_coordinates(colors, "linear")
    order = entries.sum(axis=1).argsort()
    assert np.abs(project_to_hull(goal[None], entries[order[[0, 3]]])[0] - goal).max() > 0.01
    assert abs((goal - mixing_coordinates(red[..., :3], "linear")[0, 0]) @ (0.2126, 0.7152, 0.0722)) < 0.02
