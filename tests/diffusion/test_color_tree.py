import pytest
import torch

from tincture.common.errors import InputError
from tincture.diffusion.absorbing import AbsorbingProcess
from tincture.diffusion.color_tree import ColorTreeProcess
from tincture.diffusion.samplers import SAMPLERS
from tincture.diffusion.schedules import linear, make_schedule
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.tree import at_pixels, color_tree
from tincture.tests.palettes import random_palette

PALETTE = PaletteBatch.from_palettes([random_palette(16, seed, transparent=15) for seed in range(3)])


@pytest.mark.parametrize("blur", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_each_level_is_kept_with_the_probability_that_the_blur_says(blur, schedule):
    process, generator = ColorTreeProcess(make_schedule(schedule), blur), torch.Generator().manual_seed(0)
    x_0 = torch.full((3, 100, 100), 4)
    x_t = process.q_sample(x_0, torch.full((3,), 0.4), PALETTE, generator)
    tree = color_tree(PALETTE)
    way, alpha = at_pixels(tree.ancestors, x_0), 1 - process.schedule.noise(torch.tensor(0.4)).item()
    for level in range(1, way.shape[2]):
        known = (at_pixels(tree.ancestors, x_t)[..., level] == way[..., level]) & (at_pixels(tree.last, x_t) >= level)
        # An entry may be a leaf before the last level.
        expected = alpha ** (1 + blur * (tree.first[torch.arange(3), way[:, 0, level]].clamp_max(level) - 1))
        torch.testing.assert_close(known.float().mean(dim=1), expected, atol=0.02, rtol=0)


def test_pixels_climb_and_never_come_down_again():
    process, generator, tree = ColorTreeProcess(linear()), torch.Generator().manual_seed(0), color_tree(PALETTE)
    x = x_0 = torch.randint(0, 16, (3, 8, 8), generator=generator)
    for s, t in [(0.0, 0.3), (0.3, 0.6), (0.6, 1.0)]:
        before, x = x, process.renoise(x, torch.full((3,), s), torch.full((3,), t), PALETTE, generator)
        assert (at_pixels(tree.first, x) <= at_pixels(tree.first, before)).all()
        assert at_pixels(tree.members, x).gather(2, x_0.flatten(1)[..., None]).all()
    assert (x == PALETTE.mask_index).all()


def test_without_blur_it_is_the_absorbing_process():
    tree, absorbing, generator = ColorTreeProcess(linear(), 1e-6), AbsorbingProcess(linear()), torch.Generator()
    x_0 = torch.randint(0, 16, (3, 8, 8), generator=generator.manual_seed(0))
    s, t = torch.tensor([0.1, 0.4, 0.2]), torch.tensor([0.3, 0.5, 0.9])
    x_t = absorbing.q_sample(x_0, t, PALETTE, generator)
    logits = torch.randn(3, 16, 8, 8, generator=generator)
    arguments = logits, x_0, x_t, t, PALETTE
    torch.testing.assert_close(tree.negative_elbo(*arguments), absorbing.negative_elbo(*arguments), rtol=1e-4, atol=0)
    ours, theirs = (each.posterior(x_t, logits.softmax(1), s, t, PALETTE) for each in (tree, absorbing))
    torch.testing.assert_close(ours[:, :17], theirs, rtol=1e-3, atol=1e-5)


def test_a_step_back_leads_only_to_nodes_under_the_pixels_own():
    process, generator, tree = ColorTreeProcess(linear()), torch.Generator().manual_seed(0), color_tree(PALETTE)
    t = torch.full((3,), 0.6)
    x_t = process.q_sample(torch.randint(0, 16, (3, 8, 8), generator=generator), t, PALETTE, generator)
    p_0 = torch.rand(3, 16, 8, 8, generator=generator).softmax(dim=1)  # of all entries, even of leaves
    posterior = process.posterior(x_t, p_0, torch.full((3,), 0.2), t, PALETTE)
    torch.testing.assert_close(posterior.sum(dim=1), torch.ones(3, 8, 8))
    outside = (tree.members[:, None] & ~at_pixels(tree.members, x_t)[:, :, None]).any(dim=3)  # [B, H W, N]
    assert (posterior.flatten(2).mT[outside] < 1e-6).all()
    is_leaf = x_t < 16
    assert (posterior.gather(1, x_t[:, None])[:, 0][is_leaf] > 1 - 1e-6).all()


def test_a_clean_entry_too_unlikely_for_float32_still_costs_its_logits():
    process, x_0, t = ColorTreeProcess(linear()), torch.full((3, 1, 1), 4), torch.full((3,), 0.999)
    logits = torch.zeros(3, 16, 1, 1)
    logits[:, 4] = -500
    logits.requires_grad_()
    nats = process.negative_elbo(logits, x_0, torch.full_like(x_0, 16), t, PALETTE)
    nats.sum().backward()
    assert nats.isfinite().all()
    assert logits.grad.isfinite().all()
    # Its last branching costs 500 nats, and is known at once with those before it.
    depth = color_tree(PALETTE).first[:, 4]
    assert (nats > 490 * 0.001 ** (depth - 1)).all()


@pytest.mark.parametrize("name", [name for name, sampler in SAMPLERS.items() if sampler.mask])
def test_samplers_that_know_only_entries_and_the_mask_are_refused(name):
    with pytest.raises(InputError, match=f"{name} needs the absorbing process"):
        SAMPLERS[name].check(name, ColorTreeProcess(linear()), {})


def test_a_blur_out_of_range_is_refused():
    with pytest.raises(InputError, match="blur of color-tree is 0"):
        ColorTreeProcess(linear(), 0)
