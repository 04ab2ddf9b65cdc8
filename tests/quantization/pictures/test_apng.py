import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.pictures.animation import read_animation

KEEP, CLEAR, RESTORE = 0, 1, 2
SOURCE, OVER = 0, 1
GRAY, RGB, INDEXED, RGBA = 0, 2, 3, 6
COLORS = {".": (0, 0, 0, 0), "r": (255, 0, 0, 255), "g": (0, 255, 0, 255), "b": (0, 0, 255, 255), "k": (0, 0, 0, 255)}


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
"""The passes of an interlaced picture: first row, first column, steps between rows and columns."""


def stored(kind, frames, *, extra=b"", default=None, plays=0, interlaced=False):
    """A file of 4×4 pixels; frames are (pixels uint8 [H, W] or [H, W, C], left, top, disposal,
    blending).
    """
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, kind, 0, 0, interlaced))
    parts, number = [b"\x89PNG\r\n\x1a\n", header], 0
    parts += [chunk(b"acTL", struct.pack(">II", len(frames), plays)), extra]

    def compressed(pixels):
        passes = [pixels[y::down, x::right] for y, x, down, right in ADAM7] if interlaced else [pixels]
        return zlib.compress(b"".join(b"\0" + row.tobytes() for part in passes for row in part if row.size))

    if default is not None:
        parts.append(chunk(b"IDAT", compressed(default)))
    for pixels, left, top, disposal, blending in frames:
        height, width = pixels.shape[:2]
        control = struct.pack(">IIIIIHHBB", number, width, height, left, top, 1 + number, 20, disposal, blending)
        parts.append(chunk(b"fcTL", control))
        number += 1
        if number == 1 and default is None:
            parts.append(chunk(b"IDAT", compressed(pixels)))
        else:
            parts.append(chunk(b"fdAT", struct.pack(">I", number) + compressed(pixels)))
            number += 1
    return b"".join([*parts, chunk(b"IEND", b"")])


def letters(frame):
    """A frame in letters, one row a word."""
    names = {color: name for name, color in COLORS.items()}
    return " ".join(
        "".join(names[tuple(pixel) if pixel[3] else (0, 0, 0, 0)] for pixel in row) for row in frame.tolist()
    )


PLTE = chunk(b"PLTE", bytes([0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 0]))  # b, transparent, r, g
INDEXED_EXTRA = PLTE + chunk(b"tRNS", b"\xff\x00")
BLUE, CLEAR_BLUE = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)
RED, GREEN = np.full((2, 2), 2, np.uint8), np.full((2, 2), 3, np.uint8)
HOLE = np.array([[1, 2], [2, 1]], np.uint8)


@pytest.mark.parametrize("kind", [INDEXED, RGBA])
@pytest.mark.parametrize(
    ("frames", "shown"),
    [
        ([(BLUE, 0, 0, KEEP, SOURCE), (RED, 1, 1, KEEP, SOURCE)], ["bbbb bbbb bbbb bbbb", "bbbb brrb brrb bbbb"]),
        ([(BLUE, 0, 0, CLEAR, SOURCE), (RED, 1, 1, KEEP, SOURCE)], ["bbbb bbbb bbbb bbbb", ".... .rr. .rr. ...."]),
        (
            [(BLUE, 0, 0, KEEP, SOURCE), (RED, 0, 0, CLEAR, SOURCE), (GREEN, 2, 2, KEEP, OVER)],
            ["bbbb bbbb bbbb bbbb", "rrbb rrbb bbbb bbbb", "..bb ..bb bbgg bbgg"],
        ),
        (
            [(BLUE, 0, 0, KEEP, SOURCE), (RED, 0, 0, RESTORE, SOURCE), (GREEN, 2, 2, KEEP, OVER)],
            ["bbbb bbbb bbbb bbbb", "rrbb rrbb bbbb bbbb", "bbbb bbbb bbgg bbgg"],
        ),
        ([(BLUE, 0, 0, RESTORE, OVER), (RED, 0, 0, KEEP, OVER)], ["bbbb bbbb bbbb bbbb", "rr.. rr.. .... ...."]),
        ([(BLUE, 0, 0, KEEP, SOURCE), (HOLE, 0, 0, KEEP, SOURCE)], ["bbbb bbbb bbbb bbbb", ".rbb r.bb bbbb bbbb"]),
        ([(BLUE, 0, 0, KEEP, SOURCE), (HOLE, 0, 0, KEEP, OVER)], ["bbbb bbbb bbbb bbbb", "brbb rbbb bbbb bbbb"]),
        ([(CLEAR_BLUE, 0, 0, CLEAR, SOURCE), (HOLE, 2, 2, KEEP, OVER)], [".... .... .... ....", ".... .... ...r ..r."]),
    ],
)
@pytest.mark.parametrize("interlaced", [False, True])
def test_frames_are_composed_as_browsers_show_them(tmp_path, kind, frames, shown, interlaced):
    table = np.array([COLORS[name] for name in "b.rg"], np.uint8)
    drawn = frames if kind == INDEXED else [(table[pixels], *rest) for pixels, *rest in frames]
    extra = INDEXED_EXTRA if kind == INDEXED else b""
    (tmp_path / "a.png").write_bytes(stored(kind, drawn, extra=extra, interlaced=interlaced))
    assert [letters(frame) for frame in read_animation(tmp_path / "a.png").frames] == shown


@pytest.mark.parametrize("count", [1, 3])
def test_a_separate_default_image_is_no_frame(tmp_path, count):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue", "white")[: count + 1]]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=70, default_image=True)
    animation = read_animation(tmp_path / "a.png")
    assert animation.durations == ([70] * 3 if count == 3 else [0])
    assert [tuple(frame[0, 0, :3]) for frame in animation.frames] == [frame.getpixel((0, 0)) for frame in frames[1:]]


def test_soft_pixels_are_laid_over_each_other(tmp_path):
    soft = np.full((4, 4, 4), (255, 0, 0, 128), np.uint8)
    (tmp_path / "a.png").write_bytes(stored(RGBA, [(soft, 0, 0, CLEAR, OVER), (soft, 0, 0, KEEP, OVER)] * 2))
    alphas = [frame[0, 0, 3] for frame in read_animation(tmp_path / "a.png").frames]
    assert alphas == pytest.approx([128, 128, 192, 128], abs=1)


def test_grays_of_two_bits_keep_their_transparent_value(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (0, 255)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=50)
    data = (tmp_path / "a.png").read_bytes()
    rows = zlib.compress(b"\0\x1b" * 4)  # 0, 1, 2, 3 in each row
    frames = b"".join(
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", 2 * n - (n > 0), 4, 4, 0, 0, 1, 10, 0, 0))
        + (chunk(b"fdAT", struct.pack(">I", 2) + rows) if n else chunk(b"IDAT", rows))
        for n in range(2)
    )
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 2, GRAY, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(
        data[:8]
        + header
        + chunk(b"acTL", struct.pack(">II", 2, 0))
        + chunk(b"tRNS", b"\0\2")
        + frames
        + chunk(b"IEND", b"")
    )
    for frame in read_animation(tmp_path / "a.png").frames:
        assert frame[0].tolist() == [[0, 0, 0, 255], [85, 85, 85, 255], [170, 170, 170, 0], [255, 255, 255, 255]]


def test_durations_and_plays_are_read(tmp_path):
    frames = [(RED, 0, 0, KEEP, SOURCE)] * 3
    for plays, loops in ((0, 0), (1, None), (2, 1), (70_000, 69_999)):
        (tmp_path / "a.png").write_bytes(
            stored(INDEXED, [(BLUE, 0, 0, 0, 0), *frames], extra=INDEXED_EXTRA, plays=plays)
        )
        animation = read_animation(tmp_path / "a.png")
        assert animation.loops == loops
        assert animation.durations == [50, 100, 200, 300]


@pytest.mark.parametrize("damage", ["cut", "checksum", "outside", "count", "order"])
def test_a_damaged_animation_is_refused(tmp_path, damage):
    frames = [(BLUE, 0, 0, KEEP, SOURCE), (RED, 3 if damage == "outside" else 1, 1, KEEP, SOURCE)]
    data = bytearray(stored(INDEXED, frames, extra=INDEXED_EXTRA))
    if damage == "cut":
        del data[-30:]
    elif damage == "checksum":
        data[-20] ^= 1
    elif damage == "count":
        data[33:53] = chunk(b"acTL", struct.pack(">II", 3, 0))
    elif damage == "order":
        place = data.rindex(b"fcTL")
        data[place - 4 : place + 34] = chunk(b"fcTL", struct.pack(">I", 9) + data[place + 8 : place + 30])
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.png is broken or cut off"):
        read_animation(tmp_path / "a.png")
