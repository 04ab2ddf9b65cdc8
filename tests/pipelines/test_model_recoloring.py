"""Recoloring with a model: all pixels of a color get one color, and no order of entries matters."""

import numpy as np
import pytest
import torch

from tincture.common.errors import InputError
from tincture.diffusion.schedules import make_schedule
from tincture.models.denoiser import IndexDenoiser, PaletteDenoiser
from tincture.pipelines.model_recoloring import recolor_by_role, redraw_colors
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.recolor import color_costs
from tincture.quantization.spaces import SPACES

UNET = {"channels": (16, 16), "blocks": (1, 1), "attention_head_channels": 16, "head_channels": 16, "head_blocks": 1}


@pytest.fixture(scope="module")
def denoiser():
    torch.manual_seed(0)
    return PaletteDenoiser(token_channels=32, palette_depth=1, condition_channels=16, unet=UNET).eval()


@pytest.fixture
def image(rng):
    colors = rng.integers(0, 256, (6, 4), np.uint8)
    colors[:, 3] = [255, 255, 0, 255, 255, 255]
    return IndexedImage(rng.integers(0, 6, (12, 10), np.uint8), Palette(colors))


def target(seed=1, entries=9, clear=True):
    colors = np.random.default_rng(seed).integers(0, 256, (entries, 4), np.uint8)
    colors[:, 3] = 255
    return Palette(colors).with_transparency() if clear else Palette(colors)


WAYS = [recolor_by_role, lambda *given: redraw_colors(*given, sweeps=2)]


@pytest.mark.parametrize("move", WAYS)
@pytest.mark.parametrize("clear", [True, False])
def test_all_pixels_of_a_color_get_one_color_and_transparency_stays(denoiser, image, move, clear):
    palette = target(clear=clear)
    result = move(denoiser, image, palette)
    assert result.palette == palette
    pairs = {*zip(image.indices.ravel().tolist(), result.indices.ravel().tolist(), strict=True)}
    assert len(pairs) == 6
    went = dict(pairs)[2]
    if clear:
        assert went == palette.transparent
        assert palette.transparent not in {to for source, to in pairs if source != 2}
    else:
        assert went == SPACES["oklab"].from_bytes(palette.colors)[:, 0].argmax()


@pytest.mark.parametrize("move", WAYS)
def test_the_order_of_the_other_palette_does_not_matter(denoiser, image, move):
    palette = target()
    shuffled = Palette(palette.colors[np.random.default_rng(0).permutation(len(palette))])
    first, second = (move(denoiser, image, p).to_rgba() for p in (palette, shuffled))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("move", WAYS)
def test_to_its_own_palette_nothing_changes(denoiser, image, move):
    assert np.array_equal(move(denoiser, image, image.palette).indices, image.indices)


def test_roles_are_kept_between_orders_of_one_palette(denoiser, image):
    shuffled = Palette(image.palette.colors[[4, 2, 0, 5, 1, 3]])
    assert np.array_equal(recolor_by_role(denoiser, image, shuffled).to_rgba(), image.to_rgba())


def test_at_high_fidelity_the_model_has_no_say(denoiser, image):
    palette = target(clear=True)
    result = redraw_colors(denoiser, image, palette, fidelity=1e6, edges=0)
    opaque = image.to_rgba()[..., 3] > 0
    visible = Palette(image.palette.colors[[0, 1, 3, 4, 5]])
    nearest = color_costs(visible, Palette(palette.colors[:-1])).argmin(axis=1)
    expected = nearest[np.array([0, 1, 0, 2, 3, 4])[image.indices]]
    assert np.array_equal(result.indices[opaque], expected[opaque])


def test_edges_that_are_worth_much_are_all_kept(denoiser, image):
    result = redraw_colors(denoiser, image, target(entries=20), fidelity=0, edges=1e6)
    for axis in (0, 1):
        assert np.array_equal(
            np.diff(result.indices.astype(int), axis=axis) != 0, np.diff(image.indices.astype(int), axis=axis) != 0
        )


def test_the_denoiser_is_told_the_time_at_which_the_masked_share_is_the_noise(denoiser, image):
    told = []
    handle = denoiser.register_forward_pre_hook(lambda _, inputs: told.append(inputs[1].item()))
    colors, schedule = np.unique(image.to_rgba().reshape(-1, 4), axis=0, return_counts=True)[1], make_schedule("cosine")
    redraw_colors(denoiser, image, target(), sweeps=1, schedule=schedule)
    handle.remove()
    shares = schedule.noise(torch.tensor(told)) * image.indices.size
    visible = sorted(np.bincount(image.indices.ravel())[[0, 1, 3, 4, 5]], reverse=True)
    assert len(colors) == 6
    assert shares.tolist() == pytest.approx(visible, rel=1e-4)


@pytest.mark.parametrize("move", WAYS)
@pytest.mark.parametrize("clear", [True, False])
def test_a_picture_of_which_nothing_is_seen_stays_so(denoiser, move, clear):
    """White, where the other palette has no transparent entry."""
    nothing = IndexedImage(np.zeros((4, 5), np.uint8), Palette.from_hex(["00000000"]))
    result = move(denoiser, nothing, target(clear=clear))
    lightest = SPACES["oklab"].from_bytes(result.palette.colors)[:, 0].argmax()
    assert (result.indices == (result.palette.transparent if clear else lightest)).all()


def test_a_model_without_a_palette_encoder_knows_no_roles(image):
    denoiser = IndexDenoiser(10, token_channels=16, condition_channels=16, unet=UNET)
    with pytest.raises(InputError, match="no palette encoder"):
        recolor_by_role(denoiser, image, target())
