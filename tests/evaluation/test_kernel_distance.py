import itertools

import pytest
import torch

from tincture.evaluation.kernel_distance import kernel_distance


def samples(rows, seed, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 4, dtype=torch.float64, generator=generator) + shift


def test_it_is_the_mean_over_pairs_of_different_samples():
    first, second = samples(5, 0), samples(7, 1, 1.0)

    def kernel(x, y):
        return (x @ y / 4 + 1).item() ** 3

    def mean(values):
        return sum(values) / len(values)

    within = [mean([kernel(x, y) for x, y in itertools.permutations(each, 2)]) for each in (first, second)]
    between = mean([kernel(x, y) for x in first for y in second])
    assert kernel_distance(first, second).item() == pytest.approx(sum(within) - 2 * between, rel=1e-10)


def test_its_expectation_is_zero_for_one_distribution_however_few_the_samples():
    values = torch.stack([kernel_distance(samples(8, 2 * i), samples(8, 2 * i + 1)) for i in range(2000)])
    stderr = values.std() / len(values) ** 0.5
    assert stderr < 0.1
    assert abs(values.mean()) < 4 * stderr


def test_it_grows_with_a_shift():
    distances = [kernel_distance(samples(100, 0), samples(100, 1, shift)).item() for shift in (0, 0.5, 1, 2)]
    assert distances == sorted(distances)
