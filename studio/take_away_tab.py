"""Take away: files of what was drawn, the clipboard, the sitting to go on another day."""

import base64
import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import gradio as gr

from tincture.common.errors import InputError
from tincture.quantization.palettes.files import WRITERS, write_palette
from tincture.quantization.pictures.animation import write_animation
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.sprite_sheet import make_sprite_sheet

from .pictures import content_of, indexed_at, placed, text_of, workplace
from .sitting import AT_ONCE, ONE_AT_A_TIME, QUIET, Sitting, chosen_in, whole
from .widgets import fits, settings_in, upload, widget

AT_MOST = 300
"""Drawings taken away at once."""
COPY = """async (strip) => {
  const last = studio.chosen(strip).at(-1);
  if (!last) return {note: "error: no drawing is chosen: click one among your drawings"};
  const picture = await (await fetch(last.src)).blob();
  await navigator.clipboard.write([new ClipboardItem({"image/png": picture})]);
  return {note: "Copied."};
}"""
SAVE_STATE = """(strip, ...values) => ({
  name: "state.json", note: "Saved state.json.",
  data: "data:application/json;base64," + btoa(unescape(encodeURIComponent(JSON.stringify(
    {...strip, settings: Object.fromEntries(NAMES.map((name, place) => [name, values[place]]))})))),
})"""


def add_take_away_tab(sitting: Sitting) -> None:
    """Build the tab."""
    gr.Markdown("Choose drawings below, one or several, and take them with you. Pixels and palettes stay as they are.")
    saver = widget("saver", {})
    with gr.Row():
        with gr.Column(min_width=300):
            gr.Markdown("#### Pictures")
            pngs = gr.Button("Indexed PNG", variant="primary")
            copy = gr.Button("Copy to the clipboard")
            everything = gr.Button("Everything as a zip")
        with gr.Column(min_width=300):
            gr.Markdown("#### For a game")
            with gr.Row():
                columns = gr.Number(8, label="Columns", precision=0, minimum=1, maximum=64, min_width=90)
                duration = gr.Number(
                    100, label="Each frame, milliseconds", precision=0, minimum=10, maximum=60000, min_width=90
                )
            sheet = gr.Button("Sprite sheet with JSON")
            gif = gr.Button("Animated GIF")
        with gr.Column(min_width=300):
            gr.Markdown("#### Palette and sitting")
            suffix = gr.Dropdown(
                [(name.removeprefix("."), name) for name in WRITERS], value=".hex", label="Palette file"
            )
            palette = gr.Button("Palette of the drawing")
            state = gr.Button("Save this sitting (state.json)")
            earlier = upload("Go on from a state.json: drop it here, or click")
            earlier.props["accept"] = ".json"

    def makes(make: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
        def call(strip: dict[str, Any], *options: Any) -> dict[str, str]:
            try:
                with workplace() as folder:
                    pictures = [indexed_at(placed(folder, each)) for each in chosen_in(strip, AT_MOST)]
                    return make(folder, pictures, *options)
            except InputError as error:
                return {"note": f"error: {' '.join(str(error).split())}"}

        return call

    for button, make, options in (
        (pngs, pictures_of, []),
        (sheet, sheet_of, [columns, duration]),
        (gif, gif_of, [duration]),
        (palette, palette_file_of, [suffix]),
        (everything, everything_of, [columns, duration]),
    ):
        button.click(makes(make), [sitting.strip, *options], saver, **ONE_AT_A_TIME, **QUIET)
    copy.click(None, sitting.strip, saver, js=COPY, **AT_ONCE)
    settings = {
        f"{tab.id}: {each.label or 'Palette'}": each for tab in sitting.tabs.children for each in settings_in(tab)
    }
    save = SAVE_STATE.replace("NAMES", json.dumps(list(settings)))
    state.click(None, [sitting.strip, *settings.values()], saver, js=save, **AT_ONCE)

    def restore(uploaded: dict[str, Any]) -> list[Any]:
        strip, note, found = read_state(uploaded)
        return [
            strip,
            note,
            *(found[n] if n in found and fits(each, found[n]) else gr.skip() for n, each in settings.items()),
        ]

    earlier.upload(restore, earlier, [sitting.strip, saver, *settings.values()], **ONE_AT_A_TIME, **QUIET)


def pictures_of(folder: Path, images: list[IndexedImage]) -> dict[str, str]:
    """The chosen drawing as a PNG, or several as a zip of them."""
    if len(images) == 1:
        return {"name": "drawing.png", "data": text_of(images[0]), "note": "Saved drawing.png."}
    return zipped("drawings.zip", {f"{number:04d}.png": image.to_png() for number, image in enumerate(images)})


def sheet_of(folder: Path, images: list[IndexedImage], columns: float, duration: float) -> dict[str, str]:
    """One picture with all of them, and the JSON that says where each stands."""
    return zipped("sheet.zip", sheet_files(folder, images, columns, duration))


def sheet_files(folder: Path, images: list[IndexedImage], columns: float, duration: float) -> dict[str, bytes]:
    """sprites.png and sprites.json."""
    named = {f"{number:04d}.png": image for number, image in enumerate(images)}
    across = max(whole("columns", columns), 1)
    make_sprite_sheet(named, across, duration=whole("milliseconds", duration)).save(folder / "sprites.png")
    return {name: (folder / name).read_bytes() for name in ("sprites.png", "sprites.json")}


def gif_of(folder: Path, images: list[IndexedImage], duration: float) -> dict[str, str]:
    """All of them in turn, each pixel in its exact color."""
    write_animation(folder / "drawings.gif", images, whole("milliseconds", duration))
    return saved("drawings.gif", (folder / "drawings.gif").read_bytes(), "image/gif")


def palette_file_of(folder: Path, images: list[IndexedImage], suffix: str) -> dict[str, str]:
    """The palette of the drawing that was chosen last."""
    if suffix not in WRITERS:
        raise InputError(f"a palette is written as one of {', '.join(WRITERS)}")
    write_palette(images[-1].palette, folder / f"palette{suffix}")
    return saved(f"palette{suffix}", (folder / f"palette{suffix}").read_bytes())


def everything_of(folder: Path, images: list[IndexedImage], columns: float, duration: float) -> dict[str, str]:
    """PNGs, sheet, GIF, and the palette in every format that can hold it."""
    files = {f"{number:04d}.png": image.to_png() for number, image in enumerate(images)}
    files |= sheet_files(folder, images, columns, duration)
    left_out = []
    try:
        write_animation(folder / "drawings.gif", images, whole("milliseconds", duration))
        files["drawings.gif"] = (folder / "drawings.gif").read_bytes()
    except InputError as error:  # sizes differ, or an entry is half transparent
        left_out.append(f"drawings.gif ({error})")
    for suffix in WRITERS:
        name = f"palette{suffix}"
        try:
            write_palette(images[-1].palette, folder / name)
            files[f"palette/{name}"] = (folder / name).read_bytes()
        except InputError:
            left_out.append(f"{name} (it holds no transparency)")
    answer = zipped("tincture.zip", files)
    return answer | ({"note": f"{answer['note']} Left out: {', '.join(left_out)}."} if left_out else {})


def zipped(name: str, files: dict[str, bytes]) -> dict[str, str]:
    """Files as one zip."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, data in files.items():
            archive.writestr(each, data)
    return saved(name, content.getvalue(), "application/zip")


def saved(name: str, content: bytes, kind: str = "application/octet-stream") -> dict[str, str]:
    """The value of a saver: the browser saves the file at once."""
    data = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return {"name": name, "data": data, "note": f"Saved {name}."}


def read_state(uploaded: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    """The strip of a state.json, each of whose pictures is looked at; a note; what was set."""
    if not (uploaded or {}).get("data"):
        return gr.skip(), {}, {}
    try:
        try:
            state = json.loads(content_of(uploaded.get("data") or "", "state.json"))
            items = [(str(each["src"]), str(each["label"]), str(each["command"])) for each in state["items"]]
            settings = dict(state.get("settings", {}))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError("this is no state.json that the studio saved") from None
        if len(items) > AT_MOST:
            raise InputError(f"the state.json has {len(items)} drawings; at most {AT_MOST} are taken")
        with workplace() as folder:
            kept = [
                {"src": text_of(indexed_at(placed(folder, src))), "label": label[:200], "command": command[:4000]}
                for src, label, command in items
            ]
    except InputError as error:
        return gr.skip(), {"note": f"error: {' '.join(str(error).split())}"}, {}
    back = f"{len(kept)} drawings are back{', and all settings' if settings else ''}."
    return {"items": kept, "selected": []}, {"note": back}, settings
