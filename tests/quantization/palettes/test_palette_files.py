import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.palettes.files import (
    READERS,
    WRITERS,
    named_palettes,
    read_palette,
    read_palette_folder,
    write_palette,
)
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

RED_GREEN = ["ff0000", "00ff00"]


@pytest.mark.parametrize("name", named_palettes())
def test_every_named_palette_can_be_drawn_with(name):
    palette = read_palette(name)
    assert 2 <= len(palette) <= 256
    assert len(set(palette.to_hex())) == len(palette)
    assert palette.transparent is None


def test_there_are_palettes_of_the_machines_that_people_draw_for():
    machines = {"commodore64", "color-graphics-adapter", "zx-spectrum", "nintendo-entertainment-system", "e-paper-7"}
    artists = {"pico-8", "sweetie-16", "endesga-32", "dawnbringer-16", "dawnbringer-32", "web-safe-216"}
    assert machines | artists <= set(named_palettes())
    sizes = {"web-safe-216": 216, "rgb-332": 256, "nintendo-entertainment-system": 55, "dawnbringer-32": 32}
    assert {name: len(read_palette(name)) for name in sizes} == sizes


def test_pico_8_is_pico_8():
    palette = read_palette("pico-8").to_hex()
    assert len(palette) == 16
    assert palette[:2] + palette[8:9] == ["000000", "1d2b53", "ff004d"]


def test_every_format_that_is_written_is_read():
    assert set(WRITERS) <= set(READERS)


KINDS = {"opaque": set(WRITERS), "one transparent entry": set(WRITERS) - {".pal", ".ase"}}
KINDS["any alpha"] = KINDS["one transparent entry"] - {".act"}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 256), st.sampled_from(list(KINDS)), st.sampled_from(sorted(WRITERS)))
def test_round_trip_or_a_clear_refusal(tmp_path_factory, seed, entries, kind, suffix):
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 256, (entries, 4), np.uint8)
    colors[:, 3] = rng.integers(1, 255, entries) if kind == "any alpha" else 255
    if kind == "one transparent entry":
        colors[rng.integers(entries), 3] = 0
    palette, path = Palette(colors), tmp_path_factory.getbasetemp() / f"p{suffix}"
    if suffix in KINDS[kind]:
        write_palette(palette, path)
        assert read_palette(path) == palette
    else:
        path.unlink(missing_ok=True)
        with pytest.raises(InputError, match="transparen"):
            write_palette(palette, path)
        assert not path.exists()


GPL = "GIMP Palette\nName: Two\nColumns: 2\n# a comment\n255   0   0\tRed\n  0 255   0\tUntitled #2\n"
ASEPRITE = "GIMP Palette\nChannels: RGBA\n#\n255   0   0 255\tff0000ff\n  0 255   0 255\tUntitled\n"
JASC = "JASC-PAL\r\n0100\r\n2\r\n255 0 0\r\n0 255 0\r\n"
PAINT_NET = "; paint.net Palette File\r\n; Lines that start with a semicolon are comments\r\n\r\nFFFF0000\r\nff00ff00 ; green\r\n"


@pytest.mark.parametrize("byte_order_mark", ["", "\ufeff"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("ending", [True, False])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.hex", "FF0000\n00FF00\n"),
        ("p.HEX", "#ff0000\n\n#00ff00\n"),
        ("p.hex", "; by hand\nff0000\n// and\n00ff00ff\n"),
        ("p.gpl", GPL),
        ("p.gpl", ASEPRITE),
        ("p.gpl", "GIMP Palette\n255 0 0\n0 255 0\n"),
        ("p.pal", JASC),
        ("p.pal", "JASC-PAL\n0100\n2\n255 0 0 255\n0 255 0 255\n"),
        ("p.txt", PAINT_NET),
        ("p.txt", "FF0000\n00FF00\n"),
    ],
)
def test_text_files_as_other_programs_write_them(tmp_path, name, text, line_end, byte_order_mark, ending):
    text = text.replace("\r\n", "\n") if ending else text.replace("\r\n", "\n").rstrip("\n")
    (tmp_path / name).write_bytes((byte_order_mark + text.replace("\n", line_end)).encode())
    assert read_palette(tmp_path / name).to_hex() == RED_GREEN


def test_a_name_in_an_old_encoding_does_no_harm(tmp_path):
    (tmp_path / "p.gpl").write_bytes(GPL.replace("Two", "Été").encode("latin-1"))
    assert read_palette(tmp_path / "p.gpl").to_hex() == RED_GREEN


def test_alpha_comes_first_in_paint_net_and_last_in_hex(tmp_path):
    (tmp_path / "p.txt").write_text("00FFFFFF\n80112233\n")
    assert read_palette(tmp_path / "p.txt").to_hex() == ["ffffff00", "11223380"]


def color_table(colors):
    return b"".join(bytes.fromhex(color) for color in colors).ljust(768, b"\0")


@pytest.mark.parametrize(
    ("trailer", "expected"),
    [
        (b"\x00\x02\xff\xff", RED_GREEN),
        (b"\x00\x02\x00\x01", ["ff0000", "00ff0000"]),
        (b"\x00\x02\x00\x07", RED_GREEN),  # a transparent index behind the last entry
        (b"", [*RED_GREEN, *["000000"] * 254]),
        (b"\x00\x00\xff\xff", [*RED_GREEN, *["000000"] * 254]),
    ],
)
def test_a_color_table_with_and_without_its_trailer(tmp_path, trailer, expected):
    (tmp_path / "p.act").write_bytes(color_table(RED_GREEN) + trailer)
    assert read_palette(tmp_path / "p.act").to_hex() == expected


def swatch_block(model, *values, name="Red\0"):
    body = struct.pack(">H", len(name)) + name.encode("utf-16-be") + model
    body += struct.pack(f">{len(values)}fH", *values, 0)
    return struct.pack(">HI", 1, len(body)) + body


@pytest.mark.parametrize(
    ("block", "color"),
    [
        (swatch_block(b"RGB ", 1, 0.5, 0), "ff8000"),
        (swatch_block(b"CMYK", 0, 1, 1, 0), "ff0000"),
        (swatch_block(b"CMYK", 0, 0, 0, 1), "000000"),
        (swatch_block(b"Gray", 0.2), "333333"),
        (swatch_block(b"LAB ", 1, 0, 0), "ffffff"),
        (swatch_block(b"LAB ", 0.5359, 0, 0), "808080"),
        (swatch_block(b"LAB ", 0.5429, 80.81, 69.89), "ff0000"),  # Lindbloom's Lab D50 of the sRGB primary
    ],
)
def test_swatches_of_every_color_model_in_groups(tmp_path, block, color):
    group_name = "Group\0".encode("utf-16-be")
    start = struct.pack(">HIH", 0xC001, 2 + len(group_name), 6) + group_name
    end = struct.pack(">HI", 0xC002, 0)
    blocks = [start, swatch_block(b"RGB ", 0, 0, 1), block, end]
    (tmp_path / "p.ase").write_bytes(b"ASEF" + struct.pack(">HHI", 1, 0, len(blocks)) + b"".join(blocks))
    read = read_palette(tmp_path / "p.ase").colors
    assert read[0].tolist() == [0, 0, 255, 255]
    assert np.abs(read[1, :3].astype(int) - list(bytes.fromhex(color))).max() <= 1


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


def test_a_folder_gives_all_its_palettes(tmp_path):
    write_palette(Palette.from_hex(RED_GREEN), tmp_path / "b.gpl")
    write_palette(Palette.from_hex(["000000"]), tmp_path / "a.hex")
    (tmp_path / "README.md").write_text("not a palette")
    assert {name: len(palette) for name, palette in read_palette_folder(tmp_path).items()} == {"a.hex": 1, "b.gpl": 2}


def test_a_folder_without_a_palette_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no palette"):
        read_palette_folder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_palette_folder(tmp_path / "missing")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.hex", None, "neither a file nor one of the names"),
        ("p.xyz", b"", "ends in one of"),
        ("p.hex", b"\xff\xfe\x00\x01", "not a text file"),
        ("p.hex", b"", "not 0"),
        ("p.hex", b"000000\n" * 300, "not 300"),
        ("p.gpl", b"255 0 0\n", "not a GIMP palette"),
        ("p.gpl", b"GIMP Palette\n256 0 0\n", "is not a color"),
        ("p.gpl", b"GIMP Palette\n", "not 0"),
        ("p.pal", b"RIFF\x00\x00\x00\x00PAL data", "RIFF"),
        ("p.pal", b"JASC-PAL\r\n0100\r\n3\r\n0 0 0\r\n", "cut off"),
        ("p.pal", b"0 0 0\n", "not a JASC palette"),
        ("p.txt", b"hello\n", "is not a color"),
        ("p.act", b"\x00" * 100, "768 or 772 bytes, not 100"),
        ("p.ase", b"ASEF\x00\x01\x00\x00\x00\x00\x00\x09", "cut off"),
        ("p.ase", b"\x00\x00\x00\x00\xe0\xa5\x01\x00", "Aseprite sprite"),
        ("p.ase", b"ASEF\x00\x01\x00\x00\x00\x00\x00\x01" + swatch_block(b"HSB ", 1), "color model 'HSB'"),
        ("p.png", b"not a picture", "not an image"),
    ],
)
def test_wrong_files_are_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_palette(tmp_path / name)
    assert name in str(error.value)


def test_an_unknown_suffix_is_not_written(tmp_path):
    with pytest.raises(InputError, match=r"is written as one of \.hex"):
        write_palette(Palette.from_hex(RED_GREEN), tmp_path / "p.doc")
