"""What the tabs share: the model, the strip of drawings, and drawing while people watch."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import gradio as gr

from tincture.common.errors import InputError
from tincture.quantization.pictures.indexed_image import IndexedImage

from .engine import Engine, StoppedError
from .requests import Request
from .widgets import fresh, shown

ONE_AT_A_TIME = {"concurrency_limit": 1, "concurrency_id": "model"}
"""Of everything that takes long: others wait in gradio's queue."""
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
"""Of the page's own events."""
AT_ONCE = {"queue": False, **QUIET}
"""Of those that take no time."""

JOIN = "(drawn, strip) => studio.joined(drawn, strip, true)"
JOIN_UNCHOSEN = "(drawn, strip) => studio.joined(drawn, strip, false)"
"""What is drawn joins the strip, and is chosen there or not."""


@dataclass(frozen=True)
class Sitting:
    """What the tabs share. The drawings are in the browsers; nothing of them stays here."""

    engine: Engine
    strip: gr.HTML
    """The drawings of a browser's tab, and which are chosen."""
    tabs: gr.Tabs
    running: dict[str, threading.Event] = field(default_factory=dict)
    """What stops the drawing of each session that draws or waits."""

    def begin(self, request: gr.Request) -> None:
        """Say that this session waits for its turn, so that it can be stopped before."""
        self.running[request.session_hash] = threading.Event()

    def stop(self, request: gr.Request) -> None:
        """Stop what this session draws, or waits to draw."""
        if (event := self.running.get(request.session_hash)) is not None:
            event.set()

    def leave(self, request: gr.Request) -> None:
        """Stop what this session draws, since its page is gone."""
        self.stop(request)
        self.running.pop(request.session_hash, None)

    def watch(self, request: Request, session: str, label: str, before: Any = None) -> Iterator[dict[str, Any]]:
        """Draw, and yield the values of a gallery as the drawings appear.

        Args:
            request: what is drawn.
            session: who asks.
            label: what the strip calls the drawings.
            before: what the gallery shows before them, ``images`` of its value.
        """
        before, images = before or [], []
        stop = self.running.setdefault(session, threading.Event())
        try:
            if stop.is_set():
                raise StoppedError
            yield {"images": before, "share": 0.0}
            for step in self.engine.steps(request.asked, request.number, stop):
                images = step.images
                if step.share < 1:
                    yield joined_to(before, images, share=step.share)
        except StoppedError:
            yield joined_to(before, images, note="Stopped. What you see isn't finished.")
            return
        finally:
            self.running.pop(session, None)
        yield joined_to(before, images, fresh=fresh(images, label, request.command))


def joined_to(before: list[dict[str, str]], images: list[IndexedImage], **more: Any) -> dict[str, Any]:
    """The value of a gallery of pictures that stood there, and of drawings."""
    value = shown(images, **more)
    return {**value, "images": [*before, *value["images"]]}


def watched(function: Callable[..., Iterator[tuple]]) -> Callable[..., Iterator[tuple]]:
    """A generator of (a gallery's value, a command) whose `InputError` is a line in the gallery."""

    @wraps(function)
    def call(request: gr.Request, *arguments: Any) -> Iterator[tuple]:
        try:
            yield from function(request, *arguments)
        except InputError as error:
            yield complaint(error), ""

    return call


def complaint(error: InputError) -> dict[str, Any]:
    """An error as the value of a gallery."""
    return {"images": [], "note": f"error: {' '.join(str(error).split())[:600]}", "wrong": True}


def whole(name: str, value: float | None) -> int:
    """A whole number of a field; raises InputError where it is empty or none."""
    if value is None or value != int(value):
        raise InputError(f"{name} is {'empty' if value is None else value}: give a whole number")
    return int(value)


def chosen_in(strip: dict[str, Any] | None, at_most: int) -> list[str]:
    """The pictures that are chosen in the strip, as text.

    Raises:
        InputError: none is, or too many are.
    """
    items, places = (strip or {}).get("items") or [], (strip or {}).get("selected") or []
    pictures = [items[place]["src"] for place in places if isinstance(place, int) and 0 <= place < len(items)]
    if not pictures:
        raise InputError("no drawing is chosen: click one among your drawings")
    if len(pictures) > at_most:
        raise InputError(f"{len(pictures)} drawings are chosen; at most {at_most} are taken at once")
    return pictures
