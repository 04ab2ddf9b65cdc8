"""The page: a tab is a file, and the strip of drawings under all of them."""

import logging
import os
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported: nothing asks the network

import gradio as gr
from starlette.middleware import Middleware

from .door import Door
from .draw_tab import add_draw_tab
from .engine import Engine
from .picture_tab import add_picture_tab
from .pictures import MAX_BYTES
from .quantize_tab import add_quantize_tab
from .recolor_tab import add_recolor_tab
from .repaint_tab import add_repaint_tab
from .sitting import Sitting
from .take_away_tab import add_take_away_tab
from .tools import add_tools, show_pictures
from .widgets import CSS, HEAD, widget

LONGEST_QUEUE = 64
FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"]
MONO = ["ui-monospace", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"]


def make_theme() -> gr.themes.Base:
    """Quiet: warm greys, one accent, the machine's own fonts."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
        font=FONTS,
        font_mono=MONO,
    ).set(
        body_background_fill="*neutral_50",
        block_background_fill="white",
        block_border_width="1px",
        block_shadow="none",
        block_label_background_fill="white",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_600",
        button_primary_text_color="white",
        button_large_text_size="*text_md",
        button_large_text_weight="500",
        button_large_padding="*spacing_sm *spacing_lg",
    )


def make_page(engine: Engine) -> gr.Blocks:
    """The page of a model, with its tools as endpoints."""
    with gr.Blocks(title="Tincture studio", analytics_enabled=False) as page:
        gr.Markdown("### Tincture studio\nPixel art in exactly your colors.", elem_id="title")
        strip = widget("strip", {"items": [], "selected": []}, several=False, render=False)
        with gr.Tabs() as tabs:
            sitting = Sitting(engine, strip, tabs)
            for name, title, add_tab in TABS:
                with gr.Tab(title, id=name):
                    add_tab(sitting)
        strip.render()
        page.unload(sitting.leave)
        add_tools(engine)
    return page


TABS = (
    ("draw", "Draw", add_draw_tab),
    ("repaint", "Repaint", add_repaint_tab),
    ("picture", "From a picture", add_picture_tab),
    ("recolor", "Recolor", add_recolor_tab),
    ("quantize", "Quantize", add_quantize_tab),
    ("take-away", "Take away", add_take_away_tab),
)
"""The id and the title of each tab, and what builds it."""


def launch(page: gr.Blocks, host: str, port: int | None, **more: Any) -> Any:
    """Serve the page, its endpoints and its MCP server; returns what gradio's ``launch`` does."""
    for library in ("httpx", "mcp", "uvicorn"):
        logging.getLogger(library).setLevel(logging.WARNING)
    page.queue(max_size=LONGEST_QUEUE)
    launched = page.launch(
        server_name=host,
        server_port=port,
        theme=make_theme(),
        css=CSS,
        head=HEAD,
        share=False,
        quiet=True,
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        mcp_server=True,
        max_file_size=MAX_BYTES,
        allowed_paths=[],
        footer_links=["api"],
        favicon_path=Path(__file__).parent / "icon.png",
        app_kwargs={"middleware": [Middleware(Door)]},
        **more,
    )
    show_pictures(page.mcp_server_obj)
    return launched
