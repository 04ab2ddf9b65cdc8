import pytest
import torch
import torch.nn.functional as F

from tincture.diffusion.absorbing import AbsorbingProcess, surprisal
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


def logits_and_entries(padded, layout):
    generator = torch.Generator().manual_seed(0)
    logits = 20 * torch.randn(2, 5, 4, 3, generator=generator, dtype=torch.float64)
    x_0 = torch.randint(0, 5 - padded, (2, 4, 3), generator=generator)
    if padded:
        logits[:, -padded:] = -torch.inf
    return logits.contiguous(memory_format=layout).requires_grad_(), x_0


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("padded", [0, 2])
def test_values_and_gradients_are_those_of_the_cross_entropy(padded, layout):
    logits, x_0 = logits_and_entries(padded, layout)
    ours, theirs = surprisal(logits, x_0), F.cross_entropy(logits, x_0, reduction="none")
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    weight = torch.rand(x_0.shape, dtype=torch.float64)
    gradients = [torch.autograd.grad((weight * nats).sum(), logits)[0] for nats in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)
    assert gradients[0].stride() == logits.stride()  # no copy in another memory order


def test_an_entry_that_was_impossible_is_infinitely_surprising():
    logits, x_0 = logits_and_entries(2, torch.contiguous_format)
    assert surprisal(logits, torch.full_like(x_0, 4)).isposinf().all()
