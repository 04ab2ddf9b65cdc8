"""The studio's own components: gradio's HTML component with the functions of page.js.

Their templates hold no value, so nothing that somebody sends becomes code or markup.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from tincture.quantization.palettes.files import READERS, named_palettes, read_palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import IMAGE_SUFFIXES

from .pictures import MAX_BYTES, text_of

HEAD = f"<script>{(Path(__file__).parent / 'page.js').read_text()}</script>"
CSS = (Path(__file__).parent / "page.css").read_text()
START = "pico-8"


def widget(name: str, value: dict[str, Any], **props: Any) -> gr.HTML:
    """A component that a function of page.js of this name fills in."""
    return gr.HTML(
        value,
        html_template='<div class="studio"></div>',
        js_on_load=f"studio.{name}(element, props, trigger, watch)",
        apply_default_css=False,
        container=False,
        **props,
    )


def gallery(hint: str, action: str = "Take it further", room: int = 160) -> gr.HTML:
    """Pictures side by side; a click on one triggers ``select`` with its ``index``."""
    return widget("gallery", {}, hint=hint, action=action, room=room)


def palette_editor(own: Mapping[str, str] | None = None, start: str = START) -> gr.HTML:
    """A palette: named, pasted, of a file, by hand; ``own`` are the model's names, explained."""
    named = {name: read_palette(name).to_hex() for name in named_palettes()}
    colors = named[start]
    value = {"name": start, "colors": colors, "locked": [False] * len(colors)}
    return widget("palette", value, named=named, own=dict(own or {}), accept=",".join(READERS))


def upload(words: str) -> gr.HTML:
    """A place to drop a picture."""
    return widget("upload", {}, words=words, most=MAX_BYTES, accept=",".join(sorted(IMAGE_SUFFIXES)))


def shown(images: list[IndexedImage], captions: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """The value of a `gallery`."""
    captions = captions or [""] * len(images)
    pictures = [{"src": text_of(image), "caption": said} for image, said in zip(images, captions, strict=True)]
    return {"images": pictures, **more}


def fresh(images: list[IndexedImage], label: str, command: str) -> list[dict[str, str]]:
    """What joins the strip."""
    return [{"src": text_of(image), "label": label, "command": command} for image in images]


def words_of_palette(value: dict[str, Any] | None) -> str:
    """The value of a `palette_editor` as the requests take it."""
    value = value or {}
    return value.get("name") or ",".join(map(str, value.get("colors") or []))
