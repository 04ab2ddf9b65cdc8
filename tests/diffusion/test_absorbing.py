import pytest
import torch

from tincture.diffusion.absorbing import AbsorbingProcess
from tincture.diffusion.schedules import SCHEDULES, make_schedule


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_pixels_are_masked_independently_with_the_schedules_probability(world, schedule):
    process = AbsorbingProcess(make_schedule(schedule))
    x_0 = world.states[torch.zeros(20_000, dtype=torch.long)]
    x_t = process.q_sample(x_0, torch.full((20_000,), 0.3), world.palette(20_000), torch.Generator().manual_seed(0))
    masked = (x_t == world.mask).flatten(1).double()
    noise = process.schedule.noise(torch.tensor(0.3)).item()
    assert masked.mean().item() == pytest.approx(noise, abs=0.01)
    assert masked.T.cov().fill_diagonal_(0).abs().max() < 0.01
    assert torch.equal(x_t[x_t != world.mask], x_0[x_t != world.mask])
