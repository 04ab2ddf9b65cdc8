import numpy as np
import pytest
import torch

from tincture.common.errors import InputError
from tincture.quantization.encoding import encode
from tincture.quantization.fit import batched_kmeans as module
from tincture.quantization.fit import fit_palettes
from tincture.quantization.fit.batched_kmeans import batched_kmeans, cluster_sets, nearest_in_batches
from tincture.quantization.fit.kmeans import kmeans
from tincture.quantization.nearest import nearest


def sets(rng, sizes):
    """Clustered points and their weights."""
    found = []
    for size in sizes:
        means = rng.random((9, 3))
        points = means[rng.integers(0, 9, size)] + 0.06 * rng.standard_normal((size, 3))
        found.append((points.astype(np.float32), rng.integers(1, 9, size)))
    return found


def error(points, weights, centers):
    return weights @ nearest(points, np.ascontiguousarray(centers))[1]


def test_the_search_equals_the_plain_one_in_chunks_of_any_size(rng, monkeypatch):
    points, centers = rng.random((3, 50, 3), np.float32), rng.random((3, 7, 3), np.float32)
    for most in (1, 3 * 7 * 8, 1 << 20):
        monkeypatch.setattr(module, "_DISTANCES", most)
        labels, distances = nearest_in_batches(torch.from_numpy(points), torch.from_numpy(centers))
        for row in range(3):
            expected = nearest(points[row], centers[row])
            assert np.array_equal(labels[row], expected[0])
            np.testing.assert_allclose(distances[row], expected[1], rtol=1e-5)


@pytest.mark.parametrize("k", [2, 8, 24])
def test_it_is_nearly_as_good_as_kmeans_and_never_worse_than_the_start_it_is_given(rng, k):
    given = sets(rng, [400] * 12)
    ends = [kmeans(points, weights, k) for points, weights in given]
    found = cluster_sets(given, k, "cpu")
    ratios = [error(*one, mine) / error(*one, end) for one, mine, end in zip(given, found, ends, strict=True)]
    assert np.mean(ratios) < 1.05
    points, weights = (torch.from_numpy(np.stack(part)) for part in zip(*given, strict=True))
    again = batched_kmeans(points, weights.float(), k, torch.from_numpy(np.stack(ends))).numpy()
    assert all(error(*one, mine) < 1.0001 * error(*one, end) for one, mine, end in zip(given, again, ends, strict=True))


def test_centers_are_the_means_of_their_points(rng):
    ((points, weights),) = sets(rng, [200])
    (centers,) = cluster_sets([(points, weights)], 5, "cpu")
    for _ in range(6):  # to the fixed point, from where nothing may move
        centers = batched_kmeans(
            torch.from_numpy(points)[None], torch.from_numpy(weights).float()[None], 5, torch.from_numpy(centers)[None]
        )[0].numpy()
    labels = nearest(points, centers)[0]
    for k in range(5):
        mean = np.average(points[labels == k], axis=0, weights=weights[labels == k])
        np.testing.assert_allclose(centers[k], mean, atol=1e-4)


def test_padding_and_neighbors_in_the_batch_play_no_part(rng):
    given = sets(rng, [60, 300, 128])
    together = cluster_sets(given, 6, "cpu")
    for one, centers in zip(given, together, strict=True):
        np.testing.assert_allclose(cluster_sets([one], 6, "cpu")[0], centers, atol=1e-5)


def test_no_center_stays_without_points(rng):
    given = sets(rng, [200])
    points, weights = torch.from_numpy(given[0][0])[None], torch.ones(1, 200)
    start = torch.cat([torch.full((1, 7, 3), 50.0), points[:, :1]], dim=1)  # seven that see no point
    labels, _ = nearest_in_batches(points, batched_kmeans(points, weights, 8, start))
    assert len(labels.unique()) == 8


def test_sets_of_fewer_distinct_points_than_centers_are_met_exactly():
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])[None]
    centers = batched_kmeans(points, torch.ones(1, 5), 4)
    assert nearest_in_batches(points, centers)[1].max() < 1e-9


@pytest.mark.parametrize("bits", [None, (4, 4, 4)])
def test_palettes_fitted_on_a_device_keep_the_laws(rng, bits):
    images = [rng.integers(0, 256, (size, 9, 4), np.uint8) for size in (1, 3, 20, 20, 30)]
    for number, image in enumerate(images):
        image[..., 3] = 255 if number % 2 else rng.choice([0, 255], image.shape[:2])
    palettes = fit_palettes(images, 16, device="cpu", channel_bits=bits)
    assert palettes == fit_palettes(images, 16, device="cpu", channel_bits=bits)
    for image, palette in zip(images, palettes, strict=True):
        assert len(np.unique(palette.colors, axis=0)) == len(palette) <= 16
        decoded = palette.colors[encode(image, palette)]
        assert np.array_equal(decoded[..., 3], image[..., 3])
        if bits is None and len(np.unique(image.reshape(-1, 4), axis=0)) <= 15:
            opaque = image[..., 3] == 255
            assert np.array_equal(decoded[opaque], image[opaque])


def test_other_methods_and_kept_colors_are_refused_on_a_device():
    image = np.full((4, 4, 4), 255, np.uint8)
    with pytest.raises(InputError, match="leave the device out"):
        fit_palettes([image], 4, "octree", device="cpu")
