"""The studio as programs, agents and strangers reach it: over HTTP, gradio's client and MCP."""

import asyncio
import base64
import gc
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from gradio_client import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from tincture.quantization.palettes.files import read_palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.studio.door import MAX_REQUEST_BYTES
from tincture.tests.studio.conftest import images_of

TOOLS = ["draw", "repaint", "palettize", "recolor", "quantize", "palette_of"]
TINY = {"width": 8, "height": 8, "steps": 2}
SECRET = "/etc/passwd"


def called(address, name, given):
    """What an endpoint answers to a new visitor; ValueError with what it says of a mistake."""
    started = httpx.post(f"{address}/gradio_api/call/v2/{name}", json=given, timeout=120).json()
    events = httpx.get(f"{address}/gradio_api/call/{name}/{started['event_id']}", timeout=120).text
    event, data = events.strip().rsplit("event: ", 1)[1].split("\ndata: ", 1)
    if event != "complete":
        raise ValueError(json.loads(data))
    return json.loads(data)[0]


@pytest.fixture(scope="module")
def client(served):
    return Client(served, verbose=False, httpx_kwargs={"timeout": 60})


def test_an_agent_draws_four_sprites_and_repaints_one_in_the_exact_palette(served):
    wanted = read_palette("pico-8").with_transparency()

    async def talk():
        async with (
            streamable_http_client(f"{served}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            drawn = await session.call_tool("draw", {"prompt": "sword", "number": 4, **TINY})
            first = json.loads(drawn.content[0].text)["drawings"][0]["png"]
            again = await session.call_tool("repaint", {"picture": first, "mask": "0,0,8,4", "steps": 2})
            wrong = await session.call_tool("repaint", {"picture": first, "mask": "0,0,8,4", "palette": "123,abc"})
            return tools, drawn, again, wrong

    tools, drawn, again, wrong = asyncio.run(talk())
    assert [tool.name for tool in tools] == TOOLS
    assert all(len(tool.description) > 40 for tool in tools)
    assert "name such as pico-8" in tools[0].inputSchema["properties"]["palette"]["description"]
    sprites = images_of(drawn.content[0].text)
    assert len(sprites) == 4
    seen = [IndexedImage.from_pil(Image.open(BytesIO(base64.b64decode(each.data)))) for each in drawn.content[1:]]
    assert {(each.type, each.mimeType) for each in drawn.content[1:]} == {("image", "image/png")}
    assert all(
        np.array_equal(large.indices, sprite.indices.repeat(32, 0).repeat(32, 1))
        for large, sprite in zip(seen, sprites, strict=True)
    )
    assert [large.palette for large in seen] == [wanted] * 4
    assert all(sprite.palette == wanted for sprite in sprites)
    (repainted,) = images_of(again.content[0].text)
    assert repainted.palette == wanted
    assert np.array_equal(repainted.indices[4:], sprites[0].indices[4:])
    assert wrong.isError
    assert "not in the palette" in wrong.content[0].text


def test_a_program_gets_what_a_function_gives(client, engine, sprite):
    answer = client.predict(prompt="potion", palette="sweetie-16", number=2, **TINY, api_name="/draw")
    assert [image.palette for image in images_of(answer)] == [read_palette("sweetie-16").with_transparency()] * 2
    (moved,) = images_of(client.predict(picture=sprite[1], palette="pico-8", api_name="/recolor"))
    assert np.array_equal(moved.indices, engine.recolored(sprite[0], read_palette("pico-8"), "areas").indices)


def test_only_the_tools_are_offered(served):
    named = httpx.get(f"{served}/gradio_api/info").json()["named_endpoints"]
    assert list(named) == [f"/{name}" for name in TOOLS]


def test_it_listens_on_loopback_only(served):
    port = int(served.rsplit(":", 1)[1])
    listening = [each.laddr.ip for each in psutil.Process().net_connections() if each.laddr and each.laddr.port == port]
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize(
    "path",
    [
        f"/gradio_api/file={SECRET}",
        f"/gradio_api/file/{SECRET}",
        f"/file={SECRET}",
        "/gradio_api/file=README.md",
        f"/gradio_api/file={Path(__file__).resolve()}",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        f"/static/../../../../../../..{SECRET}",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        f"/assets/{SECRET}",
        "/gradio_api//file=/etc/passwd",
        "/gradio_api/%66ile=/etc/passwd",
    ],
)
def test_no_address_leads_to_a_file_of_the_machine(served, path):
    with socket.create_connection(("127.0.0.1", int(served.rsplit(":", 1)[1]))) as raw:  # no client tidies the path
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := raw.recv(65536):
            answer += piece
    assert answer.split()[1] in (b"403", b"404", b"405", b"307")
    assert b"root:" not in answer
    assert b"Tincture trains" not in answer


def test_nothing_can_be_uploaded_or_sent_endlessly(served):
    files = {"files": ("x.png", b"x")}
    assert httpx.post(f"{served}/gradio_api/upload", files=files).status_code == 404
    huge = b"x" * (MAX_REQUEST_BYTES + 1)
    assert httpx.post(f"{served}/gradio_api/call/draw", content=huge).status_code == 413

    def endless():
        for _ in range(MAX_REQUEST_BYTES // (1 << 20) + 3):
            yield b" " * (1 << 20)

    with pytest.raises((httpx.HTTPError, AssertionError)):
        answer = httpx.post(f"{served}/gradio_api/call/draw", content=endless(), timeout=60)
        assert answer.is_success, "it was refused"


@pytest.mark.parametrize("shape", ["path", "url", "meta"])
def test_a_file_of_the_machine_is_no_picture_of_an_endpoint(served, shape):
    given = {
        "path": SECRET,
        "url": {"path": "x.png", "url": f"file://{SECRET}"},
        "meta": {"path": SECRET, "meta": {"_type": "gradio.FileData"}, "orig_name": "x.png"},
    }[shape]
    started = httpx.post(f"{served}/gradio_api/call/palette_of", json={"data": [given, 16]})
    text = started.text
    if started.is_success:
        text = httpx.get(f"{served}/gradio_api/call/palette_of/{started.json()['event_id']}", timeout=60).text
        assert "event: error" in text
    assert "root:" not in text


def test_twenty_requests_at_once_get_their_own_answers_and_memory_comes_back(served, sprite):
    noise = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(1000)).decode()
    hostile = [
        ("draw", {"palette": SECRET}, "no palette '/etc/passwd'"),
        ("draw", {"number": 10**9}, "the number of drawings is 1000000000"),
        ("repaint", {"picture": noise, "mask": "0,0,1,1"}, "picture"),
        ("palette_of", {"picture": "A" * 1000 + "!"}, "is not base64"),
        ("recolor", {"picture": sprite[1], "palette": ",".join(["fff"] * 300)}, "1 to 256 entries, not 300"),
    ]
    palettes = [",".join(f"{(40 * n + 7 * k) % 256:02x}{k:02x}{n:02x}" for k in range(4)) for n in range(15)]

    def draw(number):
        given = {"palette": palettes[number], "transparent": False, "number": 1, "seed": number, **TINY}
        return images_of(called(served, "draw", given))[0]

    def attack(name, given, message):
        with pytest.raises(ValueError, match=message):
            called(served, name, given)
        return True

    def everybody():
        with ThreadPoolExecutor(20) as crowd:
            drawn = [crowd.submit(draw, number) for number in range(15)]
            attacks = [crowd.submit(attack, *each) for each in hostile]
            return [each.result(120) for each in drawn], [each.result(120) for each in attacks]

    drawn, repelled = everybody()
    assert [image.palette.to_hex() for image in drawn] == [palette.split(",") for palette in palettes]
    assert all(np.array_equal(image.indices, draw(number).indices) for number, image in enumerate(drawn[:2]))
    assert repelled == [True] * 5
    gc.collect()
    before = psutil.Process().memory_info().rss
    everybody()
    gc.collect()
    assert psutil.Process().memory_info().rss - before < 50 << 20


def test_the_page_names_no_other_machine_to_load_from_and_the_studio_asks_none(served, client, reached):
    page = httpx.get(served).text
    sources = [
        part.split('"')[0] for mark in ('src="', '<link rel="stylesheet" href="') for part in page.split(mark)[1:]
    ]
    assert sources
    assert not [source for source in sources if source.startswith(("http", "//"))]
    assert "fonts.googleapis" not in httpx.get(f"{served}/theme.css").text
    assert reached == []


def test_tools_give_the_bytes_that_a_file_would_have(client, tmp_path):
    answer = json.loads(client.predict(number=1, **TINY, api_name="/draw"))
    content = base64.b64decode(answer["drawings"][0]["png"])
    IndexedImage.from_pil(Image.open(BytesIO(content))).save(tmp_path / "same.png")
    assert (tmp_path / "same.png").read_bytes() == content
