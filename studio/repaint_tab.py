"""Repaint: a brush says what is drawn anew; margins, variations, symmetry and tiles go with it."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from tincture.quantization.pictures.contact_sheet import repeated

from .draw_tab import AXES, RANDOM_SEED, command_box, drawing_buttons, further
from .drawings import to_repaint
from .pictures import indexed_at, placed, text_of, workplace
from .sitting import AT_ONCE, JOIN_UNCHOSEN, ONE_AT_A_TIME, QUIET, Sitting, watched, whole
from .widgets import gallery, upload, widget

TAKE_CHOSEN = """(strip, canvas) => {
  const last = studio.chosen(strip).at(-1);
  return last && last.src !== canvas?.src ? {src: last.src, mask: ""} : canvas;
}"""
TAKE_UPLOADED = "(uploaded) => (uploaded?.data ? {src: uploaded.data, mask: ''} : {})"
TILES = 3


def add_repaint_tab(sitting: Sitting) -> None:
    """Build the tab."""
    engine = sitting.engine
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            canvas = widget("painter", {}, hint="Choose one of your drawings below, or drop a picture here under.")
            own = upload("Or drop a picture of at most 256 colors here")
            prompt = gr.Textbox(label="What to draw there", placeholder="a red hat", visible=engine.knows_words)
            draw, again, cancel = drawing_buttons("Repaint", "Other versions")
            with gr.Row():
                number = gr.Slider(1, 16, 4, step=1, label="How many")
                calls = gr.Slider(4, 64, 16, step=1, label="Effort (calls)")
            change = gr.Slider(0.1, 1, 1, step=0.05, label="Change (below 1: a variation of it)")
            seed = gr.Number(0, label="Seed", precision=0, minimum=0)
            with gr.Accordion("Larger canvas, symmetry, tiles", open=False):
                with gr.Row():
                    margins = [
                        gr.Number(0, label=f"{side}, pixels", precision=0, minimum=0, maximum=128, min_width=70)
                        for side in ("Left", "Top", "Right", "Bottom")
                    ]
                mirror = gr.Dropdown(AXES, value="", label="Symmetric")
                tile = gr.Dropdown(
                    AXES, value="", label="Repeats without a seam", info="A preview shows it three by three"
                )
                guidance = gr.Slider(0, 5, 2, step=0.1, label="Follow the words (guidance)")
                temperature = gr.Slider(0, 1.5, 0.9, step=0.05, label="Surprise (temperature)")
        with gr.Column(scale=7, min_width=320):
            drawn = gallery(
                "Versions appear here. What you don't paint stays as it is, pixel by pixel.", "Go on from this one"
            )
            tiled = gallery("", "", room=220)
            command = command_box()

    wanted = [canvas, prompt, number, calls, seed, change, *margins, mirror, tile, guidance, temperature]

    @watched
    def start(request: gr.Request, *asked: Any) -> Iterator[tuple]:
        painted, words, count, steps, number_of_seed, strength, left, top, right, bottom, fold, seam, scale, warmth = (
            asked
        )
        painted = painted or {}
        edges = tuple(whole("a margin", edge or 0) for edge in (left, top, right, bottom))
        with workplace() as folder:
            wish = to_repaint(
                engine, folder, painted.get("src") or "", painted.get("mask") or "", edges, strength, "", words or "",
                whole("how many", count), whole("the seed", number_of_seed), whole("the effort", steps), scale, warmth,
                fold or "", seam or "",
            )  # fmt: skip
            label = " · ".join(filter(None, ["repainted", (words or "").strip()[:60], f"seed {number_of_seed}"]))
            for value in sitting.watch(wish, request.session_hash, label):
                yield value, wish.command

    own.upload(None, own, canvas, js=TAKE_UPLOADED, **AT_ONCE)
    sitting.strip.change(None, [sitting.strip, canvas], canvas, js=TAKE_CHOSEN, **AT_ONCE)
    shuffled = again.click(None, None, seed, js=RANDOM_SEED, **AT_ONCE)
    for each in (draw.click, shuffled.then):
        done = each(sitting.begin, **AT_ONCE).then(start, wanted, [drawn, command], **ONE_AT_A_TIME, **QUIET)
        done.then(None, [drawn, sitting.strip], sitting.strip, js=JOIN_UNCHOSEN, **AT_ONCE)
        done.then(tiles_of, [drawn, tile], tiled, **AT_ONCE)
    cancel.click(sitting.stop, **AT_ONCE)
    drawn.select(further, [drawn, sitting.strip], [sitting.strip, sitting.tabs], **AT_ONCE)


def tiles_of(drawn: dict[str, Any], tile: str) -> dict[str, Any]:
    """Each drawing three by three, where it was asked to repeat."""
    if not tile:
        return {}
    rows, columns = (TILES if tile in axes else 1 for axes in (("y", "both"), ("x", "both")))
    pictures = []
    for each in drawn.get("images") or []:
        with workplace() as folder:
            image = indexed_at(placed(folder, each["src"]))
        pictures.append({"src": text_of(repeated(image, rows, columns)), "caption": ""})
    return {"images": pictures}
