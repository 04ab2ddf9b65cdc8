"""The tools for programs and agents: typed functions, endpoints of gradio and of MCP.

Pictures come as base64 and go as base64 of indexed PNGs: the palette in its order, no index moved.
"""

import base64
import json
from collections.abc import Callable
from functools import wraps
from io import BytesIO
from typing import Any, Literal

import gradio as gr
from gradio.mcp import GradioMCPServer
from mcp.types import ImageContent, TextContent
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.pictures.indexed_image import IndexedImage

from .drawings import to_draw, to_palettize, to_repaint
from .engine import Engine
from .pictures import indexed_at, palette_of_file, palette_of_words, placed, workplace
from .quantizing import quantized_file
from .requests import Request, check_sides
from .sitting import ONE_AT_A_TIME

SHOWN = 256
"""Pixels to which the longer side of a sprite is enlarged where an agent looks at it."""
Axis = Literal["", "x", "y", "both"]


def told(function: Callable) -> Callable:
    """The same function, whose `InputError` gradio shows as one line."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except InputError as error:
            raise gr.Error(" ".join(str(error).split()), print_exception=False) from None

    return call


def answer(images: list[IndexedImage], command: str = "", **more: Any) -> str:
    """The JSON in which tools give pictures back."""
    drawings = [
        {
            "png": base64.b64encode(image.to_png()).decode(),
            "width": image.indices.shape[1],
            "height": image.indices.shape[0],
            "palette": image.palette.to_hex(),
        }
        for image in images
    ]
    return json.dumps({"drawings": drawings, **({"command": command} if command else {}), **more})


def show_pictures(server: GradioMCPServer) -> None:
    """Let agents see what tools made: after the JSON comes each picture as MCP's image content.

    gradio's own way needs files with addresses, and the studio serves none. Drawings are enlarged
    by whole pixels; the JSON holds them as they are.
    """
    told_only = server.postprocess_output_data

    def shown_too(data: Any, root_url: str) -> list[TextContent | ImageContent]:
        content = told_only(data, root_url)
        return [*content, *(picture for said in content for picture in _pictures_of(said.text))]

    server.postprocess_output_data = shown_too


def _pictures_of(said: str) -> list[ImageContent]:
    """What the JSON of a tool holds."""
    found = json.loads(said)
    pictures = []
    for each in found.get("drawings", []):
        image = IndexedImage.from_pil(Image.open(BytesIO(base64.b64decode(each["png"]))))
        large = image.enlarged(max(1, SHOWN // max(image.indices.shape)))
        pictures.append(("png", base64.b64encode(large.to_png()).decode()))
    if "file" in found:
        pictures.append((found["suffix"].removeprefix("."), found["file"]))
    return [ImageContent(type="image", data=data, mimeType=f"image/{kind}") for kind, data in pictures]


def make_tools(engine: Engine) -> list[Callable]:
    """The six tools; each name is its endpoint's and its MCP tool's."""

    def drawn(request: Request) -> str:
        return answer(engine.draw(request.asked, request.number), request.command)

    def draw(
        prompt: str = "",
        palette: str = "pico-8",
        transparent: bool = True,
        number: int = 4,
        width: int = 0,
        height: int = 0,
        seed: int = 0,
        steps: int = 16,
        guidance_scale: float = 2.0,
        temperature: float = 0.9,
        class_label: str = "",
        negative_prompt: str = "",
        mirror: Axis = "",
        tile: Axis = "",
    ) -> str:
        """Draw pixel art sprites from words, every pixel an entry of the palette.

        Args:
            prompt: what to draw in plain words, such as "red dragon"; several prompts on several
                lines are drawn in turn.
            palette: a name such as pico-8, endesga-32 or nintendo-gameboy-bgb; or 2 to 256 colors
                such as "1d2b53,ff004d,fff1e8", whose order the drawings keep; or "train" for
                palettes of pictures like the prompt.
            transparent: add a transparent entry after the last one (not with "train").
            number: how many drawings, 1 to 32.
            width: pixels, 4 to 256; 0 for the model's own size.
            height: pixels, 4 to 256; 0 for the model's own size.
            seed: the same seed and options give the same drawings.
            steps: calls of the network, 1 to 256; 16 is quick, 64 is better.
            guidance_scale: how strongly to follow the words; 1 as learned, 2 is good.
            temperature: below 1, likely pixels are favored.
            class_label: a class of the model, or empty.
            negative_prompt: what to keep away from, in words with commas between.
            mirror: be symmetric along this axis; "x" makes the left half mirror the right one.
            tile: repeat without a seam along this axis.

        Returns:
            JSON with "drawings", base64 PNG files with their palettes, and the "command" that
            draws the same.
        """
        return drawn(
            to_draw(
                engine, prompt, palette, transparent, number, width, height, seed, steps,
                guidance_scale, temperature, class_label, negative_prompt, mirror=mirror, tile=tile,
            )
        )  # fmt: skip

    def repaint(
        picture: str,
        mask: str = "",
        prompt: str = "",
        palette: str = "",
        strength: float = 1.0,
        left: int = 0,
        top: int = 0,
        right: int = 0,
        bottom: int = 0,
        number: int = 1,
        seed: int = 0,
        steps: int = 16,
        guidance_scale: float = 2.0,
        temperature: float = 0.9,
        mirror: Axis = "",
        tile: Axis = "",
    ) -> str:
        """Draw a part of a sprite anew, or around it, or vary it; all else is kept bit for bit.

        Args:
            picture: the sprite as base64 of a PNG file, at most 256 colors.
            mask: what to draw anew: a box "x,y,width,height" in pixels, or base64 of a picture of
                the same size that is white there; empty with margins or a strength below 1.
            prompt: what to draw, in words.
            palette: a name or colors that hold all colors of the picture; empty keeps its own.
            strength: below 1, the picture is varied by so much: 0.3 a little, 0.7 a lot.
            left: pixels to add at the left.
            top: pixels to add at the top.
            right: pixels to add at the right.
            bottom: pixels to add at the bottom.
            number: how many versions, 1 to 32.
            seed: the same seed and options give the same drawings.
            steps: calls of the network, 1 to 256.
            guidance_scale: how strongly to follow the words.
            temperature: below 1, likely pixels are favored.
            mirror: be symmetric along this axis.
            tile: repeat without a seam along this axis.

        Returns:
            JSON with "drawings", base64 PNG files in the picture's palette, and the "command".
        """
        with workplace() as folder:
            return drawn(
                to_repaint(
                    engine, folder, picture, mask, (left, top, right, bottom), strength, palette, prompt, number, seed,
                    steps, guidance_scale, temperature, mirror, tile,
                )
            )  # fmt: skip

    def palettize(
        picture: str,
        palette: str = "pico-8",
        width: int = 0,
        fidelity: float = 300.0,
        prompt: str = "",
        number: int = 1,
        seed: int = 0,
        steps: int = 16,
    ) -> str:
        """Draw a photograph as pixel art in a palette, as the model thinks that sprites look.

        Args:
            picture: base64 of a PNG, JPEG, WebP or GIF file.
            palette: a name such as pico-8, or colors such as "000000,ffffff".
            width: of the drawing in pixels, 4 to 256; the height follows; 0 for its own.
            fidelity: how near the colors shall be: 0 not at all, 300 well, 3000 the nearest.
            prompt: what it shows, in words.
            number: how many versions, 1 to 32.
            seed: the same seed and options give the same drawings.
            steps: calls of the network, 1 to 256.

        Returns:
            JSON with "drawings": base64 PNG files in that palette, and the "command".
        """
        with workplace() as folder:
            return drawn(to_palettize(engine, folder, picture, palette, width, fidelity, prompt, number, seed, steps))

    def recolor(picture: str, palette: str, by: Literal["areas", "reversible", "role", "model"] = "areas") -> str:
        """Move a sprite to another palette, all pixels of a color to one color.

        Args:
            picture: the sprite as base64 of a PNG file, at most 256 colors.
            palette: a name such as pico-8, or colors such as "000000,ffffff"; it gets a transparent
                entry after its last if the picture needs one.
            by: areas keeps large areas near their colors, reversible is one-to-one with a way back,
                role matches the part that a color plays, model takes what the model finds likely.

        Returns:
            JSON with "drawings": one base64 PNG file in that palette.
        """
        with workplace() as folder:
            image = indexed_at(check_sides(placed(folder, picture)))
            return answer([engine.recolored(image, palette_of_words(palette), by)])

    def quantize(
        picture: str,
        colors: int = 16,
        palette: str = "",
        method: Literal["kmeans", "mixtures", "median-cut", "octree"] = "kmeans",
        dither: str = "none",
    ) -> str:
        """Reduce a picture or an animation to a palette, fitted to it or given, dithered or not.

        Args:
            picture: base64 of a PNG, JPEG, WebP or GIF file.
            colors: entries of a fitted palette, 2 to 256.
            palette: a name or colors to use instead of a fitted palette; empty to fit one.
            method: how the palette is fitted.
            dither: none, floyd-steinberg, blue-noise, bayer4 or another ditherer.

        Returns:
            JSON with "file": base64 of a PNG (or of a GIF for an animation), its "palette", the
            "delta_e" in OKLab (black to white is 1), and its "bytes".
        """
        with workplace() as folder:
            result = quantized_file(folder, placed(folder, picture), colors, palette, method, dither)
        return json.dumps(
            {
                "file": base64.b64encode(result.content).decode(),
                "suffix": result.suffix,
                "palette": result.palette.to_hex(),
                "delta_e": result.delta_e,
                "bytes": len(result.content),
                "command": result.command,
            }
        )

    def palette_of(picture: str, colors: int = 256) -> str:
        """List the colors of a picture: all of them in their order, or so many chosen from it.

        Args:
            picture: base64 of a PNG, JPEG, WebP or GIF file.
            colors: entries at most, 2 to 256; of a picture of more colors, the best so many.

        Returns:
            JSON with "palette": RRGGBB, or RRGGBBAA where an entry isn't opaque.
        """
        if not 2 <= colors <= 256:
            raise InputError(f"colors is {colors}; it must be from 2 to 256")
        return json.dumps({"palette": palette_of_file(picture, "picture.png", colors).to_hex()})

    return [told(each) for each in (draw, repaint, palettize, recolor, quantize, palette_of)]


def add_tools(engine: Engine) -> None:
    """Make the tools endpoints of the page that is being built."""
    for tool in make_tools(engine):
        gr.api(tool, api_name=tool.__name__, **ONE_AT_A_TIME)
