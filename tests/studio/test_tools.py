"""The tools as functions: index-exact pictures, and errors where a palette can't be kept."""

import base64
import inspect
import json
from io import BytesIO

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from tincture.quantization.palettes.files import read_palette
from tincture.quantization.pictures.animation import read_animation
from tincture.studio.tools import make_tools
from tincture.tests.studio.conftest import images_of


@pytest.fixture(scope="module")
def tools(engine):
    return {tool.__name__: tool for tool in make_tools(engine)}


def test_each_tool_says_what_it_does_and_what_each_argument_means(tools):
    assert set(tools) == {"draw", "repaint", "palettize", "recolor", "quantize", "palette_of"}
    for tool in tools.values():
        text = inspect.getdoc(tool)
        for name, argument in inspect.signature(tool).parameters.items():
            assert f"\n    {name}: " in text
            assert argument.annotation is not inspect.Parameter.empty
        assert "Returns:\n    JSON" in text


def test_drawings_have_the_palette_in_its_order(tools):
    wanted = read_palette("endesga-32").to_hex()[::-1]
    answer = tools["draw"]("sword", ",".join(wanted), True, 2, 8, 8, steps=2)
    for image in images_of(answer):
        assert image.palette.to_hex() == [*wanted, "00000000"]
        assert image.indices.shape == (8, 8)
    assert all(drawing["palette"] == [*wanted, "00000000"] for drawing in json.loads(answer)["drawings"])


def test_repainting_keeps_palette_and_pixels(tools, sprite):
    image, text = sprite
    (drawn,) = images_of(tools["repaint"](text, "0,0,3,3", steps=2))
    assert drawn.palette == image.palette
    assert np.array_equal(drawn.indices[3:, 3:], image.indices[3:, 3:])


def test_palettizing_takes_the_palette_and_the_width(tools, photograph):
    (drawn,) = images_of(tools["palettize"](photograph, "pico-8", 12, steps=2))
    assert drawn.palette == read_palette("pico-8")
    assert drawn.indices.shape == (8, 12)


@pytest.mark.parametrize("way", ["areas", "reversible", "role", "model"])
def test_recoloring_gives_each_color_one_color_of_the_palette(tools, sprite, way):
    image, text = sprite
    (moved,) = images_of(tools["recolor"](text, "sweetie-16", way))
    assert moved.palette == read_palette("sweetie-16").with_transparency()
    pairs = set(zip(image.indices.ravel().tolist(), moved.indices.ravel().tolist(), strict=True))
    assert len(pairs) == 6


def test_quantizing_gives_an_indexed_png_and_its_error(tools, photograph):
    answer = json.loads(tools["quantize"](photograph, 7, dither="bayer4"))
    with Image.open(BytesIO(base64.b64decode(answer["file"]))) as found:
        assert (found.mode, found.size) == ("P", (24, 16))
    assert len(answer["palette"]) == 7
    assert 0 < answer["delta_e"] < 0.3
    assert answer["bytes"] == len(base64.b64decode(answer["file"]))
    given = json.loads(tools["quantize"](photograph, palette="pico-8"))
    assert given["palette"] == read_palette("pico-8").to_hex()


def test_an_animation_stays_one(tools, tmp_path, rng):
    frames = [Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)) for _ in range(3)]
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=[50, 70, 90])
    answer = json.loads(tools["quantize"](base64.b64encode((tmp_path / "in.gif").read_bytes()).decode(), 8))
    assert answer["suffix"] == ".gif"
    (tmp_path / "out.gif").write_bytes(base64.b64decode(answer["file"]))
    assert read_animation(tmp_path / "out.gif").durations == [50, 70, 90]


def test_the_palette_of_an_indexed_picture_is_its_own(tools, sprite, photograph):
    image, text = sprite
    assert json.loads(tools["palette_of"](text))["palette"] == image.palette.to_hex()
    assert len(json.loads(tools["palette_of"](photograph, 5))["palette"]) == 5


@pytest.mark.parametrize(
    ("tool", "given", "message"),
    [
        ("draw", {"palette": "/etc/passwd"}, "no palette '/etc/passwd'"),
        ("draw", {"number": 0}, "the number of drawings is 0"),
        ("repaint", {"picture": "/etc/passwd"}, "is not base64"),
        ("repaint", {"picture": "SPRITE"}, "nothing is painted"),
        ("repaint", {"picture": "SPRITE", "mask": "90,90,2,2"}, "lies outside of the picture"),
        ("repaint", {"picture": "SPRITE", "mask": "SPRITE", "palette": "000,fff"}, "pixels are not in the palette"),
        ("repaint", {"picture": "SPRITE", "left": -3, "right": 5}, "they must be at least 0 pixels"),
        ("recolor", {"picture": "SPRITE", "palette": "pico-8", "by": "magic"}, "unknown way to recolor 'magic'"),
        ("quantize", {"picture": "SPRITE", "colors": 1000}, "--colors is '1000'"),
        ("quantize", {"picture": "SPRITE", "dither": "fog"}, "fog"),
        ("palette_of", {"picture": "SPRITE", "colors": 1}, "colors is 1"),
    ],
)
def test_a_mistake_is_one_line_that_gradio_shows(tools, sprite, tool, given, message):
    with pytest.raises(gr.Error) as error:
        tools[tool](**{name: sprite[1] if value == "SPRITE" else value for name, value in given.items()})
    assert message in error.value.message
    assert "\n" not in error.value.message
