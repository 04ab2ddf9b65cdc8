import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tincture.common.errors import InputError
from tincture.data.index_maps import IndexMaps
from tincture.diffusion.absorbing import AbsorbingProcess
from tincture.diffusion.jumps import UniformProcess
from tincture.diffusion.schedules import cosine, linear
from tincture.evaluation.heldout import exact_estimates, heldout_estimates
from tincture.models.denoiser import NO_CONDITIONS
from tincture.models.text import PADDING, Vocabulary
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.luminance import TRANSPARENT


class Indifferent(torch.nn.Module):
    """Gives every real entry the same probability."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x_t, t, palette, conditions=None):
        logits = torch.zeros(*palette.valid.shape, *x_t.shape[1:])
        return logits.masked_fill(~palette.valid[:, :, None, None], -torch.inf)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    valid = torch.arange(8) < torch.tensor([4, 8]).repeat(50)[:, None]
    indices = (torch.rand(100, 16, 16, generator=generator) * valid.sum(1)[:, None, None]).to(torch.uint8)
    palettes = PaletteBatch(torch.zeros(100, 8, 4, dtype=torch.uint8), valid)
    return IndexMaps(indices, palettes, torch.zeros(100, dtype=torch.long), ["all"], *[[""] * 100] * 3)


def test_a_model_that_knows_nothing_needs_the_logarithm_of_the_palettes_size(images):
    result = heldout_estimates(Indifferent(), AbsorbingProcess(linear()), images, times_per_image=40).result()
    expected = (math.log2(4) + math.log2(8)) / 2
    assert result.stderr < 0.08
    assert result.mean == pytest.approx(expected, abs=4 * result.stderr)


@pytest.mark.parametrize("number", [1, 2, 3, 8])
def test_the_standard_error_of_a_single_picture_is_not_a_number_and_is_not_printed_as_one(images, number):
    few = images.subset(torch.arange(number))
    result = heldout_estimates(Indifferent(), AbsorbingProcess(linear()), few).result()
    error = "of a single picture" if number == 1 else f"standard error {result.stderr:.3f}"
    assert str(result) == f"{result.mean:.3f} ({error})"
    assert "nan" not in str(result)


def test_the_result_depends_on_the_seed_and_not_on_the_batch_size(images):
    def measure(**options):
        return heldout_estimates(Indifferent(), AbsorbingProcess(linear()), images, **options).result().mean

    assert measure(seed=1) == measure(seed=1)
    assert measure(seed=1) != measure(seed=2)
    assert measure(batch_size=100) == pytest.approx(measure(batch_size=7), rel=1e-6)


def test_the_model_comes_back_in_the_mode_it_was_in(images):
    model = Indifferent()
    for mode in (True, False):
        model.train(mode)
        heldout_estimates(model, AbsorbingProcess(linear()), images, times_per_image=1)
        assert model.training is mode


def test_a_class_and_a_luminance_are_given_only_on_request(images):
    seen = []
    model = Indifferent()
    model.forward, forward = (lambda x, t, p, told: (seen.append(told), forward(x, t, p))[1]), model.forward
    heldout_estimates(model, AbsorbingProcess(linear()), images, times_per_image=1, batch_size=100)
    heldout_estimates(model, AbsorbingProcess(linear()), images, times_per_image=1, batch_size=100, told="class")
    heldout_estimates(model, AbsorbingProcess(linear()), images, times_per_image=1, batch_size=100, told="luminance")
    nothing, labels, luminance = seen
    assert nothing == NO_CONDITIONS
    assert torch.equal(labels.class_labels, images.labels)
    assert labels.luminance is None
    assert luminance.class_labels is None
    assert (luminance.luminance == TRANSPARENT).all()  # all entries of these palettes are transparent


def test_a_caption_is_given_only_on_request(images):
    captions = ["red dragon", "potion"] * 50
    model, seen = Indifferent(), []
    model.text = SimpleNamespace(vocabulary=Vocabulary(["dragon", "potion", "red"]))
    model.forward, forward = (lambda x, t, p, told: (seen.append(told), forward(x, t, p))[1]), model.forward
    told = replace(images, captions=captions)
    for each in ("nothing", "caption"):
        heldout_estimates(model, AbsorbingProcess(linear()), told, times_per_image=1, batch_size=100, told=each)
    assert seen[0] == NO_CONDITIONS
    assert seen[1].words[:2, :3].tolist() == [[2, 0, PADDING], [1, PADDING, PADDING]]
    assert seen[1].class_labels is None


def test_exact_bits_of_a_model_that_knows_nothing_have_no_error(images):
    few = images.subset(torch.tensor([0, 1, 7]))
    bits = exact_estimates(Indifferent(), AbsorbingProcess(linear()), few, orders=2, batch_size=2)
    for each in bits:
        assert each.tolist() == pytest.approx([2, 3, 3])


def test_exact_bits_ask_at_the_times_of_the_schedule(images):
    seen = []
    model = Indifferent()
    model.forward, forward = (lambda x, t, p, labels: (seen.append(t[0]), forward(x, t, p))[1]), model.forward
    process = AbsorbingProcess(cosine())
    exact_estimates(model, process, images.subset(torch.tensor([0])), orders=1)
    masked = torch.arange(256, 0, -1) / 256  # the share of pixels that are masked at each call
    torch.testing.assert_close(process.schedule.noise(torch.stack(seen)), masked, atol=1e-6, rtol=0)


def test_pictures_of_several_sizes_are_each_measured_at_their_own(images):
    """Each as if it were alone with those of its size, whatever the size of a batch."""
    mixed = replace(images, sizes=torch.tensor([16, 5, 16, 9]).repeat(25))
    seen = []

    class Watched(Indifferent):
        def forward(self, x_t, t, palette, conditions=None):
            seen.append((len(x_t), x_t.shape[-1]))
            return super().forward(x_t, t, palette, conditions)

    def measure(batch_size):
        return heldout_estimates(Watched(), AbsorbingProcess(linear()), mixed, 2, batch_size).bits

    bits = measure(20)
    assert seen == 2 * [(20, 5), (5, 5), (20, 9), (5, 9), (20, 16), (20, 16), (10, 16)]
    torch.testing.assert_close(bits, measure(7))
    whole = heldout_estimates(Indifferent(), AbsorbingProcess(linear()), images, 2).bits
    torch.testing.assert_close(bits[:, mixed.sizes == 16], whole[:, mixed.sizes == 16])
    few = mixed.subset(torch.tensor([1, 3, 1, 3]))
    for each in exact_estimates(Indifferent(), AbsorbingProcess(linear()), few, orders=2):
        assert each.tolist() == pytest.approx([3, 3, 3, 3])


def test_without_a_mask_there_are_no_exact_bits(images):
    with pytest.raises(InputError, match="need a process with a mask"):
        exact_estimates(Indifferent(), UniformProcess(linear()), images)
