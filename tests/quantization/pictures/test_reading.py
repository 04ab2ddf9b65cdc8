import errno
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from tincture.common.errors import InputError
from tincture.quantization.pictures.indexed_image import IndexedImage
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


def tiff(photometric, bits, row, width, order="<", compression=1, samples=1, extra=None):
    """A TIFF of one row, strip by strip as scanners write it."""
    data = row if compression == 1 else zlib.compress(row)
    tags = {256: width, 257: 1, 258: bits, 259: compression, 262: photometric, 273: 0, 277: samples, 278: 1}
    tags |= {279: len(data)} | ({} if extra is None else {338: extra})
    start = 8 + 2 + 12 * len(tags) + 4
    tags[273] = start
    counts = {258: samples}  # up to two numbers of 16 bits fit into the tag itself
    fields = []
    for tag, value in sorted(tags.items()):
        kind = "I" if tag in (256, 257, 273, 278, 279) else "H"
        values = struct.pack(f"{order}{counts.get(tag, 1)}{kind}", *[value] * counts.get(tag, 1))
        fields.append(
            struct.pack(f"{order}HHI", tag, 4 if kind == "I" else 3, counts.get(tag, 1)) + values.ljust(4, b"\0")
        )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(fields))
    return head + b"".join(fields) + bytes(4) + data


WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1


@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_the_grays_of_a_tiff_are_right_whichever_end_is_white(tmp_path, bits, compression, photometric):
    largest = 2**bits - 1
    values = [0, largest // 3, largest // 2, largest]
    digits = "".join(f"{value:0{bits}b}" for value in values)
    row = bytes(int(digits[place : place + 8].ljust(8, "0"), 2) for place in range(0, len(digits), 8))
    row = np.array(values, "<u2").tobytes() if bits == 16 else row
    (tmp_path / "g.tif").write_bytes(tiff(photometric, bits, row, 4, compression=compression))
    if (bits, photometric) == (12, WHITE_IS_ZERO):
        with pytest.raises(InputError, match="is not an image that can be read"):
            read_image(tmp_path / "g.tif")
        return
    shown = np.array(values) * 255 / largest
    shown = shown if photometric == BLACK_IS_ZERO else 255 - shown
    assert np.abs(read_image(tmp_path / "g.tif")[0, :, 0] - shown).max() <= 1


def test_a_16_bit_tiff_of_the_other_byte_order_is_right_or_refused(tmp_path):
    row = np.array([0, 0x5555, 0xFFFF], ">u2").tobytes()
    (tmp_path / "g.tif").write_bytes(tiff(BLACK_IS_ZERO, 16, row, 3, ">"))
    assert read_image(tmp_path / "g.tif")[0, :, 0].tolist() == [0, 85, 255]
    (tmp_path / "g.tif").write_bytes(tiff(WHITE_IS_ZERO, 16, row, 3, ">"))
    with pytest.raises(InputError, match="is not an image that can be read"):
        read_image(tmp_path / "g.tif")


@pytest.mark.parametrize(("extra", "gray"), [(1, 199), (2, 100)])
def test_a_gray_tiff_with_alpha_is_read_whether_multiplied_or_not(tmp_path, extra, gray):
    (tmp_path / "g.tif").write_bytes(tiff(BLACK_IS_ZERO, 8, bytes([100, 128]), 1, samples=2, extra=extra))
    assert read_image(tmp_path / "g.tif").tolist() == [[[gray, gray, gray, 128]]]


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


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3_PRIMARIES = {
    b"rXYZ": (0.5151, 0.2412, -0.0011),
    b"gXYZ": (0.2920, 0.6922, 0.0419),
    b"bXYZ": (0.1571, 0.0666, 0.7841),
}
P3_TO_SRGB = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])


def s15_16(values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def display_p3():
    """SRGB's profile with the primaries of Display P3, adapted to D50."""
    data = bytearray(SRGB)
    for tag in range(struct.unpack(">I", data[128:132])[0]):
        name, offset, _ = struct.unpack(">4sII", data[132 + 12 * tag : 144 + 12 * tag])
        if name in P3_PRIMARIES:
            data[offset + 8 : offset + 20] = s15_16(P3_PRIMARIES[name])
    return bytes(data)


def cmyk_profile():
    """A printer whose cyan ink is olive, Lab (50, 0, 60), and whose other inks are black."""
    corners = [(255, 128, 128) if not inks else (128, 128, 188) if inks == 8 else (0, 128, 128) for inks in range(16)]
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + s15_16([1, 0, 0, 0, 1, 0, 0, 0, 1])
    lut += bytes(range(256)) * 4 + bytes(sum(corners, ())) + bytes(range(256)) * 3
    white = b"XYZ " + bytes(4) + s15_16([0.9642, 1, 0.8249])
    lut += bytes(-len(lut) % 4)
    table = struct.pack(">I", 2) + b"".join(
        struct.pack(">4sII", name, offset, size)
        for name, offset, size in ((b"A2B0", 156, len(lut)), (b"wtpt", 156 + len(lut), len(white)))
    )
    header = struct.pack(">I4sI4s4s4s", 156 + len(lut) + len(white), bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ")
    header += bytes(12) + b"acsp" + bytes(28) + s15_16([0.9642, 1, 0.8249])
    return header.ljust(128, b"\0") + table + lut + white


def linear(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [(mode, suffix) for mode in ("RGB", "RGBA") for suffix in ("png", "webp", "tif")] + [("P", "png")],
)
def test_display_p3_becomes_srgb_and_alpha_stays(tmp_path, mode, suffix):
    color = np.array([170, 110, 90])
    image = Image.new("RGBA", (3, 3), (*map(int, color), 255))
    if mode == "RGBA":
        image.putpixel((0, 0), (170, 110, 90, 7))
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    image.convert(mode).save(tmp_path / f"i.{suffix}", icc_profile=display_p3(), **options)
    pixels = read_image(tmp_path / f"i.{suffix}")
    np.testing.assert_allclose(linear(pixels[1, 1, :3] / 255), P3_TO_SRGB @ linear(color / 255), atol=0.006)
    assert abs(int(pixels[1, 1, 0]) - 170) > 5
    assert pixels[0, 0, 3] == (7 if mode == "RGBA" else 255)
    if mode == "P":  # the index map that is taken over has the colors that are shown
        assert np.array_equal(IndexedImage.load(tmp_path / "i.png").to_rgba(), pixels)


def test_an_srgb_profile_changes_no_byte(tmp_path, rng):
    pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "i.png", icc_profile=SRGB)
    assert np.array_equal(read_image(tmp_path / "i.png")[..., :3], pixels)


def test_cmyk_is_read_through_its_own_profile(tmp_path):
    Image.new("CMYK", (2, 1), (255, 0, 0, 0)).save(tmp_path / "i.tif", icc_profile=cmyk_profile())
    red, green, blue = read_image(tmp_path / "i.tif")[0, 0, :3].astype(int)
    assert abs(red - green) < 40
    assert min(red, green) > blue + 60  # olive, not cyan


def test_a_transparent_value_is_found_before_colors_change(tmp_path):
    image = Image.new("RGB", (2, 1), (170, 110, 90))
    image.putpixel((1, 0), (1, 2, 3))
    image.save(tmp_path / "i.png", icc_profile=display_p3(), transparency=(1, 2, 3))
    assert read_image(tmp_path / "i.png")[0, :, 3].tolist() == [255, 0]


@pytest.mark.parametrize("name", ["broken", "cut", "LAB", "XYZ", "CMYK"])
def test_a_broken_profile_or_one_of_another_kind_is_ignored(tmp_path, name):
    profiles = {"broken": b"no profile", "cut": display_p3()[:200], "CMYK": cmyk_profile()}
    profile = profiles.get(name) or ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()
    Image.new("RGB", (2, 2), (170, 110, 90)).save(tmp_path / "i.png", icc_profile=profile)
    assert read_image(tmp_path / "i.png")[0, 0].tolist() == [170, 110, 90, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "LAB"])
def test_every_mode_survives_every_profile(tmp_path, mode):
    for profile in (SRGB, display_p3(), cmyk_profile(), b"broken"):
        image = Image.new(mode, (3, 2))
        image.save(tmp_path / "i.tif", icc_profile=profile)
        assert read_image(tmp_path / "i.tif").shape == (2, 3, 4)
