import pytest
import torch

from tincture.diffusion.draws import Streams, categorical, philox, round_keys, uniform


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


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0), 0, (0xFF1DAE59, 0x6CD10DF2)),
        ((0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF, (0x2C3F628B, 0xAB4FD7AD)),
        ((0x243F6A88, 0x85A308D3), 0x13198A2E, (0xDD7CE038, 0xF62A4C12)),
    ],
)
def test_philox_gives_the_words_that_its_authors_published(counter, key, words):
    """Random123's kat_vectors, philox2x32 in 10 rounds."""
    low, high = (torch.tensor([word]) for word in counter)
    assert tuple(word.item() for word in philox(low, high, round_keys(torch.tensor([key])))) == words


def test_the_numbers_of_a_stream_are_those_that_plain_integers_give():
    def number(bits, n):
        low, high, key = n, bits >> 32, bits % 2**32
        for _ in range(10):
            product = 0xD256D193 * low
            low, high = (product >> 32) ^ key ^ high, product % 2**32
            key = (key + 0x9E3779B9) % 2**32
        return (low * 2**32 + high) // 2**11 / 2**53

    bits = [0, 1, 2**63 - 1, 0x123456789ABCDEF, 2**64 - 5]
    streams = Streams(torch.tensor([each - 2**64 * (each >= 2**63) for each in bits]))
    assert streams(2, 3).flatten(1).tolist() == [[number(each, n) for n in range(6)] for each in bits]
    assert streams().tolist() == [number(each, 6) for each in bits]


def test_an_images_numbers_depend_on_seed_and_number_alone():
    together, apart = Streams.of(7, range(3)), Streams.of(7, [2])
    for shape in [(4, 4), (), (2, 3)]:
        numbers = together(*shape)
        assert torch.equal(numbers[2:], apart(*shape))
        assert len(numbers.unique()) == numbers.numel()
    assert not torch.equal(Streams.of(7, range(3))(4, 4), Streams.of(8, range(3))(4, 4))


@pytest.mark.parametrize("rows", [slice(1, 3), torch.tensor([3, 0])])
def test_some_of_the_streams_go_on_where_they_are_and_the_others_stay(rows):
    whole, alone = Streams.of(0, range(4)), Streams.of(0, range(4))
    whole(2)
    some = whole[rows](3)
    expected = alone(5)
    assert torch.equal(some, expected[rows, 2:])
    after, own = whole(2), torch.cat([expected, alone(2)], dim=1)
    for row in range(4):
        start = 5 if row in torch.arange(4)[rows] else 2
        assert torch.equal(after[row], own[row, start : start + 2])


def test_drawn_ahead_the_numbers_are_the_same_and_each_comes_once():
    ahead, plain = Streams.of(0, range(2)).ahead(), Streams.of(0, range(2))
    assert all(torch.equal(ahead(3, 2), plain(3, 2)) for _ in range(20))


def test_numbers_of_streams_are_uniform_and_neighbors_have_nothing_in_common(p_value):
    numbers = torch.stack([Streams.of(seed, range(20))(2000) for seed in range(10)])  # [seed, image, number]
    counts = torch.bincount((numbers.flatten() * 64).long(), minlength=64)
    assert p_value(counts, torch.full((64,), 1 / 64)) > 0.001
    pairs = torch.bincount((numbers[..., 1:] * 8).long().flatten() * 8 + (numbers[..., :-1] * 8).long().flatten())
    assert p_value(pairs, torch.full((64,), 1 / 64)) > 0.001
    low_bits = (numbers * 2**53).long() % 64
    assert p_value(torch.bincount(low_bits.flatten()), torch.full((64,), 1 / 64)) > 0.001
    # Of 19,900 correlations of 2,000 pairs, none is beyond five and a half standard deviations.
    assert numbers.flatten(0, 1).corrcoef().fill_diagonal_(0).abs().max() < 5.5 / 2000**0.5


def test_where_one_waits_for_results_an_impossible_draw_is_refused_within_ten_draws(monkeypatch):
    monkeypatch.setattr("tincture.diffusion.draws.is_waited_for", lambda device: True)
    good, bad = torch.full((2, 3, 1, 1), 1 / 3), torch.full((2, 3, 1, 1), torch.nan)
    message = "no entry can be drawn for 2 of 20 pixels: their probabilities add up to nan"
    streams = Streams.of(0, range(2))
    assert (categorical(bad * 0 + torch.inf, Streams.of(0, range(2))) < 3).all()  # the network can read it
    categorical(bad, streams)
    for _ in range(8):
        categorical(good, streams)
    with pytest.raises(FloatingPointError, match=message):
        categorical(good, streams)
    categorical(good, streams)
    streams.look()
    categorical(bad[:1], streams[:1])
    with pytest.raises(FloatingPointError, match="1 of 1 pixels"):
        streams.look()
