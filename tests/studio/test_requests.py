"""What the studio asks for is what its command line asks for, and the model can be stopped."""

import shlex
import threading

import numpy as np
import pytest
from PIL import Image

from tincture import sample
from tincture.common.errors import InputError
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.studio.drawings import to_draw, to_palettize, to_repaint
from tincture.studio.engine import StoppedError
from tincture.studio.pictures import workplace
from tincture.tests.studio.conftest import ROOT, as_text


def small(engine, **changes):
    asked = {
        "prompt": "red dragon", "palette": "pico-8", "transparent": True, "number": 2, "width": 12, "height": 8,
        "seed": 3, "steps": 3, "guidance_scale": 2.0, "temperature": 0.9,
    }  # fmt: skip
    return to_draw(engine, **asked | changes)


def repainted(engine, folder, picture, mask="", margins=(0, 0, 0, 0), strength=1.0, palette="", **more):
    return to_repaint(engine, folder, picture, mask, margins, strength, palette, "hat", 2, 5, 3, 2.0, 0.9, **more)


def drawn_by_command(run, request, folder):
    words = shlex.split(request.command)
    assert words[:2] == ["python", "sample.py"]
    status, _, err = run(sample, *words[2:-1], folder / "out")
    assert status == 0, err
    return [IndexedImage.load(folder / "out" / f"{number:04d}.png") for number in range(request.number)]


def same(some, others):
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        assert one.palette == other.palette
        assert np.array_equal(one.indices, other.indices)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prompt": "dragon\nbrick wall", "palette": "train", "transparent": False, "width": 0, "height": 0},
        {"palette": "#102030 ff8000,\n00000000", "transparent": False, "mirror": "x"},
        {"prompt": "", "class_label": "item potion", "negative_prompt": "sword, red", "tile": "both"},
        {"sampler": "ancestral", "temperature": 1.0, "guidance_scale": 1.0},
    ],
    ids=["words", "the bank", "colors", "a class", "a sampler"],
)
def test_the_command_on_the_page_draws_the_same(engine, run, tmp_path, monkeypatch, changes):
    monkeypatch.chdir(ROOT)
    request = small(engine, **changes)
    same(drawn_by_command(run, request, tmp_path), engine.draw(request.asked, request.number))


@pytest.mark.parametrize("kind", ["mask", "box", "margins", "variation", "palettize", "grey", "style", "mean"])
def test_the_command_for_a_picture_draws_the_same_beside_that_picture(
    engine, run, tmp_path, monkeypatch, sprite, photograph, kind
):
    _, text = sprite
    mask = as_text(Image.fromarray(np.eye(12, dtype=np.uint8)[:10] * 255))
    requests = {
        "mask": lambda: repainted(engine, tmp_path, text, mask),
        "box": lambda: repainted(engine, tmp_path, text, "2,3,4,5", mirror=""),
        "margins": lambda: repainted(engine, tmp_path, text, margins=(1, 0, 2, 0)),
        "variation": lambda: repainted(engine, tmp_path, text, strength=0.4),
        "palettize": lambda: to_palettize(engine, tmp_path, photograph, "pico-8", 12, 300.0, "sunset", 2, 1, 3),
        "grey": lambda: to_palettize(engine, tmp_path, photograph, "pico-8", 12, 900.0, "", 2, 1, 3, grey=True),
        "style": lambda: to_palettize(engine, tmp_path, text, "000,fff,888", 12, 0.0, "", 2, 1, 3, style=True),
        "mean": lambda: to_palettize(engine, tmp_path, photograph, "pico-8", 12, 9.0, "", 1, 1, 2, dither="bayer4"),
    }
    monkeypatch.chdir(tmp_path)
    request = requests[kind]()
    assert str(tmp_path) not in request.command
    same(drawn_by_command(run, request, tmp_path), engine.draw(request.asked, request.number))


def test_what_is_not_painted_stays_bit_for_bit(engine, tmp_path, sprite):
    image, text = sprite
    request = repainted(engine, tmp_path, text, "2,3,4,5")
    inside = np.zeros((10, 12), bool)
    inside[3:8, 2:6] = True
    for drawn in engine.draw(request.asked, request.number):
        assert drawn.palette == image.palette
        assert np.array_equal(drawn.indices[~inside], image.indices[~inside])
        assert not np.array_equal(drawn.indices[inside], image.indices[inside])


def test_a_larger_canvas_keeps_the_picture_in_it(engine, tmp_path, sprite):
    image, text = sprite
    request = repainted(engine, tmp_path, text, margins=(1, 2, 3, 4))
    for drawn in engine.draw(request.asked, request.number):
        assert drawn.indices.shape == (16, 16)
        assert np.array_equal(drawn.indices[2:12, 1:13], image.indices)


def test_a_palette_that_lacks_a_color_of_the_picture_is_an_error_and_no_color_is_taken_instead(engine, sprite):
    with workplace() as folder, pytest.raises(InputError, match=r"of 120 pixels are not in the palette, such as #"):
        repainted(engine, folder, sprite[1], "0,0,3,3", palette="000000,ffffff,00000000")


def test_drawings_are_seen_before_they_are_done_and_only_in_the_palette(engine):
    request = small(engine, steps=6)
    steps = list(engine.steps(request.asked, 2, threading.Event()))
    assert len(steps) > 1
    assert [step.share for step in steps] == sorted({step.share for step in steps})
    assert steps[-1].share == 1
    same(steps[-1].images, engine.draw(request.asked, 2))
    assert all(image.palette == read_palette("pico-8").with_transparency() for step in steps for image in step.images)


def test_who_stops_a_drawing_waits_for_one_call_at_most(engine, monkeypatch):
    calls = []
    forward = type(engine.pipeline.denoiser).forward
    monkeypatch.setattr(
        type(engine.pipeline.denoiser), "forward", lambda *given, **more: calls.append(0) or forward(*given, **more)
    )
    request, stop = small(engine, steps=200, prompt="", width=4, height=4), threading.Event()
    watcher = engine.steps(request.asked, 1, stop)
    next(watcher)
    stop.set()
    stopped_at = len(calls)
    with pytest.raises(StoppedError):
        list(watcher)
    assert len(calls) <= stopped_at + 2
    same(engine.draw(small(engine).asked, 1), engine.draw(small(engine).asked, 1))  # it draws on


def test_a_watcher_that_goes_away_stops_the_drawing(engine):
    request = small(engine, steps=200, width=4, height=4)
    watcher = engine.steps(request.asked, 1, threading.Event())
    next(watcher)
    watcher.close()
    assert not engine._turn.locked()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"palette": "/etc/passwd"}, "no palette '/etc/passwd'"),
        ({"palette": "README.md"}, "no palette 'README.md'"),
        ({"palette": ""}, "there is no palette"),
        ({"palette": "ff0000"}, "at least 2 entries"),
        ({"palette": "ff0000,nothing"}, "'nothing' is not a color"),
        ({"palette": ",".join(f"{n:06x}" for n in range(257)), "transparent": False}, "1 to 256 entries, not 257"),
        ({"palette": "00000000,ffffff00,fff"}, "at most one transparent entry"),
        ({"number": 33}, "the number of drawings is 33"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 100_000}, "the number of calls is 100000"),
        ({"width": 9999}, "the width is 9999"),
        ({"width": 256, "height": 256, "number": 32}, "more than the studio draws at once"),
        ({"seed": -1}, "seed is -1"),
        ({"temperature": -0.5}, "temperature is -0.5"),
        ({"class_label": "spaceship"}, "unknown class 'spaceship'"),
        ({"mirror": "z"}, "unknown mirror 'z'"),
    ],
)
def test_a_mistake_is_told_in_one_line(engine, changes, message):
    with pytest.raises(InputError) as error:
        request = small(engine, **changes)
        engine.draw(request.asked, request.number)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1
