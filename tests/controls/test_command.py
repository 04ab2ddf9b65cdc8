import logging

import numpy as np
import pytest
import torch
from PIL import Image

from tincture.common.errors import InputError
from tincture.controls.command import Style, read_indices, read_margins, read_mask, resized, with_margins
from tincture.controls.proportions import Proportions
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

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
    shares = Style(tmp_path / "soft.png").read(palette).shares
    torch.testing.assert_close(shares, Proportions.of(image).shares, equal_nan=True)
    assert shares[0, 2] == 0.75


def test_white_is_drawn_anew(tmp_path):
    Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8)).save(tmp_path / "grey.png")
    assert read_mask(tmp_path / "grey.png", 1, 4).tolist() == [[False, False, True, True]]
    Image.fromarray(np.array([[0, 32767, 32768, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read_mask(tmp_path / "deep.png", 1, 4).tolist() == [[False, False, True, True]]
    Image.new("1", (4, 1), 0).save(tmp_path / "black.png")
    with pytest.raises(InputError, match="no white pixel"):
        read_mask(tmp_path / "black.png", 1, 4)
    with pytest.raises(InputError, match="is 4×1 pixels; the image is 5×1"):
        read_mask(tmp_path / "grey.png", 1, 5)


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
