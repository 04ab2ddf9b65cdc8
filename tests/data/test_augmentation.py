import functools

import pytest
import torch

from tincture.data.augmentation import (
    augment,
    draw_foreign_palettes,
    jitter,
    mirror,
    opaque_first,
    rounded_luminance,
    shift,
    to_nearest_entries,
    with_foreign_palettes,
    with_unused_entries,
)
from tincture.data.index_maps import Batch
from tincture.quantization.color import srgb_to_oklab
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.luminance import TRANSPARENT
from tincture.quantization.palettes.palette import Palette


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def rand_for(count):
    return functools.partial(torch.rand, count, dtype=torch.float64)


@pytest.fixture
def batch():
    palette = Palette.from_hex(["00000000", "ff2000", "2030ff", "eeeeee", "777777"])
    palettes = PaletteBatch.from_palettes([palette] * 200)
    return Batch(torch.randint(0, 5, (200, 6, 9)), palettes, torch.arange(200), [""] * 200)


def test_a_share_of_the_pictures_is_mirrored(batch):
    seen, told = mirror(batch.x_0, 0.25, rand_for(200))
    turned = (seen == batch.x_0.flip(2)).flatten(1).all(1)
    kept = (seen == batch.x_0).flatten(1).all(1)
    assert (turned ^ kept).all()
    assert torch.equal(told, turned)
    assert 30 < turned.sum() < 70


def test_shifts_move_pictures_by_every_distance_and_repeat_the_border(batch):
    seen, told = shift(batch.x_0, 2, rand_for(200))
    padded = torch.nn.functional.pad(batch.x_0[:, None].float(), (2, 2, 2, 2), mode="replicate")[:, 0].long()
    moves = [(i, j) for i in range(5) for j in range(5)]
    windows = [padded[:, i : i + 6, j : j + 9] for i, j in moves]
    matches = torch.stack([(seen == window).flatten(1).all(1) for window in windows])
    assert matches.any(0).all()
    assert matches.any(1).all()
    # A window that begins further down shows the picture further up.
    assert torch.equal(told, 2 - torch.tensor(moves)[matches.int().argmax(0)])


def test_jitter_changes_the_whole_palette_together_and_spares_transparency(batch):
    seen = jitter(batch.palette, 0.5, rand_for(200))
    assert torch.equal(seen.colors[:, 0], batch.palette.colors[:, 0])
    assert torch.equal(seen.colors[..., 3], batch.palette.colors[..., 3])
    lab, before = seen.oklab(), batch.palette.oklab()
    assert (lab[:, 4, 1:].norm(dim=-1) < 0.01).all()  # grey stays grey, whatever the turn
    order = lab[:, [4, 3], 0]
    assert (order[:, 0] < order[:, 1]).float().mean() > 0.95  # lightness shifts alike
    turn = torch.atan2(lab[:, 1, 2], lab[:, 1, 1]) - torch.atan2(before[:, 1, 2], before[:, 1, 1])
    assert turn.std() > 0.5
    assert torch.equal(jitter(batch.palette, 0.0, rand_for(200)).colors, batch.palette.colors)


def test_nothing_is_changed_where_nothing_is_asked_for(batch):
    seen, told = augment(batch, 0.0, 0, 0.0, rand_for(200))
    assert torch.equal(told, torch.zeros(200, 3))
    assert seen.x_0 is batch.x_0
    assert seen.palette is batch.palette
    changed, told = augment(batch, 1.0, 1, 1.0, rand_for(200))
    assert [told[:, i].unique().tolist() for i in range(3)] == [[1], [-1, 0, 1], [-1, 0, 1]]
    assert torch.equal(changed.labels, batch.labels)
    assert (changed.x_0 != batch.x_0).any()
    assert (changed.palette.colors != batch.palette.colors).any()


def test_rounded_luminance_has_few_levels_and_is_near(batch):
    exact = batch.palette.oklab()[..., 0].gather(1, batch.x_0.flatten(1)).view_as(batch.x_0)
    luminance = rounded_luminance(batch, rand_for(200))
    transparent = batch.x_0 == 0
    assert (luminance[transparent] == TRANSPARENT).all()
    error = (luminance - exact).where(~transparent, 0.0).abs().amax((1, 2))
    assert error.max() <= 1 / 6 + 1e-6
    assert error.min() < 0.01


@pytest.fixture
def pool():
    palettes = []
    for size in (2, 5, 9, 16):
        colors = torch.randint(0, 256, (size, 4), dtype=torch.uint8)
        colors[:, 3] = 255
        if size % 2:
            colors[0] = 0
        palettes.append(Palette(colors.numpy()))
    return PaletteBatch.from_palettes(palettes)


def test_foreign_palettes_are_made_of_the_pools_opaque_colors(pool):
    drawn = draw_foreign_palettes(opaque_first(pool), 12, 0.3, rand_for(300))
    known = {tuple(c) for c in pool.colors[pool.valid & (pool.colors[..., 3] > 0)].tolist()}
    transparent = drawn.colors[..., 3] == 0
    assert not transparent[:, 1:].any()
    assert 0.6 < transparent[:, 0].float().mean() < 0.8
    assert {tuple(c) for c in drawn.colors[~transparent].tolist()} <= known
    assert set(drawn.sizes.tolist()) == set(range(2, 13))


def test_a_share_of_the_palettes_gets_colors_of_others_that_no_pixel_holds(batch, pool):
    pool = opaque_first(pool)
    changed = with_unused_entries(batch, pool, 0.6, 24, rand_for(200))
    assert torch.equal(changed.x_0, batch.x_0)
    assert torch.equal(changed.palette.colors[:, :5], batch.palette.colors)
    assert changed.palette.valid[:, :5].all()
    more = changed.palette.sizes - 5
    assert 95 < (more > 0).sum() < 145  # expected: 120 ± 7
    assert more.max() <= 24
    assert 5 < more[more > 0].float().mean() < 12.5  # equal colors are left out
    have = set(map(tuple, pool.colors[pool.valid].tolist()))
    added = changed.palette.colors[:, 5:][changed.palette.valid[:, 5:]]
    assert set(map(tuple, added.tolist())) <= have
    assert with_unused_entries(batch, pool, 0.0, 24, rand_for(200)) is batch


def test_no_palette_gets_a_color_that_it_has(batch):
    own = opaque_first(batch.palette)
    assert torch.equal(with_unused_entries(batch, own, 1.0, 8, rand_for(200)).palette.sizes, batch.palette.sizes)


def test_every_entry_goes_to_the_nearest_and_transparency_stays():
    source = Palette.from_hex(["00000000", "ff0000", "0000fe", "eeeeee"])
    target = Palette.from_hex(["ffffff", "aa0000", "0000aa", "00000000", "010101"])
    x = torch.tensor([[[0, 1], [2, 3]]])
    moved = to_nearest_entries(x, PaletteBatch.from_palettes([source]), PaletteBatch.from_palettes([target], 7))
    assert moved.tolist() == [[[3, 1], [2, 0]]]


@pytest.mark.parametrize(
    "hexes",
    [
        ["000000", "c81e1e80", "ffffff", "1e1ec860", "c81e1e"],
        ["00000040", "00000080", "00000000", "000000"],
        ["40c0ff", "40c0ff80", "40c0ff10"],
        ["fffffffe", "ffffff", "ffffff80"],
    ],
)
def test_a_soft_entry_goes_to_the_one_that_equals_it(hexes):
    source, target = PaletteBatch.from_palettes([Palette.from_hex(hexes)]), Palette.from_hex([*hexes[::-1], "808080"])
    moved = to_nearest_entries(torch.arange(len(hexes))[None, None], source, PaletteBatch.from_palettes([target], 9))
    assert moved.tolist() == [[list(range(len(hexes)))[::-1]]]


def test_recoloring_agrees_with_a_loop_over_entries(pool):
    target = draw_foreign_palettes(opaque_first(pool), 12, 0.0, rand_for(4))
    x = torch.stack([torch.randint(int(size), (6, 6)) for size in pool.sizes])
    moved = to_nearest_entries(x, pool, target)
    for image in range(4):
        for before, after in zip(x[image].flatten().tolist(), moved[image].flatten().tolist(), strict=True):
            color = pool.colors[image, before]
            if color[3] == 0:
                assert target.colors[image, after, 3] == 0
                continue
            entries = range(1, int(target.sizes[image]))
            distances = [
                (srgb_to_oklab(color[:3]) - srgb_to_oklab(target.colors[image, e, :3])).norm() for e in entries
            ]
            assert after == entries[int(torch.stack(distances).argmin())]


def test_without_a_transparent_entry_transparency_becomes_the_lightest_entry():
    source = PaletteBatch.from_palettes([Palette.from_hex(["00000000", "ff0000"])])
    target = PaletteBatch.from_palettes([Palette.from_hex(["000000", "fafafa", "ff0000"])], 5)
    assert to_nearest_entries(torch.tensor([[[0, 1]]]), source, target).tolist() == [[[1, 2]]]


def test_moving_to_the_same_palette_changes_nothing(pool):
    x = torch.stack([torch.randint(int(size), (6, 6)) for size in pool.sizes])
    assert torch.equal(to_nearest_entries(x, pool, pool), x)


@pytest.mark.parametrize("max_entries", [4, 16, 40])
def test_a_share_of_the_batch_is_recolored_and_the_rest_is_kept(pool, max_entries):
    rows = torch.arange(4).repeat(100)
    x = torch.stack([torch.randint(int(pool.sizes[row]), (6, 6)) for row in rows])
    batch = Batch(x, pool[rows], rows, [""] * len(x))
    out = with_foreign_palettes(batch, opaque_first(pool), 0.25, rand_for(400), max_entries)
    size = pool.mask_index
    kept = (out.palette.colors[:, :size] == batch.palette.colors).flatten(1).all(1)
    kept &= (out.palette.valid[:, :size] == batch.palette.valid).all(1)
    assert 0.7 < kept.float().mean() < 0.85
    assert torch.equal(out.x_0[kept], x[kept])
    assert (out.x_0.flatten(1).amax(1) < out.palette.mask_index).all()
    assert out.palette.valid.gather(1, out.x_0.flatten(1)).all()
    assert with_foreign_palettes(batch, opaque_first(pool), 0.0, rand_for(400)) is batch
