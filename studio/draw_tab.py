"""Draw: words, a palette, and drawings that appear while they are drawn."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from tincture.common.errors import InputError
from tincture.diffusion.options import SAMPLER_OPTIONS

from .drawings import to_draw
from .pictures import palette_of_file
from .sitting import AT_ONCE, JOIN, ONE_AT_A_TIME, QUIET, Sitting, watched, whole
from .widgets import gallery, palette_editor, words_of_palette

AXES = [("no", ""), ("left and right", "x"), ("top and bottom", "y"), ("both", "both")]
RANDOM_SEED = "() => Math.floor(Math.random() * 1000000)"


def add_draw_tab(sitting: Sitting) -> None:
    """Build the tab."""
    engine = sitting.engine
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            prompt = gr.Textbox(
                label="What to draw",
                info="Plain words, such as: red dragon. Several lines are drawn in turn.",
                placeholder="red dragon",
                max_lines=6,
                visible=engine.knows_words,
            )
            draw, again, cancel = drawing_buttons("Draw", "Draw others")
            palette = palette_editor(engine.own_palettes)
            transparent = gr.Checkbox(True, label="Transparent background")
            with gr.Row():
                number = gr.Slider(1, 16, 4, step=1, label="How many")
                calls = gr.Slider(4, 64, 16, step=1, label="Effort (calls)")
            with gr.Row():
                width = gr.Number(engine.size, label="Width, pixels", precision=0, minimum=4, maximum=256, min_width=90)
                height = gr.Number(
                    engine.size, label="Height, pixels", precision=0, minimum=4, maximum=256, min_width=90
                )
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=90)
            with gr.Accordion("More", open=False):
                guidance = gr.Slider(0, 5, 2, step=0.1, label="Follow the words (guidance)")
                temperature = gr.Slider(0, 1.5, 0.9, step=0.05, label="Surprise (temperature)")
                class_label = gr.Dropdown(
                    [("any", ""), *engine.classes], value="", label="Kind of picture", visible=bool(engine.classes)
                )
                negative = gr.Textbox(label="Keep away from", placeholder="shield, text", visible=engine.knows_words)
                mirror = gr.Dropdown(AXES, value="", label="Symmetric")
                tile = gr.Dropdown(AXES, value="", label="Repeats without a seam")
                sampler = gr.Dropdown([("the model's own", ""), *SAMPLER_OPTIONS], value="", label="Sampler")
        with gr.Column(scale=7, min_width=320):
            drawn = gallery("Your drawings appear here while they are drawn.", "Take this one to Repaint")
            command = command_box()

    wanted = [
        prompt, palette, transparent, number, width, height, seed, calls, guidance, temperature, class_label, negative,
        sampler, mirror, tile,
    ]  # fmt: skip

    @watched
    def start(request: gr.Request, *asked: Any) -> Iterator[tuple]:
        (
            words,
            colors,
            is_clear,
            count,
            wide,
            high,
            number_of_seed,
            steps,
            scale,
            warmth,
            kind,
            avoided,
            way,
            fold,
            seam,
        ) = asked
        name = words_of_palette(colors)
        wish = to_draw(
            engine, words or "", name, is_clear, whole("how many", count), whole("the width", wide),
            whole("the height", high), whole("the seed", number_of_seed), whole("the effort", steps), scale, warmth,
            kind or "", avoided or "", way or "", fold or "", seam or "",
        )  # fmt: skip
        label = " · ".join(
            filter(None, [(words or "").strip().replace("\n", ", ")[:60], kind, f"seed {number_of_seed}"])
        )
        for value in sitting.watch(wish, request.session_hash, label):
            yield value, wish.command

    take_file(palette)
    shuffled = again.click(None, None, seed, js=RANDOM_SEED, **AT_ONCE)
    begun = [
        each(sitting.begin, **AT_ONCE).then(start, wanted, [drawn, command], **ONE_AT_A_TIME, **QUIET)
        for each in (draw.click, prompt.submit, shuffled.then)
    ]
    for each in begun:
        each.then(None, [drawn, sitting.strip], sitting.strip, js=JOIN, **AT_ONCE)
    cancel.click(sitting.stop, **AT_ONCE)
    drawn.select(further, [drawn, sitting.strip], [sitting.strip, sitting.tabs], **AT_ONCE)


def further(drawn: dict[str, Any], strip: dict[str, Any], event: gr.EventData) -> tuple[dict[str, Any], gr.Tabs]:
    """Choose in the strip the drawing that was clicked in a gallery, and go to Repaint."""
    items = list((strip or {}).get("items") or [])
    source = drawn["images"][event.index]["src"]
    places = [place for place, item in enumerate(items) if item["src"] == source]
    if not places:
        items.append({"src": source, "label": "unfinished", "command": ""})
        places = [len(items) - 1]
    return {"items": items, "selected": places[-1:]}, gr.Tabs(selected="repaint")


def command_box() -> gr.Textbox:
    """Where the command stands that makes the same."""
    return gr.Textbox(
        label="The same by command", lines=2, max_lines=14, interactive=False, buttons=["copy"], elem_classes="command"
    )


def drawing_buttons(first: str, other: str) -> tuple[gr.Button, gr.Button, gr.Button]:
    """Draw, draw with another seed, and cancel."""
    with gr.Row(equal_height=True):
        return (
            gr.Button(first, variant="primary", min_width=90),
            gr.Button(other, min_width=90),
            gr.Button("Cancel", min_width=80),
        )


def take_file(palette: gr.HTML) -> None:
    """Let a palette editor take files and pictures."""

    def take(value: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        kept = [str(color) for color in event.kept][:256]
        return palette_value(value, event.data, str(event.name), event.count, kept)

    palette.upload(take, palette, palette, **AT_ONCE)


def palette_value(
    value: dict[str, Any] | None, data: str, name: str, colors: float, kept: Sequence[str] = ()
) -> dict[str, Any]:
    """The value of a palette editor with the colors of a file; the old one where that is none."""
    try:
        found = palette_of_file(data, name, whole("the number of colors", colors), kept).to_hex()
    except InputError as error:
        return {**(value or {}), "wrong": " ".join(str(error).split())[:600]}
    return {"name": "", "colors": found, "locked": [color in kept for color in found]}
