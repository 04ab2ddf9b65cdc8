import numpy as np
import pytest
from PIL import Image, ImageSequence

from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.animation import read_animation, write_animation
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.tests.palettes import random_palette


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif"])
def test_frames_and_durations_of_every_animated_format(tmp_path, name):
    frames = [Image.new("RGBA", (8, 6), (40 * k, 0, 0, 255)) for k in range(4)]
    for k, frame in enumerate(frames):
        frame.putpixel((k, 1), (0, 0, 0, 0))
    options = {"lossless": True} if name == "a.webp" else {"disposal": 2} if name == "a.gif" else {}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=[100, 250, 40, 70], **options)
    animation = read_animation(tmp_path / name)
    assert animation.durations == [100, 250, 40, 70]
    assert [frame[0, 0, 0] for frame in animation.frames] == [0, 40, 80, 120]
    assert [np.flatnonzero(frame[1, :, 3] == 0).tolist() for frame in animation.frames] == [[0], [1], [2], [3]]


@pytest.mark.parametrize(("name", "plays_of_a_loop"), [("a.webp", 0), ("a.png", 0), ("a.gif", 1)])
@pytest.mark.parametrize("loop", [0, 1, 2, 7])
def test_how_often_an_animation_is_played_is_kept_by_a_gif_of_it(tmp_path, name, plays_of_a_loop, loop):
    frames = [Image.new("RGB", (3, 2), color) for color in ("red", "green")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=50, loop=loop)
    loops = read_animation(tmp_path / name).loops
    plays = 1 if loops is None else loops + 1 if loops else 0
    assert plays == (loop + plays_of_a_loop if loop else 0)


def test_a_still_picture_is_one_frame_and_pages_are_no_animation(tmp_path):
    page = Image.new("RGB", (3, 2), "red")
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page, page])
    animation = read_animation(tmp_path / "pages.tif")
    assert (len(animation.frames), animation.durations, animation.loops) == (1, [0], None)


def test_broken_animations_and_bombs_are_named(tmp_path, monkeypatch, rng):
    frames = [Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)) for _ in range(3)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=50)
    whole = (tmp_path / "a.webp").read_bytes()
    (tmp_path / "a.webp").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.webp"):
        read_animation(tmp_path / "a.webp")
    (tmp_path / "a.webp").write_bytes(whole)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with pytest.raises(InputError, match="3 frames"):
        read_animation(tmp_path / "a.webp")


def random_images(rng, palettes, size=(5, 7)):
    return [IndexedImage(rng.integers(0, len(p), size).astype(np.uint8), p) for p in palettes]


def shown_by_pillow(path):
    with Image.open(path) as gif:
        assert gif.info["loop"] == 0
        return [np.array(frame.convert("RGBA")) for frame in ImageSequence.Iterator(gif)]


@pytest.mark.parametrize(
    "entries",
    [
        [(16, 3)] * 6,
        [(16, None)] * 6,
        [(2, 0), (256, 255), (16, None), (3, 1)],
        [(2, None), (255, None), (16, None)],
        [(1, 0), (1, None), (1, 0)],
    ],
)
@pytest.mark.parametrize("is_one_palette", [True, False])
def test_every_frame_shows_its_image_exactly(tmp_path, rng, entries, is_one_palette):
    palettes = [random_palette(size, rng, place) for size, place in entries]
    if is_one_palette:
        palettes = palettes[:1] * 4
    images = random_images(rng, palettes)
    write_animation(tmp_path / "a.gif", images, 120)
    read = read_animation(tmp_path / "a.gif")
    assert (read.durations, read.loops) == ([120] * len(images), 0)
    expected = [image.to_rgba() for image in images]
    assert np.array_equal(np.stack(read.frames), np.stack(expected))
    for frame, image in zip(shown_by_pillow(tmp_path / "a.gif"), expected, strict=True):
        opaque = image[..., 3] == 255
        assert np.array_equal(frame[..., 3] == 255, opaque)
        assert np.array_equal(frame[opaque], image[opaque])


def test_a_gif_of_one_palette_holds_it_once_and_in_its_order(tmp_path, rng):
    palette = random_palette(256, rng, transparent=77)
    write_animation(tmp_path / "a.gif", random_images(rng, [palette] * 3), 50)
    data = (tmp_path / "a.gif").read_bytes()
    assert data.count(palette.colors[:, :3].tobytes()) == 1
    assert data[13 : 13 + 768] == palette.colors[:, :3].tobytes()


def test_what_a_gif_cannot_hold_is_refused(tmp_path, rng):
    half, opaque = Palette.from_hex(["000000", "ff000080"]), random_palette(4, rng)
    with pytest.raises(InputError, match="ff000080"):
        write_animation(tmp_path / "a.gif", random_images(rng, [half]), 100)
    with pytest.raises(InputError, match="one size"):
        write_animation(tmp_path / "a.gif", random_images(rng, [opaque]) + random_images(rng, [opaque], (2, 2)), 100)
    with pytest.raises(InputError, match="one size"):
        write_animation(tmp_path / "a.gif", [], 100)
    for duration in (9, 655_351):
        with pytest.raises(InputError, match="10 to 655,350"):
            write_animation(tmp_path / "a.gif", random_images(rng, [opaque]), duration)
    assert list(tmp_path.iterdir()) == []
