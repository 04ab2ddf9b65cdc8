import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.animation import read_animation, write_animation
from tincture.quantization.pictures.gif import read_gif, write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import read_image
from tincture.quantization.pictures.sprite_sheet import make_sprite_sheet


def make_palette(rng, entries, transparent):
    colors = rng.integers(0, 256, (entries, 4), np.uint8)
    colors[:, 3] = 255
    if transparent is not None:
        colors[transparent, 3] = 0
    return Palette(colors)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 256), st.integers(1, 20), st.integers(1, 20), st.booleans())
def test_saved_and_loaded_bit_for_bit(tmp_path_factory, seed, entries, height, width, transparent):
    rng = np.random.default_rng(seed)
    palette = make_palette(rng, entries, int(rng.integers(entries)) if transparent else None)
    image = IndexedImage(rng.integers(0, entries, (height, width)).astype(np.uint8), palette)
    path = tmp_path_factory.getbasetemp() / "image.png"
    image.save(path)
    loaded = IndexedImage.load(path)
    assert np.array_equal(loaded.indices, image.indices)
    assert loaded.palette == palette
    with Image.open(path) as opened:
        assert opened.mode == "P"
        assert np.array_equal(np.array(opened.convert("RGBA"))[..., 3], image.to_rgba()[..., 3])


def test_a_gif_with_a_transparent_entry_is_read(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "i.gif", transparency=1)
    loaded = IndexedImage.load(tmp_path / "i.gif")
    assert loaded.to_rgba()[..., 3].tolist() == [[255, 0], [255, 0]]
    assert loaded.to_rgba()[0, 0, :3].tolist() == [255, 0, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 256), st.integers(1, 20), st.integers(1, 20), st.floats(0, 1))
def test_several_transparent_entries_are_read_as_the_first_of_them(tmp_path_factory, seed, entries, h, w, share):
    rng, path = np.random.default_rng(seed), tmp_path_factory.getbasetemp() / "several.png"
    colors = rng.integers(1, 256, (entries, 4), np.uint8)
    colors[rng.random(entries) < share, 3] = 0
    image = Image.fromarray(rng.integers(0, entries, (h, w)).astype(np.uint8), mode="P")
    image.putpalette(colors[:, :3].tobytes())
    image.save(path, transparency=colors[:, 3].tobytes())
    loaded = IndexedImage.load(path)
    shown, expected = loaded.to_rgba().copy(), colors[np.asarray(image)]
    shown[shown[..., 3] == 0] = expected[expected[..., 3] == 0] = 0
    assert np.array_equal(shown, expected)
    further = np.flatnonzero(colors[:, 3] == 0)[1:]
    assert loaded.palette == Palette(np.delete(colors, further, axis=0))


def test_what_pillow_quantizes_with_alpha_is_read_from_memory_and_from_its_file(tmp_path, rng):
    pixels = rng.integers(0, 256, (20, 20, 4), np.uint8)
    pixels[:10, :, 3] = 0
    image = Image.fromarray(pixels).quantize(8)
    image.save(tmp_path / "i.png")
    for loaded in (IndexedImage.from_pil(image), IndexedImage.load(tmp_path / "i.png")):
        assert np.array_equal(loaded.to_rgba()[..., 3], np.array(image.convert("RGBA"))[..., 3])


@pytest.mark.parametrize(
    ("own", "other", "used", "stays"),
    [
        ("ff0000 00ff00 ff0000 0000ff", "ff0000 00ff00 ff0000 0000ff", [0, 1, 2, 3], True),
        ("ff00ff00 123456", "00000000 123456 ffffff", [0, 1], True),  # a hidden color
        ("000000 ffffff 808080", "000000 ffffff", [0, 1], True),  # an entry that no pixel holds
        ("000000 ffffff 808080", "000000 ffffff", [0, 2], False),
        ("000000 ffffff", "ffffff 000000", [0, 1], False),
        ("00000080 ffffff", "00000081 ffffff", [0, 1], False),
    ],
)
def test_indices_stand_in_another_palette_if_each_used_entry_has_its_place_there(own, other, used, stays):
    image = IndexedImage(np.array([used], np.uint8), Palette.from_hex(own.split()))
    indices = image.indices_in(Palette.from_hex(other.split()))
    assert (indices.tolist() == [used]) if stays else (indices is None)


def test_an_index_beyond_the_palette_is_refused():
    with pytest.raises(InputError, match="index 2 is not among the palette's 2 entries"):
        IndexedImage(np.array([[2]], np.uint8), Palette.from_hex(["000000", "ffffff"]))


def test_a_true_color_picture_is_refused(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "i.png")
    with pytest.raises(InputError, match="mode P"):
        IndexedImage.load(tmp_path / "i.png")


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        IndexedImage(np.zeros((2, 2), np.uint8), Palette.from_hex(["000000"])).save(tmp_path / "i.png")
    assert list(tmp_path.iterdir()) == []


def png_chunks(path):
    data, offset = path.read_bytes(), 8
    while offset < len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        yield data[offset + 4 : offset + 8], data[offset + 8 : offset + 8 + length]
        offset += length + 12


@pytest.mark.parametrize("transparent", [None, 0, 3])
def test_a_png_stores_every_entry_in_its_order_used_or_not_and_the_alphas_in_trns(tmp_path, rng, transparent):
    palette = make_palette(rng, 21, transparent)
    IndexedImage(np.full((4, 4), 7, np.uint8), palette).save(tmp_path / "i.png")
    chunks = dict(png_chunks(tmp_path / "i.png"))
    assert chunks[b"PLTE"] == palette.colors[:, :3].tobytes()
    assert chunks.get(b"tRNS", b"").ljust(21, b"\xff") == palette.colors[:, 3].tobytes()


@pytest.mark.parametrize("scale", [1, 2, 5])
def test_every_nth_pixel_of_an_enlarged_image_is_the_image(rng, scale):
    image = IndexedImage(rng.integers(0, 9, (6, 4)).astype(np.uint8), make_palette(rng, 9, 2))
    large = image.enlarged(scale)
    assert large.palette == image.palette
    for row in range(scale):
        for column in range(scale):
            assert np.array_equal(large.indices[row::scale, column::scale], image.indices)


def test_an_image_is_not_enlarged_by_less_than_one():
    with pytest.raises(InputError, match="the scale is 0"):
        IndexedImage(np.zeros((2, 2), np.uint8), Palette.from_hex(["000000"])).enlarged(0)


def depth_of(path):
    """Bits for each pixel, and the color type, of a PNG's head."""
    return tuple(path.read_bytes()[24:26])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 2, 3, 4, 16, 17, 256]), st.integers(1, 20), st.integers(1, 20))
def test_a_png8_has_a_byte_for_each_pixel_and_the_palette_as_it_is(tmp_path_factory, seed, entries, height, width):
    rng = np.random.default_rng(seed)
    colors = rng.integers(1, 256, (entries, 4), np.uint8)
    image = IndexedImage(rng.integers(0, entries, (height, width)).astype(np.uint8), Palette(colors))
    path = tmp_path_factory.getbasetemp() / "png8.png"
    image.save(path, png8=True)
    assert depth_of(path) == (8, 3)
    loaded = IndexedImage.load(path)
    assert np.array_equal(loaded.indices, image.indices)
    assert loaded.palette == image.palette
    with Image.open(path) as opened:
        assert np.array_equal(np.asarray(opened.convert("RGBA")), image.to_rgba())


@pytest.mark.parametrize(("entries", "bits"), [(2, 1), (4, 2), (16, 4), (17, 8)])
def test_a_png_has_as_few_bits_as_its_palette_needs_unless_8_are_asked_for(tmp_path, rng, entries, bits):
    image = IndexedImage(np.zeros((3, 3), np.uint8), make_palette(rng, entries, None))
    image.save(tmp_path / "a.png")
    assert depth_of(tmp_path / "a.png") == (bits, 3)
    make_sprite_sheet({"a": image}).save(tmp_path / "s.png", png8=True)
    assert depth_of(tmp_path / "s.png") == (8, 3)


def test_a_path_may_be_a_string_wherever_files_are_read_and_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    palette = Palette.from_hex(["ff0000", "00ff00"])
    images = [IndexedImage(np.full((2, 3), k, np.uint8), palette) for k in (0, 1)]
    images[0].save("a.png")
    assert np.array_equal(IndexedImage.load("a.png").indices, images[0].indices)
    assert np.array_equal(read_image("a.png"), images[0].to_rgba())
    write_animation("a.gif", images, 100)
    assert np.array_equal(read_gif("a.gif")[0], read_animation("a.gif").frames)
    write_gif("b/b.gif", [image.indices for image in images], palette, [100, 100])
    assert np.array_equal(read_image("b/b.gif"), images[0].to_rgba())
    make_sprite_sheet({"x": images[0]}).save("s.png")
    assert (tmp_path / "s.json").is_file()
