import pytest
import torch

from tincture.diffusion.guidance import Prediction, keep_top_p, mix, sharpen


def pixels(*rows):
    return torch.tensor(rows).log().T[None, :, None, :]  # [1, K, 1, W]


def test_guidance_scales_one_and_zero_are_the_two_models():
    a, b = pixels([0.7, 0.2, 0.1]), pixels([0.3, 0.3, 0.4])
    torch.testing.assert_close(mix([a, b], [1.0, 0.0]).softmax(1), a.softmax(1))
    torch.testing.assert_close(mix([a, b], [0.0, 1.0]).softmax(1), b.softmax(1))


def test_guidance_raises_the_power_of_the_likelihood_ratio():
    a, b = pixels([0.7, 0.2, 0.1]), pixels([0.3, 0.3, 0.4])
    expected = torch.tensor([0.7**3 / 0.3**2, 0.2**3 / 0.3**2, 0.1**3 / 0.4**2])
    torch.testing.assert_close(mix([a, b], [3.0, -2.0]).softmax(1).flatten(), expected / expected.sum())


def test_guidance_leaves_padded_entries_impossible():
    a, b = pixels([0.5, 0.5, 0.0]), pixels([0.9, 0.1, 0.0])
    guided = mix([a, b], [2.5, -1.5])
    assert guided[0, 2, 0, 0] == -torch.inf
    assert guided[0, :2].isfinite().all()


def test_top_p_keeps_the_fewest_entries_that_reach_it():
    logits = pixels([0.1, 0.5, 0.4], [0.98, 0.01, 0.01])
    kept = keep_top_p(logits, 0.6).isfinite()[0, :, 0]
    assert kept.T.tolist() == [[False, True, True], [True, False, False]]


def test_top_p_keeps_the_likeliest_entry_however_small_it_is():
    assert keep_top_p(pixels([0.2, 0.3, 0.5]), 1e-6).isfinite().flatten().tolist() == [False, False, True]


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, 1e-37, 1e-19, 1e-3])
def test_a_temperature_near_zero_is_zero(temperature):
    logits = torch.tensor([-1e20, 300.0, 299.0, -torch.inf]).view(1, 4, 1, 1)
    for each in (logits, -300 + logits, logits.flip(1)):
        assert torch.equal(sharpen(each, temperature, 1.0).softmax(1), sharpen(each, 0.0, 1.0).softmax(1))


def test_temperature():
    logits = pixels([0.2, 0.3, 0.5])
    assert sharpen(logits, 0.0, 1.0).softmax(1).flatten().tolist() == [0, 0, 1]
    squared = torch.tensor([0.04, 0.09, 0.25])
    torch.testing.assert_close(sharpen(logits, 0.5, 1.0).softmax(1).flatten(), squared / squared.sum())


def test_guidance_mixes_posteriors_where_there_is_no_mask(world):
    """p(x_s | x_t, c)^γ p(x_s | x_t)^(1 - γ), normalized (Schiff et al. 2024), and its two ends."""
    process, palette = world.processes["uniform"], world.palette(1)
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 1, 3, 2, 2, generator=generator)
    x_t = torch.tensor([[[0, 1], [2, 0]]])
    s, t = process.clock(torch.tensor([[0.3], [0.6]]), palette)
    p_a, p_b = (process.posterior(x_t, x.softmax(1), s, t, palette) for x in (a, b))
    for scale in (0.0, 1.0, 2.5):
        guided = Prediction([a, b], [scale, 1 - scale]).posterior(process, x_t, s, t, palette)
        expected = p_a**scale * p_b ** (1 - scale)
        torch.testing.assert_close(guided, expected / expected.sum(1, keepdim=True))


@pytest.mark.parametrize("process_name", ["uniform", "color-heat"])
@pytest.mark.parametrize("sharpening", [{"temperature": 0.0}, {"temperature": 0.5}, {"top_p": 0.9}])
def test_a_sharpened_mixture_keeps_the_entries_that_the_mixture_keeps(world, process_name, sharpening):
    """The branches alone keep different ones: each calls impossible what the other is sure of."""
    process, palette = world.processes[process_name], world.palette(1)
    a, b = torch.tensor([[0.0, 0.0, 5.0], [0.0, 5.0, 0.0]]).view(2, 1, 3, 1, 1).expand(-1, -1, -1, 2, 2)
    x_t = torch.tensor([[[0, 1], [2, 2]]])
    guided = Prediction([a, b], [2.0, -1.0], **sharpening)
    alone = Prediction([2 * a.log_softmax(1) - b.log_softmax(1)], **sharpening)
    zero, s, t = process.clock(torch.tensor([[0.0], [0.3], [0.6]]), palette)
    for early in (zero, s):
        p = guided.posterior(process, x_t, early, t, palette)
        torch.testing.assert_close(p, alone.posterior(process, x_t, early, t, palette))
    clean = guided.posterior(process, x_t, zero, t, palette)
    torch.testing.assert_close(clean, guided.p_0(), atol=1e-6, rtol=0)


def test_what_one_branch_rounds_to_zero_is_drawn_as_the_others_say(world):
    process, palette = world.processes["uniform"], world.palette(1)
    a, b = (
        torch.tensor([[0.0, 0.0, -torch.inf], [-200.0, 0.0, -torch.inf]]).view(2, 1, 3, 1, 1).expand(-1, -1, -1, 2, 2)
    )
    x_t = torch.tensor([[[0, 1], [2, 2]]])
    zero, t = process.clock(torch.tensor([[0.0], [0.6]]), palette)
    p = Prediction([a, b], [2.0, -1.0]).posterior(process, x_t, zero, t, palette)
    torch.testing.assert_close(p, torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand_as(p))
