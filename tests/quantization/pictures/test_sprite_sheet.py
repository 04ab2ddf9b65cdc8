import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tincture import __version__
from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.sprite_sheet import common_palette, make_sprite_sheet
from tincture.tests.palettes import random_palette

CHESS = Palette.from_hex(["000000", "ffffff"])


def random_image(rng, palette, height, width):
    return IndexedImage(rng.integers(0, len(palette), (height, width)).astype(np.uint8), palette)


def cut(array, frame):
    x, y, w, h = (frame["frame"][key] for key in "xywh")
    return array[y : y + h, x : x + w]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3),
    st.sampled_from(["one palette", "several palettes", "over 256 colors"]),
)  # fmt: skip
def test_cutting_by_the_json_gives_back_every_image(tmp_path_factory, seed, count, columns, shape, border, kind):
    rng, path = np.random.default_rng(seed), tmp_path_factory.getbasetemp() / "sprites.png"
    one = random_palette(16, rng, transparent=5)
    entries = 200 if kind == "over 256 colors" else 9
    palettes = [one if kind == "one palette" else random_palette(entries, rng, transparent=0) for _ in range(count)]
    images = {f"{k:04d}.png": random_image(rng, palette, *rng.integers(1, 9, 2)) for k, palette in enumerate(palettes)}
    make_sprite_sheet(images, columns, shape, border).save(path)
    data = json.loads(path.with_suffix(".json").read_text())
    assert list(data["frames"]) == list(images)
    with Image.open(path) as picture:
        assert picture.size == (data["meta"]["size"]["w"], data["meta"]["size"]["h"])
        assert data["meta"]["format"] == {"P": "I8", "RGBA": "RGBA8888"}[picture.mode]
        rgba = np.array(picture.convert("RGBA"))
    outside = rgba[..., 3].copy()
    for name, image in images.items():
        assert np.array_equal(cut(rgba, data["frames"][name]), image.to_rgba())
        cut(outside, data["frames"][name])[:] = 0
    assert not outside.any()


def test_a_sheet_of_one_palette_holds_it_in_its_order_with_the_same_indices(tmp_path, rng):
    palette = Palette.from_hex(["ff0000", "00ff00", "00000000", "ff0000", "123456"])  # a duplicate; the last is unused
    images = {name: IndexedImage(rng.integers(0, 4, (3, 3)).astype(np.uint8), palette) for name in "abc"}
    make_sprite_sheet(images).save(tmp_path / "s.png")
    sheet, frames = IndexedImage.load(tmp_path / "s.png"), json.loads((tmp_path / "s.json").read_text())["frames"]
    assert sheet.palette == palette
    assert all(np.array_equal(cut(sheet.indices, frames[name]), image.indices) for name, image in images.items())


def test_rows_and_paddings_stand_where_the_layout_says():
    images = {str(k): IndexedImage(np.ones((2, 4), np.uint8), CHESS) for k in range(3)}
    sheet = make_sprite_sheet(images, columns=2, shape_padding=1, border_padding=5)
    assert [(f["frame"]["x"], f["frame"]["y"]) for f in sheet.frames.values()] == [(5, 5), (10, 5), (5, 8)]
    assert sheet.picture.size == (5 + 4 + 1 + 4 + 5, 5 + 2 + 1 + 2 + 5)
    assert np.array(sheet.picture).sum() == 3 * 2 * 4  # the first entry lies between


def test_the_json_has_the_keys_of_aseprites_exporter_in_its_order():
    data = make_sprite_sheet({"a": IndexedImage(np.zeros((2, 3), np.uint8), CHESS)}, duration=70).to_json("s.png")
    assert list(data) == ["frames", "meta"]
    assert list(data["frames"]["a"].items()) == [
        ("frame", {"x": 0, "y": 0, "w": 3, "h": 2}),
        ("rotated", False),
        ("trimmed", False),
        ("spriteSourceSize", {"x": 0, "y": 0, "w": 3, "h": 2}),
        ("sourceSize", {"w": 3, "h": 2}),
        ("duration", 70),
    ]
    assert list(data["meta"]) == ["app", "version", "image", "format", "size", "scale", "frameTags"]
    assert (data["meta"]["image"], data["meta"]["scale"]) == ("s.png", "1")
    assert data["meta"]["frameTags"] == [{"name": "all", "from": 0, "to": 0, "direction": "forward"}]


def test_the_version_is_the_projects():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__


def test_several_palettes_become_one_of_each_color_once_if_they_fit():
    first, second = Palette.from_hex(["00000000", "ff0000"]), Palette.from_hex(["0000ff", "ff0000", "00000000"])
    assert common_palette([first, second]).to_hex() == ["00000000", "ff0000", "0000ff"]
    grays = [f"{k:02x}{k:02x}{k:02x}" for k in range(256)]
    assert common_palette([Palette.from_hex(grays[:200]), Palette.from_hex(grays[100:])]).to_hex() == grays
    assert common_palette([Palette.from_hex(grays), second]) is None
    assert common_palette([first, Palette.from_hex(["ffffff00"])]) is None  # two transparent entries


def test_a_sheet_of_nothing_is_refused():
    with pytest.raises(InputError, match="at least one image"):
        make_sprite_sheet({})
