"""Open the studio, a page in the browser: `python app.py`, or `tincture studio`.

The same tools are endpoints for programs, and an MCP server for agents (docs/studio.md).
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from tincture.common import cli
from tincture.common.errors import InputError, Range
from tincture.common.options import add_options, read_options
from tincture.pipelines.folders import model_in

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"
SPRITES = Path(__file__).parent / "checkpoints" / "sprites"


@dataclass(frozen=True)
class Options:
    """What app.py is asked.

    Args:
        checkpoint: folder that train.py wrote; the model that draws.
        port: where to listen; if left out, the first free one from 7860 on.
        listen: let other machines in, all that reach this one; without it, only this one is.
        open: also open the page in the browser.
    """

    checkpoint: Path = SPRITES
    port: Annotated[int | None, Range(1, 65535)] = None
    listen: bool = False
    open: bool = False


def main(arguments: list[str]) -> None:
    """Parse, build the page, serve it until Ctrl-C."""
    parser = cli.FlagParser("Open the studio: a page in the browser, and the same tools for programs and agents.")
    add_options(parser, Options)
    options = read_options(Options, parser.parse_args(arguments))
    model_in(options.checkpoint)
    if find_spec("gradio") is None:
        raise InputError("the studio needs gradio: pip install -r requirements-app.txt")
    from tincture.studio.engine import Engine  # gradio and torch take seconds
    from tincture.studio.page import launch, make_page

    engine = Engine(options.checkpoint)
    engine.warm_up()
    page, host = make_page(engine), EVERYWHERE if options.listen else LOOPBACK
    try:
        _, address, _ = launch(page, host, options.port, inbrowser=options.open, prevent_thread_lock=True)
    except OSError as error:
        raise InputError(f"the port {options.port} can't be listened on ({error}): give another --port") from None
    print(f"the studio: {address} (for agents: {address}gradio_api/mcp/). Ctrl-C ends it.", flush=True)
    page.block_thread()


if __name__ == "__main__":
    cli.run(main)
