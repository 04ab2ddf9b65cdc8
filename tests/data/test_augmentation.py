import pytest
import torch

from tincture.data.augmentation import augment, jitter, mirror, rounded_luminance, shift
from tincture.data.index_maps import Batch
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.luminance import TRANSPARENT
from tincture.quantization.palettes.palette import Palette


@pytest.fixture
def batch():
    torch.manual_seed(0)
    palette = Palette.from_hex(["00000000", "ff2000", "2030ff", "eeeeee", "777777"])
    palettes = PaletteBatch.from_palettes([palette] * 200)
    return Batch(torch.randint(0, 5, (200, 6, 9)), palettes, torch.arange(200))


def test_a_share_of_the_pictures_is_mirrored(batch):
    seen, told = mirror(batch.x_0, 0.25)
    turned = (seen == batch.x_0.flip(2)).flatten(1).all(1)
    kept = (seen == batch.x_0).flatten(1).all(1)
    assert (turned ^ kept).all()
    assert torch.equal(told, turned)
    assert 30 < turned.sum() < 70


def test_shifts_move_pictures_by_every_distance_and_repeat_the_border(batch):
    seen, told = shift(batch.x_0, 2)
    padded = torch.nn.functional.pad(batch.x_0[:, None].float(), (2, 2, 2, 2), mode="replicate")[:, 0].long()
    moves = [(i, j) for i in range(5) for j in range(5)]
    windows = [padded[:, i : i + 6, j : j + 9] for i, j in moves]
    matches = torch.stack([(seen == window).flatten(1).all(1) for window in windows])
    assert matches.any(0).all()
    assert matches.any(1).all()
    # A window that begins further down shows the picture further up.
    assert torch.equal(told, 2 - torch.tensor(moves)[matches.int().argmax(0)])


def test_jitter_changes_the_whole_palette_together_and_spares_transparency(batch):
    seen = jitter(batch.palette, 0.5)
    assert torch.equal(seen.colors[:, 0], batch.palette.colors[:, 0])
    assert torch.equal(seen.colors[..., 3], batch.palette.colors[..., 3])
    lab, before = seen.oklab(), batch.palette.oklab()
    assert (lab[:, 4, 1:].norm(dim=-1) < 0.01).all()  # grey stays grey, whatever the turn
    order = lab[:, [4, 3], 0]
    assert (order[:, 0] < order[:, 1]).float().mean() > 0.95  # lightness shifts alike
    turn = torch.atan2(lab[:, 1, 2], lab[:, 1, 1]) - torch.atan2(before[:, 1, 2], before[:, 1, 1])
    assert turn.std() > 0.5
    assert torch.equal(jitter(batch.palette, 0.0).colors, batch.palette.colors)


def test_nothing_is_changed_where_nothing_is_asked_for(batch):
    seen, told = augment(batch, 0.0, 0, 0.0)
    assert torch.equal(told, torch.zeros(200, 3))
    assert seen.x_0 is batch.x_0
    assert seen.palette is batch.palette
    changed, told = augment(batch, 1.0, 1, 1.0)
    assert [told[:, i].unique().tolist() for i in range(3)] == [[1], [-1, 0, 1], [-1, 0, 1]]
    assert torch.equal(changed.labels, batch.labels)
    assert (changed.x_0 != batch.x_0).any()
    assert (changed.palette.colors != batch.palette.colors).any()


def test_rounded_luminance_has_few_levels_and_is_near(batch):
    exact = batch.palette.oklab()[..., 0].gather(1, batch.x_0.flatten(1)).view_as(batch.x_0)
    luminance = rounded_luminance(batch)
    transparent = batch.x_0 == 0
    assert (luminance[transparent] == TRANSPARENT).all()
    error = (luminance - exact).where(~transparent, 0.0).abs().amax((1, 2))
    assert error.max() <= 1 / 6 + 1e-6
    assert error.min() < 0.01
