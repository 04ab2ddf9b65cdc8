"""The command compress.py as a user calls it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tincture import compress
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.animation import read_animation
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.tests.codec.conftest import make_pipeline


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "model"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def art(tmp_path, monkeypatch):
    """art/: an indexed picture, the same as RGBA in a folder, an animation, and too many colors."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("art/more").mkdir(parents=True)
    palette = Palette.from_hex(["00000000", "ff0000", "20a020", "ffffff", "123456"])
    image = IndexedImage(rng.integers(0, 4, (9, 7)).astype(np.uint8), palette)
    image.save("art/indexed.png")
    Image.fromarray(image.to_rgba()).save("art/more/shown.png")
    frames = [rng.integers(0, 4, (9, 7)).astype(np.uint8) for _ in range(3)]
    write_gif("art/moving.gif", frames, palette, [50, 60, 70], 2)
    Image.fromarray(rng.integers(0, 256, (20, 20, 3)).astype(np.uint8)).save("art/noise.png")
    return Path("art")


def check_same(before, after):
    one, other = read_animation(before), read_animation(after)
    assert all(np.array_equal(a, b) for a, b in zip(one.frames, other.frames, strict=True))
    assert (one.durations, one.loops) == (other.durations, other.loops)
    a, b = Image.open(before), Image.open(after)
    if before.suffix == ".png":
        assert a.mode == b.mode
        assert np.array_equal(np.asarray(a), np.asarray(b))
        assert a.mode != "P" or a.getpalette("RGBA") == b.getpalette("RGBA")


def test_pictures_become_small_files_and_come_back(run, art, model):
    pictures = sorted(path for path in art.rglob("*.*"))
    status, out, _ = run(compress, "encode", *pictures, "--checkpoint", model, "--output", "small", "--effort", "1")
    assert status == 0, out
    assert "4 pictures" in out
    assert "1 kept" in out
    report = json.loads(Path("small/report.json").read_text())
    assert {each["file"] for each in report["files"]} == {f"{path.stem}.tnct" for path in pictures}
    assert [each["kept_as_files"] for each in report["files"] if each["kept_as_files"]] == [
        {"noise.png": "it has more than 256 colors"}
    ]
    status, out, _ = run(
        compress, "decode", *sorted(Path("small").glob("*.tnct")), "--checkpoint", model, "--output", "back"
    )
    assert status == 0, out
    for path in pictures:
        check_same(path, Path("back", path.name))


def test_a_folder_becomes_one_file_and_comes_back(run, art, model):
    status, out, _ = run(compress, "encode", art, "--checkpoint", model, "--output", "small", "--effort", "1")
    assert status == 0, out
    status, out, _ = run(compress, "decode", "small/art.tnct", "--checkpoint", model, "--output", "back")
    assert status == 0, out
    pictures = sorted(path.relative_to(art) for path in art.rglob("*.*"))
    assert sorted(path.relative_to("back/art") for path in Path("back/art").rglob("*.*")) == pictures
    for path in pictures:
        check_same(art / path, Path("back/art") / path)


def test_without_its_order_a_palette_is_shorter_and_the_colors_are_the_same(run, art, model):
    for output, options in (("with", []), ("without", ["--any-order"])):
        command = ["encode", "art/indexed.png", "--checkpoint", model, "--output", output, "--effort", "1"]
        assert run(compress, *command, *options)[0] == 0
    sizes = [Path(output, "indexed.tnct").stat().st_size for output in ("with", "without")]
    assert sizes[1] < sizes[0]
    assert run(compress, "decode", "without/indexed.tnct", "--checkpoint", model, "--output", "back")[0] == 0
    shown = [np.asarray(Image.open(path).convert("RGBA")) for path in ("art/indexed.png", "back/indexed.png")]
    assert np.array_equal(*shown)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["encode", "art/indexed.png"], "add --checkpoint"),
        (["encode", "missing.png", "--checkpoint", "MODEL"], "no such file: missing.png"),
        (["encode", "art/indexed.png", "--checkpoint", "nowhere"], "no such checkpoint folder"),
        (["encode", "art/indexed.png", "art/more/../indexed.png", "--checkpoint", "MODEL"], "both be called 'indexed'"),
        (["encode", "art/report.txt", "--checkpoint", "MODEL"], "is not an image that can be read"),
        (["decode", "art"], "is a folder; name the .tnct files"),
        (["decode", "art/noise.png"], "art/noise.png: it is not a .tnct file"),
        (["decode", "cut.tnct", "--checkpoint", "MODEL"], "cut.tnct: it is damaged"),
        (["decode", "whole.tnct"], "add --checkpoint"),
        (["squeeze", "art/indexed.png"], "invalid choice: 'squeeze'"),
    ],
)
def test_a_mistake_is_one_line(run, art, model, arguments, told):
    Path("art/report.txt").write_text("no picture")
    command = ["encode", "art/indexed.png", "--checkpoint", model, "--output", "small", "--effort", "1"]
    assert run(compress, *command)[0] == 0
    content = Path("small/indexed.tnct").read_bytes()
    Path("whole.tnct").write_bytes(content)
    Path("cut.tnct").write_bytes(content[:-3])
    words = [model if word == "MODEL" else word for word in arguments]
    status, _, error = run(compress, *words, "--output", "out")
    assert status == 2
    assert error.startswith("error: ")
    assert told in error
    assert len(error.splitlines()) == 1
    assert not Path("out").exists()
