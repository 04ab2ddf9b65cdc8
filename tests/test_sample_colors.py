"""The options of sample.py about colors: what each draws, and one line for each mistake."""

import numpy as np
import pytest
from PIL import Image

from tincture import sample
from tincture.pipelines.drawing import in_turn
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage


@pytest.fixture
def icon(tmp_path, rng):
    """An indexed picture that uses its whole palette, and its file."""
    colors = rng.integers(0, 256, (6, 4), np.uint8)
    colors[:, 3] = [255, 255, 0, 255, 255, 255]
    image = IndexedImage(rng.permutation(np.arange(120, dtype=np.uint8) % 6).reshape(12, 10), Palette(colors))
    image.save(tmp_path / "icon.png")
    return image, tmp_path / "icon.png"


def test_a_style_gives_palette_and_proportions(draw, icon):
    image, path = icon
    for result in draw("--style", path, "--steps", 64, "--sampler", "ancestral"):
        assert result.palette == image.palette
        assert np.bincount(result.indices.ravel(), minlength=6) / result.indices.size == pytest.approx(1 / 6, abs=0.04)


def test_auto_chooses_as_many_colors_as_a_picture_needs(draw, tmp_path, rng):
    flat = np.array([[250, 10, 10], [10, 250, 10], [10, 10, 250], [250, 250, 250]])[rng.integers(0, 4, (32, 32))]
    Image.fromarray((flat + rng.integers(-3, 4, flat.shape)).astype(np.uint8)).save(tmp_path / "flat.png")
    for name in ("--palette", "--palette-from"):
        assert len(draw(name, tmp_path / "flat.png", "--colors", "auto")[0].palette) == 4


def test_one_drawing_in_several_palettes_and_on_the_way_between_two(draw):
    several = draw("--palettes", "pico-8", "sweetie-16", "nintendo-gameboy-bgb", "--transparent", files=6)
    names = ("pico-8", "sweetie-16", "nintendo-gameboy-bgb")
    assert [image.palette for image in several] == [read_palette(name).with_transparency() for name in names] * 2
    strip = draw("--palette", "pico-8", "--palette-to", "sweetie-16", "--strip", 4, files=8)
    assert [strip[n].palette for n in (0, 3)] == [read_palette(name) for name in names[:2]]
    assert len({image.indices.tobytes() for image in strip[:3]}) == 1


def test_of_several_palettes_each_image_has_the_next_and_looks_as_in_that_one_alone(draw):
    drawn = draw("--palette", "pico-8", "train", "nintendo-gameboy-bgb", "--transparent", num_images=5)
    of_set = draw("--palette", "train", num_images=5)
    for number, name in ((0, "pico-8"), (2, "nintendo-gameboy-bgb"), (3, "pico-8")):
        alone = draw("--palette", name, "--transparent", num_images=5)[number]
        assert alone.palette == read_palette(name).with_transparency()
        assert (drawn[number].palette, drawn[number].indices.tolist()) == (alone.palette, alone.indices.tolist())
    for number in (1, 4):
        assert drawn[number].palette == of_set[number].palette
        assert np.array_equal(drawn[number].indices, of_set[number].indices)


def test_each_prompt_is_drawn_in_the_first_palette_then_each_in_the_second():
    assert in_turn(["pico-8", "train"], 9, prompts=3) == [*["pico-8"] * 3, *["train"] * 3, *["pico-8"] * 3]
    assert in_turn(["pico-8", "train"], 3, prompts=1) == ["pico-8", "train", "pico-8"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--palette-to", "pico-8", "--palette", ""], "no palette ''"),
        ("--strip 4 --palette pico-8", "--strip does nothing without --palette-to"),
        ("--style-strength 0.3", "--style-strength does nothing without --style"),
        ("--negative-scale 5", "--negative-scale does nothing without --negative-class"),
        ("--palettes pico-8 --palette pico-8", "leave --palette and --palette-to out"),
        ("--palettes pico-8 train", "a drawing in several palettes takes palettes of yours, not train"),
        ("--palette-to pico-8", "--palette-to needs a palette of yours, not train"),
        ("--palette pico-8 --palette-to sweetie-16 --strip 1", "a strip has 1 steps"),
        ("--palettes pico-8 sweetie-16 --dither bayer2", "--dither needs one palette"),
        ("--style icon.png --palette train", "--style needs a palette of yours, not train"),
        ("--style icon.png --style-strength 2", "--style-strength is 2.0; it must be from 0 to 1"),
        ("--style nowhere.png", "nowhere.png"),
        ("--style icon.png --palette pico-8 train", "--style needs one palette, not pico-8 train"),
        (
            "--init-image icon.png --strength 1 --palette pico-8 sweetie-16",
            "--init-image needs one palette, not pico-8",
        ),
        ("--palette pico-8 sweetie-16 --palette-to pico-8", "--palette-to needs one palette, not pico-8 sweetie-16"),
        ("--palette pico-8 sweetie-16 --dither bayer2", "--dither needs one palette, not pico-8 sweetie-16"),
        ("--palette pico-8 trian", "no palette 'trian'"),
        ("--palette train heldout --transparent", "--transparent need a palette of yours, not --palette train"),
        ("--palette icon.png heldout --colors auto", "--transparent need a palette of yours, not --palette heldout"),
        ("--palette drawn --colors auto", "--colors auto chooses from a picture"),
        ("--palette pico-8 --keep-colors fff", "--keep-colors says what drawn palettes hold: add --palette drawn"),
        ("--palettes pico-8 drawn", "a drawing in several palettes takes palettes of yours, not drawn"),
        ("--palette drawn --style icon.png", "--style needs a palette of yours, not drawn"),
        ("--palette icon.png --colors many", "--colors is 'many'"),
        ("--negative-class unicorn", "unknown class 'unicorn'"),
        ("--negative-class arrow --negative-scale -1", "--negative-scale is -1.0; it must be from 0 to"),
    ],
)
def test_mistakes_give_one_line(run, checkpoint, tmp_path, monkeypatch, icon, rng, options, message):
    monkeypatch.chdir(tmp_path)
    common = ["--checkpoint", checkpoint, "--output", "out", "--num-images", 1, "--steps", 1]
    words = options.split() if isinstance(options, str) else options
    status, out, err = run(sample, *common, *words)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert err.startswith("error: ")
    assert message in err
    assert not (tmp_path / "out").exists()
