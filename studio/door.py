"""What may come in: requests of a bounded size, and none of gradio's ways to files of the machine.

The studio's pictures come and go inside of the requests, so it needs none of those ways.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from .pictures import MAX_BYTES

MAX_REQUEST_BYTES = 4 * MAX_BYTES
"""Pictures as base64, with a strip of drawings beside them."""
CLOSED = (
    *("/upload", "/file=", "/file/", "/proxy=", "/stream", "/component_server", "/custom_component", "/deep_link"),
    *("/process_recording", "/run-history", "/vibe", "/dev/"),
)


class Door:
    """ASGI middleware: 404 to `CLOSED` paths, and 413 to requests that are too large."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if any(scope["path"].removeprefix("/gradio_api").startswith(path) for path in CLOSED):
            await _answer(send, 404, "the studio serves no files")
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MAX_REQUEST_BYTES:
            await _answer(send, 413, "this request is too large")
            return
        received = 0

        async def counted() -> dict[str, Any]:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # A body without a length may be endless: it ends here, as if its sender had gone.
            return {"type": "http.disconnect"} if received > MAX_REQUEST_BYTES else message

        await self.app(scope, counted, send)


async def _answer(send: Callable, status: int, words: str) -> None:
    body = words.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
