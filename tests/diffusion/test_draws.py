import pytest
import torch

from tincture.diffusion.draws import categorical, image_generators, uniform


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


@pytest.mark.parametrize("p", [[0.0, 0.0], [torch.nan, 1.0], [torch.inf, 1.0]])
def test_no_entry_is_drawn_from_what_is_no_distribution(p):
    good = torch.tensor([0.5, 0.5])
    with pytest.raises(FloatingPointError, match="no entry can be drawn for 1 of 2 pixels"):
        categorical(torch.stack([good, torch.tensor(p)]).view(2, 2, 1, 1), None)


def test_in_float32_the_last_draw_is_the_last_possible_entry(monkeypatch):
    """A float64 number just below 1 is 1 in float32."""
    monkeypatch.setattr("tincture.diffusion.draws.widest_float", lambda device: torch.float32)
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, 1 - 2**-30, dtype=torch.float64))
    numbers = uniform((3,), None, torch.device("cpu"))
    assert numbers.dtype == torch.float32
    assert (numbers < 1).all()
    for p, last in (([0.25, 0.5, 0.25, 0.0], 2), ([0.1, 0.2, 0.3, 0.15], 3), ([1e-3, 0.0, 0.0, 0.0], 0)):
        assert categorical(torch.tensor(p).view(1, 4, 1, 1), None).item() == last


def test_an_images_noise_depends_on_seed_and_number_alone():
    device = torch.device("cpu")
    together = uniform((3, 4, 4), image_generators(7, range(3)), device)
    apart = uniform((1, 4, 4), image_generators(7, [2]), device)
    assert torch.equal(together[2:], apart)
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together, uniform((3, 4, 4), image_generators(8, range(3)), device))
