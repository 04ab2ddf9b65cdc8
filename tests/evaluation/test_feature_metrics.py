import itertools

import pytest
import scipy.linalg
import torch
from prdc import compute_prdc

from tincture.common.errors import InputError
from tincture.data.index_maps import load_index_maps
from tincture.data.sources import DataConfig
from tincture.evaluation import feature_metrics
from tincture.evaluation.feature_metrics import (
    METRICS,
    all_metrics,
    compare_features,
    coverage,
    frechet_distance,
    kernel_distance,
)
from tincture.evaluation.features import FeatureExtractor, load_extractor


def samples(rows, dimensions=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, dimensions, dtype=torch.float64, generator=generator)


def with_moments(rows, mean, scale, seed):
    """Samples whose mean and diagonal covariance are exactly those given."""
    x = samples(rows, len(mean), seed)
    x = x - x.mean(0)
    white = torch.linalg.qr(x).Q * (rows - 1) ** 0.5
    return white * scale + mean


def test_the_frechet_distance_of_two_gaussians_has_the_closed_form():
    means = torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, -1.0]], dtype=torch.float64)
    scales = torch.tensor([[1.0, 2.0, 0.5], [2.0, 2.0, 3.0]], dtype=torch.float64)
    first, second = (with_moments(rows, means[i], scales[i], i) for i, rows in enumerate((50, 80)))
    expected = (means[0] - means[1]).square().sum() + (scales[0] - scales[1]).square().sum()
    assert frechet_distance(first, second).item() == pytest.approx(expected.item(), rel=1e-10)


@pytest.mark.parametrize("rows", [(40, 60), (200, 30), (300, 500)])
def test_the_frechet_distance_is_the_usual_formula_with_a_matrix_square_root(rows):
    mixing = samples(20, 20, 9)
    first, second = samples(rows[0], 20, 0), (2 * samples(rows[1], 20, 1) + 0.3) @ mixing
    covariances = [torch.cov(x.T).numpy() for x in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = (first.mean(0) - second.mean(0)).square().sum().item() + sum(c.trace() for c in covariances)
    assert frechet_distance(first, second).item() == pytest.approx(expected - 2 * root.trace(), rel=1e-9)


@pytest.mark.parametrize("rows", [10, 100])
def test_a_set_is_at_frechet_distance_zero_from_itself_and_a_shift_costs_its_square(rows):
    first = samples(rows, 50, 0)
    assert frechet_distance(first, first.flip(0)).item() == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first, first + 0.5).item() == pytest.approx(50 * 0.25, rel=1e-9)


def test_the_frechet_distance_is_symmetric_and_rotations_change_nothing():
    first, second = samples(30, 50, 0), 1.5 * samples(70, 50, 1)
    rotation = torch.linalg.qr(samples(50, 50, 2)).Q
    distance = frechet_distance(first, second).item()
    assert frechet_distance(second, first).item() == pytest.approx(distance, rel=1e-10)
    assert frechet_distance(first @ rotation, second @ rotation).item() == pytest.approx(distance, rel=1e-10)


def test_the_kernel_distance_is_the_mean_over_pairs_of_different_samples():
    first, second = samples(5, 4, 0), samples(7, 4, 1) + 1

    def kernel(x, y):
        return (x @ y / 4 + 1).item() ** 3

    def mean(values):
        return sum(values) / len(values)

    within = [mean([kernel(x, y) for x, y in itertools.permutations(each, 2)]) for each in (first, second)]
    between = mean([kernel(x, y) for x in first for y in second])
    assert kernel_distance(first, second).item() == pytest.approx(sum(within) - 2 * between, rel=1e-10)


def test_the_kernel_distances_expectation_is_zero_for_one_distribution_however_few_the_samples():
    values = torch.stack([kernel_distance(samples(8, 4, 2 * i), samples(8, 4, 2 * i + 1)) for i in range(2000)])
    stderr = values.std() / len(values) ** 0.5
    assert stderr < 0.1
    assert abs(values.mean()) < 4 * stderr


def test_the_kernel_distance_grows_with_a_shift():
    distances = [kernel_distance(samples(100, 4, 0), samples(100, 4, 1) + shift).item() for shift in (0, 0.5, 1, 2)]
    assert distances == sorted(distances)


def brute_force(drawn, real, k_precision, k_density):
    """The four definitions, pair by pair."""

    def radius(x, others, k):
        return sorted((x - y).norm().item() for y in others)[k]

    def in_ball(x, center, others, k):
        return (x - center).norm().item() <= radius(center, others, k)

    n, m = len(drawn), len(real)
    return (
        sum(any(in_ball(x, y, real, k_precision) for y in real) for x in drawn) / n,
        sum(any(in_ball(y, x, drawn, k_precision) for x in drawn) for y in real) / m,
        sum(in_ball(x, y, real, k_density) for x in drawn for y in real) / (k_density * n),
        sum(any(in_ball(x, y, real, k_density) for x in drawn) for y in real) / m,
    )


def test_coverage_counts_as_the_definitions_do(monkeypatch):
    drawn, real = samples(25, seed=1) + 0.7, samples(31, seed=2)
    expected = brute_force(drawn, real, 2, 4)
    assert [x.item() for x in coverage(drawn, real, 2, 4)] == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(feature_metrics, "ROWS", 7)
    assert [x.item() for x in coverage(drawn, real, 2, 4)] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("distance", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("k", [3, 5])
def test_coverage_agrees_with_the_published_implementation(k, distance):
    drawn, real = samples(150, 20, seed=1) + distance, samples(120, 20, seed=2)
    expected = compute_prdc(real.numpy(), drawn.numpy(), k)  # by the authors of density and coverage
    assert 0 < expected["coverage"] < 1
    result = coverage(drawn, real, k_precision=k, k_density=k)._asdict()
    assert {name: value.item() for name, value in result.items()} == pytest.approx(expected, abs=1e-12)


def test_a_set_covers_itself_and_its_copies():
    real = samples(200, 40)
    result = coverage(real.flip(0), real)
    assert result.precision == result.recall == result.coverage == 1
    copies = real[:30].repeat(10, 1)
    result = coverage(copies.flip(0), copies)
    assert result.precision == result.recall == result.coverage == 1


def test_sets_that_are_far_apart_have_nothing_in_common():
    assert all(value == 0 for value in coverage(samples(50) + 100, samples(60, seed=1)))


def test_a_mode_that_is_never_drawn_lowers_recall_and_coverage_but_not_precision():
    centers = torch.eye(3, dtype=torch.float64) * 50
    real = torch.cat([samples(100, seed=i) + center for i, center in enumerate(centers)])
    all_modes = torch.cat([samples(100, seed=10 + i) + center for i, center in enumerate(centers)])
    whole, part = coverage(all_modes, real), coverage(all_modes[:200], real)
    assert part.precision == pytest.approx(whole.precision.item(), abs=0.03)
    assert part.recall == pytest.approx(whole.recall.item() * 2 / 3, abs=0.03)
    assert part.coverage == pytest.approx(whole.coverage.item() * 2 / 3, abs=0.03)


def test_density_and_coverage_of_one_distribution_are_those_of_the_paper():
    n, m, k = 60, 90, 5
    results = [coverage(samples(n, 8, 2 * i), samples(m, 8, 2 * i + 1)) for i in range(200)]
    missed = torch.tensor([(m - i) / (m + n - i) for i in range(1, k + 1)], dtype=torch.float64).prod()  # Naeem, eq. 9
    for values, expected in (
        (torch.stack([result.density for result in results]), n / n),
        (torch.stack([result.coverage for result in results]), 1 - missed.item()),
    ):
        stderr = values.std() / len(values) ** 0.5
        assert stderr < 0.02
        assert values.mean().item() == pytest.approx(expected, abs=4 * stderr.item())


def test_a_set_without_a_fifth_neighbor_is_refused():
    with pytest.raises(ValueError, match="5 drawn and 60 real"):
        coverage(samples(5), samples(60))


def mean_colors(number, seed, brightest=256):
    """Three features of flat pictures that need no network, float64 ``[number, 3]``."""
    extractor = FeatureExtractor("mean-color", 16, lambda rgb: rgb.mean(dim=(2, 3)), torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    colors = torch.randint(0, brightest, (number, 1, 1, 4), dtype=torch.uint8, generator=generator)
    return extractor(colors.repeat(1, 16, 16, 1))


def test_every_metric_is_measured_with_a_standard_error():
    drawn, reference = mean_colors(60, 0), mean_colors(80, 1)
    result = compare_features(drawn, reference, replicates=10)
    assert result._fields == METRICS
    assert [each.value for each in result] == pytest.approx(all_metrics(drawn, reference).tolist())
    assert result.frechet.value == pytest.approx(frechet_distance(drawn, reference).item())
    assert all(measured.stderr > 0 for measured in result)


def test_other_pictures_are_farther_than_their_standard_errors():
    reference = mean_colors(200, 0)
    near, far = (compare_features(mean_colors(200, 1, brightest), reference) for brightest in (256, 128))
    for name in ("frechet", "kernel"):
        assert getattr(far, name).value > getattr(near, name).value + 4 * getattr(far, name).stderr
    for name in ("recall", "coverage"):
        assert getattr(far, name).value < getattr(near, name).value - 4 * getattr(far, name).stderr


def test_the_more_of_an_icon_is_noise_the_farther_it_is_from_other_icons(cache_dir):
    extractor, number = load_extractor(), 48
    training, heldout = load_index_maps(DataConfig(cache_dir=cache_dir))
    reference = extractor(images_of(heldout, heldout.indices, number))
    generator = torch.Generator().manual_seed(0)
    place = torch.rand(training.indices.shape, generator=generator)
    entries = torch.randint(0, 16, training.indices.shape, generator=generator) % training.palettes.sizes[:, None, None]
    shares = (0.0, 0.1, 0.3, 0.6, 1.0)  # each holds the noise of the one before it
    noisy = [torch.where(place < share, entries, training.indices) for share in shares]
    metrics = torch.stack([all_metrics(extractor(images_of(training, each, number)), reference) for each in noisy])
    frechet, kernel = metrics[:, :2].T
    assert frechet.diff().min() > 0
    assert kernel.diff().min() > 0


def images_of(side, indices, number):
    return torch.stack([side.palettes.colors[row][indices[row].long()] for row in range(number)])


def test_the_seed_decides_the_standard_errors_alone():
    first, again, other = (
        compare_features(mean_colors(40, 0), mean_colors(40, 1), replicates=5, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first.frechet.value == other.frechet.value
    assert first.frechet.stderr != other.frechet.stderr


def test_too_few_images_are_refused():
    with pytest.raises(InputError, match="at least 20 drawn images, not 5"):
        compare_features(mean_colors(5, 0), mean_colors(40, 1))
