"""The controls of sample.py: what each draws, and one line for each mistake."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tincture import sample
from tincture.quantization.color import srgb_to_oklab
from tincture.quantization.encoding import encode
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage


@pytest.fixture
def icon(tmp_path, rng):
    """An indexed picture and its file."""
    colors = rng.integers(0, 256, (6, 4), np.uint8)
    colors[:, 3] = [255, 255, 0, 255, 255, 255]
    image = IndexedImage(rng.integers(0, 6, (12, 10), np.uint8), Palette(colors))
    image.save(tmp_path / "icon.png")
    return image, tmp_path / "icon.png"


def save_mask(path, redraw):
    Image.fromarray(np.where(redraw, 200, 100).astype(np.uint8)).save(path)
    return path


def test_what_the_mask_keeps_stays_bit_for_bit(draw, icon, tmp_path):
    image, path = icon
    redraw = np.zeros((12, 10), bool)
    redraw[3:9, 2:7] = True
    drawn = draw(
        "--init-image",
        path,
        "--mask",
        save_mask(tmp_path / "mask.png", redraw),
        "--dither",
        "bayer2",
        "--dither-draws",
        2,
    )
    drawn += draw("--init-image", path, "--mask", tmp_path / "mask.png", "--sampler", "remasking")
    for result in drawn:
        assert result.palette == image.palette
        assert np.array_equal(result.indices[~redraw], image.indices[~redraw])
    assert not np.array_equal(drawn[-1].indices, image.indices)


def test_a_canvas_grows_around_the_picture(draw, icon):
    image, path = icon
    for result in draw("--init-image", path, "--outpaint", "3,0,1,5"):
        assert result.indices.shape == (17, 14)
        assert np.array_equal(result.indices[:12, 3:13], image.indices)


def test_a_variation_keeps_some_of_the_picture(draw, icon):
    image, path = icon
    for result in draw("--init-image", path, "--strength", "0.3"):
        assert 0.5 < (result.indices == image.indices).mean() < 1


def test_a_target_is_met_at_infinite_fidelity_in_windows_and_at_another_size(draw, tmp_path, rng):
    pixels = rng.integers(0, 256, (40, 24, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    (result,) = draw("--target", tmp_path / "photo.png", "--fidelity", "inf", "--palette", "pico-8", num_images=1)
    rgba = np.concatenate([pixels, np.full((40, 24, 1), 255, np.uint8)], axis=2)
    assert np.array_equal(result.indices, encode(rgba, read_palette("pico-8")))
    (result,) = draw("--target", tmp_path / "photo.png", "--width", 12, "--colors", 5, num_images=1)
    assert result.indices.shape == (20, 12)
    assert len(result.palette) == 5


def test_a_grey_picture_of_16_bits_is_colored(draw, tmp_path, rng):
    Image.fromarray(rng.integers(0, 65536, (16, 16), np.uint16)).save(tmp_path / "grey.png")
    palette = read_palette("sweetie-16")
    (result,) = draw(
        "--luminance", tmp_path / "grey.png", "--palette", "sweetie-16", "--luminance-fidelity", "1e5", num_images=1
    )
    grey = (np.asarray(Image.open(tmp_path / "grey.png")) >> 8).astype(np.uint8)
    rgba = np.concatenate([np.repeat(grey[..., None], 3, axis=2), np.full((16, 16, 1), 255, np.uint8)], axis=2)
    wanted, have = lightness(rgba), lightness(palette.colors)
    error = np.abs(lightness(result.to_rgba()) - wanted).mean()
    best = np.abs(wanted[..., None] - have).min(axis=-1).mean()
    assert error <= 1.05 * best


def lightness(rgba):
    return srgb_to_oklab(torch.tensor(rgba[..., :3]))[..., 0].numpy()


def test_tiles_and_mirrors(draw, tmp_path):
    drawn = draw("--mirror", "both", "--tile", "x", "--width", 9, "--height", 6, "--scale", 1)
    with Image.open(tmp_path / "drawn" / "tiled.png") as sheet:
        assert sheet.size == (2 * (3 * 9 + 2) + 2, 6 + 4)
    for result in drawn:
        assert np.array_equal(result.indices, np.flip(result.indices))
        assert result.indices.shape == (6, 9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--mask icon.png", "--mask does nothing without --init-image"),
        ("--init-image icon.png", "needs --mask, --outpaint or --strength"),
        ("--init-image icon.png --outpaint 1,1", "--outpaint takes LEFT,TOP,RIGHT,BOTTOM"),
        ("--init-image icon.png --outpaint 0,0,0,0", "--outpaint takes LEFT,TOP,RIGHT,BOTTOM"),
        ("--init-image icon.png --outpaint 0,0,0,99999999999999999999", "--outpaint takes LEFT,TOP,RIGHT,BOTTOM"),
        ("--init-image icon.png --strength 1e-46", "the noise level to start from is 1e-46"),
        ("--target icon.png --width 99999999999999999999", "--width is 99999999999999999999"),
        ("--palette pico-8 --mirror x --dither blue-noise", "--dither's patterns aren't symmetric"),
        ("--init-image icon.png --outpaint 1,1,1,1 --strength 0.5", "contradict each other"),
        ("--init-image icon.png --strength 0", "strength is 0"),
        ("--init-image icon.png --strength 1", "nothing of the initial image would be left"),
        ("--init-image icon.png --mask small.png", "the mask small.png is 3×3 pixels; the image is 10×12"),
        ("--init-image icon.png --mask black.png", "black.png has no white pixel"),
        ("--init-image icon.png --strength 0.5 --width 16", "--width and --height can't be given with --init-image"),
        ("--init-image icon.png --strength 0.5 --palette heldout", "--init-image needs a palette of yours, not heldout"),
        ("--init-image icon.png --strength 0.5 --target small.png", "small.png is 3×3 pixels; the picture to draw is 10×12"),
        ("--init-image nowhere.png --strength 0.5", "nowhere.png"),
        ("--target cut.png", "cut.png"),
        ("--target icon.png --fidelity -1", "fidelity is -1"),
        ("--target icon.png --fidelity much", "--fidelity"),
        ("--target icon.png --luminance small.png", "small.png is 3×3 pixels; the picture to draw is 10×12"),
        ("--strength 0.5", "--strength does nothing without --init-image"),
        ("--luminance-fidelity 3", "--luminance-fidelity does nothing without --luminance"),
        ("--fidelity 500", "--fidelity does nothing without --target"),
        ("--dither-draws -5", "--dither-draws does nothing without --dither"),
        ("--tile z", "unknown --tile 'z'; choose from x, y, both"),
        ("--mirror up", "unknown --mirror 'up'"),
        ("--window 1", "window is 1"),
        ("--dither bayer2", "--dither needs a palette of yours"),
        ("--dither bayer3 --palette pico-8", "unknown --dither 'bayer3'"),
        ("--dither bayer2 --palette pico-8 --dither-draws 0", "--dither-draws is 0"),
    ],
)  # fmt: skip
def test_mistakes_give_one_line_and_nothing_is_written(
    run, checkpoint, icon, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (3, 3)).save("small.png")
    Image.new("L", (10, 12)).save("black.png")
    Path("cut.png").write_bytes(Path("icon.png").read_bytes()[:50])
    common = ["--checkpoint", checkpoint, "--output", "out", "--num-images", 1, "--steps", 1]
    status, out, err = run(sample, *common, *arguments.split())
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert err.startswith("error: ")
    assert message in err
    assert not Path("out").exists()


@pytest.mark.parametrize("options", [["--prompt", "red dragon"], ["--negative-prompt", "shield"]])
def test_a_model_that_knows_no_words_says_so_in_one_line(run, checkpoint, tmp_path, options):
    status, out, err = run(sample, "--checkpoint", checkpoint, "--output", tmp_path / "drawn", *options)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "this model was trained without words" in err


def test_each_drawing_is_recorded_with_its_prompt_in_all_of_its_palettes(icon):
    arguments = ["--checkpoint", "model", "--output", "drawn", "--num-images", "3", "--prompt", "red dragon", "potion"]
    parsed = sample.make_parser().parse_args(arguments)
    record = sample.describe(parsed, [icon[0]] * 6, 1.0)
    assert [each["prompt"] for each in record["samples"]] == [*["red dragon"] * 2, *["potion"] * 2, *["red dragon"] * 2]
    assert record["options"]["prompt"] == ["red dragon", "potion"]
