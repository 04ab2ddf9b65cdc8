import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tincture.common.errors import InputError
from tincture.quantization.color import linear_to_oklab
from tincture.quantization.dither import DITHERERS, dither
from tincture.quantization.dither.error_diffusion import KERNELS
from tincture.quantization.dither.hull import mixable
from tincture.quantization.dither.ordered import _mixtures, bayer, blue_noise
from tincture.quantization.encoding import encode
from tincture.quantization.fit.mixtures import GRAIN
from tincture.quantization.nearest import nearest
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.spaces import LINEAR_OF_BYTE, SPACES
from tincture.tests.quantization.test_metric import PANELS, STRONG, chroma, panel

GRAYS = Palette.from_hex(["000000", "404040", "808080", "c0c0c0", "ffffff"])


def flat(value, size=64):
    return np.full((size, size, 4), (value, value, value, 255), np.uint8)


@pytest.mark.parametrize("method", [name for name in DITHERERS if name != "none"])
@pytest.mark.parametrize("value", [20, 90, 150, 230])
def test_the_mean_light_of_a_flat_picture_is_kept(method, value):
    shown = LINEAR_OF_BYTE[GRAYS.colors[dither(flat(value), GRAYS, method), 0]].mean()
    tolerance = 0.06 if method == "bayer2" else 0.02  # four thresholds round coarsely
    assert abs(shown - LINEAR_OF_BYTE[value]) < tolerance


@pytest.mark.parametrize("space", ["linear", "oklab"])
@pytest.mark.parametrize("weight", [1, 2.5])
def test_ordered_dithering_mixes_the_best_pair(rng, space, weight):
    """Against all partners of the nearest entry, one after the other: the error of the mixture as
    it is seen, plus its grain.
    """
    colors, entries = (rng.integers(0, 256, (count, 3), np.uint8) for count in (50, 12))
    to_oklab, stretch = SPACES["oklab"].from_bytes, np.array([1, weight, weight], np.float32)
    points, centers = to_oklab(colors), to_oklab(entries)
    mixed, ends = (LINEAR_OF_BYTE[colors], LINEAR_OF_BYTE[entries]) if space == "linear" else (points, centers)
    weights, no_grays = np.full(len(colors), weight, np.float32), np.zeros(0, np.int64)
    firsts = nearest(points, centers)[0]
    pairs, shares = _mixtures(points, mixed, firsts, weights, centers, ends, no_grays, space == "linear", 1.0)
    for point, target, (dark, light), share in zip(points, mixed, pairs, shares, strict=True):
        first = int((((point - centers) * stretch) ** 2).sum(1).argmin())
        partner, part = (light, share) if dark == first else (dark, 1 - share)
        costs = {}
        for k in set(range(len(entries))) - {first}:
            way, seen = ends[k] - ends[first], (centers[k] - centers[first]) * stretch
            t = np.clip((target - ends[first]) @ way / (way @ way), 0, 1)
            u = np.clip((point - centers[first]) * stretch @ seen / (seen @ seen), 0, 1)
            shown = torch.from_numpy(ends[first] + t * way)
            shown = linear_to_oklab(shown).numpy() if space == "linear" else shown.numpy()
            if t > 0:
                costs[k] = ((((shown - point) * stretch) ** 2).sum() + GRAIN * seen @ seen * u * (1 - u), t)
        if partner == first:
            assert not costs
            continue
        assert costs[partner][0] == pytest.approx(min(cost for cost, _ in costs.values()), abs=1e-5)
        assert part == pytest.approx(costs[partner][1], abs=1e-4)


@pytest.mark.parametrize("method", ["bayer8", "blue-noise", "floyd-steinberg"])
@pytest.mark.parametrize(
    ("value", "colors"),
    [
        (128, ["000000", "ffffff", "ff0000"]),
        (60, ["000000", "ffffff", "ff0000", "ffff00"]),
        (128, ["000000", "ffffff", "00ff00", "0000ff", "ff0000", "ffff00", "ff8000"]),
        (180, ["000000", "ffffff", "2157ba", "125f20", "b21318", "efde44"]),
        (200, ["000000", "ffffff", "00aa00"]),
    ],
)
@pytest.mark.parametrize("exact", [False, True])
def test_a_flat_gray_is_made_of_black_and_white(method, value, colors, exact):
    palette = Palette.from_hex(colors)
    indices = dither(flat(value), palette, method, exact=exact)
    assert indices.max() == 1
    is_calm = method == "floyd-steinberg" and not exact
    light = LINEAR_OF_BYTE[palette.colors[indices, 0]].mean()
    assert light == pytest.approx(LINEAR_OF_BYTE[value], abs=0.05 if is_calm else 0.01)


@pytest.mark.parametrize("method", DITHERERS)
@pytest.mark.parametrize("name", PANELS)
@pytest.mark.parametrize("exact", [False, True])
def test_gray_pictures_and_the_edges_of_text_have_no_colored_dots(method, name, exact):
    palette, ramp = panel(name), np.linspace(0, 255, 64).round().astype(np.uint8)
    text = np.repeat(np.array([255, 255, 190, 60, 0, 0, 120, 255], np.uint8), 4)
    image = np.dstack([np.concatenate([np.tile(ramp, (32, 1)), np.tile(text, (16, 2))])] * 3)
    shown = palette.colors[dither(image, palette, method, exact=exact)]
    is_strong = chroma(shown.reshape(-1, 4)).reshape(image.shape[:2]) > STRONG
    assert is_strong[:32].mean() < 0.02
    assert is_strong[32:].mean() < 0.01


@pytest.mark.parametrize("method", ["bayer8", "bayer16", "blue-noise"])
@pytest.mark.parametrize("palette", [Palette.from_hex(["000000", "ffffff"]), GRAYS])
def test_ordered_dithering_shows_every_gray_as_light_as_it_is(method, palette):
    light = LINEAR_OF_BYTE[palette.colors[:, 0]]
    shown = np.array([light[dither(flat(value), palette, method)].mean() for value in range(256)])
    assert np.abs(shown - LINEAR_OF_BYTE[np.arange(256)]).max() < 0.02


@pytest.mark.parametrize("method", [name for name in DITHERERS if name != "none"])
@pytest.mark.parametrize("value", [160, 200])
def test_more_strength_is_nearer_to_the_mean_and_less_to_the_nearest_entry(method, value):
    palette, strengths = Palette.from_hex(["000000", "ffffff"]), (0.0, 0.01, 0.25, 0.5, 0.75, 1.0)
    shown = np.array([dither(flat(value), palette, method, strength).mean() for strength in strengths])
    away = np.abs(shown - shown[0])
    assert away[1] <= 0.02
    assert away[-1] >= 0.01
    assert (np.diff(away) >= -0.01).all()


@pytest.mark.parametrize("method", DITHERERS)
@pytest.mark.parametrize("space", ["linear", "oklab"])
@pytest.mark.parametrize("exact", [False, True])
def test_colors_of_the_palette_and_transparency_are_left_alone(rng, method, space, exact):
    palette = Palette(
        np.concatenate([rng.integers(0, 256, (9, 4), np.uint8) | (0, 0, 0, 255), [[0, 0, 0, 0]]]).astype(np.uint8)
    )
    indices = rng.integers(0, 10, (20, 31)).astype(np.uint8)
    assert np.array_equal(dither(palette.colors[indices], palette, method, space=space, exact=exact), indices)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(2, 256),
    st.sampled_from(sorted(DITHERERS)),
    st.floats(0, 1),
    st.booleans(),
)
def test_laws_of_every_dither(seed, height, width, k, method, strength, exact):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 4), np.uint8)
    colors = (rng.integers(0, 256, (k, 4), np.uint8) | (0, 0, 0, 255)).astype(np.uint8)
    colors[0, 3] = 0
    palette = Palette(colors)
    indices = dither(image, palette, method, strength, exact=exact)
    assert indices.dtype == np.uint8
    assert indices.max() < k
    assert ((indices == 0) == (image[..., 3] < 128)).all()
    assert np.array_equal(indices, dither(image, palette, method, strength, exact=exact))


def test_no_strength_is_the_nearest_entry(rng):
    image = rng.integers(0, 256, (9, 9, 4), np.uint8)
    for method in DITHERERS:
        assert np.array_equal(dither(image, GRAYS, method, 0.0), encode(image, GRAYS))


def diffuse_plainly(values, entries, kernel):
    """Error diffusion as in the papers, serpentine, in one gray channel: the reference."""
    height, width = values.shape
    errors, out = np.zeros((height + 3, width + 8)), np.zeros((height, width), int)
    for y in range(height):
        ahead = 1 if y % 2 == 0 else -1
        for x in range(width)[::ahead]:
            value = values[y, x] + errors[y, x + 4]
            out[y, x] = np.abs(entries - value).argmin()
            for down, right, share in kernel:
                errors[y + down, x + 4 + ahead * right] += (value - entries[out[y, x]]) * float(share)
    return out


@pytest.mark.parametrize("name", KERNELS)
def test_error_diffusion_equals_its_reference(rng, name):
    image = flat(0, 24)
    image[..., :3] = rng.integers(70, 190, (24, 24, 1))
    to_lightness = SPACES["oklab"].from_bytes
    expected = diffuse_plainly(
        to_lightness(image.reshape(-1, 4))[:, 0].reshape(24, 24), to_lightness(GRAYS.colors)[:, 0], KERNELS[name]
    )
    assert (dither(image, GRAYS, name, space="oklab") == expected).mean() > 0.99  # float32 against float64


@pytest.mark.parametrize("method", sorted(KERNELS.keys() - {"atkinson"}))  # which hands on ¾ of an error
@pytest.mark.parametrize(
    "name", ["e-paper-7", "nintendo-gameboy-bgb", "pico-8", "zx-spectrum", "color-graphics-adapter"]
)
def test_exact_error_diffusion_has_no_drift(rng, method, name):
    """Flat colors, most of which the palette can't mix: the mean is that of the nearest color
    that it can.

    Errors are bounded, not zero: it takes some rows to fill up with them, which are left out of
    the mean.
    """
    palette = read_palette(name)
    for color in rng.integers(0, 256, (12, 3), np.uint8):
        image = np.broadcast_to(np.append(color, 255).astype(np.uint8), (160, 64, 4))
        shown = LINEAR_OF_BYTE[palette.colors[dither(image, palette, method, exact=True), :3]]
        expected = mixable(image, palette.colors[:, :3], "linear")[0, 0]
        assert np.abs(shown[80:].mean((0, 1)) - expected).max() < 0.02


def test_exactness_is_only_for_error_diffusion(rng):
    image = np.dstack([rng.integers(0, 256, (20, 20, 3)), np.full((20, 20), 255)]).astype(np.uint8)
    palette = read_palette("e-paper-7")
    for method in DITHERERS:
        same = np.array_equal(dither(image, palette, method), dither(image, palette, method, exact=True))
        assert same == (method not in KERNELS)


def test_an_entry_that_stands_twice_doesnt_stop_errors():
    twice = Palette.from_hex(["000000", "000000", "ffffff"])
    once = Palette.from_hex(["000000", "ffffff"])
    shown = [p.colors[dither(flat(90), p, "floyd-steinberg"), 0].mean() for p in (twice, once)]
    assert shown[0] == shown[1] > 0


def test_threshold_matrices_hold_every_rank_once():
    for matrix in (bayer(2), bayer(4), bayer(8), bayer(16), blue_noise()):
        n = matrix.size
        assert np.array_equal(np.sort(matrix.ravel() * n - 0.5).round(), np.arange(n))
    assert (bayer(2) * 4 - 0.5).tolist() == [[0, 2], [3, 1]]


def test_blue_noise_has_little_power_at_low_frequencies():
    power = np.abs(np.fft.fft2(blue_noise() - 0.5)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    assert power[(frequency > 0) & (frequency < 0.1)].mean() < 0.05 * power[frequency > 0.3].mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "unknown dither 'magic'"),
        ({"method": "bayer2", "strength": 1.5}, "0 to 1"),
        ({"method": "bayer2", "space": "xyz"}, "unknown dither space"),
    ],
)
def test_wrong_wishes_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        dither(flat(9, 4), GRAYS, **options)
