import itertools

import pytest
import torch

from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.palettes.tree import at_pixels, color_tree
from tincture.tests.palettes import random_palette


def twice_colored(entries):
    """Random colors, the first and another one thrice, the last one transparent."""
    colors = random_palette(entries, entries, transparent=entries - 1).colors.copy()
    colors[[entries // 3, entries // 2]] = colors[0]
    return Palette(colors)


GRID = [f"{r:02x}{g:02x}{b:02x}" for r, g, b in itertools.product((0, 128, 255), repeat=3)]
PALETTES = {
    "one": ["123456"],
    "two": ["123456", "654321"],
    "transparent": ["123456", "00000000"],
    "all alike": ["808080"] * 5,
    "grid": GRID,
    "soft": ["ff0000", "ff000080", "ff000040", "00000000"],
} | {f"random {n}": n for n in (7, 16, 64, 256)}


def palette_of(name):
    colors = PALETTES[name]
    return twice_colored(colors) if isinstance(colors, int) else Palette.from_hex(colors)


@pytest.fixture(params=PALETTES)
def palette(request):
    return palette_of(request.param)


def families(tree, entries):
    """The inner nodes in use with their children, by the ways from the root to the leaves."""
    children = {}
    for path in tree.ancestors[0, :entries].tolist():
        for above, below in itertools.pairwise(dict.fromkeys(path)):
            children.setdefault(above, set()).add(below)
    return children


def test_every_entry_is_a_leaf_and_the_mask_is_the_root(palette):
    entries, tree = len(palette), color_tree(PaletteBatch.from_palettes([palette]))
    assert torch.equal(tree.members[0, :entries], torch.eye(entries, dtype=torch.bool))
    assert tree.members[0, entries].all()
    assert (tree.ancestors[0, :, 0] == entries)[tree.members[0].any(dim=1)].all()
    assert torch.equal(tree.ancestors[0, :entries, -1], torch.arange(entries))


def test_the_entries_of_a_node_are_those_of_its_children(palette):
    entries, tree = len(palette), color_tree(PaletteBatch.from_palettes([palette]))
    for node, below in families(tree, entries).items():
        parts = tree.members[0, sorted(below)]
        assert torch.equal(parts.sum(dim=0).bool(), tree.members[0, node])
        assert parts.sum(dim=0).max() == 1
        assert tree.members[0, node, tree.middle[0, node]]
        assert tree.first[0, node] == tree.last[0, node]


def test_colors_are_halved_so_the_tree_is_no_deeper_than_it_must_be(palette):
    entries, tree = len(palette), color_tree(PaletteBatch.from_palettes([palette]))

    def count(node):
        return len({tuple(palette.colors[k]) for k in tree.members[0, node].nonzero()[:, 0].tolist()})

    has_clear = palette.transparent is not None
    for node, below in families(tree, entries).items():
        if node == entries and has_clear:
            assert palette.transparent in below
            assert count(node) - count(next(iter(below - {palette.transparent}))) in (0, 1)
        elif count(node) == 1:  # only the root can be
            assert below == set(range(entries))
        else:
            halves = sorted(count(child) for child in below)
            assert sum(set(halves)) <= count(node)
            assert max(halves) == -(-count(node) // 2)
    opaque = count(entries) - has_clear
    assert max(len(set(path)) for path in tree.ancestors[0, :entries].tolist()) - 1 <= max(
        has_clear + (opaque - 1).bit_length(), 1
    )


def test_permuting_the_palette_permutes_the_leaves_and_nothing_else(palette):
    entries = len(palette)
    order = torch.randperm(entries, generator=torch.Generator().manual_seed(0))
    tree = color_tree(PaletteBatch.from_palettes([palette]))
    other = color_tree(PaletteBatch.from_palettes([Palette(palette.colors[order.numpy()])]))
    assert torch.equal(other.members[0, entries:], tree.members[0, entries:, order])
    to_old = torch.cat([order, torch.arange(entries, tree.members.shape[1])])
    used = other.members[0].any(dim=1)
    old = to_old[used]
    assert torch.equal(to_old[other.ancestors[0, used]], tree.ancestors[0, old])
    assert torch.equal(other.first[0, used], tree.first[0, old])
    assert torch.equal(other.last[0, used], tree.last[0, old])
    middles = order[other.middle[0, used]], tree.middle[0, old]
    assert (palette.colors[middles[0].numpy()] == palette.colors[middles[1].numpy()]).all()


def test_palettes_of_a_batch_and_their_padding_change_nothing():
    together = PaletteBatch.from_palettes([palette_of(name) for name in PALETTES], size=300)
    together.colors[~together.valid] = 77
    trees = color_tree(together)
    for row, name in enumerate(PALETTES):
        tree = color_tree(PaletteBatch.from_palettes([palette_of(name)]))
        nodes, entries, levels = tree.members.shape[1], tree.members.shape[2], tree.ancestors.shape[2]
        places = torch.cat([torch.arange(entries), torch.arange(300, 300 + nodes - entries)])
        assert torch.equal(trees.members[row, places][:, :entries], tree.members[0])
        used = tree.members[0].any(dim=1)
        assert torch.equal(trees.ancestors[row, places[used]][:, :levels], places[tree.ancestors[0, used]])
        assert not trees.members[row, :, entries:].any()


def test_a_palette_has_one_tree_for_all_who_ask():
    palette = PaletteBatch.from_palettes([palette_of("grid")])
    assert color_tree(palette) is color_tree(palette)


def test_pixels_find_the_rows_of_their_own_image():
    values, rows = torch.arange(24).view(2, 4, 3), torch.tensor([[[0, 3]], [[2, 2]]])
    assert at_pixels(values, rows).tolist() == [[[0, 1, 2], [9, 10, 11]], [[18, 19, 20], [18, 19, 20]]]
