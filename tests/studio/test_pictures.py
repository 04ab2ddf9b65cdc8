"""What comes in as text: pictures and palettes of strangers, each with one line for its mistake."""

import base64
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.palettes.files import WRITERS, read_palette, write_palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.studio.pictures import (
    MAX_BYTES,
    content_of,
    indexed_at,
    palette_of_file,
    palette_of_words,
    placed,
    text_of,
    workplace,
)
from tincture.tests.studio.conftest import as_text


def in_base64(content):
    return base64.b64encode(content).decode()


def png_of_size(width, height):
    """A PNG that announces so many pixels and holds a few bytes."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(bytes(1000))}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks.items()
    )


WHOLE = (Path(__file__).parent.parent.parent / "docs" / "pictures" / "dusk.png").read_bytes()
HOSTILE = {
    "nothing": ("", "there is no picture"),
    "a path": ("/etc/passwd", "is not base64"),
    "an address": ("http://127.0.0.1/secret.png", "is not base64"),
    "no picture": (in_base64(b"root:x:0:0"), "picture is not an image"),
    "too many pixels": (in_base64(png_of_size(5_000, 5_000)), "has 5000×5000 pixels"),
    "a bomb": (in_base64(png_of_size(30_000, 30_000)), "too many pixels"),
    "cut off": (in_base64(WHOLE[: len(WHOLE) // 2]), "is broken or cut off"),
    "a program": (in_base64(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n"), "picture is not an image"),
    "an SVG": (in_base64(b'<svg xmlns="http://www.w3.org/2000/svg"/>'), "picture is not an image"),
    "too large": ("A" * (MAX_BYTES * 4 // 3 + 8), "is larger than 8 MB"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_picture_is_told_in_one_line(kind):
    text, message = HOSTILE[kind]
    with pytest.raises(InputError) as error, workplace() as folder:
        indexed_at(placed(folder, text))
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert "tincture-studio-" not in str(error.value)


def test_an_indexed_picture_comes_and_goes_bit_for_bit(sprite):
    image, text = sprite
    with workplace() as folder:
        for given in (text, text_of(image), f"data:image/png;base64,{text}\n"):
            found = indexed_at(placed(folder, given))
            assert found.palette == image.palette
            assert np.array_equal(found.indices, image.indices)
    assert base64.b64decode(text) == content_of(text_of(image)) == image.to_png()
    assert not folder.exists()


def test_a_photograph_is_no_sprite(photograph):
    with pytest.raises(InputError, match=r"has \d+ colors, and an indexed picture at most 256"), workplace() as folder:
        indexed_at(placed(folder, photograph))


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_palette_file_of_any_format_gives_its_colors_in_order(tmp_path, suffix):
    palette = read_palette("pico-8")
    write_palette(palette, tmp_path / f"mine{suffix}")
    assert palette_of_file(in_base64((tmp_path / f"mine{suffix}").read_bytes()), f"Mine{suffix.upper()}", 16) == palette


def test_a_picture_gives_as_many_colors_as_are_asked_for_and_locked_ones_stay(photograph):
    assert len(palette_of_file(photograph, "photo.jpg", 5)) == 5
    found = palette_of_file(photograph, "photo.jpg", 6, ["ff004d", "00e436"])
    assert found.to_hex()[:2] == ["ff004d", "00e436"]
    assert len(found) == 6


def test_locked_colors_stand_before_those_of_a_palette_file(tmp_path):
    write_palette(read_palette("pico-8"), path := tmp_path / "pico.gpl")
    found = palette_of_file(in_base64(path.read_bytes()), "pico.gpl", 16, ["123456", "ff004d"]).to_hex()
    assert found[:3] == ["123456", "ff004d", "000000"]
    assert sorted(found[1:]) == sorted(read_palette("pico-8").to_hex())


@pytest.mark.parametrize("name", ["passwd", "../../etc/passwd", "run.py", "palette.ase", "palette.kpl", "x.png"])
def test_what_is_no_palette_file_is_told_in_one_line(name):
    with pytest.raises(InputError) as error:
        palette_of_file(in_base64(b"root:x:0:0:" + bytes(range(256))), name, 16)
    assert "tincture-studio-" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("words", ["/etc/hostname", "docs/pictures/dusk.png", "./pico-8", "pico-8.hex", "train", "~"])
def test_no_word_names_a_file(words, monkeypatch):
    monkeypatch.chdir(Path(__file__).parent.parent.parent)
    with pytest.raises(InputError, match=r"^no palette"):
        palette_of_words(words)


def test_colors_are_taken_as_people_write_them():
    assert palette_of_words(" #FF004D; 0f0\n29adff80 ").to_hex() == ["ff004d", "00ff00", "29adff80"]
    assert palette_of_words("sweetie-16") == read_palette("sweetie-16")


def test_a_picture_without_a_palette_gets_its_own_colors(rng):
    pixels = rng.choice([0, 60, 255], (8, 8, 4)).astype(np.uint8)
    pixels[..., 3] = np.where(pixels[..., 3] > 0, 255, 0)
    with workplace() as folder:
        found = indexed_at(placed(folder, as_text(Image.fromarray(pixels))))
    assert isinstance(found, IndexedImage)
    visible = pixels[..., 3] > 0
    assert np.array_equal(found.to_rgba()[visible], pixels[visible])
    assert (found.to_rgba()[~visible, 3] == 0).all()
