"""Kernels that numba compiles, and what stands in for them until that pays."""

import os
import subprocess
import sys
from math import inf

import numpy as np
import pytest

from tincture.common import kernels
from tincture.common.once import once, remembered
from tincture.quantization.encoding import encode
from tincture.quantization.fidelity import fidelity
from tincture.quantization.fit import fit_palette
from tincture.quantization.fit.splitting import split
from tincture.quantization.histogram import histogram
from tincture.quantization.nearest import nearest, sort_into_cells
from tincture.quantization.spaces import SPACES


@pytest.fixture
def both_ways(monkeypatch):
    """Call a function without numba, then with it."""

    def call(function, *arguments, **options):
        results = []
        for is_compiled in (False, True):
            monkeypatch.setattr(kernels, "_is_loaded", is_compiled)
            monkeypatch.setattr(kernels, "WORK_SECONDS", inf)
            results.append(function(*arguments, **options))
        return results

    return call


def blurry(rng, height, width, transparent=False):
    """A picture of many colors that lie in a few clouds."""
    clouds = rng.integers(40, 216, (9, 3))
    rgb = clouds[rng.integers(0, 9, (height, width))] + rng.normal(0, 12, (height, width, 3))
    alpha = np.full((height, width, 1), 255.0)
    if transparent:
        alpha[: height // 3] = rng.integers(0, 256, (height // 3, width, 1))
    return np.concatenate([rgb, alpha], axis=2).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(24, 24), (150, 120)])
@pytest.mark.parametrize("transparent", [False, True])
def test_a_histogram_is_the_same_without_numba(both_ways, rng, shape, transparent):
    plain, compiled = both_ways(histogram, [blurry(rng, *shape, transparent)] * 2)
    assert np.array_equal(plain[0], compiled[0])
    assert np.array_equal(plain[1], compiled[1])


@pytest.mark.parametrize("space", SPACES)
def test_coordinates_are_the_same_to_the_bit_without_numba(both_ways, rng, space):
    plain, compiled = both_ways(SPACES[space].from_bytes, rng.integers(0, 256, (20_000, 3), np.uint8))
    assert np.array_equal(plain, compiled)


@pytest.mark.parametrize(("count", "k"), [(300, 1), (300, 40), (20_000, 7), (20_000, 256)])
def test_nearest_centers_are_the_same_without_numba(both_ways, rng, count, k):
    points = (rng.integers(0, 40, (count, 3)) / 39).astype(np.float32)  # with ties
    plain, compiled = both_ways(nearest, points, points[:k] * np.float32(0.97))
    assert np.array_equal(plain[0], compiled[0])
    np.testing.assert_allclose(plain[1], compiled[1], rtol=1e-6)


@pytest.mark.parametrize("per_axis", [8, 80])
def test_cells_are_the_same_without_numba(both_ways, rng, per_axis):
    for one, other in zip(*both_ways(sort_into_cells, rng.random((5000, 3), np.float32), per_axis), strict=True):
        assert np.array_equal(one, other)


def test_a_first_palette_is_the_same_without_numba(both_ways, rng):
    plain, compiled = both_ways(split, rng.random((700, 3), np.float32), rng.random(700) + 0.1, 24)
    np.testing.assert_allclose(plain, compiled, rtol=1e-6)


@pytest.mark.parametrize(("shape", "colors"), [((20, 20), 8), ((60, 60), 33), ((150, 120), 2), ((150, 120), 16)])
@pytest.mark.parametrize("transparent", [False, True])
def test_a_palette_and_an_index_map_are_the_same_without_numba(both_ways, rng, shape, colors, transparent):
    image = blurry(rng, *shape, transparent)
    plain, compiled = both_ways(fit_palette, [image], colors)
    assert plain == compiled
    assert np.array_equal(*both_ways(encode, image, plain))
    one, other = both_ways(fidelity, [image], [encode(image, plain)], plain)
    assert (one.psnr, one.delta_e) == pytest.approx((other.psnr, other.delta_e), rel=1e-6)


def test_what_is_remembered_is_worked_out_once_for_an_array_and_forgotten_after_the_block():
    calls = []
    count = once(lambda array: calls.append(array) or len(calls))
    large, small = np.zeros(1 << 17), np.zeros(4)
    with remembered():
        assert [count(large), count(large), count(large.copy()), count(small), count(small)] == [1, 1, 2, 3, 4]
    assert [count(large), count(large)] == [5, 6]


def test_compiling_is_told_once_and_not_when_it_has_been_done(tmp_path):
    """A kernel that calls another one is compiled in one process, and only loaded in the next."""
    (tmp_path / "loops.py").write_text(
        "import logging, sys\n"
        "from tincture.common.kernels import kernel\n"
        "logging.basicConfig(level=logging.INFO, format='%(message)s')\n"
        "@kernel\ndef twice(x): return 2 * x\n"
        "@kernel\ndef total(n):\n    s = 0\n    for i in range(n): s += twice(i)\n    return s\n"
        "print(total(5), 'scipy' in sys.modules)\n"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    told = []
    for _ in range(2):
        words = [sys.executable, str(tmp_path / "loops.py")]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == "20 False\n"
        told.append(done.stderr.splitlines())
    assert told == [["compiling for this machine, once: this takes up to a minute"], []]
