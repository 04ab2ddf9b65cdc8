"""Pictures made to fill memory, to hang or to run something: each is refused in one line, within
a gigabyte, soon.
"""

import io
import json
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from tincture.data.resizing import fit_to_size

MEMORY = 1 << 30
"""Bytes of address space beyond what the imports take; the largest picture that is read needs
about as much.
"""
SECONDS = 20


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, *chunks, pixels=b""):
    """A PNG of one bit a pixel, with further chunks before its pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body


def gif(width, height, frames, frame_width, frame_height):
    """A GIF of equal frames, each a single LZW code."""
    frame = struct.pack("<BHHHHB", 0x2C, 0, 0, frame_width, frame_height, 0) + b"\x02\x02\x44\x01\x00"
    table = b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + table + frame * frames + b";"


def tiff(*tags, following=0):
    """A little-endian TIFF with a single folder of (tag, type, count, value)."""
    folder = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<I", 8) + folder + struct.pack("<I", following) + b"\0" * 64


def animated(format, frames=2):
    pictures = [Image.new("RGB", (4, 4), (80 * n, 9, 9)) for n in range(frames)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, format=format, save_all=True, append_images=pictures[1:])
    return buffer.getvalue()


ZEROS = zlib.compress(b"\0" * 300_000_000, 9)
LAST = 2**32 - 1
SIDES = ((256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1))
BOMBS = {
    "50000.png": png(50_000, 50_000, pixels=b"\0" * 10_000_000),
    "last.png": png(2**31 - 1, 2**31 - 1),
    "zTXt.png": png(1, 1, chunk(b"zTXt", b"a\0\0" + ZEROS), pixels=b"\0\0"),
    "iTXt.png": png(1, 1, chunk(b"iTXt", b"a\0\x01\0\0\0" + ZEROS), pixels=b"\0\0"),
    "many-texts.png": png(1, 1, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 1_000_000))] * 200, pixels=b"\0\0"),
    "many-pixels.png": png(9000, 9000, pixels=b"\0" * 10),
    "frames.png": animated("PNG").replace(
        (old := chunk(b"acTL", struct.pack(">II", 2, 0))), chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    ),
    "canvas.gif": gif(65_535, 65_535, 1, 1, 1),
    "frame.gif": gif(1, 1, 1, 65_535, 65_535),
    "frames.gif": gif(3000, 3000, 2000, 1, 1),
    "canvas.webp": b"RIFF"
    + struct.pack("<I", 40)
    + b"WEBPVP8X"
    + struct.pack("<IB3s3s3s", 10, 2, b"\0" * 3, b"\xfe\x3f\0", b"\xfe\x3f\0")
    + b"\0" * 18,
    "65535.jpg": b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0"
    + b"\0" * 99,
    "sides.tif": tiff(*((tag, kind, count, LAST if tag < 258 else value) for tag, kind, count, value in SIDES)),
    "strips.tif": tiff(*SIDES, (273, 4, LAST, 8), (279, 4, LAST, 8)),
    "tags.tif": tiff(*((tag, 12, LAST, LAST) for tag in range(256, 700))),
    "folders.tif": tiff(*SIDES, following=8),
    "wide.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 1, 0, 0, 0, 0, 0, 0),
    "program.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(ran) (w) file closefile showpage\n",
    "program.gif": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(ran) (w) file closefile showpage\n",
}

HARMLESS = {
    f"harmless.{suffix}": animated(format)
    for suffix, format in (("png", "PNG"), ("webp", "WEBP"), ("gif", "GIF"), ("tif", "TIFF"), ("jpg", "MPO"))
} | {
    "large.png": png(5000, 5000, pixels=b"\0" * 626 * 5000),
    "small.gif": gif(9, 9, 20, 1, 1),
    "plain.tif": tiff(*SIDES, (273, 4, 1, 8), (279, 4, 1, 4)),
    "a strip of 4 GB that isn't there.tif": tiff(*SIDES, (273, 4, 1, 8), (279, 4, 1, LAST)),
}
"""What is read by the same process, so that it isn't refused for lack of everything."""

DRIVER = """
import json, resource, signal, sys
from pathlib import Path
from tincture.common.errors import InputError
from tincture.quantization.pictures.animation import read_animation
from tincture.quantization.pictures.reading import read_image

def give_up(*_):
    raise SystemError("too slow")

signal.signal(signal.SIGALRM, give_up)
memory, seconds = map(int, sys.argv[1:3])
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))
for name in sys.argv[3:]:
    for read in (read_image, read_animation):
        signal.alarm(seconds)
        try:
            read(Path(name))
            outcome = "read"
        except InputError as error:
            outcome = str(error)
        except BaseException as error:
            outcome = f"crash: {error!r}"
        signal.alarm(0)
        print(json.dumps(outcome), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What `read_image` and `read_animation` make of each file, in a process with little memory."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, content in (BOMBS | HARMLESS).items():
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.png")
    (folder / "zeros.png").symlink_to("/dev/zero")
    (folder / "loop.png").symlink_to("loop.png")
    names = [*BOMBS, "pipe.png", "zeros.png", "loop.png", *HARMLESS]
    finished = subprocess.run(
        [sys.executable, "-c", DRIVER, str(MEMORY), str(SECONDS), *names],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    assert len(lines) == 2 * len(names), finished.stderr[-2000:]
    assert not (folder / "ran").exists()
    return dict(zip(names, zip(lines[::2], lines[1::2], strict=True), strict=True))


@pytest.mark.parametrize("name", [*BOMBS, "pipe.png", "zeros.png", "loop.png"])
def test_a_bomb_is_refused_in_one_line(outcomes, name):
    still, moving = outcomes[name]
    first_frame_is_harmless = name in ("frames.png", "frames.gif", "frame.gif")
    for outcome in (moving,) if first_frame_is_harmless else (still, moving):
        assert outcome.startswith(name) or f" {name}" in outcome, outcome
        assert len(outcome) < 500
        assert len(outcome.splitlines()) == 1


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_bomb_is_read(outcomes, name):
    assert outcomes[name] == ("read", "read")


@pytest.mark.parametrize("resize", ["area", "nearest"])
@pytest.mark.parametrize("shape", [(65_535, 1), (1, 65_535), (3, 200)])
def test_a_strip_is_scaled_by_its_middle(shape, resize):
    pixels = np.zeros((*shape, 4), np.uint8)
    pixels[...] = [10, 20, 30, 255]
    fitted = fit_to_size(pixels, 128, resize).pixels
    assert fitted.shape == (128, 128, 4)
    assert (fitted == [10, 20, 30, 255]).all()
