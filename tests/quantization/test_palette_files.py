import numpy as np
import pytest
from PIL import Image

from quantization.errors import InputError
from quantization.indexed_image import IndexedImage
from quantization.palette import Palette
from quantization.palette_files import named_palettes, read_palette, write_palette


@pytest.mark.parametrize("name", named_palettes())
def test_every_named_palette_can_be_drawn_with(name):
    assert 2 <= len(read_palette(name)) <= 256


def test_pico_8_is_pico_8():
    palette = read_palette("pico-8").to_hex()
    assert len(palette) == 16
    assert palette[:2] + palette[8:9] == ["000000", "1d2b53", "ff004d"]


def test_hex_round_trip(tmp_path):
    palette = Palette.from_hex(["ff0000", "000000", "ff0000", "00000000"])
    write_palette(palette, tmp_path / "p.hex")
    assert read_palette(tmp_path / "p.hex") == palette


@pytest.mark.parametrize("text", ["\ufeffff0000\r\n00ff00\r\n", "FF0000\n00FF00", "#ff0000\n\n#00ff00\n"])
def test_hex_files_as_other_programs_write_them(tmp_path, text):
    (tmp_path / "p.hex").write_bytes(text.encode())
    assert read_palette(tmp_path / "p.hex").to_hex() == ["ff0000", "00ff00"]


def test_an_indexed_image_gives_its_palette_in_order(tmp_path):
    palette = Palette.from_hex(["445566", "112233", "445566", "00000000", "abcdef"])
    IndexedImage(np.zeros((2, 2), np.uint8), palette).save(tmp_path / "p.png")
    assert read_palette(tmp_path / "p.png") == palette


def test_a_true_color_image_gives_its_colors_as_they_appear(tmp_path):
    pixels = np.array([[[9, 9, 9, 255], [1, 2, 3, 255]], [[50, 60, 70, 0], [80, 90, 100, 0]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    assert read_palette(tmp_path / "p.png").to_hex() == ["090909", "010203", "00000000"]


def test_a_picture_of_too_many_colors_is_refused(tmp_path, rng):
    Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(tmp_path / "p.png")
    with pytest.raises(InputError, match="quantize it first"):
        read_palette(tmp_path / "p.png")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.hex", None, "neither a file nor one of the names"),
        ("p.xyz", b"", "ends in one of"),
        ("p.hex", b"\xff\xfe\x00\x01", "not a text file"),
        ("p.hex", b"", "not 0"),
        ("p.hex", b"000000\n" * 300, "not 300"),
        ("p.png", b"not a picture", "not an image"),
    ],
)
def test_wrong_files_are_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_palette(tmp_path / name)
    assert name in str(error.value)
