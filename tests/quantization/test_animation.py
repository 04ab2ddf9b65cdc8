import numpy as np
import pytest
from PIL import Image

from quantization.animation import read_animation
from quantization.errors import InputError


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
