"""Readers against files that are damaged at random, by seed: each gives a result or one
InputError, soon, and nothing else.
"""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.palettes.files import READERS, WRITERS, read_palette, write_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.animation import read_animation
from tincture.quantization.pictures.reading import read_image
from tincture.tests.mutations import MUTATIONS, damaged
from tincture.tests.palettes import check_damaged_palettes


def with_valid_checksums(png):
    """A damaged PNG whose chunks' checksums are right again, so that damage reaches the decoder."""
    out, place = bytearray(png[:8]), 8
    while place + 12 <= len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        body = png[place + 4 : place + 8 + length]
        out += png[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return bytes(out + png[place:])


def pictures():
    """A small picture in each format, still and animated."""
    rng = np.random.default_rng(0)
    still = Image.fromarray(rng.integers(0, 256, (24, 17, 3), np.uint8))
    frames = [Image.fromarray(rng.integers(0, 256, (9, 9, 4), np.uint8)) for _ in range(3)]
    files = {}
    for name, image, options in (
        ("a.png", still, {}),
        ("a.jpg", still, {}),
        ("a.webp", still, {}),
        ("a.bmp", still, {}),
        ("a.tif", still, {"compression": "tiff_lzw"}),
        ("p.png", still.quantize(7), {"transparency": 3}),
        ("g.gif", frames[0], {"save_all": True, "append_images": frames[1:]}),
        ("n.png", frames[0], {"save_all": True, "append_images": frames[1:]}),
        ("n.webp", frames[0], {"save_all": True, "append_images": frames[1:]}),
    ):
        buffer = io.BytesIO()
        image.save(
            buffer,
            format=None if "." not in name else Image.registered_extensions()[name[name.index(".") :]],
            **options,
        )
        files[name] = buffer.getvalue()
    return files


@pytest.mark.parametrize("name", pictures())
def test_a_damaged_picture_is_read_or_named(tmp_path, monkeypatch, name):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000_000)  # a damaged size may ask for gigabytes
    content, chance, path = pictures()[name], random.Random(name), tmp_path / name
    path.write_bytes(content)
    read_image(path)
    outcomes = set()
    for number in range(MUTATIONS):
        data = damaged(content, chance)
        if name.endswith(".png") and number % 2:
            data = with_valid_checksums(data)
        path.write_bytes(data)
        for read in (read_image, read_animation):
            try:
                read(path)
                outcomes.add("read")
            except InputError as error:
                assert len(str(error)) < 500, error
                outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.parametrize("suffix", [suffix for suffix in WRITERS if suffix != ".png"])
def test_a_damaged_palette_file_is_read_or_named(tmp_path, suffix):
    path, chance = tmp_path / f"palette{suffix}", random.Random(suffix)
    write_palette(Palette.from_hex(["000000", "ff8000", "00ff80", "ffffff", "123456"]), path)
    content = path.read_bytes()
    check_damaged_palettes(path, content, chance)


HEADS = {
    ".gpl": ["GIMP Palette\n", "GIMP Palette\nChannels: RGBA\n"],
    ".pal": ["JASC-PAL\n0100\n2\n", "JASC-PAL\n0100\n"],
    ".txt": ["; paint.net Palette File\n"],
}
NUMBERS = st.one_of(
    st.integers(-1, 300).map(str), st.sampled_from(["9" * 99, "٣", "²", "1e9", "0x1", "NaN", "-", "0" * 99])
)
HEX = st.text("0123456789abcdefABCDEF#", max_size=10)
LINES = st.one_of(
    st.lists(NUMBERS, max_size=5).map(" ".join), st.tuples(HEX, HEX).map(";".join), HEX, st.text(max_size=20)
)
BLOCKS = st.tuples(
    st.sampled_from([0x0001, 0xC001, 0xC002, 0xFFFF]),
    st.integers(0, 2**32 - 1) | st.none(),
    st.sampled_from([b"RGB ", b"CMYK", b"LAB ", b"Gray", b"HSV "]),
    st.lists(st.floats(width=32), max_size=5),
)


def swatch_exchange(count, blocks):
    """An `.ase` file that announces ``count`` blocks, each of which may announce a length that it
    doesn't have.
    """
    data = b"ASEF" + struct.pack(">HHI", 1, 0, count)
    for kind, length, model, values in blocks:
        body = struct.pack(">H", 1) + b"\0\0" + model + struct.pack(f">{len(values)}f", *values) + b"\0\2"
        data += struct.pack(">HI", kind, len(body) if length is None else length) + body
    return data


BINARIES = {
    ".act": st.sampled_from([768, 772]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    ".ase": st.builds(swatch_exchange, st.integers(0, 300) | st.integers(0, 2**32 - 1), st.lists(BLOCKS, max_size=20)),
}


@st.composite
def palette_files(draw):
    """A suffix, and what almost is a file of that format."""
    suffix = draw(st.sampled_from([suffix for suffix in WRITERS if suffix != ".png"]))
    if suffix in BINARIES:
        return suffix, draw(BINARIES[suffix] | st.binary(max_size=1000))
    head, end = draw(st.sampled_from(["", "\ufeff", *HEADS.get(suffix, [])])), draw(st.sampled_from("\n\r\x85\u2028"))
    good = "1 2 3" if suffix in (".gpl", ".pal") else "0088ff"
    lines = [good] * draw(st.integers(0, 3)) + draw(st.lists(LINES, max_size=3))  # the first bad line ends the reading
    return suffix, (head + end.join(lines)).encode(errors="replace")


@settings(max_examples=MUTATIONS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(palette_files())
def test_what_is_read_as_a_palette_is_one_and_can_be_written(tmp_path, file):
    suffix, content = file
    path, again = tmp_path / f"palette{suffix}", tmp_path / "again.hex"
    path.write_bytes(content)
    try:
        palette = read_palette(path)
    except InputError as error:
        assert len(str(error)) < 6000, error
        return
    write_palette(palette, again)
    assert read_palette(again) == palette


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("long.gpl", "GIMP Palette\n" + " ".join(["9" * 5000] * 3)),
        ("long.pal", "JASC-PAL\n0100\n" + "9" * 5000 + "\n1 2 3\n4 5 6"),
        ("large.hex", "000000\n" * 1_000_000),
        ("large.ase", "ASEF" * 2_000_000),
    ],
)
def test_numbers_and_files_beyond_all_measure_are_named(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        read_palette(tmp_path / name)


@pytest.mark.parametrize("suffix", READERS)
def test_noise_and_other_formats_under_any_name_are_named(tmp_path, suffix):
    path, chance = tmp_path / f"x{suffix}", random.Random(suffix)
    for content in (b"", b"\0" * 100, b"\xff\xfe" * 50, chance.randbytes(1000), b"%PDF-1.7\n", *pictures().values()):
        path.write_bytes(content)
        try:
            assert 1 <= len(read_palette(path)) <= 256
        except InputError as error:
            assert len(str(error)) < 500, error


@pytest.mark.parametrize(
    "name", ["new\nline.png", "sp ace.png", "Ünïcödé-画像-🎨.png", "-dash.png", "quote'\".png", "a" * 200 + ".png"]
)
def test_names_of_any_kind_are_read_and_named_in_one_line(tmp_path, name):
    path = tmp_path / name
    Image.new("RGB", (3, 2), "red").save(path)
    assert read_image(path).shape == (2, 3, 4)
    path.write_bytes(b"broken")
    with pytest.raises(InputError, match="not an image"):
        read_image(path)


@pytest.mark.parametrize(("width", "height"), [(65535, 1), (1, 65535)])
def test_a_long_thin_picture_is_read(tmp_path, width, height):
    Image.new("RGB", (width, height), "blue").save(tmp_path / "long.png")
    assert read_image(tmp_path / "long.png").shape == (height, width, 4)


def test_a_picture_without_pixels_is_named(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 0, 0, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b""), b"IEND"]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )
    (tmp_path / "empty.png").write_bytes(data)
    with pytest.raises(InputError, match=r"empty\.png"):
        read_image(tmp_path / "empty.png")
