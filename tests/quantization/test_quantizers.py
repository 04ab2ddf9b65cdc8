import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quantization.color import srgb_to_oklab
from quantization.errors import InputError
from quantization.kmeans import kmeans
from quantization.nearest import nearest
from quantization.palette import Palette
from quantization.quantizers import SPACES, encode, fit_palette, quantize


def random_image(seed, height, width, colors, transparent):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 256, (colors, 4), np.uint8)
    table[:, 3] = 255
    image = table[rng.integers(0, colors, (height, width))]
    if transparent:
        image[rng.random((height, width)) < 0.3] = (9, 9, 9, 0)
    return image


def test_nearest_equals_the_full_table_of_distances(rng):
    points, centers = rng.random((500, 3), np.float32), rng.random((17, 3), np.float32)
    table = ((points[:, None] - centers) ** 2).sum(-1)
    labels, distances = nearest(points, centers)
    assert np.array_equal(labels, table.argmin(1))
    np.testing.assert_allclose(distances, table.min(1), rtol=1e-5)


def test_nearest_takes_the_first_of_equal_centers():
    centers = np.ones((3, 3), np.float32)
    assert nearest(np.zeros((1, 3), np.float32), centers)[0].tolist() == [0]


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
