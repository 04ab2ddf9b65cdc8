import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures import gif
from tincture.quantization.pictures.animation import read_animation, write_animation
from tincture.quantization.pictures.gif import CLEAR, KEEP, RESTORE, read_gif, write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import read_image
from tincture.tests.palettes import random_palette


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 256), st.integers(2, 5), st.integers(1, 30), st.integers(1, 30), st.booleans()
)
def test_every_frame_and_duration_comes_back(tmp_path_factory, seed, entries, count, height, width, transparent):
    rng, path = np.random.default_rng(seed), tmp_path_factory.getbasetemp() / "a.gif"
    palette = random_palette(entries, rng, rng.integers(entries) if transparent else None)
    frames = [rng.integers(0, entries, (height, width)).astype(np.uint8) for _ in range(count)]
    frames[-1] = frames[0].copy()
    durations = [int(hundredths) * 10 for hundredths in rng.integers(1, 100, count)]
    write_gif(path, frames, palette, durations, loops=int(rng.integers(0, 9)))
    read = read_animation(path)
    assert read.durations == durations
    for indices, frame in zip(frames, read.frames, strict=True):
        expected = palette.colors[indices]
        expected[expected[..., 3] == 0] = 0
        frame[frame[..., 3] == 0] = 0
        assert np.array_equal(frame, expected)


def test_equal_frames_stay_apart(tmp_path):
    frames = [np.zeros((3, 3), np.uint8)] * 4
    write_gif(tmp_path / "a.gif", frames, Palette.from_hex(["112233"]), [100, 200, 300, 400])
    assert read_animation(tmp_path / "a.gif").durations == [100, 200, 300, 400]


@pytest.mark.parametrize(
    "names", ["ff0000 00ff00 0000ff ffff00 ff00ff", "ff0000 00ff00 00000000", "112233 000000 445566"]
)
def test_what_fills_a_table_is_no_color_of_the_palette(tmp_path, names):
    palette = Palette.from_hex(names.split())
    frames = [np.full((2, 2), entry, np.uint8) for entry in range(len(palette))]
    write_gif(tmp_path / "a.gif", frames, palette, [100] * len(frames))
    assert read_palette(tmp_path / "a.gif").to_hex() == names.split()


def test_a_first_frame_that_covers_a_part_has_nothing_beside_it(tmp_path):
    write_gif(tmp_path / "a.gif", [np.zeros((2, 2), np.uint8)], Palette.from_hex(["ff0000", "00ff00"]), [100])
    data = bytearray((tmp_path / "a.gif").read_bytes())
    data[6:10] = struct.pack("<HH", 4, 4)
    place = data.index(b"\x2c")
    data[place + 1 : place + 5] = struct.pack("<HH", 1, 1)
    (tmp_path / "a.gif").write_bytes(data)
    expected = np.zeros((4, 4, 4), np.uint8)
    expected[1:3, 1:3] = (255, 0, 0, 255)
    assert np.array_equal(read_image(tmp_path / "a.gif"), expected)
    assert np.array_equal(read_animation(tmp_path / "a.gif").frames[0], expected)


def test_a_gif_holds_the_palette_in_its_order(tmp_path):
    palette = Palette.from_hex(["445566", "112233", "abcdef", "112233"])
    frames = [np.full((2, 2), 3, np.uint8), np.full((2, 2), 2, np.uint8)]
    write_gif(tmp_path / "a.gif", frames, palette, [100, 100])
    with Image.open(tmp_path / "a.gif") as image:
        assert np.array_equal(np.array(image), frames[0])
        assert image.getpalette("RGB")[:12] == palette.colors[:, :3].ravel().tolist()


def test_rounding_of_durations_does_not_add_up(tmp_path):
    frames = [np.full((1, 1), k % 2, np.uint8) for k in range(30)]
    write_gif(tmp_path / "a.gif", frames, Palette.from_hex(["000000", "ffffff"]), [33] * 30)
    durations = read_animation(tmp_path / "a.gif").durations
    assert sum(durations) == 990
    assert set(durations) == {30, 40}


def test_only_what_changes_is_stored(tmp_path, rng):
    frames = [rng.integers(0, 256, (100, 100)).astype(np.uint8)] * 10
    write_gif(tmp_path / "a.gif", frames, random_palette(256, rng), [50] * 10)
    assert (tmp_path / "a.gif").stat().st_size < 2 * 100 * 100


@pytest.mark.parametrize("loops", [None, 0, 5])
def test_loops_are_kept(tmp_path, loops):
    frames = [np.zeros((1, 1), np.uint8), np.ones((1, 1), np.uint8)]
    write_gif(tmp_path / "a.gif", frames, Palette.from_hex(["000000", "ffffff"]), [50, 50], loops)
    assert read_animation(tmp_path / "a.gif").loops == loops


def stored_frame(indices, left, top, disposal, transparent=None, table=b""):
    """One frame as it stands in a file, its pixels compressed by Pillow."""
    image = Image.fromarray(indices, mode="P")
    image.putpalette(bytes(768))
    buffer = io.BytesIO()
    image.save(buffer, format="GIF", optimize=False)
    pixels = buffer.getvalue()[13 + 768 :]
    pixels = pixels[pixels.index(b",") + 10 : -1]
    flags = disposal << 2 | (transparent is not None)
    control = struct.pack("<BBBBHBB", 0x21, 0xF9, 4, flags, 10, transparent or 0, 0)
    height, width = indices.shape
    return control + struct.pack("<BHHHHB", 0x2C, left, top, width, height, 0x81 if table else 0) + table + pixels


def stored(*frames):
    """A file of 4×4 pixels in black, red, green, blue, with black as the background color."""
    colors = bytes([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    return b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0xF1, 0, 0) + colors + b"".join(frames) + b";"


def letters(frame):
    """A frame in letters, one row a word: "." is transparent."""
    names = {(0, 0, 0): "k", (255, 0, 0): "r", (0, 255, 0): "g", (0, 0, 255): "b", (9, 9, 9): "n"}
    return " ".join("".join(names[tuple(p[:3])] if p[3] else "." for p in row) for row in frame.tolist())


RED = np.full((4, 4), 1, np.uint8)
GREEN = np.full((2, 2), 2, np.uint8)


@pytest.mark.parametrize(
    ("frames", "shown"),
    [
        ([(GREEN, 1, 1, KEEP)], [".... .gg. .gg. ...."]),
        ([(RED, 0, 0, KEEP), (GREEN, 1, 1, KEEP)], ["rrrr rrrr rrrr rrrr", "rrrr rggr rggr rrrr"]),
        ([(RED, 0, 0, CLEAR), (GREEN, 1, 1, KEEP)], ["rrrr rrrr rrrr rrrr", ".... .gg. .gg. ...."]),
        (
            [(RED, 0, 0, KEEP), (GREEN, 0, 0, RESTORE), (GREEN, 2, 2, KEEP)],
            ["rrrr rrrr rrrr rrrr", "ggrr ggrr rrrr rrrr", "rrrr rrrr rrgg rrgg"],
        ),
        (
            [(RED, 0, 0, KEEP), (np.array([[2, 3]], np.uint8), 0, 0, KEEP, 3)],
            ["rrrr rrrr rrrr rrrr", "grrr rrrr rrrr rrrr"],
        ),
        ([(GREEN, 3, 3, KEEP)], [".... .... .... ...g"]),
        ([(GREEN, 0, 0, KEEP, None, bytes(6) + bytes([9] * 6))], ["nn.. nn.. .... ...."]),
    ],
)
def test_frames_are_composed_as_browsers_show_them(tmp_path, frames, shown):
    (tmp_path / "a.gif").write_bytes(stored(*(stored_frame(*frame) for frame in frames)))
    assert [letters(frame) for frame in read_gif(tmp_path / "a.gif")[0]] == shown


@pytest.mark.parametrize("zeros", [1, 3])
def test_stray_zero_bytes_between_blocks_are_skipped_and_no_others(tmp_path, zeros):
    frames = [stored_frame(RED, 0, 0, KEEP), stored_frame(GREEN, 1, 1, KEEP)]
    (tmp_path / "a.gif").write_bytes(stored(*frames))
    expected = read_gif(tmp_path / "a.gif")
    (tmp_path / "a.gif").write_bytes(stored(bytes(zeros), frames[0], bytes(zeros), frames[1], bytes(zeros)))
    found = read_gif(tmp_path / "a.gif")
    assert np.array_equal(found[0], expected[0])
    assert found[1:] == expected[1:]
    (tmp_path / "a.gif").write_bytes(stored(frames[0], b"\x07", frames[1]))
    with pytest.raises(ValueError, match="unknown block 0x7"):
        read_gif(tmp_path / "a.gif")


def test_what_is_too_large_for_a_gif_is_refused_and_too_many_repeats_are_the_most(tmp_path):
    palette = Palette.from_hex(["000000", "ffffff"])
    for shape in ((1, 65_536), (65_536, 1)):
        with pytest.raises(InputError, match="at most 65,535 pixels wide and high"):
            write_gif(tmp_path / "a.gif", [np.zeros(shape, np.uint8)] * 2, palette, [50, 50])
    assert not list(tmp_path.iterdir())
    write_gif(tmp_path / "a.gif", [np.zeros((2, 2), np.uint8)] * 2, palette, [50, 50], 70_000)
    assert read_gif(tmp_path / "a.gif")[2] == 65_535


@pytest.mark.parametrize("keep", range(20, 60, 3))
def test_a_cut_off_file_is_refused(tmp_path, keep):
    data = stored(stored_frame(RED, 0, 0, KEEP), stored_frame(GREEN, 1, 1, KEEP))
    (tmp_path / "a.gif").write_bytes(data[:keep])
    with pytest.raises((ValueError, OSError)):
        read_gif(tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("durations", "hints"), [([100, 10], 1), ([0, 0], 1), ([20, 20], 0), ([33, 33, 33], 0), ([15, 15], 1), ([10], 0)]
)
def test_frames_that_browsers_show_longer_are_told_in_one_line_and_written_as_asked(tmp_path, caplog, durations, hints):
    gif._hint_at_short_frames.cache_clear()
    palette, frames = Palette.from_hex(["112233", "445566"]), [np.eye(3, dtype=np.uint8)] * len(durations)
    for name in ("a.gif", "b.gif"):
        write_gif(tmp_path / name, frames, palette, durations)
    assert len(caplog.records) == hints
    assert all("browsers" in record.getMessage() for record in caplog.records)
    assert abs(sum(read_gif(tmp_path / "b.gif")[1]) - sum(durations)) <= 5


@pytest.mark.parametrize(("duration", "hints"), [(10, 1), (14, 1), (19, 0), (100, 0)])
def test_images_in_turn_get_the_same_hint(tmp_path, caplog, duration, hints):
    gif._hint_at_short_frames.cache_clear()
    images = [IndexedImage(np.full((2, 2), entry, np.uint8), read_palette("pico-8")) for entry in range(4)]
    write_animation(tmp_path / "a.gif", images, duration)
    assert len(caplog.records) == hints
    assert abs(sum(read_gif(tmp_path / "a.gif")[1]) - 4 * duration) <= 5
