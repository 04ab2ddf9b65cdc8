import pytest
import scipy.linalg
import torch

from tincture.evaluation.frechet import frechet_distance


def gaussian(rows, dimensions, seed, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, dimensions, dtype=torch.float64, generator=generator) * scale + shift


def with_moments(rows, mean, scale, seed):
    """Samples whose mean and diagonal covariance are exactly those given."""
    x = gaussian(rows, len(mean), seed)
    x = x - x.mean(0)
    white = torch.linalg.qr(x).Q * (rows - 1) ** 0.5
    return white * scale + mean


def test_two_gaussians_have_the_closed_form():
    means = torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, -1.0]], dtype=torch.float64)
    scales = torch.tensor([[1.0, 2.0, 0.5], [2.0, 2.0, 3.0]], dtype=torch.float64)
    first, second = (with_moments(rows, means[i], scales[i], i) for i, rows in enumerate((50, 80)))
    expected = (means[0] - means[1]).square().sum() + (scales[0] - scales[1]).square().sum()
    assert frechet_distance(first, second).item() == pytest.approx(expected.item(), rel=1e-10)


@pytest.mark.parametrize("rows", [(40, 60), (200, 30), (300, 500)])
def test_it_is_the_usual_formula_with_a_matrix_square_root(rows):
    mixing = gaussian(20, 20, 9)
    first, second = gaussian(rows[0], 20, 0), gaussian(rows[1], 20, 1, 2.0, 0.3) @ mixing
    covariances = [torch.cov(x.T).numpy() for x in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = (first.mean(0) - second.mean(0)).square().sum().item() + sum(c.trace() for c in covariances)
    assert frechet_distance(first, second).item() == pytest.approx(expected - 2 * root.trace(), rel=1e-9)


@pytest.mark.parametrize("rows", [10, 100])
def test_a_set_is_at_distance_zero_from_itself_and_a_shift_costs_its_square(rows):
    first = gaussian(rows, 50, 0)
    assert frechet_distance(first, first.flip(0)).item() == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first, first + 0.5).item() == pytest.approx(50 * 0.25, rel=1e-9)


def test_it_is_symmetric_and_rotations_change_nothing():
    first, second = gaussian(30, 50, 0), gaussian(70, 50, 1, 1.5)
    rotation = torch.linalg.qr(gaussian(50, 50, 2)).Q
    distance = frechet_distance(first, second).item()
    assert frechet_distance(second, first).item() == pytest.approx(distance, rel=1e-10)
    assert frechet_distance(first @ rotation, second @ rotation).item() == pytest.approx(distance, rel=1e-10)
