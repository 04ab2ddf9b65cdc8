import numpy as np
import pytest

from tincture.quantization.dither import dither
from tincture.quantization.fit import fit_palette
from tincture.quantization.fit.kmeans import kmeans
from tincture.quantization.fit.mixtures import _normal_equations, fit_mixtures, mix
from tincture.quantization.nearest import nearest
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.spaces import SPACES

PLAIN = np.eye(3, dtype=np.float32)


def loss(point, entries, shares, grain):
    """The formula of mixtures.py for one color."""
    return ((point - shares @ entries) ** 2).sum() + grain * (shares @ ((entries - point) ** 2).sum(-1))


@pytest.mark.parametrize("grain", [0.0, 0.03, 0.3])
def test_shares_are_the_best_ones(rng, grain):
    points, entries = rng.random((30, 3)).astype(np.float32), rng.random((7, 3)).astype(np.float32)
    near, shares = mix(points, entries, grain, PLAIN)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
    for point, chosen, p in zip(points, near, shares, strict=True):
        others = np.concatenate([np.eye(7), rng.dirichlet(np.full(7, 0.3), 200)])
        steps = p + 0.1 * (others - p)  # the loss is convex: what is best nearby is best
        assert (
            loss(point, entries[chosen], p, grain)
            <= min(loss(point, entries[chosen], q, grain) for q in (*steps, *others)) + 1e-5
        )


def test_with_much_grain_a_color_takes_its_nearest_entry(rng):
    points, entries = rng.random((50, 3)).astype(np.float32), rng.random((20, 3)).astype(np.float32)
    near, shares = mix(points, entries, 1e4, PLAIN)
    assert near.shape == (50, 8)
    np.testing.assert_array_equal(near[:, 0], nearest(points, entries)[0])
    np.testing.assert_allclose(shares[:, 0], 1, atol=1e-3)


def test_the_normal_equations_are_where_the_derivative_vanishes(rng):
    points, entries = rng.random((40, 3)).astype(np.float32), rng.random((5, 3)).astype(np.float32)
    weights, grain = rng.random(40), 0.2
    near, shares = mix(points, entries, grain, PLAIN)
    matrix, right = _normal_equations(points, weights, entries, grain)

    def total(e):
        return sum(w * loss(c, e[n], p, grain) for w, c, n, p in zip(weights, points, near, shares, strict=True))

    solved = np.linalg.solve(matrix + 1e-12 * np.eye(5), right)
    assert total(solved) < total(entries)
    for _ in range(20):
        assert total(solved) <= total(solved + 1e-3 * rng.standard_normal((5, 3)))


def test_a_picture_of_mixtures_gets_the_entries_that_mix_it(rng):
    corners = np.array([[200, 30, 30], [30, 180, 60], [40, 50, 220]], np.uint8)
    points = SPACES["srgb"].from_bytes(corners)
    colors = SPACES["srgb"].to_bytes((rng.dirichlet(np.ones(3), 400) @ points).astype(np.float32))
    counts, nothing = np.ones(400, np.int64), np.empty((0, 3), np.uint8)
    fitted = fit_mixtures(colors, counts, 3, SPACES["srgb"], 0, nothing)
    centers = SPACES["srgb"].to_bytes(kmeans(SPACES["srgb"].from_bytes(colors), counts, 3))

    def distance_to_corners(found):
        return nearest(points, SPACES["srgb"].from_bytes(found))[1].mean()

    assert distance_to_corners(fitted) < 0.5 * distance_to_corners(centers)


def test_kept_colors_stay_and_the_rest_is_fitted_around_them(rng):
    image = np.concatenate([rng.integers(0, 256, (30, 30, 3)), np.full((30, 30, 1), 255)], axis=-1).astype(np.uint8)
    palette = fit_palette([image], 9, "mixtures", keep=Palette.from_hex(["ff0000", "123456"]))
    assert palette.to_hex()[:2] == ["ff0000", "123456"]
    assert len(np.unique(palette.colors, axis=0)) == 9


def test_a_dithered_picture_is_nearer_from_afar_than_with_k_means():
    """A ramp through three colors in four: k-means' entries lie inside of the ramp, and can't mix
    its ends.
    """
    ends = np.array([[20, 20, 60], [230, 80, 40], [250, 240, 200]], np.float64)
    x = np.linspace(0, 2, 96)
    row = np.stack([np.interp(x, [0, 1, 2], ends[:, axis]) for axis in range(3)], axis=-1)
    image = np.concatenate([np.broadcast_to(row, (96, 96, 3)), np.full((96, 96, 1), 255)], axis=-1).astype(np.uint8)

    def error(method):
        palette = fit_palette([image], 4, method)
        shown = palette.colors[dither(image, palette, "floyd-steinberg"), :3].astype(np.float64)
        return np.abs(
            shown.reshape(12, 8, 12, 8, 3).mean((1, 3)) - image[..., :3].reshape(12, 8, 12, 8, 3).mean((1, 3))
        )

    assert error("mixtures").mean() < 0.9 * error("kmeans").mean()
