"""What the tabs do behind the page: drawings as they appear, files to take away, sittings."""

import base64
import io
import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.palettes.files import WRITERS, read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.studio.draw_tab import further
from tincture.studio.drawings import to_draw
from tincture.studio.page import make_page
from tincture.studio.pictures import text_of
from tincture.studio.quantize_tab import cloud_of
from tincture.studio.repaint_tab import tiles_of
from tincture.studio.sitting import Sitting, chosen_in
from tincture.studio.take_away_tab import everything_of, gif_of, palette_file_of, pictures_of, read_state, sheet_of
from tincture.studio.widgets import fits, settings_in


@pytest.fixture
def sprites(rng):
    palette = read_palette("pico-8").with_transparency()
    return [IndexedImage(rng.integers(0, 17, (5, 7)).astype(np.uint8), palette) for _ in range(3)]


def bytes_of(answer):
    return base64.b64decode(answer["data"].split(",")[1])


def test_a_gallery_shows_drawings_as_they_appear_and_the_last_ones_join_the_strip(engine):
    request = to_draw(engine, "sword", "pico-8", True, 2, 8, 8, 0, 4, 2.0, 0.9)
    values = list(Sitting(engine, None, None).watch(request, "somebody", "sword · seed 0"))
    assert values[0] == {"images": [], "share": 0.0}
    assert "share" not in values[-1]
    assert [each["src"] for each in values[-1]["fresh"]] == [each["src"] for each in values[-1]["images"]]
    assert [each["src"] for each in values[-1]["fresh"]] == [text_of(each) for each in engine.draw(request.asked, 2)]
    assert values[-1]["fresh"][0]["command"] == request.command


def test_each_visitor_stops_only_what_is_their_own(engine):
    sitting, request = Sitting(engine, None, None), to_draw(engine, "", "pico-8", True, 1, 4, 4, 0, 100, 1.0, 1.0)
    watcher = sitting.watch(request, "one", "")
    next(watcher)
    sitting.stop(SimpleNamespace(session_hash="another"))
    assert not sitting.running["one"].is_set()
    next(watcher)
    sitting.stop(SimpleNamespace(session_hash="one"))
    *_, last = watcher
    assert last["note"].startswith("Stopped")
    assert "fresh" not in last
    assert sitting.running == {}


def test_files_are_taken_away_bit_for_bit(tmp_path, sprites):
    assert bytes_of(pictures_of(tmp_path, sprites[:1])) == sprites[0].to_png()
    archive = zipfile.ZipFile(io.BytesIO(bytes_of(pictures_of(tmp_path, sprites))))
    assert [archive.read(name) for name in archive.namelist()] == [each.to_png() for each in sprites]
    archive = zipfile.ZipFile(io.BytesIO(bytes_of(sheet_of(tmp_path, sprites, 2, 100))))
    sheet = IndexedImage.from_pil(Image.open(io.BytesIO(archive.read("sprites.png"))))
    places = [each["frame"] for each in json.loads(archive.read("sprites.json"))["frames"].values()]
    for place, sprite in zip(places, sprites, strict=True):
        cut = sheet.indices[place["y"] : place["y"] + place["h"], place["x"] : place["x"] + place["w"]]
        assert np.array_equal(cut, sprite.indices)
    with Image.open(io.BytesIO(bytes_of(gif_of(tmp_path, sprites, 120)))) as gif:
        assert (gif.n_frames, gif.info["duration"]) == (3, 120)


def test_a_palette_goes_in_seven_formats_where_they_can_hold_it(tmp_path, sprites):
    solid = [IndexedImage(np.zeros((2, 2), np.uint8), read_palette("pico-8"))]
    assert len(WRITERS) == 7
    for suffix in WRITERS:
        assert palette_file_of(tmp_path, solid, suffix)["name"] == f"palette{suffix}"
    names = zipfile.ZipFile(io.BytesIO(bytes_of(everything_of(tmp_path, solid, 8, 100)))).namelist()
    assert {f"palette/palette{suffix}" for suffix in WRITERS} <= set(names)
    with pytest.raises(InputError, match=r"palette\.ase.*no transparency"):
        palette_file_of(tmp_path, sprites, ".ase")
    with pytest.raises(InputError):
        palette_file_of(tmp_path, solid, "/../../x.hex")
    note = everything_of(tmp_path, sprites, 8, 100)["note"]
    assert "palette.pal (it holds no transparency), palette.ase" in note


def test_a_sitting_goes_on_another_day(sprites):
    items = [{"src": text_of(each), "label": "a", "command": "b"} for each in sprites]
    state = base64.b64encode(json.dumps({"items": items, "selected": [1]}).encode()).decode()
    assert read_state({"data": state})[0] == {"items": items, "selected": []}


@pytest.mark.parametrize(
    "content",
    [b"[]", b"{}", b"nonsense", b'{"items": [{"src": "/etc/passwd", "label": "", "command": ""}]}', b"[" * 100_000],
)
def test_a_state_that_the_studio_did_not_save_is_told(content):
    _, told, _ = read_state({"data": base64.b64encode(content).decode()})
    assert told["note"].startswith("error: ")


def test_what_was_set_can_be_set_again_and_nothing_that_could_not_have_been(engine):
    settings = list(settings_in(make_page(engine)))
    assert {type(each).__name__ for each in settings} >= {"HTML", "Slider", "Number", "Textbox", "Dropdown", "Checkbox"}
    assert len(settings) > 40
    odd_palettes = [{"name": [], "colors": ["red"], "locked": [0]}, {"name": "pico-8", "colors": [], "locked": []}]
    for each in settings:
        assert fits(each, "" if each.value is None else each.value), each.label
        for odd in (None, {}, [[]], float("nan"), 10**400, -1, "x" * 5000, *odd_palettes):
            assert not fits(each, odd), (each.label, odd)


def test_what_is_chosen_is_taken_and_nothing_that_is_not_there(sprites):
    strip = {"items": [{"src": text_of(each)} for each in sprites], "selected": [2, 0, 99, "x"]}
    assert chosen_in(strip, 5) == [text_of(sprites[2]), text_of(sprites[0])]
    for wrong, at_most in ((None, 5), ({"items": [], "selected": [0]}, 5), (strip, 1)):
        with pytest.raises(InputError):
            chosen_in(wrong, at_most)


def test_a_click_on_a_drawing_chooses_it_in_the_strip(sprites):
    images = [{"src": text_of(each)} for each in sprites]
    strip, _ = further({"images": images}, {"items": images, "selected": []}, SimpleNamespace(index=1))
    assert strip == {"items": images, "selected": [1]}
    strip, _ = further({"images": images}, {"items": images[:1], "selected": [0]}, SimpleNamespace(index=2))
    assert [each["src"] for each in strip["items"]] == [images[0]["src"], images[2]["src"]]
    assert strip["selected"] == [1]


def test_a_tile_is_previewed_along_its_axes(sprites):
    shown = {"images": [{"src": text_of(sprites[0])}]}
    for axes, shape in (("x", (5, 21)), ("y", (15, 7)), ("both", (15, 21))):
        (tiled,) = tiles_of(shown, axes)["images"]
        assert Image.open(io.BytesIO(base64.b64decode(tiled["src"].split(",")[1]))).size == shape[::-1]
    assert tiles_of(shown, "") == {}


def test_the_cloud_has_black_below_white_and_gray_on_the_axis():
    gray = Palette.from_hex(["000000", "808080", "ffffff", "00000000"])
    points = cloud_of(gray.colors[None], gray)
    assert [each[3] for each in points["entries"]] == ["000000", "808080", "ffffff"]
    assert [each[0] for each in points["entries"]] == pytest.approx([0, 0.6, 1], abs=0.01)
    assert np.abs(np.array([each[1:3] for each in points["points"]])).max() < 0.002


def test_who_cancels_while_others_draw_never_gets_a_turn(engine):
    sitting, request = Sitting(engine, None, None), to_draw(engine, "", "pico-8", True, 1, 4, 4, 0, 100, 1.0, 1.0)
    visitor = SimpleNamespace(session_hash="waiting")
    sitting.begin(visitor)
    sitting.stop(visitor)
    (only,) = sitting.watch(request, "waiting", "")
    assert only["note"].startswith("Stopped")
    assert only["images"] == []
    sitting.begin(visitor)
    sitting.leave(visitor)
    assert sitting.running == {}
