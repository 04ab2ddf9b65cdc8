import pytest
import torch

from tincture.common.errors import InputError
from tincture.controls.options import WHOLE, Canvas
from tincture.controls.views import moving_views, symmetry_view
from tincture.diffusion.draws import Streams

CANVASES = [
    WHOLE,
    Canvas(tile="x"),
    Canvas(tile="y"),
    Canvas(tile="both"),
    Canvas(window=4),
    Canvas(tile="both", window=5),
    Canvas(tile="x", window=3),
]


def looks_of(canvas, height, width, images=3, seed=0):
    return moving_views(canvas, height, width, Streams.of(seed, range(images)))


@pytest.mark.parametrize("canvas", CANVASES)
@pytest.mark.parametrize("size", [(6, 6), (7, 11), (3, 9), (1, 5)])
def test_gathering_what_was_shown_gives_the_canvas_back(canvas, size):
    """A network that looks at single pixels doesn't notice the views, and every pixel is seen."""
    logits = torch.randn(3, 4, *size)
    logits[:, 1] = -torch.inf
    looks = looks_of(canvas, *size)
    shown = logits.flatten(0, 1)
    for look in looks:
        each = torch.stack([look.show(logits_of_entry) for logits_of_entry in shown.unflatten(0, (-1, 4)).unbind(1)], 1)
        shown = each.flatten(0, 1)
    answers = shown.unflatten(0, (-1, 4))
    for look in reversed(looks):
        answers = look.gather(answers)
    assert torch.allclose(answers, logits, atol=1e-6)


@pytest.mark.parametrize("size", [(6, 6), (7, 11), (1, 5)])
def test_the_network_sees_pieces_of_the_canvas_of_the_size_that_was_asked_for(size):
    height, width = size
    canvas = torch.arange(height * width).view(1, height, width).expand(3, -1, -1)
    (look,) = looks_of(Canvas(window=4), height, width)
    shown = look.show(canvas)
    assert shown.shape == (3 * look.pictures, min(4, height), min(4, width))
    assert (shown.diff(dim=2) == 1).all()
    assert (shown.diff(dim=1) == width).all()


def test_a_tile_is_seen_from_all_places_alike_and_with_its_neighbors():
    canvas = torch.arange(20).view(1, 4, 5)
    starts = set()
    for seed in range(200):
        (look,) = looks_of(Canvas(tile="x"), 4, 5, 1, seed)
        (picture,) = look.show(canvas)
        assert picture.shape == (4, 5 + 2 * 8)
        assert ((picture[0].diff() - 1) % 5 == 0).all()
        assert (picture[:, :1] - picture[0, 0] == torch.arange(0, 20, 5)[:, None]).all()
        starts.add(picture[0, 0].item())
    assert starts == {0, 1, 2, 3, 4}


def test_a_seam_is_no_special_place():
    """For a network that sees neighbors, the answers about a turned tile are the tile's, turned."""

    def network(x):
        return torch.stack([x, x * x.roll(1, 2) - x.roll(-2, 2)], dim=1).float()

    tile = torch.rand(1, 6, 10)
    for seed in range(5):
        (look,) = looks_of(Canvas(tile="x"), 6, 10, 1, seed)
        for turn in range(10):
            answers = look.gather(network(look.show(tile.roll(turn, 2))))
            assert torch.allclose(answers.roll(-turn, 3), network(tile), atol=1e-6)


@pytest.mark.parametrize(("axes", "flips"), [("x", [2]), ("y", [1]), ("both", [1, 2])])
@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_a_mirrored_canvas_unfolds_symmetrically_and_answers_fold_by_their_mean(axes, flips, size):
    tie = symmetry_view(Canvas(mirror=axes), *size)
    picture = tie.show(torch.rand(2, *tie.size))
    assert picture.shape == (2, *size)
    logits = torch.randn(2, 3, *size)
    mean = logits
    for axis in flips:
        assert torch.equal(picture.flip(axis), picture)
        mean = (mean + mean.flip(axis + 1)) / 2
    assert torch.allclose(tie.gather(logits), mean[:, :, : tie.size[0], : tie.size[1]], atol=1e-6)


def test_what_is_random_belongs_to_its_image():
    canvas = Canvas(tile="both", window=5)
    together = looks_of(canvas, 6, 6, 3)
    for n in range(3):
        for alone, look in zip(moving_views(canvas, 6, 6, Streams.of(0, [n])), together, strict=True):
            assert torch.equal(alone.source[0], look.source[n])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": "z"}, "unknown tile 'z'; choose from x, y, both"),
        ({"mirror": ""}, "unknown mirror ''; choose from x, y, both"),
        ({"window": 1}, "window is 1"),
    ],
)
def test_wrong_layouts_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Canvas(**options)
