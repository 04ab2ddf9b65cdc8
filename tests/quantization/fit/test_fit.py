import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tincture.common.errors import InputError
from tincture.quantization.color import srgb_to_oklab
from tincture.quantization.encoding import encode
from tincture.quantization.fit import (
    FEW_COLORS,
    QUANTIZERS,
    choose_colors,
    error_curve,
    fit_palette,
    fit_palettes,
    learned,
    quantize,
)
from tincture.quantization.fit.channel_bits import snap
from tincture.quantization.fit.kmeans import kmeans
from tincture.quantization.histogram import histogram
from tincture.quantization.nearest import nearest
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.spaces import SPACES


def random_image(seed, height, width, colors, transparent):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 256, (colors, 4), np.uint8)
    table[:, 3] = 255
    image = table[rng.integers(0, colors, (height, width))]
    if transparent:
        image[rng.random((height, width)) < 0.3] = (9, 9, 9, 0)
    return image


def test_kmeans_finds_separated_clusters_whatever_their_weights(rng):
    means = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    points = (means[:, None] + 0.01 * rng.standard_normal((4, 50, 3))).reshape(-1, 3).astype(np.float32)
    weights = np.repeat([1, 50, 2, 10], 50)
    centers = kmeans(points, weights, 4)
    assert sorted(nearest(means, centers)[0]) == [0, 1, 2, 3]
    assert nearest(means, centers)[1].max() < 1e-3


def test_kmeans_ends_at_a_fixed_point_of_lloyds_iteration(rng):
    points, weights = rng.random((300, 3), np.float32), rng.integers(1, 9, 300)
    centers = kmeans(points, weights, 8)
    labels = nearest(points, centers)[0]
    for k, center in enumerate(centers):
        mine = labels == k
        np.testing.assert_allclose(center, np.average(points[mine], axis=0, weights=weights[mine]), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 12), st.integers(1, 15), st.booleans())
def test_encoding_is_the_identity_on_images_with_few_enough_colors(seed, height, width, colors, transparent):
    image = random_image(seed, height, width, colors, transparent)
    decoded = quantize(image, 16).to_rgba()
    opaque = image[..., 3] == 255
    assert np.array_equal(decoded[opaque], image[opaque])
    assert (decoded[~opaque][:, 3] == 0).all()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 24),
    st.integers(1, 24),
    st.integers(2, 256),
    st.booleans(),
    st.sampled_from(list(SPACES)),
)
def test_laws_of_every_quantization(seed, height, width, colors, transparent, space):
    image = random_image(seed, height, width, 200, transparent)
    indexed = quantize(image, colors, space=space, seed=seed % 7)
    assert len(indexed.palette) <= colors
    assert ((indexed.to_rgba()[..., 3] == 0) == (image[..., 3] < 128)).all()
    assert len(np.unique(indexed.palette.colors, axis=0)) == len(indexed.palette)
    again = quantize(image, colors, space=space, seed=seed % 7)
    assert again.palette == indexed.palette
    assert np.array_equal(again.indices, indexed.indices)


def test_more_colors_never_fit_much_worse(rng):
    image = random_image(3, 40, 40, 900, False)
    oklab = srgb_to_oklab(torch.from_numpy(image[..., :3]))
    errors = []
    for colors in (2, 4, 8, 16, 32, 64):
        decoded = torch.from_numpy(quantize(image, colors).to_rgba()[..., :3])
        errors.append(((srgb_to_oklab(decoded) - oklab) ** 2).sum(-1).mean().item())
    assert errors == sorted(errors, reverse=True)


def test_a_shared_palette_serves_all_images():
    images = [np.full((2, 2, 4), (value, 0, 0, 255), np.uint8) for value in (10, 100, 200)]
    palette = fit_palette(images, 16)
    assert palette.to_hex() == ["0a0000", "640000", "c80000"]


def test_transparent_pixels_turn_white_where_the_palette_has_no_transparency():
    image = np.zeros((1, 2, 4), np.uint8)
    image[0, 0, 3] = 255
    assert encode(image, Palette.from_hex(["000000", "ffffff"])).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda image: fit_palette([image], 1), "2 to 256"),
        (lambda image: fit_palette([image], 300), "2 to 256"),
        (lambda image: fit_palette([image], 8, method="magic"), "unknown quantizer 'magic'; choose from kmeans"),
        (lambda image: fit_palette([image], 8, space="xyz"), "unknown color space"),
        (lambda image: encode(image, Palette.from_hex(["00000000"])), "only entry is transparent"),
    ],
)
def test_wrong_wishes_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(random_image(0, 8, 8, 50, False))


@pytest.mark.parametrize("space", SPACES)
def test_a_large_picture_is_encoded_as_pixel_by_pixel(rng, space):
    image = rng.integers(0, 256, (200, 300, 4), np.uint8)
    palette = Palette(
        np.concatenate([rng.integers(0, 256, (40, 4), np.uint8) | (0, 0, 0, 255), [[0, 0, 0, 0]]]).astype(np.uint8)
    )
    points, centers = (SPACES[space].from_bytes(rgba.reshape(-1, 4)) for rgba in (image, palette.colors[:40]))
    labels = np.concatenate([nearest(row, centers)[0] for row in points.reshape(200, 300, 3)])
    expected = np.where(image[..., 3] < 128, 40, labels.reshape(200, 300))
    assert np.array_equal(encode(image, palette, space), expected)


@pytest.mark.parametrize("pixels", [900, 90_000])
def test_the_histogram_counts_every_opaque_pixel(rng, pixels):
    image = rng.integers(0, 9, (pixels // 30, 30, 4), np.uint8)
    image[..., 3] = rng.integers(0, 2, image.shape[:2]) * 255
    image[: pixels // 60, :, :3] = 7  # one color that occurs far more than 255 times
    colors, counts = histogram([image, image])
    expected, times = np.unique(image[image[..., 3] == 255][:, :3], axis=0, return_counts=True)
    order = np.lexsort(colors.T[::-1])
    assert np.array_equal(colors[order], expected)
    assert np.array_equal(counts[order], 2 * times)


def mean_squared_error(image, palette, space):
    opaque = image[..., 3] >= 128
    decoded = palette.colors[encode(image, palette, space)]
    a, b = (SPACES[space].from_bytes(rgba[opaque]) for rgba in (image, decoded))
    return ((a - b).astype(np.float64) ** 2).sum(1).mean() if opaque.any() else 0.0


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(2, 256),
    st.sampled_from([1, 3, 40, 2000]),
    st.booleans(),
    st.sampled_from(list(SPACES)),
)
def test_kmeans_is_never_worse_than_uniform(seed, height, width, colors, distinct, transparent, space):
    image = random_image(seed, height, width, distinct, transparent)
    fitted, regular = (fit_palette([image], colors, method, space) for method in ("kmeans", "uniform"))
    # The last term is what rounding to bytes may cost.
    assert mean_squared_error(image, fitted, space) <= mean_squared_error(image, regular, space) * 1.0001 + 1e-5


pictures = st.builds(
    random_image,
    st.integers(0, 2**31),
    st.integers(1, 24),
    st.integers(1, 24),
    st.sampled_from([1, 3, 40, 400]),
    st.booleans(),
)
kept_colors = st.lists(st.tuples(*[st.integers(0, 255)] * 3), max_size=3, unique=True)


def check_laws(image, colors, kept, method, space):
    """What holds for the palette and the index map of every method."""
    keep = Palette.from_hex([bytes(color).hex() for color in kept]) if kept else None
    is_transparent = image[..., 3] < 128
    if len(kept) + is_transparent.any() > colors or (method == "fixed" and not kept):
        with pytest.raises(InputError):
            fit_palette([image], colors, method, space, keep=keep)
        return
    palette = fit_palette([image], colors, method, space, keep=keep)
    start = int(is_transparent.any())
    assert palette.transparent == (0 if start else None)
    assert palette.colors[start : start + len(kept), :3].tolist() == [list(color) for color in kept]
    assert len(np.unique(palette.colors, axis=0)) == len(palette) <= colors
    assert fit_palette([image], colors, method, space, keep=keep) == palette
    if (palette.colors[:, 3] == 255).any():
        indices = encode(image, palette, space)
        assert indices.max() < len(palette)
        assert np.array_equal(palette.colors[indices][..., 3] == 0, is_transparent)


@settings(max_examples=60, deadline=None)
@given(
    pictures,
    st.integers(2, 256),
    kept_colors,
    st.sampled_from([name for name in QUANTIZERS if name != "learned"]),
    st.sampled_from(list(SPACES)),
)
def test_the_laws_hold_for_every_method(image, colors, kept, method, space):
    check_laws(image, colors, kept, method, space)


@settings(max_examples=20, deadline=None)
@given(pictures, st.integers(2, 256), kept_colors, st.sampled_from(list(SPACES)))
def test_the_laws_hold_for_learned_palettes(image, colors, kept, space):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned, "STEPS", 8)  # the laws don't depend on how well it fits
        check_laws(image, colors, kept, "learned", space)


@pytest.mark.parametrize(("colors", "space"), [(2, "srgb"), (40, "oklab")])
def test_learned_palettes_are_not_worse_than_uniform_ones(colors, space):
    image = random_image(1, 24, 24, 400, True)
    fitted, regular = (fit_palette([image], colors, method, space) for method in ("learned", "uniform"))
    assert mean_squared_error(image, fitted, space) < mean_squared_error(image, regular, space)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 256), st.tuples(*[st.integers(1, 8)] * 3))
def test_channel_bits_leave_only_colors_that_the_hardware_shows(seed, colors, bits):
    image = random_image(seed, 24, 24, 500, False)
    palette = fit_palette([image], colors, channel_bits=bits)
    for channel, count in enumerate(bits):
        levels = {round(255 * q / (2**count - 1)) for q in range(2**count)}
        assert set(palette.colors[:, channel].tolist()) <= levels
    assert len(np.unique(palette.colors, axis=0)) == len(palette) <= colors


def test_palettes_of_many_pictures_are_those_of_each():
    images = [random_image(seed, 16, 16, 100, seed % 2 == 0) for seed in range(150)]
    assert fit_palettes(images, 16) == [fit_palette([image], 16) for image in images]


def test_kmeans_of_many_points_is_close_to_that_of_all_of_them_at_once(rng):
    points = np.concatenate([rng.normal(mean, 0.05, (4000, 3)) for mean in rng.random((8, 3))]).astype(np.float32)
    weights = rng.integers(1, 5, len(points))
    centers = kmeans(points, weights, 24)
    error = weights @ nearest(points, centers)[1]
    labels = nearest(points, centers)[0]
    means = np.stack([np.average(points[labels == k], axis=0, weights=weights[labels == k]) for k in range(24)])
    assert error <= 1.01 * (weights @ nearest(points, means.astype(np.float32))[1])


def test_fixed_centers_stay_and_the_others_serve_the_rest(rng):
    points = rng.random((400, 3), np.float32)
    fixed = rng.random((3, 3), np.float32)
    centers = kmeans(points, np.ones(400), 5, fixed=fixed)
    assert np.array_equal(centers[:3], fixed)
    assert nearest(points, centers)[1].sum() < 0.5 * nearest(points, fixed)[1].sum()


@pytest.mark.parametrize("method", ["kmeans", "median-cut"])
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("colors", [1, 14, FEW_COLORS - 1, FEW_COLORS])
def test_pictures_of_few_colors_need_all_of_them_however_rare(rng, method, transparent, colors):
    palette = np.unique(rng.integers(0, 256, (colors, 4), np.uint8) | np.array([0, 0, 0, 255], np.uint8), axis=0)
    images = [np.repeat(palette, 1 + 3 * rng.geometric(0.1, colors), axis=0)[None], palette[None].copy()]
    images[1][..., 3] = 255 * (rng.random(colors) < 0.5) if transparent else 255
    images[1][:, 0, 3] = 0 if transparent else 255
    needed = choose_colors(images, method)
    assert needed == max(colors + transparent, 2)
    fitted = fit_palette(images, needed, method)
    assert {tuple(color) for color in fitted.colors[fitted.colors[:, 3] > 0]} == {tuple(color) for color in palette}


@pytest.mark.parametrize("method", ["kmeans", "fixed"])
def test_kept_colors_stand_once_in_their_order(method):
    keep = Palette.from_hex(["ff0000", "0000ff", "FF0000", "ff000080", "0000ff"])
    palette = fit_palette([random_image(0, 30, 30, 200, False)], 6, method, keep=keep)
    assert palette.to_hex()[:3] == ["ff0000", "0000ff", "ff000080"]
    assert len(set(palette.to_hex())) == len(palette) == (3 if method == "fixed" else 6)


def test_the_number_of_colors_heeds_what_the_palette_is_fitted_with():
    image, keep = random_image(5, 40, 40, 900, True), Palette.from_hex(["000000", "ffffff"])
    limits = {"keep": keep, "channel_bits": (3, 3, 3)}
    count = choose_colors([image], max_error=0.06, **limits)
    assert error_curve([image], [count], **limits)[0] <= 0.06 < error_curve([image], [count - 1], **limits)[0]
    assert count > choose_colors([image], max_error=0.06)
    assert choose_colors([image], "fixed", keep=keep) == choose_colors([image], "fixed", max_error=0, keep=keep) == 3
    few = random_image(0, 30, 30, 4, False)
    assert choose_colors([few], keep=keep) == len(np.unique(few.reshape(-1, 4), axis=0)) + 2


def test_hardware_of_few_colors_gets_as_many_as_were_asked_for():
    image = random_image(5, 40, 40, 900, False)
    shown = np.unique(snap(image[..., :3].reshape(-1, 3), (3, 3, 3)), axis=0)
    for method in ("kmeans", "median-cut"):
        assert len(fit_palette([image], 64, method, channel_bits=(3, 3, 3))) == min(64, len(shown))


def test_the_number_of_colors_follows_from_the_allowed_error():
    image = random_image(5, 40, 40, 900, False)
    coarse, fine = (choose_colors([image], max_error=error) for error in (0.1, 0.03))
    assert 2 < coarse < fine <= 256
    assert error_curve([image], [fine])[0] <= 0.03
    assert choose_colors([random_image(0, 30, 30, 4, False)]) <= 4
    assert 4 <= choose_colors([image]) <= 64
