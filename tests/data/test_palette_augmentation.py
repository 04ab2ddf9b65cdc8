import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from tincture.common.errors import InputError
from tincture.data.palette_augmentation import PaletteAugmentation, as_indexed
from tincture.data.palette_changes import OtherPalettes, PaletteJitter
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

PALETTES = [read_palette("pico-8"), read_palette("nintendo-gameboy-bgb")]
WAYS = [PaletteJitter(), OtherPalettes(PALETTES)]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def picture(rng, channels=3):
    """Smooth, uint8 ``[20, 12, channels]``; four have soft alpha and a transparent corner."""
    coarse = Image.fromarray(rng.integers(0, 256, (3, 2, 3)).astype(np.uint8))
    pixels = np.array(coarse.resize((12, 20), Image.Resampling.BILINEAR))
    alpha = np.full((20, 12, 1), 255, np.uint8)
    alpha[:4], alpha[:2] = 77, 0
    return np.concatenate([pixels, alpha], axis=-1)[..., :channels]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("channels", [3, 4])
def test_every_kind_of_picture_comes_back_as_it_went(rng, way, channels):
    pixels = picture(rng, channels)
    augment, results = PaletteAugmentation([way]), []
    for image in (pixels, torch.from_numpy(pixels).permute(2, 0, 1), Image.fromarray(pixels)):
        torch.manual_seed(3)
        changed = augment(image)
        assert type(changed) is type(image)
        results.append(changed.permute(1, 2, 0).numpy() if isinstance(changed, torch.Tensor) else np.asarray(changed))
    assert all(result.dtype == np.uint8 and np.array_equal(result, results[0]) for result in results)
    assert results[0].shape == pixels.shape
    assert (results[0] != pixels).any(axis=-1).mean() > 0.7
    if channels == 4:
        assert np.array_equal(results[0][..., 3], pixels[..., 3])
        assert np.array_equal(results[0][:2], pixels[:2])


def test_targets_are_untouched(rng):
    mask, label = torch.ones(20, 12), {"class": 3}
    changed, *targets = PaletteAugmentation()(picture(rng), mask, label)
    assert changed.shape == (20, 12, 3)
    assert targets[0] is mask
    assert targets[1] is label


def test_an_indexed_image_keeps_its_index_map_when_jittered(rng):
    image = IndexedImage(rng.integers(0, 16, (8, 8)).astype(np.uint8), read_palette("sweetie-16"))
    changed = IndexedImage.from_pil(PaletteAugmentation()(image.to_pil()))
    assert np.array_equal(changed.indices, image.indices)
    assert changed.palette != image.palette


@pytest.mark.parametrize("way", [*WAYS, OtherPalettes([Palette.from_hex(["ff0000", "0000ff40"])])])
@pytest.mark.parametrize("alphas", [[0, 40, 60, 255], [1, 127, 128, 254], [255, 255, 255, 9], [0, 0, 255, 255]])
def test_every_pixel_of_an_indexed_image_keeps_its_alpha(rng, way, alphas):
    for entries in (4, 256):
        colors = rng.integers(0, 256, (entries, 4), np.uint8)
        colors[:, 3] = np.array(alphas * (entries // 4))
        image = IndexedImage.merged(rng.integers(0, entries, (40, 30)).astype(np.uint8), colors)
        changed = PaletteAugmentation([way])(image.to_pil())
        assert changed.mode == "P"
        assert np.array_equal(IndexedImage.from_pil(changed).to_rgba()[..., 3], image.to_rgba()[..., 3])
        if isinstance(way, PaletteJitter):
            assert np.array_equal(np.asarray(changed), image.indices)


def test_soft_pixels_of_an_indexed_image_get_the_colors_that_solid_ones_get(rng):
    palette = Palette.from_hex(["00000000", "c81e1e", "c81e1e3c", "1e1ec8"])
    image = IndexedImage(rng.integers(0, 4, (20, 20)).astype(np.uint8), palette)
    changed = IndexedImage.from_pil(PaletteAugmentation([OtherPalettes(PALETTES)])(image.to_pil()))
    solid, soft = (np.unique(changed.to_rgba()[image.indices == k, :3], axis=0) for k in (1, 2))
    assert len(solid) == 1
    assert np.array_equal(solid, soft)


def test_soft_pixels_become_transparent_in_another_palette(rng):
    image = IndexedImage(
        rng.integers(0, 3, (8, 8)).astype(np.uint8), Palette.from_hex(["c81e1e", "c81e1e3c", "28" * 4])
    )
    moved = OtherPalettes(PALETTES[:1])(image, rng)
    assert np.array_equal(moved.to_rgba()[..., 3], np.where(image.indices == 0, 255, 0))


def test_several_transparent_entries_become_one():
    image = Image.fromarray(np.array([[0, 1, 2, 2]], np.uint8), mode="P")
    image.putpalette([255, 0, 0, 0, 255, 0, 9, 9, 9])
    image.info["transparency"] = bytes([0, 0, 255])
    indexed = as_indexed(image, 8)
    assert indexed.to_rgba()[..., 3].tolist() == [[0, 0, 255, 255]]
    assert PaletteAugmentation()(image).mode == "P"


@pytest.mark.parametrize("probability", [0, 1])
@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_no_chance_decides_on_the_mode(rng, mode, probability):
    image = Image.fromarray(picture(rng))
    deep = Image.fromarray(rng.integers(0, 65536, (5, 4)).astype(np.uint16))
    image = deep if mode == "I;16" else image.convert(mode)
    plain = "RGBA" if mode in ("LA", "RGBA") else "RGB"
    assert PaletteAugmentation(probability=probability)(image).mode == ("P" if mode == "P" else plain)
    assert PaletteAugmentation(colors=None, probability=probability)(image).mode == plain


def test_every_pixel_is_an_entry_of_one_of_the_palettes(rng):
    augment, seen = PaletteAugmentation([OtherPalettes(PALETTES)]), set()
    sets = [{tuple(color[:3]) for color in palette.colors.tolist()} for palette in PALETTES]
    for _ in range(20):
        used = {tuple(color) for color in augment(picture(rng)).reshape(-1, 3).tolist()}
        fits = [number for number, colors in enumerate(sets) if used <= colors]
        assert fits
        seen.update(fits)
    assert seen == {0, 1}


def test_transparency_stays_where_it_is(rng):
    palette = Palette.from_hex(["00000000", "ff0000", "00ff00"])
    image = IndexedImage(rng.integers(0, 3, (8, 8)).astype(np.uint8), palette)
    moved = OtherPalettes(PALETTES[:1])(image, rng)
    assert moved.palette == PALETTES[0].with_transparency()
    assert np.array_equal(moved.indices == 16, image.indices == 0)
    opaque = IndexedImage(np.ones((2, 2), np.uint8), palette)
    assert OtherPalettes(PALETTES[:1])(opaque, rng).palette == PALETTES[0]


def test_full_detail_keeps_more_colors_than_a_palette_has(rng):
    pixels = np.array(Image.fromarray(picture(rng)).resize((90, 90), Image.Resampling.BICUBIC))
    counts = [
        len(np.unique(PaletteAugmentation(colors=colors)(pixels).reshape(-1, 3), axis=0)) for colors in (None, 16)
    ]
    assert counts[0] > 1000
    assert counts[1] <= 16


def test_probability_is_the_share_of_changed_pictures(rng):
    pixels = picture(rng)
    augment = PaletteAugmentation(probability=0.3)
    changed = [not np.array_equal(augment(pixels), pixels) for _ in range(300)]
    assert 0.2 < np.mean(changed) < 0.4
    assert PaletteAugmentation(probability=0)(pixels) is pixels


class Copies(Dataset):
    """One gray picture many times, with its number."""

    def __init__(self, augment):
        self.augment = augment

    def __len__(self):
        return 8

    def __getitem__(self, number):
        return self.augment(torch.full((3, 4, 4), 120, dtype=torch.uint8), number)


def test_workers_draw_differently_and_a_seed_repeats_them():
    epochs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        loader = DataLoader(Copies(PaletteAugmentation([PaletteJitter(noise=0.1)])), batch_size=2, num_workers=2)
        batches = list(loader)
        assert torch.cat([numbers for _, numbers in batches]).tolist() == list(range(8))
        epochs.append(torch.cat([pictures for pictures, _ in batches]))
    assert len({tuple(one.flatten().tolist()) for one in epochs[0]}) == 8
    assert torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], epochs[2])


def test_it_pickles_with_all_its_ways(rng):
    augment = PaletteAugmentation(WAYS, colors=8)
    copied = pickle.loads(pickle.dumps(augment))
    results = []
    for transform in (augment, copied):
        torch.manual_seed(1)
        results.append([transform(picture(np.random.default_rng(2))) for _ in range(4)])
    assert np.array_equal(results[0], results[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PaletteAugmentation([]), "at least one"),
        (lambda: PaletteAugmentation(colors=1), "colors is 1"),
        (lambda: PaletteAugmentation(WAYS, colors=None), "only PaletteJitter"),
        (lambda: PaletteAugmentation(probability=2), "probability is 2"),
        (lambda: OtherPalettes([]), "at least one"),
        (lambda: OtherPalettes([Palette.from_hex(["00000000"])]), "opaque"),
        (lambda: PaletteAugmentation()(np.zeros((4, 4, 3))), "not float64"),
        (lambda: PaletteAugmentation()(torch.zeros(5, 4, 3, dtype=torch.uint8)), r"\[3 or 4, H, W\]"),
        (lambda: PaletteAugmentation()(torch.zeros(2, 3, 4, 4, dtype=torch.uint8)), r"not torch.uint8 \[2, 3, 4, 4\]"),
        (lambda: PaletteAugmentation()(np.zeros((4, 4), np.uint8)), r"not uint8 \[4, 4\]"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
