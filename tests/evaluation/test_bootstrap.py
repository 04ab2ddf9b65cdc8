import pytest
import torch

from tincture.evaluation.bootstrap import subset_bootstrap


def normal(rows, seed):
    return torch.randn(rows, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_the_mean_has_its_known_standard_error(share):
    x = normal(400, 0)
    estimate = subset_bootstrap(lambda x: x.mean(), x, replicates=2000, share=share)
    assert estimate.value == x.mean()
    assert estimate.stderr.item() == pytest.approx((x.std() / 400**0.5).item(), rel=0.06)


def test_independent_samples_add_their_variances():
    x, y = normal(300, 0), 3 * normal(150, 1)
    estimate = subset_bootstrap(lambda x, y: x.mean() - y.mean(), x, y, replicates=2000)
    expected = (x.var() / 300 + y.var() / 150).sqrt()
    assert estimate.stderr.item() == pytest.approx(expected.item(), rel=0.06)


def test_no_row_stands_twice_in_a_subset():
    subset_sizes = []

    def count(x):
        subset_sizes.append(len(x))
        return torch.tensor(float(len(x) - len(x.unique())))

    assert subset_bootstrap(count, torch.arange(50), replicates=10).stderr == 0
    assert subset_sizes == [25] * 10 + [50]


def test_the_seed_decides():
    def measure(seed):
        return subset_bootstrap(torch.median, normal(100, 0), replicates=10, seed=seed).stderr

    assert measure(0) == measure(0) != measure(1)
