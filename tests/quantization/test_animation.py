import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from quantization.animation import read_animation, write_gif
from quantization.errors import InputError
from quantization.palette import Palette


def random_palette(rng, entries, transparent):
    colors = rng.integers(0, 256, (entries, 4), np.uint8)
    colors[:, 3] = 255
    if transparent:
        colors[rng.integers(entries)] = 0
    return Palette(colors)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 256), st.integers(2, 5), st.integers(1, 30), st.integers(1, 30), st.booleans()
)
def test_every_frame_and_duration_comes_back(tmp_path_factory, seed, entries, count, height, width, transparent):
    rng, path = np.random.default_rng(seed), tmp_path_factory.getbasetemp() / "a.gif"
    palette = random_palette(rng, entries, transparent)
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
    write_gif(tmp_path / "a.gif", frames, random_palette(rng, 256, False), [50] * 10)
    assert (tmp_path / "a.gif").stat().st_size < 2 * 100 * 100


@pytest.mark.parametrize("loops", [None, 0, 5])
def test_loops_are_kept(tmp_path, loops):
    frames = [np.zeros((1, 1), np.uint8), np.ones((1, 1), np.uint8)]
    write_gif(tmp_path / "a.gif", frames, Palette.from_hex(["000000", "ffffff"]), [50, 50], loops)
    assert read_animation(tmp_path / "a.gif").loops == loops


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif"])
def test_frames_and_durations_of_every_animated_format(tmp_path, name):
    frames = [Image.new("RGBA", (8, 6), (40 * k, 0, 0, 255)) for k in range(4)]
    for k, frame in enumerate(frames):
        frame.putpixel((k, 1), (0, 0, 0, 0))
    options = {"lossless": True} if name == "a.webp" else {"disposal": 2} if name == "a.gif" else {}
    frames[0].save(
        tmp_path / name, save_all=True, append_images=frames[1:], duration=[100, 250, 40, 70], loop=2, **options
    )
    animation = read_animation(tmp_path / name)
    assert (animation.durations, animation.loops) == ([100, 250, 40, 70], 2)
    assert [frame[0, 0, 0] for frame in animation.frames] == [0, 40, 80, 120]
    assert [np.flatnonzero(frame[1, :, 3] == 0).tolist() for frame in animation.frames] == [[0], [1], [2], [3]]


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
