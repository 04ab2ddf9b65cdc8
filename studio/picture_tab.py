"""From a picture: a photograph as pixel art, a grey one in color, a picture's style."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from tincture.common.errors import InputError
from tincture.controls.reading import resized
from tincture.quantization.conversion import convert
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import read_image

from .draw_tab import RANDOM_SEED, command_box, drawing_buttons, further, palette_value, take_file
from .drawings import to_palettize
from .pictures import palette_of_words, placed, workplace
from .sitting import AT_ONCE, JOIN, ONE_AT_A_TIME, QUIET, Sitting, watched, whole
from .widgets import gallery, palette_editor, shown, upload, words_of_palette

NEAR, GREY, STYLE = "Draw it in the palette", "Color it: take its lightness only", "Draw something else in its style"
COLORS = 16
"""Taken from a picture that has more."""
ALONE = {"nearest colors alone": "none", "dithered alone": "floyd-steinberg"}
"""What stands beside the drawings: the picture without the model, by caption and ditherer."""


def add_picture_tab(sitting: Sitting) -> None:
    """Build the tab."""
    engine = sitting.engine
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            own = upload("Drop a photograph or a picture here, or click to choose one")
            what = gr.Radio([NEAR, GREY, STYLE], value=NEAR, label="What to do with it")
            draw, again, cancel = drawing_buttons("Draw", "Draw others")
            palette = palette_editor()
            take = gr.Button("Take the picture's own palette", size="sm")
            width = gr.Slider(
                16,
                128,
                48,
                step=1,
                label="Width, pixels",
                info="The height follows. Larger than the model's own, it is drawn in windows.",
            )
            fidelity = gr.Slider(
                0,
                3000,
                300,
                step=50,
                label="Faithful to the picture",
                info="0 not at all, 300 well, 3000 the nearest colors",
            )
            prompt = gr.Textbox(label="What it shows", placeholder="a sunset", visible=engine.knows_words)
            with gr.Row():
                number = gr.Slider(1, 8, 2, step=1, label="How many")
                calls = gr.Slider(4, 64, 16, step=1, label="Effort (calls)")
            seed = gr.Number(0, label="Seed", precision=0, minimum=0)
        with gr.Column(scale=7, min_width=320):
            drawn = gallery(
                "Drawings appear here, and beside them what quantizing and dithering alone give.",
                "Take this one to Repaint",
                room=260,
            )
            command = command_box()

    @watched
    def start(request: gr.Request, *asked: Any) -> Iterator[tuple]:
        uploaded, kind, colors, wide, near, words, count, steps, number_of_seed = asked
        data, name, wide = (uploaded or {}).get("data") or "", words_of_palette(colors), whole("the width", wide)
        with workplace() as folder:
            wish = to_palettize(
                engine, folder, data, name, wide, near, words or "", whole("how many", count),
                whole("the seed", number_of_seed), whole("the effort", steps), grey=kind == GREY, style=kind == STYLE,
            )  # fmt: skip
            before = [] if kind != NEAR else alone(folder, data, palette_of_words(name), wide)
            label = " · ".join(filter(None, ["from a picture", (words or "").strip()[:60], f"seed {number_of_seed}"]))
            for value in sitting.watch(wish, request.session_hash, label, before):
                yield value, wish.command

    def palette_of_it(value: dict[str, Any], uploaded: dict[str, Any]) -> dict[str, Any]:
        return palette_value(value, (uploaded or {}).get("data") or "", "picture.png", COLORS)

    take.click(palette_of_it, [palette, own], palette, **ONE_AT_A_TIME, **QUIET)
    take_file(palette)
    shuffled = again.click(None, None, seed, js=RANDOM_SEED, **AT_ONCE)
    wanted = [own, what, palette, width, fidelity, prompt, number, calls, seed]
    for each in (draw.click, shuffled.then):
        done = each(sitting.begin, **AT_ONCE).then(start, wanted, [drawn, command], **ONE_AT_A_TIME, **QUIET)
        done.then(None, [drawn, sitting.strip], sitting.strip, js=JOIN, **AT_ONCE)
    cancel.click(sitting.stop, **AT_ONCE)
    drawn.select(further, [drawn, sitting.strip], [sitting.strip, sitting.tabs], **AT_ONCE)


def alone(folder: Any, data: str, palette: Palette, width: int) -> list[dict[str, str]]:
    """The picture at that width, quantized and dithered without the model, for a gallery.

    Raises:
        InputError: it is no picture, or has pixels for which the palette has no entry.
    """
    rgba = read_image(placed(folder, data))
    small = resized(rgba, None, width)
    if (small[..., 3] == 0).all():
        raise InputError("the picture is transparent everywhere")
    images = []
    for method in ALONE.values():
        converted = convert([small], palette, method=method, exact=True)
        images.append(IndexedImage(converted.indices[0], converted.palette))
    return shown(images, list(ALONE))["images"]
