"""The page as a person uses it, in Chromium: each tab, with a mouse and on a phone."""

import base64
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tincture.quantization.palettes.files import read_palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.tests.studio.conftest import ROOT

pytest.importorskip("playwright.sync_api", reason="make test-studio installs playwright")
from playwright.sync_api import expect, sync_playwright

from tincture.tools import make_studio_pictures

pytestmark = pytest.mark.browser

CLIPBOARD = """async () => {
  const [item] = await navigator.clipboard.read();
  return (await studio.dataOf(await item.getType("image/png"))).split(",")[1];
}"""
DUSK = ROOT / "docs" / "pictures" / "dusk.png"
SIZES = {"desk": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def chromium():
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert path, "there is no Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def visit(chromium, served, size):
    """A new visitor, who sees no error and never asks another machine."""
    context = chromium.new_context(viewport=SIZES[size], has_touch=size == "phone")
    page, wrong = context.new_page(), []
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith((served, "data:", "blob:")) or wrong.append(asked.url))
    page.goto(served)
    page.locator(".swatch").first.wait_for()
    yield page
    nothing_sticks_out(page)
    context.close()
    assert not wrong


@pytest.fixture
def page(chromium, served):
    yield from visit(chromium, served, "desk")


@pytest.fixture
def phone(chromium, served):
    yield from visit(chromium, served, "phone")


def nothing_sticks_out(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    wide = page.locator(".studio *, button, input, textarea").evaluate_all(
        "all => all.filter(each => each.checkVisibility() && !each.closest('.strip, .overflow-menu, .tab-container') "
        "&& each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML.slice(0, 200))"
    )
    assert wide == []


def open_tab(page, name):
    make_studio_pictures.open_tab(page, name)
    return shown_tab(page)


def shown_tab(page):
    return page.get_by_role("tabpanel").filter(visible=True)


def set_number(panel, label, value):
    panel.get_by_label(label, exact=True).first.fill(str(value))
    panel.get_by_label(label, exact=True).first.press("Tab")


def slider(panel, label, value):
    field = panel.get_by_label(f"number input for {label}", exact=True)
    field.fill(str(value))
    field.press("Tab")


def draw(page, words="sword", number=2, size=12):
    """Draw a few small sprites; returns how many the strip then has."""
    panel = shown_tab(page)
    panel.get_by_label("What to draw").fill(words)
    slider(panel, "How many", number)
    slider(panel, "Effort (calls)", 4)
    set_number(panel, "Width, pixels", size)
    set_number(panel, "Height, pixels", size)
    before = page.locator(".strip .tile").count()
    panel.get_by_role("button", name="Draw", exact=True).click()
    page.wait_for_function(f"document.querySelectorAll('.strip .tile').length == {before + number}")
    return before + number


def pictures(page, places=".tiles .tile img"):
    """The index maps that are shown, decoded from the page itself."""
    sources = shown_tab(page).locator(places).evaluate_all("all => all.map(each => each.src)")
    return [IndexedImage.from_pil(Image.open(io.BytesIO(base64.b64decode(each.split(",")[1])))) for each in sources]


def saved(page, button):
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_what_is_drawn_has_the_palette_and_is_enlarged_by_whole_pixels(page):
    draw(page)
    assert [each.palette for each in pictures(page)] == [read_palette("pico-8").with_transparency()] * 2
    page.locator(".tiles .tile img[style*=width]").first.wait_for()
    sizes = page.locator(".tiles .tile img").evaluate_all(
        "all => all.map(each => [each.getBoundingClientRect().width / each.naturalWidth, getComputedStyle(each).imageRendering])"
    )
    assert all(scale == int(scale) >= 4 and kind == "pixelated" for scale, kind in sizes)
    command = shown_tab(page).locator(".command textarea").input_value()
    assert "--palette pico-8 --transparent" in command
    assert "--prompt sword --steps 4" in command


def test_drawings_appear_while_they_are_drawn_and_cancel_works_at_once(page):
    panel = shown_tab(page)
    slider(panel, "Effort (calls)", 64)
    slider(panel, "How many", 8)
    panel.get_by_role("button", name="Draw", exact=True).click()
    panel.locator(".tiles .tile").first.wait_for()
    assert panel.locator(".bar").is_visible()
    panel.get_by_role("button", name="Cancel").click()
    panel.get_by_text("Stopped. What you see isn't finished.").wait_for(timeout=5_000)
    assert page.locator(".strip .tile").count() == 0
    assert draw(page) == 2  # it draws on


def test_a_palette_can_be_changed_by_hand(page):
    panel = shown_tab(page)
    panel.get_by_role("button", name="Paste").click()
    panel.get_by_label("Colors as hex").fill("#000, ffffff\nff004d 00000000")
    panel.get_by_role("button", name="Take these").click()
    assert panel.locator(".swatch").count() == 4
    panel.locator(".swatch").nth(2).click()
    panel.get_by_role("button", name="←").click()  # ff004d is second now
    panel.get_by_label("Color as hex").fill("29adff")
    panel.get_by_label("Color as hex").press("Tab")
    panel.get_by_role("button", name="Lock").click()
    panel.get_by_label("Palette by name").select_option("nintendo-gameboy-bgb")
    assert panel.locator(".swatch").count() == 1 + len(read_palette("nintendo-gameboy-bgb"))
    panel.get_by_role("button", name="Add").click()
    panel.get_by_role("button", name="Remove").click()
    panel.get_by_label("Transparent background").uncheck()
    draw(page)
    wanted = ["29adff", *read_palette("nintendo-gameboy-bgb").to_hex()]
    assert [each.palette.to_hex() for each in pictures(page)] == [wanted] * 2


def test_a_palette_comes_from_a_file_or_a_picture_and_mistakes_are_told(page, tmp_path):
    panel = shown_tab(page)
    for name, colors in (("mine.gpl", "GIMP Palette\n1 2 3\n250 240 230\n"), ("dusk.png", None)):
        path = DUSK if colors is None else tmp_path / name
        if colors is not None:
            path.write_text(colors)
        panel.locator(".studio input[type=file]").first.set_input_files(path)
        expect(panel.locator(".swatch")).to_have_count(16 if colors is None else 2)
    (tmp_path / "no.gpl").write_text("no palette")
    panel.locator(".studio input[type=file]").first.set_input_files(tmp_path / "no.gpl")
    panel.get_by_text("not a GIMP palette").wait_for()
    panel.get_by_role("button", name="Paste").click()
    panel.get_by_label("Colors as hex").fill("red")
    panel.get_by_role("button", name="Take these").click()
    panel.get_by_text("Write colors like").wait_for()


def test_a_mistake_is_a_line_on_the_page(page):
    panel = shown_tab(page)
    panel.get_by_role("button", name="Paste").click()
    panel.get_by_label("Colors as hex").fill("ff0000")
    panel.get_by_role("button", name="Take these").click()
    panel.get_by_label("Transparent background").uncheck()
    panel.get_by_role("button", name="Draw", exact=True).click()
    panel.get_by_text("error: a palette to draw with has at least 2 entries, not 1").wait_for()


def test_what_is_painted_is_drawn_anew_and_nothing_else(page):
    draw(page)
    before = pictures(page)[1]
    shown_tab(page).locator(".tiles .tile").nth(1).click()
    paper = page.locator("canvas.paper")
    paper.wait_for()
    page.wait_for_function("document.querySelector('canvas.paper').width >= 300")
    box, panel = paper.bounding_box(), shown_tab(page)
    pixel = box["width"] / 12
    paper.hover(position={"x": 3 * pixel, "y": 3 * pixel})
    box = paper.bounding_box()
    page.mouse.move(box["x"] + 3 * pixel, box["y"] + 3 * pixel)
    page.mouse.down()
    page.mouse.move(box["x"] + 8 * pixel, box["y"] + 3 * pixel, steps=12)
    page.mouse.up()
    slider(panel, "Effort (calls)", 4)
    panel.get_by_role("button", name="Repaint", exact=True).click()
    page.wait_for_function("document.querySelectorAll('.strip .tile').length == 6")
    for after in pictures(page):
        assert after.palette == before.palette
        changed = np.argwhere(after.indices != before.indices)
        assert set(changed[:, 0]) <= {2, 3}  # a brush of two pixels
        assert set(changed[:, 1]) <= set(range(2, 9))
    panel.get_by_role("button", name="Nothing").click()
    panel.get_by_role("button", name="Repaint", exact=True).click()
    panel.get_by_text("error: nothing is painted").wait_for()


def test_a_tile_is_shown_three_by_three(page):
    draw(page, number=1)
    shown_tab(page).locator(".tiles .tile").first.click()
    page.locator("canvas.paper").wait_for()
    panel = shown_tab(page)
    panel.get_by_text("Larger canvas, symmetry, tiles").click()  # first: a field that has just appeared may forget
    panel.get_by_label("Repeats without a seam").wait_for()
    slider(panel, "Effort (calls)", 4)
    slider(panel, "How many", 1)
    panel.get_by_label("Repeats without a seam").click()
    page.get_by_role("option", name="both").click()
    set_number(panel, "Left, pixels", 2)
    panel.get_by_role("button", name="Repaint", exact=True).click()
    page.wait_for_function(
        "document.querySelectorAll('.strip .tile').length > 1 || document.querySelector('.note.wrong:not(:empty)')"
    )
    assert panel.locator(".note.wrong:not(:empty)").all_inner_texts() == []
    assert page.locator(".strip .tile").count() == 2
    panel.locator(".tiles").nth(1).locator(".tile").wait_for()
    one, nine = pictures(page)
    assert one.indices.shape == (12, 14)
    assert np.array_equal(nine.indices, np.tile(one.indices, (3, 3)))


def test_a_photograph_is_drawn_beside_what_quantizing_alone_gives(page):
    panel = open_tab(page, "From a picture")
    panel.locator("input[type=file]").first.set_input_files(DUSK)
    panel.get_by_text("dusk.png").wait_for()
    slider(panel, "Width, pixels", 16)
    slider(panel, "How many", 1)
    slider(panel, "Effort (calls)", 4)
    panel.get_by_role("button", name="Take the picture's own palette").click()
    expect(panel.locator(".swatch[title='#ff004d']")).to_have_count(0)
    panel.get_by_role("button", name="Draw", exact=True).click()
    page.wait_for_function("document.querySelectorAll('.strip .tile').length == 1")
    panel.get_by_text("nearest colors alone").wait_for()
    panel.get_by_text("dithered alone").wait_for()
    assert {each.indices.shape for each in pictures(page)} == {(11, 16)}


def test_sprites_are_recolored_by_four_ways_and_to_many_palettes(page):
    draw(page, number=1)
    panel = open_tab(page, "Recolor")
    panel.get_by_role("button", name="Recolor to this palette").click()
    panel.locator(".tiles .tile").nth(3).wait_for()
    assert [each.palette for each in pictures(page)] == [read_palette("sweetie-16").with_transparency()] * 4
    panel.get_by_role("button", name="Recolor to all of these").click()
    panel.locator(".tiles .tile", has_text="endesga-32").wait_for()
    assert len({each.palette for each in pictures(page)}) == 3


def test_a_picture_is_quantized_in_several_ways_and_saved(page):
    panel = open_tab(page, "Quantize")
    panel.locator("input[type=file]").first.set_input_files(DUSK)
    panel.get_by_text("dusk.png").wait_for()
    slider(panel, "Colors", 5)
    panel.get_by_role("button", name="Quantize", exact=True).click()
    panel.locator(".tiles .tile").nth(5).wait_for()
    panel.get_by_text("bytes").first.wait_for()
    third = pictures(page)[2]
    panel.locator(".tiles .tile").nth(2).click()
    panel.locator(".stage .line").wait_for()
    panel.locator("canvas.cloud").wait_for()
    panel.get_by_label("Where before ends and after begins").fill("10")
    name, content = saved(page, panel.get_by_role("button", name="Save this one"))
    assert name == "quantized.png"
    assert Image.open(io.BytesIO(content)).mode == "P"
    assert np.array_equal(IndexedImage.from_pil(Image.open(io.BytesIO(content))).indices, third.indices)
    assert len(third.palette) == 5


def test_drawings_outlive_a_refresh_and_are_taken_away_as_they_are(page):
    draw(page)
    drawn = pictures(page)
    page.reload()
    page.locator(".strip .tile").nth(1).wait_for()
    panel = open_tab(page, "Take away")
    page.locator(".strip .tile").last.click()  # the first one drawn
    _, png = saved(page, panel.get_by_role("button", name="Indexed PNG"))
    assert png == drawn[0].to_png()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel.get_by_role("button", name="Copy to the clipboard").click()
    panel.get_by_text("Copied.").wait_for()
    with Image.open(io.BytesIO(base64.b64decode(page.evaluate(CLIPBOARD)))) as copied:  # browsers write it anew
        assert np.array_equal(np.array(copied.convert("RGBA")), drawn[0].to_rgba())
    page.get_by_role("button", name="All", exact=True).click()
    _, content = saved(page, panel.get_by_role("button", name="Everything as a zip"))
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.read("0001.png") == drawn[1].to_png()
    assert json.loads(archive.read("sprites.json"))["frames"]["0001.png"]["frame"]["w"] == 12
    assert Image.open(io.BytesIO(archive.read("drawings.gif"))).n_frames == 2
    assert archive.read("palette/palette.hex").decode().split() == drawn[1].palette.to_hex()
    assert {Path(name).suffix for name in archive.namelist() if "/" in name} >= {".hex", ".gpl", ".txt", ".act", ".png"}
    panel = open_tab(page, "Draw")
    panel.get_by_label("Palette by name").select_option("sweetie-16")
    panel.get_by_label("What to draw").fill("robe")
    slider(panel, "How many", 3)
    panel = open_tab(page, "Take away")
    name, state = saved(page, panel.get_by_role("button", name="Save this sitting"))
    assert name == "state.json"
    page.reload()  # which forgets what was set
    page.locator(".strip .tile").nth(1).wait_for()
    panel = open_tab(page, "Take away")
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("button", name="Remove", exact=True).last.click()
    assert page.locator(".strip .tile").count() == 0
    panel.locator("input[type=file]").set_input_files({"name": name, "mimeType": "application/json", "buffer": state})
    page.locator(".strip .tile").nth(1).wait_for()
    panel = open_tab(page, "Draw")
    expect(panel.get_by_label("Palette by name")).to_have_value("sweetie-16")
    expect(panel.get_by_label("What to draw")).to_have_value("robe")
    expect(panel.get_by_label("number input for How many", exact=True)).to_have_value("3")
    panel = open_tab(page, "Take away")
    broken = {"name": "state.json", "mimeType": "application/json", "buffer": b'{"items": [1]}'}
    panel.locator("input[type=file]").set_input_files(broken)
    panel.get_by_text("error: this is no state.json that the studio saved").wait_for()


def test_a_phone_can_do_all_of_it(phone):
    draw(phone)
    nothing_sticks_out(phone)
    shown_tab(phone).locator(".tiles .tile").first.click()
    paper = phone.locator("canvas.paper")
    paper.wait_for()
    phone.wait_for_function("document.querySelector('canvas.paper').width >= 200")
    paper.scroll_into_view_if_needed()
    box = paper.bounding_box()
    phone.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    panel = shown_tab(phone)
    slider(panel, "Effort (calls)", 4)
    slider(panel, "How many", 2)
    panel.get_by_role("button", name="Repaint", exact=True).click()
    phone.wait_for_function("document.querySelectorAll('.strip .tile').length == 4")
    nothing_sticks_out(phone)
    for name, button in (("From a picture", "Draw"), ("Quantize", "Quantize")):
        panel = open_tab(phone, name)
        panel.locator("input[type=file]").first.set_input_files(DUSK)
        panel.get_by_text("dusk.png").wait_for()
        if name == "From a picture":
            slider(panel, "Width, pixels", 16)
        panel.get_by_role("button", name=button, exact=True).click()
        panel.locator(".tiles .tile").nth(3).wait_for()
        nothing_sticks_out(phone)
    panel = open_tab(phone, "Recolor")
    panel.get_by_role("button", name="Recolor to this palette").click()
    panel.locator(".tiles .tile").nth(3).wait_for()
    nothing_sticks_out(phone)
    panel = open_tab(phone, "Take away")
    _, content = saved(phone, panel.get_by_role("button", name="Animated GIF"))
    assert content.startswith(b"GIF89a")
