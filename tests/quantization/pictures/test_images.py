import errno
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.pictures.reading import read_image


def test_a_16_bit_grey_is_scaled_not_clipped(tmp_path):
    Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], np.uint16)).save(tmp_path / "g.png")
    assert read_image(tmp_path / "g.png")[0, :, 0].tolist() == [0, 128, 255]


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (4, 2), "red")
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    image.save(tmp_path / "o.jpg", exif=exif)
    assert read_image(tmp_path / "o.jpg").shape == (4, 2, 4)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_becomes_rgba(tmp_path, mode):
    path = tmp_path / ("i.tif" if mode == "CMYK" else "i.png")
    Image.new(mode, (3, 2)).save(path)
    pixels = read_image(path)
    assert pixels.shape == (2, 3, 4)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("keep", [8, 40, 100])
def test_a_truncated_picture_is_named(tmp_path, rng, keep):
    path = tmp_path / "cut.png"
    Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"cut\.png"):
        read_image(path)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    Image.new("1", (200, 200)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="too many pixels"):
        read_image(tmp_path / "bomb.png")


def test_a_16_bit_grey_with_a_transparent_value_keeps_it_transparent(tmp_path):
    image = Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], np.uint16))
    image.save(tmp_path / "g.png", transparency=0x8000)
    assert read_image(tmp_path / "g.png")[0, :, 3].tolist() == [255, 0, 255]


def gray_png(values, depth, transparent):
    """A PNG of one row of grays, which Pillow doesn't write in 2 and 4 bits."""
    bits = "".join(f"{value:0{depth}b}" for value in values)
    row = int(bits.ljust(-len(bits) % 8 + len(bits), "0"), 2).to_bytes((len(bits) + 7) // 8, "big")
    header = struct.pack(">IIBBBBB", len(values), 1, depth, 0, 0, 0, 0)
    return png(header, (b"tRNS", struct.pack(">H", transparent)), b"\0" + row)


def png(header, extra, rows):
    """A PNG file of these parts."""
    chunks = [(b"IHDR", header), extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_gray_of_every_depth_is_transparent_and_no_other(tmp_path, depth):
    largest = 2**depth - 1
    values = sorted({0, 1, largest // 3, largest // 2, largest - 1, largest})
    for transparent in values:
        (tmp_path / "g.png").write_bytes(gray_png(values, depth, transparent))
        pixels = read_image(tmp_path / "g.png")
        assert pixels[0, :, 3].tolist() == [255 * (value != transparent) for value in values]
        assert pixels[0, :, 0].tolist() == [value >> 8 if depth == 16 else value * 255 // largest for value in values]


def png_of_16_bits(colors, transparent):
    """A PNG of one row of RGB, which Pillow doesn't write in 16 bits."""
    row = b"\0" + np.array(colors, ">u2").tobytes()
    header = struct.pack(">IIBBBBB", len(colors), 1, 16, 2, 0, 0, 0)
    return png(header, (b"tRNS", np.array(transparent, ">u2").tobytes()), row)


def test_the_transparent_color_of_16_bits_is_transparent(tmp_path):
    colors = [[0x1234, 0x5678, 0x9ABC], [0x1334, 0x5678, 0x9ABC]]
    (tmp_path / "c.png").write_bytes(png_of_16_bits(colors, colors[0]))
    assert read_image(tmp_path / "c.png").tolist() == [[[0x12, 0x56, 0x9A, 0], [0x13, 0x56, 0x9A, 255]]]


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_values_of_32_bits_are_refused_rather_than_taken_for_black(tmp_path, kind):
    Image.fromarray(np.array([[0, 1], [128, 255]], kind)).save(tmp_path / "f.tif")
    with pytest.raises(InputError, match=r"f\.tif has 32 bits for each value"):
        read_image(tmp_path / "f.tif")


def test_grey_with_alpha_keeps_its_alpha(tmp_path):
    Image.fromarray(np.array([[[7, 0], [9, 255]]], np.uint8), mode="LA").save(tmp_path / "g.png")
    assert read_image(tmp_path / "g.png").tolist() == [[[7, 7, 7, 0], [9, 9, 9, 255]]]


def test_cmyk_ink_darkens(tmp_path):
    Image.new("CMYK", (2, 2), (0, 255, 255, 0)).save(tmp_path / "i.jpg", quality=100)
    red = read_image(tmp_path / "i.jpg")[0, 0]
    assert red[0] > 200 > 60 > red[1:3].max()


def test_a_file_that_may_not_be_read_is_not_called_broken(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    Image.new("L", (2, 2)).save(tmp_path / "i.png")
    monkeypatch.setattr(Image, "open", refuse)  # root may read anything
    with pytest.raises(InputError, match=r"i\.png can't be read: Permission denied$"):
        read_image(tmp_path / "i.png")


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)
