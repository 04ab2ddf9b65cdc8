import pytest
import torch

from tincture.data.foreign_palettes import draw_foreign_palettes, recolor, with_foreign_palettes
from tincture.data.index_maps import Batch
from tincture.quantization.color import srgb_to_oklab
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


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
    drawn = draw_foreign_palettes(pool, 300, 12, no_transparency=0.3)
    known = {tuple(c) for c in pool.colors[pool.valid & (pool.colors[..., 3] > 0)].tolist()}
    transparent = drawn.colors[..., 3] == 0
    assert not transparent[:, 1:].any()
    assert 0.6 < transparent[:, 0].float().mean() < 0.8
    assert {tuple(c) for c in drawn.colors[~transparent].tolist()} <= known
    assert set(drawn.sizes.tolist()) == set(range(2, 13))


def test_every_entry_goes_to_the_nearest_and_transparency_stays():
    source = Palette.from_hex(["00000000", "ff0000", "0000fe", "eeeeee"])
    target = Palette.from_hex(["ffffff", "aa0000", "0000aa", "00000000", "010101"])
    x = torch.tensor([[[0, 1], [2, 3]]])
    moved = recolor(x, PaletteBatch.from_palettes([source]), PaletteBatch.from_palettes([target], 7))
    assert moved.tolist() == [[[3, 1], [2, 0]]]


def test_recoloring_agrees_with_a_loop_over_entries(pool):
    target = draw_foreign_palettes(pool, 4, 12, no_transparency=0.0)
    x = torch.stack([torch.randint(int(size), (6, 6)) for size in pool.sizes])
    moved = recolor(x, pool, target)
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
    assert recolor(torch.tensor([[[0, 1]]]), source, target).tolist() == [[[1, 2]]]


def test_moving_to_the_same_palette_changes_nothing(pool):
    x = torch.stack([torch.randint(int(size), (6, 6)) for size in pool.sizes])
    assert torch.equal(recolor(x, pool, pool), x)


@pytest.mark.parametrize("max_entries", [4, 16, 40])
def test_a_share_of_the_batch_is_recolored_and_the_rest_is_kept(pool, max_entries):
    rows = torch.arange(4).repeat(100)
    x = torch.stack([torch.randint(int(pool.sizes[row]), (6, 6)) for row in rows])
    batch = Batch(x, pool[rows], rows)
    out = with_foreign_palettes(batch, pool, 0.25, max_entries)
    size = pool.mask_index
    kept = (out.palette.colors[:, :size] == batch.palette.colors).flatten(1).all(1)
    kept &= (out.palette.valid[:, :size] == batch.palette.valid).all(1)
    assert 0.7 < kept.float().mean() < 0.85
    assert torch.equal(out.x_0[kept], x[kept])
    assert (out.x_0.flatten(1).amax(1) < out.palette.mask_index).all()
    assert out.palette.valid.gather(1, out.x_0.flatten(1)).all()
    assert with_foreign_palettes(batch, pool, 0.0) is batch
