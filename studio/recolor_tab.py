"""Recolor: sprites in another palette, each way side by side; or one way, in many palettes."""

from typing import Any

import gradio as gr

from tincture.common.errors import InputError
from tincture.quantization.palettes.files import named_palettes
from tincture.quantization.pictures.indexed_image import IndexedImage

from .draw_tab import command_box, further, take_file
from .pictures import indexed_at, palette_of_words, placed, workplace
from .requests import check_sides, recolor_command
from .sitting import AT_ONCE, ONE_AT_A_TIME, QUIET, Sitting, chosen_in, complaint
from .widgets import gallery, palette_editor, shown, upload, words_of_palette

AT_MOST = 8
"""Sprites recolored at once."""
WAYS = {
    "areas": "large areas stay near their colors",
    "reversible": "one-to-one, with a way back",
    "role": "by the part that a color plays",
    "model": "by what the model finds likely",
}


def add_recolor_tab(sitting: Sitting) -> None:
    """Build the tab."""
    engine = sitting.engine
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            gr.Markdown("Choose one or several of your drawings below, or drop a picture of at most 256 colors.")
            own = upload("Drop a picture here, or click to choose one")
            palette = palette_editor(start="sweetie-16")
            ways = gr.CheckboxGroup(
                [(f"{way}: {said}", way) for way, said in WAYS.items()],
                value=list(WAYS),
                label="How colors find each other",
            )
            recolor = gr.Button("Recolor to this palette", variant="primary")
            many = gr.Dropdown(
                named_palettes(),
                multiselect=True,
                max_choices=12,
                value=["pico-8", "sweetie-16", "endesga-32"],
                label="Or in many palettes",
            )
            strips = gr.Button("Recolor to all of these")
        with gr.Column(scale=7, min_width=320):
            drawn = gallery("Recolored drawings appear here, one way beside the other.", "Keep it, and go on from it")
            command = command_box()

    def pictures(strip: dict[str, Any], uploaded: dict[str, Any]) -> list[IndexedImage]:
        data = (uploaded or {}).get("data")
        with workplace() as folder:
            return [
                indexed_at(check_sides(placed(folder, each)))
                for each in ([data] if data else chosen_in(strip, AT_MOST))
            ]

    def moved(
        strip: dict[str, Any], uploaded: dict[str, Any], palettes: list[str], ways: list[str]
    ) -> tuple[dict[str, Any], str]:
        try:
            images = pictures(strip, uploaded)
            if not palettes or not ways:
                raise InputError("nothing is ticked: choose a way and a palette")
            found = [
                (engine.recolored(image, palette_of_words(name), way), way if len(palettes) == 1 else name)
                for image in images
                for name in palettes
                for way in ways
            ]
        except InputError as error:
            return complaint(error), ""
        images, captions = zip(*found, strict=True)
        return shown(list(images), list(captions)), recolor_command(engine, palettes, ways)

    def to_one(strip: dict[str, Any], uploaded: dict[str, Any], colors: dict[str, Any], ways: list[str]) -> tuple:
        return moved(strip, uploaded, [words_of_palette(colors)], ways or [])

    def to_many(strip: dict[str, Any], uploaded: dict[str, Any], names: list[str]) -> tuple:
        return moved(strip, uploaded, names or [], ["areas"])

    take_file(palette)
    recolor.click(to_one, [sitting.strip, own, palette, ways], [drawn, command], **ONE_AT_A_TIME, **QUIET)
    strips.click(to_many, [sitting.strip, own, many], [drawn, command], **ONE_AT_A_TIME, **QUIET)
    drawn.select(further, [drawn, sitting.strip], [sitting.strip, sitting.tabs], **AT_ONCE)
