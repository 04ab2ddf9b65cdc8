import pytest
import torch

from tincture.diffusion.logits import keep_top_p, mix, sharpen


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
