import random
import struct
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

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
from tincture.tests.palettes import check_damaged_palettes

RED_GREEN = ["ff0000", "00ff00"]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


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
        ("p.hex", "#f00\n#0f0\n"),
        ("p.hex", "F00\n0F0F\n"),
        ("p.hex", "; short and long\n#f00\n00ff00\n"),
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


@pytest.mark.parametrize("count", [1, 2, 4, 16, 255])
def test_a_color_table_that_ends_after_its_last_color(tmp_path, count):
    colors = [f"{number:02x}ff{255 - number:02x}" for number in range(count)]
    (tmp_path / "p.act").write_bytes(b"".join(map(bytes.fromhex, colors)))
    assert read_palette(tmp_path / "p.act").to_hex() == colors


def riff(colors, before=b"", length=None, flag=0):
    """A palette as Windows' programs write it: RIFF, length, "PAL ", then the chunk "data"."""
    entries = b"".join(bytes.fromhex(color) + bytes([flag]) for color in colors)
    logical = struct.pack("<HH", 0x0300, len(colors)) + entries
    body = b"PAL " + before + b"data" + struct.pack("<I", len(logical) if length is None else length) + logical
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_a_riff_palette_begins_as_those_of_windows_do():
    """The first 24 bytes of Microsoft's own files of 256 colors, as TrID's pattern has them."""
    own = riff(["000000"] * 256)
    assert own[:24].hex().upper() == "524946461004000050414C20646174610404000000030001"


@pytest.mark.parametrize(
    "content",
    [
        riff(RED_GREEN),
        riff(RED_GREEN, flag=4),  # PC_NOCOLLAPSE: no alpha
        riff(RED_GREEN, before=b"plth" + struct.pack("<I", 5) + b"12345\0"),  # a chunk of odd length
        riff(RED_GREEN, length=0),  # some programs write a wrong length
        riff(RED_GREEN) + b"\0\0\0\0",
    ],
)
def test_microsofts_palettes_are_read(tmp_path, content):
    (tmp_path / "p.pal").write_bytes(content)
    assert read_palette(tmp_path / "p.pal").to_hex() == RED_GREEN


@pytest.mark.parametrize("entries", [1, 4, 16, 64, 256])
def test_raw_palettes_of_consoles_are_3_bytes_an_entry(tmp_path, rng, entries):
    colors = rng.integers(0, 256, (entries, 3), np.uint8)
    colors[0] = 255
    (tmp_path / "p.pal").write_bytes(colors.tobytes())
    assert np.array_equal(read_palette(tmp_path / "p.pal").colors[:, :3], colors)
    assert (read_palette(tmp_path / "p.pal").colors[:, 3] == 255).all()


def test_the_colors_of_an_nes_stand_before_those_with_emphasis(tmp_path, rng):
    colors = rng.integers(0, 256, (512, 3), np.uint8)
    (tmp_path / "nes.pal").write_bytes(colors.tobytes())
    assert np.array_equal(read_palette(tmp_path / "nes.pal").colors[:, :3], colors[:64])


@pytest.mark.parametrize(("six", "eight"), [(0, 0), (1, 4), (21, 85), (32, 130), (63, 255)])
def test_the_6_bits_of_a_vga_become_8(tmp_path, six, eight):
    (tmp_path / "vga.pal").write_bytes(bytes([six, 63, 0]) * 256)
    assert read_palette(tmp_path / "vga.pal").colors[9].tolist() == [eight, 255, 0, 255]


def photoshop_swatches(*swatches, versions=(1, 2)):
    """An `.aco` file: color space and four numbers each, then once more with names in UTF-16."""
    data = b""
    for version in versions:
        data += struct.pack(">HH", version, len(swatches))
        for space, *numbers in swatches:
            data += struct.pack(">H", space) + struct.pack(">4H", *(number & 0xFFFF for number in numbers))
            if version == 2:
                data += struct.pack(">HH", 0, 6) + "Ünnïc\0".encode("utf-16-be")
    return data


@pytest.mark.parametrize("versions", [(1, 2), (1,), (2,)])
@pytest.mark.parametrize(
    ("swatch", "color"),
    [
        ((0, 0xCCCC, 0xFFFF, 0x0101, 0), "ccff01"),
        ((0, 0xCC00, 0xFF00, 0x0100, 0), "ccff01"),  # as other programs write 8 bits
        ((1, 0, 65535, 65535, 0), "ff0000"),  # the four of Adobe's specification
        ((2, 0, 65535, 65535, 65535), "00ffff"),
        ((7, 10000, 0, 0, 0), "ffffff"),
        ((8, 10000, 0, 0, 0), "ffffff"),
        ((1, 21845, 65535, 32768, 0), "008000"),
        ((2, 65535, 65535, 65535, 0), "000000"),
        ((2, 65535, 0, 0, 65535), "ff0000"),
        ((7, 5429, 8081, 6989, 0), "ff0000"),  # Lindbloom's Lab D50 of the sRGB primaries
        ((7, 2957, 6830, -11203, 0), "0000ff"),
        ((8, 2000, 0, 0, 0), "333333"),
    ],
)
def test_photoshops_swatches_of_every_color_space(tmp_path, versions, swatch, color):
    content = photoshop_swatches((0, 0, 0, 0xFFFF, 0), swatch, versions=versions)
    (tmp_path / "p.aco").write_bytes(content)
    read = read_palette(tmp_path / "p.aco").colors
    assert read[0].tolist() == [0, 0, 255, 255]
    assert np.abs(read[1, :3].astype(int) - list(bytes.fromhex(color))).max() <= 1
    assert len(read) == 2


KPL_HEAD = '<Colorset version="2.0" name="P" comment="" columns="2" readonly="false" rows="2">'
KPL_PROFILES = '<Profiles>\n <Profile name="{0}" filename="{0}" colorModelId="RGBA" colorDepthId="U8"/>\n</Profiles>\n'


def krita_entry(color, row=0, column=0, depth="U8"):
    return (
        f' <ColorSetEntry name="a" id="" spot="false" bitdepth="{depth}">\n  {color}\n'
        f'  <Position row="{row}" column="{column}"/>\n </ColorSetEntry>\n'
    )


def krita_palette(path, entries, profile="sRGB-elle-V2-srgbtrc.icc", icc=None):
    """What Krita writes: a stored mimetype, the colors, the profiles' names and the profiles."""
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/x-krita-palette", ZIP_STORED)
        archive.writestr("profiles.xml", KPL_PROFILES.format(profile))
        archive.writestr("colorset.xml", f"{KPL_HEAD}\n{entries}</Colorset>\n")
        if icc is not None:
            archive.writestr(profile, icc)


def rgb(r, g, b, space="sRGB-elle-V2-srgbtrc.icc"):
    return f'<RGB r="{r}" g="{g}" b="{b}" space="{space}"/>'


def test_kritas_palettes_are_read_row_by_row_and_group_by_group(tmp_path):
    """Krita writes a group column by column."""
    first, second, third, fourth = rgb(1, 0, 0), rgb(0, 1, 0), rgb(0, 0, 1), rgb(0.501961, 0.2, 1)
    entries = krita_entry(first) + krita_entry(third, 1, 0) + krita_entry(second, 0, 1) + krita_entry(fourth, 1, 1)
    group = f'<Group name="G" rows="1">{krita_entry(rgb(1, 1, 1), 0, 1)}{krita_entry(rgb(0, 0, 0))}</Group>'
    krita_palette(tmp_path / "p.kpl", entries + group, icc=SRGB)
    expected = ["ff0000", "00ff00", "0000ff", "8033ff", "000000", "ffffff"]
    assert read_palette(tmp_path / "p.kpl").to_hex() == expected


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ('<sRGB r="1.0" g="0.5" b="0.2"/>', "ff8033"),
        (rgb(1, 0.5, 0.2, "unknown.icc"), "ff8033"),
        (rgb(1.7, 0.214041, -0.3, "sRGB-elle-V2-g10.icc"), "ff8000"),  # linear, outside of sRGB too
        ('<Gray g="0.2" space="gray-D50-elle-V2-srgbtrc.icc"/>', "333333"),
        ('<CMYK c="0" m="1" y="1" k="0" space="Chemical proof"/>', "ff0000"),
        ('<Lab L="54.29" a="80.81" b="69.89" space="Lab identity built-in"/>', "ff0000"),
        ('<XYZ x="0.9642" y="1" z="0.8252" space="XYZ identity built-in"/>', "ffffff"),
    ],
)
def test_kritas_colors_of_every_model(tmp_path, color, expected):
    krita_palette(tmp_path / "p.kpl", krita_entry(color, depth="F32"))
    read = read_palette(tmp_path / "p.kpl").colors
    assert np.abs(read[0, :3].astype(int) - list(bytes.fromhex(expected))).max() <= 1


def test_a_profile_in_a_krita_palette_is_used(tmp_path):
    """SRGB with its red and green primaries exchanged: what is red there is green here."""
    data, places = bytearray(SRGB), {}
    for tag in range(struct.unpack(">I", data[128:132])[0]):
        name, offset, size = struct.unpack(">4sII", data[132 + 12 * tag : 144 + 12 * tag])
        places[name] = slice(offset, offset + size)
    data[places[b"rXYZ"]], data[places[b"gXYZ"]] = data[places[b"gXYZ"]], data[places[b"rXYZ"]]
    entries = krita_entry(rgb(1, 0, 0, "odd.icc")) + krita_entry('<Gray g="0.2" space="odd.icc"/>', 1)
    krita_palette(tmp_path / "p.kpl", entries, "odd.icc", bytes(data))
    expected = [[0, 255, 0, 255], [51, 51, 51, 255]]
    assert np.abs(read_palette(tmp_path / "p.kpl").colors.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (krita_entry('<YCbCr Y="1" Cb="0" Cr="0" space="x"/>'), "color model 'YCbCr'"),
        (krita_entry(rgb("red", 0, 0)), "broken"),
        (krita_entry('<RGB r="1"/>'), "broken"),
        (krita_entry(""), "broken"),
        (krita_entry(rgb(0, 0, 0)) * 257, "not 257"),
        ("", "not 0"),
        ("</Colorset>", "broken"),
        (rgb(0, 0, 0), "broken"),
    ],
)
def test_wrong_krita_palettes_are_named(tmp_path, entries, message):
    krita_palette(tmp_path / "p.kpl", entries)
    with pytest.raises(InputError, match=rf"p\.kpl: not a Krita palette .*{message}"):
        read_palette(tmp_path / "p.kpl")


def test_a_krita_palette_that_unpacks_to_far_more_is_refused(tmp_path):
    krita_palette(tmp_path / "long.kpl", krita_entry(rgb(0, 0, 0)), icc=bytes(20_000_000))
    with pytest.raises(InputError, match=r"unpacks to far more"):
        read_palette(tmp_path / "long.kpl")
    krita_palette(tmp_path / "laughs.kpl", krita_entry(rgb(0, 0, 0)))
    with ZipFile(tmp_path / "laughs.kpl", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("colorset.xml", '<!DOCTYPE a [<!ENTITY lol "lollollol">]><Colorset name="&lol;"/>')
    with pytest.raises(InputError, match="declares entities"):
        read_palette(tmp_path / "laughs.kpl")


@pytest.mark.parametrize("suffix", [".pal", ".aco", ".kpl", ".act"])
def test_damaged_files_of_formats_that_are_only_read_are_read_or_named(tmp_path, suffix):
    path, chance = tmp_path / f"p{suffix}", random.Random(suffix)
    krita_palette(tmp_path / "p.kpl", krita_entry(rgb(0, 1, 0)) + krita_entry(rgb(1, 0, 0), 0, 1), icc=SRGB[:200])
    contents = {".pal": riff(RED_GREEN), ".aco": photoshop_swatches((0, 1, 2, 3, 4)), ".act": b"\0\1\2" * 9}
    check_damaged_palettes(path, contents.get(suffix) or path.read_bytes(), chance)


@pytest.mark.parametrize(
    ("text", "colors"),
    [
        ("000,555,aaa,fff", ["000000", "555555", "aaaaaa", "ffffff"]),
        ("ff004d,29ADFF80", ["ff004d", "29adff80"]),
        ("#f80, #0088ff , 0000", ["ff8800", "0088ff", "00000000"]),
        (",".join(["102030"] * 256), ["102030"] * 256),
    ],
)
def test_colors_stand_where_a_palettes_name_does(text, colors):
    assert read_palette(text).to_hex() == colors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("000,55g", "'55g' is not a color: write RRGGBB, RRGGBBAA or RGB"),
        ("000,", "'' is not a color"),
        (",".join(["000"] * 257), "not 257"),
        ("0000,fff0,abc0", "at most one transparent entry"),
        ("my,own.gpl", "no palette 'my,own.gpl'"),
    ],
)
def test_what_is_no_color_is_named(text, message):
    with pytest.raises(InputError, match=message):
        read_palette(text)


def test_a_file_may_have_a_comma_in_its_name(tmp_path):
    write_palette(Palette.from_hex(RED_GREEN), f"{tmp_path}/red,green.gpl")
    assert read_palette(str(tmp_path / "red,green.gpl")).to_hex() == RED_GREEN
    assert list(read_palette_folder(str(tmp_path))) == ["red,green.gpl"]


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
        ("p.pal", riff(RED_GREEN)[:-4], "2 entries are announced, but 1 follow"),
        ("p.pal", b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00" + bytes(16), "RIFF"),
        ("p.pal", riff(["000000"] * 257), "not 257"),
        ("p.pal", b"\xff" * 100, "nor 3 bytes for each entry"),
        ("p.pal", b"\xff" * 771, "not 257"),
        ("p.pal", b"", "not a JASC palette"),
        ("p.aco", b"", "cut off"),
        ("p.aco", photoshop_swatches((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), versions=(2,))[:-20], "cut off"),
        ("p.aco", b"\x00\x03\x00\x01", "its version is 3"),
        ("p.aco", photoshop_swatches((3, 0, 0, 0, 0)), "the color space 3, an ink maker's own"),
        ("p.kpl", b"", "not a Krita palette"),
        ("p.kpl", b"PK\x03\x04" + bytes(60), "not a Krita palette"),
        ("p.txt", b"F00\n0F0\n", "'F00' is not a color"),
        ("p.pal", b"JASC-PAL\r\n0100\r\n3\r\n0 0 0\r\n", "cut off"),
        ("p.pal", b"0 0 0\n", "not a JASC palette"),
        ("p.txt", b"hello\n", "is not a color"),
        ("p.act", b"\x00" * 100, "3 bytes for each entry, 768 at most, or 772, not 100"),
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
