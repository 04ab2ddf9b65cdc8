from collections import Counter

import pytest
import torch

from tincture.data.index_maps import IndexMaps
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.training.feeds import ShuffleBuffer


def numbered(start, stop):
    """Pictures of which each part says which one it is."""
    numbers = torch.arange(start, stop)
    indices = numbers.to(torch.uint8).view(-1, 1, 1).expand(-1, 2, 2).clone()
    colors = numbers.to(torch.uint8).view(-1, 1, 1).expand(-1, 3, 4).clone()
    names = [f"{number} ☂\n" for number in numbers.tolist()]
    return IndexMaps(indices, PaletteBatch(colors, colors[..., 0] >= 0), numbers, ["a"], names)


def numbers(pictures):
    """Which ones they are; all parts must agree."""
    found = pictures.labels
    assert torch.equal(pictures.indices, found.to(torch.uint8).view(-1, 1, 1).expand(-1, 2, 2))
    assert torch.equal(pictures.palettes.colors[:, 0, 0], found.to(torch.uint8))
    assert pictures.names == [f"{number} ☂\n" for number in found.tolist()]
    return found.tolist()


@pytest.fixture
def buffer():
    buffer = ShuffleBuffer(numbered(0, 1))
    buffer.add(numbered(0, 20), 0)
    buffer.add(numbered(20, 50), 0)
    buffer.add(numbered(50, 60), 1)
    return buffer


def test_each_picture_is_drawn_once_and_the_older_epoch_first(buffer):
    assert buffer.epochs == 2
    drawn = [numbers(buffer.take(15, seed)) for seed in range(4)]
    assert len(buffer) == 0
    flat = [number for batch in drawn for number in batch]
    assert sorted(flat) == list(range(60))
    assert set(flat[50:]) == set(range(50, 60))
    assert flat[:50] != sorted(flat[:50])


def test_all_are_equally_likely_to_be_next():
    counts = Counter()
    for seed in range(500):
        buffer = ShuffleBuffer(numbered(0, 1))
        buffer.add(numbered(0, 10), 0)
        counts.update(numbers(buffer.take(2, seed)))
    assert min(counts.values()) > 65  # expected: 100 ± 9
    assert max(counts.values()) < 135


def test_a_restored_buffer_gives_the_same_pictures(buffer):
    buffer.take(17, 0)
    other = ShuffleBuffer(numbered(0, 1))
    other.restore(buffer.state())
    for each in (buffer, other):
        each.add(numbered(60, 90), 1)
    assert [numbers(buffer.take(20, seed)) for seed in range(3)] == [numbers(other.take(20, seed)) for seed in range(3)]


def test_a_state_is_not_changed_by_what_is_drawn_later(buffer):
    other = ShuffleBuffer(numbered(0, 1))
    other.restore(buffer.state())
    before = {key: value.clone() for key, value in other.state().items()}
    buffer.take(30, 0)
    assert all(torch.equal(value, before[key]) for key, value in other.state().items())
