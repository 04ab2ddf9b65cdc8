"""Quantize: a picture or an animation in fewer colors, methods and ditherers side by side."""

import base64
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from tincture.common.errors import InputError
from tincture.quantization.dither import DITHERERS
from tincture.quantization.fit import QUANTIZERS
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.reading import read_image
from tincture.quantization.spaces import SPACES

from .draw_tab import command_box, take_file
from .pictures import palette_of_words, placed, workplace
from .quantizing import Quantized, quantized_file
from .sitting import AT_ONCE, ONE_AT_A_TIME, QUIET, Sitting, complaint, whole
from .widgets import gallery, palette_editor, upload, widget, words_of_palette

METHODS = [name for name in QUANTIZERS if name not in ("learned", "fixed")]
MANY, POINTS = 12, 1500
"""Pictures side by side, and points of the cloud of colors, at most."""
MOST_WORK = 1 << 24
"""Pixels of all pictures side by side together."""
KIND = {".png": "image/png", ".gif": "image/gif"}
SAVE = "(split) => split.after ? {name: split.name, data: split.after, note: `Saved ${split.name}.`} : {note: 'error: nothing is chosen'}"
FITTED, GIVEN = "Fitted to the picture", "My palette"


def add_quantize_tab(sitting: Sitting) -> None:
    """Build the tab."""
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            own = upload("Drop a picture or an animation here, or click to choose one")
            quantize = gr.Button("Quantize", variant="primary")
            colors = gr.Slider(2, 256, 16, step=1, label="Colors")
            which = gr.Radio([FITTED, GIVEN], value=FITTED, label="Palette")
            with gr.Column(visible=False) as given:
                palette = palette_editor()
            methods = gr.CheckboxGroup(METHODS, value=["kmeans", "median-cut"], label="How the palette is fitted")
            ditherers = gr.CheckboxGroup(
                list(DITHERERS), value=["none", "floyd-steinberg", "blue-noise"], label="Dithering"
            )
        with gr.Column(scale=7, min_width=320):
            made = gallery(
                "Results appear here side by side. Click one to compare it with the picture.", "Compare it", room=180
            )
            split = widget("split", {}, hint="")
            with gr.Row():
                save = gr.Button("Save this one", min_width=140)
            saver = widget("saver", {})
            cloud = widget("cloud", {})
            command = command_box()

    def start(
        uploaded: dict[str, Any], count: float, kind: str, chosen: dict[str, Any], ways: list[str], dithers: list[str]
    ) -> Iterator[tuple]:
        try:
            is_given = kind == GIVEN
            pairs = [(way, dither) for way in ([""] if is_given else ways or []) for dither in dithers or []]
            if not 0 < len(pairs) <= MANY:
                raise InputError(f"{len(pairs)} results are ticked: tick 1 to {MANY}")
            images = []
            with workplace() as folder:
                path = placed(folder, (uploaded or {}).get("data") or "")
                check_work(path, len(pairs))
                for number, (way, dither) in enumerate(pairs):
                    yield {"images": images, "share": number / len(pairs)}, gr.skip(), gr.skip()
                    result = quantized_file(
                        folder, path, whole("colors", count), words_of_palette(chosen) if is_given else "", way, dither
                    )
                    images = [*images, described(result, way, dither)]
        except InputError as error:
            yield complaint(error), gr.skip(), ""
            return
        yield {"images": images}, {}, ""

    def compare(uploaded: dict[str, Any], value: dict[str, Any], event: gr.EventData) -> tuple:
        found = value["images"][event.index]
        with workplace() as folder:
            rgba = read_image(placed(folder, uploaded["data"]))
        name = f"quantized{'.gif' if found['src'].startswith('data:image/gif') else '.png'}"
        note = "At the left of the line is the picture, at its right the result."
        return (
            {"before": uploaded["data"], "after": found["src"], "note": note, "name": name},
            cloud_of(rgba, palette_of_words(",".join(found["palette"]))),
            found["command"],
        )

    take_file(palette)
    which.change(lambda kind: gr.Column(visible=kind == GIVEN), which, given, **AT_ONCE)
    asked = [own, colors, which, palette, methods, ditherers]
    quantize.click(start, asked, [made, split, command], **ONE_AT_A_TIME, **QUIET)
    made.select(compare, [own, made], [split, cloud, command], **ONE_AT_A_TIME, **QUIET)
    save.click(None, split, saver, js=SAVE, **AT_ONCE)


def check_work(path: Any, results: int) -> None:
    """Raise InputError if so many results of a picture are more than others should wait for."""
    height, width = read_image(path).shape[:2]
    if height * width * results > MOST_WORK:
        raise InputError(
            f"{results} results of {width}×{height} pixels are too many at once: tick fewer, or take a smaller picture"
        )


def described(result: Quantized, way: str, dither: str) -> dict[str, Any]:
    """A result as a picture of the gallery."""
    data = base64.b64encode(result.content).decode()
    name = " · ".join(filter(None, [way, "" if dither == "none" else dither])) or "nearest colors"
    return {
        "src": f"data:{KIND[result.suffix]};base64,{data}",
        "caption": f"{name}\nerror {result.delta_e:.4f} · {len(result.content):,} bytes",
        "palette": result.palette.to_hex(),
        "command": result.command,
    }


def cloud_of(rgba: np.ndarray, palette: Palette) -> dict[str, Any]:
    """Colors of a picture and of a palette, each as lightness, a, b and hex."""
    pixels = rgba[rgba[..., 3] > 0]
    pixels = pixels[:: max(len(pixels) // POINTS, 1)]

    def points(colors: np.ndarray) -> list[list]:
        oklab = SPACES["oklab"].from_bytes(colors)
        return [
            [*(round(float(value), 3) for value in place), bytes(color[:3]).hex()]
            for place, color in zip(oklab, colors, strict=True)
        ]

    return {"points": points(pixels), "entries": points(palette.colors[palette.colors[:, 3] > 0])}
