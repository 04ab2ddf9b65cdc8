import pytest
import torch
from prdc import compute_prdc

from tincture.evaluation import coverage as coverage_module
from tincture.evaluation.coverage import coverage


def samples(rows, dimensions=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, dimensions, dtype=torch.float64, generator=generator)


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


def test_it_counts_as_the_definitions_do(monkeypatch):
    drawn, real = samples(25, seed=1) + 0.7, samples(31, seed=2)
    expected = brute_force(drawn, real, 2, 4)
    assert [x.item() for x in coverage(drawn, real, 2, 4)] == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(coverage_module, "ROWS", 7)
    assert [x.item() for x in coverage(drawn, real, 2, 4)] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("distance", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("k", [3, 5])
def test_it_agrees_with_the_published_implementation(k, distance):
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
