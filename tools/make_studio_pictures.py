"""Photograph each tab of the studio in Chromium, for docs/studio.md.

`python -m tools.make_studio_pictures` does it;
`--width 390 --height 844 --output runs/studio` shows what a phone shows.
"""

import argparse
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

from tincture.app import SPRITES
from tincture.studio.engine import Engine
from tincture.studio.page import launch, make_page

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
WORDS = "red dragon\npotion\nrobe\ndemon"
COLORS = 256
"""Of a file: enough for a page, and a third of the bytes."""


def main() -> None:
    """Draw, repaint, recolor and so on, and photograph what stands there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=1280, help="of the window, pixels")
    parser.add_argument("--height", type=int, default=800, help="of the window, pixels")
    parser.add_argument("--output", type=Path, default=PICTURES, help="folder for the pictures")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    served = make_page(Engine(SPRITES))
    _, address, _ = launch(served, "127.0.0.1", None, prevent_thread_lock=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": options.width, "height": options.height})
        page.set_default_timeout(120_000)
        page.goto(address)
        visit(page, options.output)
        browser.close()
    served.close()


def visit(page: Page, output: Path) -> None:
    """Use each tab once."""
    panel = page.get_by_role("tabpanel").filter(visible=True)
    page.locator(".swatch").first.wait_for()
    page.get_by_label("What to draw").first.fill(WORDS)
    panel.get_by_label("Palette by name").select_option("train")
    press(panel, "Draw")
    drawn(page, 4)
    photograph(page, output, "draw")

    panel.locator(".tiles .tile").first.click()
    page.wait_for_function("document.querySelector('canvas.paper')?.width > 200")
    box = page.locator("canvas.paper").bounding_box()
    across, down = box["width"], box["height"]
    page.mouse.move(box["x"] + 0.25 * across, box["y"] + 0.2 * down)
    page.mouse.down()
    for row in (0.2, 0.26, 0.32, 0.38):
        page.mouse.move(box["x"] + 0.25 * across, box["y"] + row * down, steps=4)
        page.mouse.move(box["x"] + 0.6 * across, box["y"] + row * down, steps=12)
    page.mouse.up()
    panel.get_by_label("What to draw there").fill("red dragon")
    press(panel, "Repaint")
    drawn(page, 8)
    photograph(page, output, "repaint")

    open_tab(page, "From a picture")
    panel.locator("input[type=file]").first.set_input_files(PICTURES / "dusk.png")
    panel.get_by_text("dusk.png").wait_for()
    press(panel, "Draw")
    drawn(page, 10)
    photograph(page, output, "picture")

    open_tab(page, "Recolor")
    page.locator(".strip .tile").last.click()
    press(panel, "Recolor to this palette")
    panel.locator(".tiles .tile").nth(3).wait_for()
    photograph(page, output, "recolor")

    open_tab(page, "Quantize")
    panel.locator("input[type=file]").first.set_input_files(PICTURES / "dusk.png")
    panel.get_by_text("dusk.png").wait_for()
    press(panel, "Quantize")
    panel.locator(".tiles .tile").nth(5).wait_for()
    panel.locator(".tiles .tile").nth(1).click()
    panel.locator(".stage .line").wait_for()
    photograph(page, output, "quantize")

    open_tab(page, "Take away")
    photograph(page, output, "take-away")


def press(panel: Locator, name: str) -> None:
    """Click the button of this name."""
    panel.get_by_role("button", name=name, exact=True).click()


def drawn(page: Page, drawings: int) -> None:
    """Wait until the strip has so many drawings."""
    page.wait_for_function(f"document.querySelectorAll('.strip .tile').length >= {drawings}")


def open_tab(page: Page, name: str) -> None:
    """Open a tab, which a narrow window keeps in a menu."""
    tab = page.get_by_role("tab", name=name, exact=True)
    if tab.count() and tab.first.is_visible():
        tab.first.click()
    else:
        page.locator(".overflow-menu > button").click()
        page.locator(".overflow-dropdown button", has_text=name).click()


def photograph(page: Page, output: Path, name: str) -> None:
    """Write the whole page as a PNG of few colors."""
    page.wait_for_timeout(800)
    page.screenshot(path=(path := output / f"studio-{name}.png"), full_page=True)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
