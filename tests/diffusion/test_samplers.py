import itertools

import pytest
import torch

from diffusion.absorbing import AbsorbingProcess
from diffusion.draws import categorical, image_generators, uniform
from diffusion.samplers import ancestral
from diffusion.schedules import SCHEDULES


def draw_counts(world, steps, schedule="linear", draws=20_000):
    x = ancestral(
        world.denoise,
        AbsorbingProcess(schedule),
        world.palette(draws),
        2,
        2,
        steps,
        torch.Generator().manual_seed(0),
    )
    return torch.bincount(world.state_index(x), minlength=len(world.states))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_ancestral_sampling_reproduces_the_distribution(world, p_value, schedule):
    assert p_value(draw_counts(world, 256, schedule), world.p) > 0.001


def test_the_chi_squared_test_notices_too_few_steps(world, p_value):
    assert p_value(draw_counts(world, 2), world.p) < 1e-6


def test_more_steps_come_nearer(world):
    distances = [(draw_counts(world, n) / 20_000 - world.p).abs().sum().item() / 2 for n in (1, 2, 4, 16)]
    assert distances == sorted(distances, reverse=True)


def test_each_step_is_reported_and_unmasks_only(world):
    seen = []
    ancestral(
        world.denoise, AbsorbingProcess(), world.palette(8), 2, 2, 10, None, lambda step, x: seen.append((step, x))
    )
    assert [step for step, _ in seen] == list(range(1, 11))
    for (_, before), (_, after) in itertools.pairwise(seen):
        kept = before != world.mask
        assert torch.equal(before[kept], after[kept])
    assert (seen[-1][1] != world.mask).all()


def test_categorical_draws_have_the_given_probabilities(p_value):
    p = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05, 0.0])
    drawn = categorical(p.view(1, 6, 1, 1).expand(1, 6, 200, 200), torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn.flatten(), minlength=6)
    assert counts[1] == counts[5] == 0
    assert p_value(counts[p > 0], p[p > 0].double()) > 0.001


def test_categorical_draws_keep_entries_that_float32_noise_would_lose():
    p = torch.full((1, 2, 1000, 2000), 1e-6)
    p[:, 0] = 1
    rare = categorical(p, torch.Generator().manual_seed(0)).sum().item()
    assert rare in range(0, 10)
    tiny = torch.tensor([1.0, 1e-30]).view(1, 2, 1, 1)
    assert categorical(tiny, None).item() == 0


def test_an_images_noise_depends_on_seed_and_number_alone():
    device = torch.device("cpu")
    together = uniform((3, 4, 4), image_generators(7, 0, 3), device)
    apart = uniform((1, 4, 4), image_generators(7, 2, 1), device)
    assert torch.equal(together[2:], apart)
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together, uniform((3, 4, 4), image_generators(8, 0, 3), device))
