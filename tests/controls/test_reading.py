import logging

import numpy as np
import pytest
import torch
from PIL import Image

from tincture.common.errors import InputError
from tincture.controls.command import Start, Style, read_margins
from tincture.controls.proportions import Proportions
from tincture.controls.reading import (
    read_indices,
    read_mask,
    read_start,
    read_style,
    read_target,
    resized,
    with_margins,
)
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import read_image

PALETTE = Palette.from_hex(["ff0000", "00ff00", "ff0000", "00000000"])  # with a duplicate


def test_an_indexed_picture_keeps_its_indices_bit_for_bit(tmp_path, rng, caplog):
    caplog.set_level(logging.INFO)
    indices = rng.integers(0, 4, (5, 6), np.uint8)
    IndexedImage(indices, PALETTE).save(tmp_path / "own.png")
    assert np.array_equal(read_indices(tmp_path / "own.png", PALETTE), indices)
    longer = Palette(np.concatenate([PALETTE.colors, [[1, 2, 3, 255]]]).astype(np.uint8))
    assert np.array_equal(read_indices(tmp_path / "own.png", longer), indices)
    assert not caplog.records


def test_other_colors_go_to_the_nearest_entry_and_the_log_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    Image.fromarray(np.array([[[250, 0, 0, 255], [0, 255, 0, 255], [9, 9, 9, 0]]], np.uint8)).save(tmp_path / "a.png")
    assert read_indices(tmp_path / "a.png", PALETTE).tolist() == [[0, 1, 3]]
    assert "1 of 3 pixels are not in the palette" in caplog.text


def test_a_half_transparent_color_is_itself_where_the_palette_has_it(tmp_path, caplog):
    """The shadow of an icon: shades of one color that differ in alpha alone."""
    caplog.set_level(logging.INFO)
    rows = np.array([[0, 0, 0, 100], [0, 0, 0, 200], [255, 0, 0, 255], [9, 9, 9, 0]], np.uint8)
    pixels = np.repeat(rows[:, None], 4, axis=1)
    Image.fromarray(pixels).save(tmp_path / "shadow.png")
    for palette in (read_palette(tmp_path / "shadow.png"), Palette(rows[[2, 0, 3, 1, 0]])):
        back = palette.colors[read_indices(tmp_path / "shadow.png", palette)]
        assert np.array_equal(back[:3], pixels[:3])
        assert (back[3, :, 3] == 0).all()
    assert not caplog.records
    without = Palette(rows[[1, 2]])
    assert read_indices(tmp_path / "shadow.png", without)[1:3].tolist() == [[0] * 4, [1] * 4]
    assert "8 of 16 pixels are not in the palette" in caplog.text


def test_proportions_count_half_transparent_entries_as_they_are(tmp_path):
    palette = Palette.from_hex(["000000", "ff0000", "00ff0064", "00000000"])
    image = IndexedImage(np.repeat(np.array([[0, 1, 2, 2, 2, 2, 2, 2]], np.uint8), 8, axis=0), palette)
    image.save(tmp_path / "soft.png")
    shares = read_style(Style(tmp_path / "soft.png"), palette).shares
    torch.testing.assert_close(shares, Proportions.of(image).shares, equal_nan=True)
    assert shares[0, 2] == 0.75


def test_white_is_drawn_anew(tmp_path):
    picture = tmp_path / "picture.png"
    Image.new("RGB", (4, 1)).save(picture)
    Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8)).save(tmp_path / "grey.png")
    assert read_mask(tmp_path / "grey.png", picture, 1, 4).tolist() == [[False, False, True, True]]
    Image.fromarray(np.array([[0, 32767, 32768, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read_mask(tmp_path / "deep.png", picture, 1, 4).tolist() == [[False, False, True, True]]
    Image.new("1", (4, 1), 0).save(tmp_path / "black.png")
    with pytest.raises(InputError, match="no white pixel"):
        read_mask(tmp_path / "black.png", picture, 1, 4)
    with pytest.raises(InputError, match="is 4×1 pixels; the image is 5×1"):
        read_mask(tmp_path / "grey.png", picture, 1, 5)


CLEAR, WHITE, BLACK, RED = (0, 0, 0, 0), (255, 255, 255, 255), (0, 0, 0, 255), (230, 20, 20, 255)


def picture_of(pixels):
    return Image.fromarray(np.array([pixels], np.uint8))


@pytest.mark.parametrize(
    "mask",
    [
        picture_of([WHITE, CLEAR, CLEAR, WHITE]),
        picture_of([BLACK, CLEAR, CLEAR, BLACK]),
        picture_of([WHITE, (255, 255, 255, 0), (255, 255, 255, 100), (250, 250, 250, 180)]),
        picture_of([RED, CLEAR, CLEAR, WHITE]),  # the picture itself, a part of which is erased
        picture_of([BLACK, CLEAR, CLEAR, RED]),
        picture_of([WHITE, CLEAR, CLEAR, WHITE]).convert("LA"),
        IndexedImage(np.array([[0, 1, 1, 0]], np.uint8), Palette.from_hex(["ffffff", "00000000"])).to_pil(),
        IndexedImage(np.array([[1, 0, 0, 1]], np.uint8), Palette.from_hex(["ffffff00", "000000"])).to_pil(),
    ],
)
def test_the_holes_of_a_mask_are_drawn_anew(tmp_path, caplog, mask):
    caplog.set_level(logging.INFO)
    mask.save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", tmp_path / "mask.png", 1, 4).tolist() == [[False, True, True, False]]
    assert "has holes: these are drawn anew" in caplog.text


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1"])
def test_a_mask_without_holes_is_read_by_its_lightness_as_ever(tmp_path, mode):
    picture_of([WHITE, BLACK, BLACK, WHITE]).convert(mode).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", tmp_path / "mask.png", 1, 4).tolist() == [[True, False, False, True]]


@pytest.mark.parametrize(
    "pixels",
    [
        [WHITE, CLEAR, BLACK, BLACK],
        [WHITE, (9, 9, 9, 127), BLACK, BLACK],
        [(140, 140, 150, 255), CLEAR, (99, 99, 99, 255)],
    ],
)
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_mask_that_could_mean_either_is_refused(tmp_path, pixels, mode):
    picture_of(pixels).convert(mode).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="has holes and is black and white around them"):
        read_mask(tmp_path / "mask.png", tmp_path / "mask.png", 1, len(pixels))


def as_stored(upright, orientation):
    """The pixels that a camera stores which is held so: what EXIF's orientation turns upright."""
    stored = {5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE}
    stored |= {8: Image.Transpose.ROTATE_270, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180}
    stored |= {1: None, 4: Image.Transpose.FLIP_TOP_BOTTOM}
    return upright if stored[orientation] is None else upright.transpose(stored[orientation])


def save_turned(upright, path, orientation):
    stored = as_stored(upright, orientation)
    exif = stored.getexif()
    exif[0x0112] = orientation
    stored.save(path, exif=exif, **({"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}))


def upright_pair():
    """A picture that is red where its mask is white, 3 pixels wide and 2 high."""
    mask = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    picture = np.where(mask[..., None] > 0, np.uint8([200, 0, 0]), np.uint8([0, 0, 200]))
    return Image.fromarray(picture), Image.fromarray(mask)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["as stored", "upright", "with a tag of its own"])
def test_a_mask_is_turned_with_its_picture(tmp_path, suffix, orientation, kind):
    picture, mask = upright_pair()
    picture, mask = (image.resize((24, 16), Image.Resampling.NEAREST) for image in (picture, mask))
    save_turned(picture, tmp_path / f"picture{suffix}", orientation)
    save_turned(mask, tmp_path / "mask.png", orientation if kind == "with a tag of its own" else 1)
    if kind == "as stored":
        as_stored(mask, orientation).save(tmp_path / "mask.png")
    palette = Palette.from_hex(["c80000", "0000c8"])
    start = read_start(Start(tmp_path / f"picture{suffix}", tmp_path / "mask.png"), palette)
    assert start.indices.shape == (1, 16, 24)
    is_red = start.indices[0] == 0
    assert torch.equal(is_red, torch.from_numpy(np.asarray(mask) > 0))
    assert torch.equal(start.keep.squeeze(), ~is_red)


@pytest.mark.parametrize(("orientation", "size"), [(6, (2, 2)), (3, (3, 2)), (2, (3, 2)), (8, (5, 5))])
def test_a_mask_whose_size_does_not_say_how_it_lies_is_refused(tmp_path, orientation, size):
    picture = Image.new("RGB", size, "red")
    save_turned(picture, tmp_path / "picture.png", orientation)
    mask = Image.new("L", size, 255)
    mask.putpixel((0, 0), 0)
    mask.save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="before or after that: save the picture upright"):
        read_start(Start(tmp_path / "picture.png", tmp_path / "mask.png"), Palette.from_hex(["ff0000", "000000"]))
    save_turned(mask, tmp_path / "mask.png", orientation)  # its own tag says it
    start = read_start(Start(tmp_path / "picture.png", tmp_path / "mask.png"), Palette.from_hex(["ff0000", "000000"]))
    assert np.array_equal(start.keep[0], read_image(tmp_path / "mask.png")[..., 0] == 0)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_mask_that_fits_neither_way_is_refused(tmp_path, orientation):
    save_turned(Image.new("RGB", (3, 2)), tmp_path / "picture.png", orientation)
    Image.new("L", (4, 2), 255).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="is 4×2 pixels; the image is 3×2"):
        read_start(Start(tmp_path / "picture.png", tmp_path / "mask.png"), Palette.from_hex(["ff0000", "000000"]))


@pytest.mark.parametrize("orientation", [1, 5, 6, 7, 8])
def test_a_target_is_turned_with_the_picture_to_start_from(tmp_path, orientation):
    picture, grey = upright_pair()
    save_turned(picture, tmp_path / "picture.png", orientation)
    as_stored(grey, orientation).save(tmp_path / "grey.png")
    pixels = read_target(tmp_path / "grey.png", 2, 3, tmp_path / "picture.png")
    assert np.array_equal(pixels[..., 0], np.asarray(grey))


def test_shrinking_averages_areas_without_the_color_of_transparent_pixels():
    pixels = np.array([[[200, 0, 0, 255], [0, 255, 0, 0]], [[100, 0, 0, 255], [0, 255, 0, 0]]], np.uint8)
    assert resized(pixels, None, None) is pixels
    assert np.abs(resized(pixels, 1, None)[0, 0].astype(int) - [150, 0, 0, 128]).max() <= 1
    assert resized(pixels, 1, 2)[0].tolist() == [[150, 0, 0, 255], [0, 0, 0, 0]]
    assert resized(np.zeros((6, 4, 4), np.uint8), None, 2).shape == (3, 2, 4)


def test_margins_are_left_top_right_bottom():
    grown = with_margins(np.ones((2, 2), np.uint8), read_margins("1,2,3,0"), 0)
    assert grown.shape == (4, 6)
    assert grown[2:, 1:3].all()
    assert grown.sum() == 4


@pytest.mark.parametrize("text", ["1,2,3", "0,0,0,0", "1,2,3,-1", "1,2,3,x", ""])
def test_wrong_margins_are_refused(text):
    with pytest.raises(InputError, match="LEFT,TOP,RIGHT,BOTTOM"):
        read_margins(text)
