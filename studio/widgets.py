"""The studio's own components: gradio's HTML component with the functions of page.js.

Their templates hold no value, so nothing that somebody sends becomes code or markup.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from tincture.common.errors import InputError
from tincture.quantization.palettes.files import READERS, named_palettes, read_palette
from tincture.quantization.palettes.palette import Palette
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


LONGEST_WORDS = 2000
NUMBERS, CHOICES = (gr.Slider, gr.Number), (gr.Dropdown, gr.Radio, gr.CheckboxGroup)


def settings_in(block: gr.blocks.BlockContext) -> Iterator[gr.components.Component]:
    """All in which somebody sets something: words, numbers, choices and palettes."""
    for child in block.children:
        if isinstance(child, gr.HTML):
            if "named" in child.props:
                yield child
        elif isinstance(child, gr.blocks.BlockContext):
            yield from settings_in(child)
        elif isinstance(child, NUMBERS + CHOICES + (gr.Textbox, gr.Checkbox)) and child.interactive is not False:
            yield child


def fits(setting: gr.components.Component, value: Any) -> bool:
    """Whether a value that came in a file could have been set so."""
    if isinstance(setting, gr.HTML):
        return _is_palette(setting, value)
    if isinstance(setting, gr.Checkbox):
        return isinstance(value, bool)
    if isinstance(setting, NUMBERS):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and (setting.minimum or 0) <= value <= (1e15 if setting.maximum is None else setting.maximum)
    if isinstance(setting, gr.Textbox):
        return isinstance(value, str) and len(value) <= LONGEST_WORDS
    is_several = isinstance(setting, gr.CheckboxGroup) or bool(getattr(setting, "multiselect", False))
    return isinstance(value, list) == is_several and all(
        each in [choice for _, choice in setting.choices] for each in (value if is_several else [value])
    )


def _is_palette(editor: gr.HTML, value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    name, colors, locked = str(value.get("name")), value.get("colors"), value.get("locked")
    if name in editor.props["own"]:
        return colors == locked == []
    try:
        known = isinstance(colors, list) and Palette.from_hex(colors).to_hex() == colors
    except (InputError, TypeError, AttributeError):
        return False
    return (
        known
        and isinstance(locked, list)
        and [type(each) for each in locked] == [bool] * len(colors)
        and (name == "" or editor.props["named"].get(name) == colors)
    )


def words_of_palette(value: dict[str, Any] | None) -> str:
    """The value of a `palette_editor` as the requests take it."""
    value = value or {}
    return value.get("name") or ",".join(map(str, value.get("colors") or []))
