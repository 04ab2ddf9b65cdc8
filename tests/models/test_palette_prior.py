"""The prior over palettes: a distribution over sets, read all at once or value by value."""

import itertools

import numpy as np
import pytest
import torch

from tincture.common.errors import InputError
from tincture.diffusion.draws import Streams
from tincture.models import palette_prior, palette_sets
from tincture.models.palette_prior import PalettePrior
from tincture.models.palette_sets import Known, coded, set_order
from tincture.quantization.palettes.palette import Palette


def make_prior(**options):
    """A small one whose weights say something."""
    torch.manual_seed(0)
    prior = PalettePrior(**{"channels": 8, "depth": 2, "head_channels": 4} | options).double().eval()
    for weight in prior.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    return prior


@pytest.fixture(scope="module")
def prior():
    return make_prior(num_classes=3, word_channels=5)


@pytest.fixture
def tiny_world(monkeypatch):
    """Eight colors: a channel is 0 or 1."""
    for room in (palette_prior, palette_sets):
        monkeypatch.setattr(room, "BITS", 1)
    monkeypatch.setattr(palette_prior, "VALUES", 2)
    palette_prior._curve_table.cache_clear()
    yield [Palette(np.array([[*color, 255]], np.uint8)) for color in itertools.product((0, 1), repeat=3)]
    palette_prior._curve_table.cache_clear()


def joined(*palettes):
    return Palette(np.concatenate([palette.colors for palette in palettes]))


def random_palettes(rng, *sizes, transparent=False):
    palettes = []
    for size in sizes:
        numbers = rng.choice(2**24, size, replace=False)
        palette = Palette(
            np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255, 0 * numbers + 255], 1).astype(np.uint8)
        )
        palettes.append(palette.with_transparency() if transparent else palette)
    return palettes


@torch.no_grad()
def test_the_probabilities_of_all_sets_of_a_size_add_up_to_one(tiny_world):
    prior = make_prior()
    for size in range(1, 9):
        sets = [joined(*each) for each in itertools.combinations(tiny_world, size)]
        assert torch.exp2(-prior.bits(*coded(sets))).sum().item() == pytest.approx(1, abs=1e-12)
        if size < 8:
            spread = prior.bits(*coded(sets)).std()
            assert spread > 0.1  # not all are as likely


@torch.no_grad()
def test_the_probabilities_of_all_completions_of_kept_colors_add_up_to_one(tiny_world):
    prior = make_prior()
    # Of two colors that differ in blue alone, one may be kept; in the real world, 255 of 256 may.
    for kept in ([0], [7], [2, 5], [1, 6], [4, 7], [1, 3, 5, 7], [0, 3, 4]):
        others = [color for number, color in enumerate(tiny_world) if number not in kept]
        keep = joined(*(tiny_world[number] for number in kept))
        for size in range(1, len(others) + 1):
            sets = [joined(keep, *each) for each in itertools.combinations(others, size)]
            assert torch.exp2(-prior.bits(*coded(sets, [keep] * len(sets)))).sum().item() == pytest.approx(1, abs=1e-12)


@torch.no_grad()
def test_sets_are_drawn_as_often_as_they_are_likely(tiny_world):
    prior, count = make_prior(), 4000
    keep = joined(tiny_world[3])
    sets = [joined(keep, *pair) for pair in itertools.combinations(tiny_world[:3] + tiny_world[4:], 2)]
    likely = torch.exp2(-prior.bits(*coded(sets, [keep] * len(sets)))).numpy()
    known = coded([sets[0]], [keep])[1][torch.zeros(count, dtype=torch.long)]
    drawn = prior.draw(known, Streams.of(1, range(count)))
    names = [frozenset(each.to_hex()) for each in sets]
    counts = np.array([sum(each == name for each in map(frozenset, map(Palette.to_hex, drawn))) for name in names])
    assert counts.sum() == count
    chi_squared = ((counts - count * likely) ** 2 / (count * likely)).sum()
    assert chi_squared < 45  # of 20 degrees of freedom: a chance of 0.1 %


@torch.no_grad()
@pytest.mark.parametrize("transparent", [False, True])
def test_value_by_value_is_as_all_at_once_for_all_sizes(prior, rng, transparent):
    palettes = random_palettes(rng, 1, 2, 15, 30, 40, transparent=transparent)
    kept = [Palette(palette.colors[:count]) for palette, count in zip(palettes, (1, 1, 4, 29, 3), strict=True)]
    entries, known = coded(palettes, kept)
    labels, words = torch.arange(5) % 4, torch.randn(5, 3, 5).double() * torch.tensor([1, 1, 0])[:, None]
    known = Known(known.sizes, known.transparent, known.kept, labels, words)
    logits = prior.channel_logits(entries, known)
    reading = prior.begin(known)
    assert logits.dtype == torch.float64
    for place, channel in itertools.product(range(entries.shape[1]), range(3)):
        rows = place < known.counts
        np.testing.assert_allclose(reading.logits()[rows], logits[rows, place, channel], atol=1e-10)
        reading.take(entries[:, place, channel])
    assert [{*each.to_hex()} for each in reading.palettes()] == [{*each.to_hex()} for each in palettes]


def test_what_is_read_comes_back_in_the_order_of_sets(prior, rng):
    palettes = random_palettes(rng, 3, 9, transparent=True)
    entries, known = coded(palettes)
    reading = prior.begin(known)
    for value in entries.flatten(1).unbind(1):
        reading.take(value)
    assert reading.palettes() == [Palette(each.colors[set_order(each)]) for each in palettes]


@torch.no_grad()
def test_orders_of_entries_and_of_kept_colors_say_nothing_and_padding_neither(prior, rng):
    palette, long = random_palettes(rng, 12, 40)
    kept = Palette(palette.colors[3:8])
    alone = prior.bits(*coded([palette], [kept]))
    shuffled = Palette(palette.colors[rng.permutation(12)]), Palette(kept.colors[::-1])
    beside = prior.bits(*coded([shuffled[0], long], [shuffled[1], Palette(long.colors[:30])]))
    np.testing.assert_allclose(alone, beside[:1], atol=1e-9)
    assert (prior.bits(*coded([palette])) - alone).abs() > 1  # but which are kept says something


@torch.no_grad()
def test_the_last_colors_of_all_may_stand_beside_palettes_of_which_more_is_kept(prior, rng):
    whites, other = Palette.from_hex(["fffffd", "fffffe", "ffffff"]), random_palettes(rng, 20)[0]
    kept = [Palette(whites.colors[:1]), Palette(other.colors[:19])]
    alone, beside = prior.bits(*coded([whites], kept[:1])), prior.bits(*coded([whites, other], kept))
    assert alone.isfinite()
    np.testing.assert_allclose(alone, beside[:1], atol=1e-9)


@torch.no_grad()
def test_class_and_words_say_something(prior, rng):
    entries, known = coded(random_palettes(rng, 6))
    told = [{}, {"labels": torch.tensor([1])}, {"words": torch.ones(1, 2, 5).double()}]
    bits = [prior.bits(entries, Known(known.sizes, known.transparent, **each)).item() for each in told]
    assert len({round(each, 6) for each in bits}) == 3
    unsaid = {"labels": torch.tensor([3]), "words": torch.zeros(1, 2, 5).double()}
    assert prior.bits(entries, Known(known.sizes, known.transparent, **unsaid)).item() == pytest.approx(bits[0])


def test_each_image_has_its_palette_whatever_its_batch(prior):
    sizes, transparent = torch.tensor([4, 17, 2, 9]), torch.tensor([True, False, False, True])
    whole = prior.draw(Known(sizes, transparent), Streams.of(7, range(4)))
    assert [len(each) for each in whole] == [4, 17, 2, 9]
    assert [each.transparent for each in whole] == [0, None, None, 0]
    for image in range(4):
        alone = Known(sizes[image : image + 1], transparent[image : image + 1])
        assert prior.draw(alone, Streams.of(7, [image])) == [whole[image]]
    assert prior.draw(Known(sizes, transparent), Streams.of(8, range(4)))[1] != whole[1]


@pytest.mark.parametrize("size", [1, 2, 16, 256])
def test_palettes_of_every_size_are_drawn_without_repeating_a_color(prior, size):
    [palette] = prior.draw(Known(torch.tensor([size]), torch.tensor([size > 1])), Streams.of(0, [0]))
    assert len(palette) == size == len(np.unique(palette.colors, axis=0))
    assert (palette.transparent is not None) == (size > 1)


def test_kept_colors_are_kept_exactly_even_where_nearly_nothing_else_is_left(rng):
    prior = make_prior()
    white = 2**24 - 1 - np.arange(255)  # the last colors of all, in the order of sets
    kept = Palette(np.stack([white >> 8 & 255, white >> 16, white & 255, 0 * white + 255], 1).astype(np.uint8))
    known = coded([joined(kept, Palette.from_hex(["000000"]))], [kept])[1]
    for seed in range(5):
        [palette] = prior.draw(known, Streams.of(seed, [0]))
        assert (palette.colors[:255] == kept.colors).all()
        assert len(np.unique(palette.colors, axis=0)) == 256


def test_a_process_that_has_drawn_can_train_afterwards(prior):
    palette_prior._curve_table.cache_clear()
    sets = coded([Palette(np.array([[0, 0, 0, 255], [9, 9, 9, 255]], np.uint8))])
    with torch.inference_mode():
        told = prior.bits(*sets)
    bits = prior.bits(*sets)
    assert bits.requires_grad
    bits.sum().backward()
    assert torch.equal(bits.detach(), told)
    prior.zero_grad()


def test_the_temperature_sharpens(prior):
    known = Known(torch.full((2,), 5), torch.zeros(2, dtype=torch.bool))
    first, second = prior.draw(known, Streams.of(0, range(2)), temperature=0)
    assert first == second
    cold, warm = (prior.draw(known, Streams.of(0, range(2)), temperature) for temperature in (0.3, 1.0))
    assert prior.bits(*coded(cold)).sum() < prior.bits(*coded(warm)).sum()


def test_it_is_saved_and_loaded(prior, rng, tmp_path):
    prior.save_pretrained(tmp_path)
    loaded = PalettePrior.from_pretrained(tmp_path, torch_dtype=torch.float64)
    entries, known = coded(random_palettes(rng, 7, 3))
    with torch.no_grad():
        assert torch.equal(loaded.bits(entries, known), prior.bits(entries, known))


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda prior: coded([Palette.from_hex(["ff000080"])]), "no alpha between"),
        (lambda prior: coded([Palette.from_hex(["fff", "fff"])]), "counts once"),
        (lambda prior: coded([Palette.from_hex(["fff"])], [Palette.from_hex(["000"])]), "counts once"),
        (lambda prior: prior.begin(Known(torch.tensor([0]), torch.tensor([False]))), "1 to 256 entries, not 0"),
        (lambda prior: prior.begin(Known(torch.tensor([3, 257]), torch.zeros(2) > 0)), "1 to 256 entries, not 257"),
        (
            lambda prior: prior.begin(Known(torch.tensor([1]), torch.tensor([True]), torch.zeros(1, 2, 3).long())),
            "a palette of 1 entries has no place for 3",
        ),
        (lambda prior: PalettePrior(channels=10, head_channels=4), "10 channels don't divide"),
        (lambda prior: PalettePrior(depth=10**9), "depth"),
    ],
)
def test_mistakes_are_said_in_one_line(prior, mistake, message):
    with pytest.raises(InputError, match=message) as said:
        mistake(prior)
    assert len(str(said.value).splitlines()) == 1
