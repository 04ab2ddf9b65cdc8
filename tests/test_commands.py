"""The commands as a user calls them: what they write, and one line for each mistake."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tincture import sample, train
from tincture.__main__ import COMMANDS
from tincture.common.options import read_options
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.animation import read_animation
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.training import feeds


def test_train_writes_a_model_and_says_how_good_it_is(checkpoint):
    assert (checkpoint / "model_index.json").is_file()
    assert (checkpoint / "palette_prior").is_dir()
    assert "max_steps: 12" in (checkpoint / "config.yaml").read_text()
    last = json.loads((checkpoint / "metrics.jsonl").read_text().splitlines()[-1])
    assert 0 < last["heldout/bits_per_pixel"] < 6


def test_sample_writes_indexed_pngs_in_the_palette_as_given(run, checkpoint, tmp_path):
    output = tmp_path / "drawn"
    status, out, _ = run(
        sample, "--checkpoint", checkpoint, "--output", output, "--palette", "pico-8", "--num-images", 3, "--steps", 3,
        "--class-label", "folder", "--guidance-scale", 2, "--gif",
    )  # fmt: skip
    assert status == 0
    assert "sheet.png" in out
    assert sorted(path.name for path in output.iterdir()) == [
        "0000.png", "0001.png", "0002.png", "samples.json", "sheet.png", "trajectory.gif",
    ]  # fmt: skip
    assert IndexedImage.load(output / "0002.png").palette == read_palette("pico-8")
    record = json.loads((output / "samples.json").read_text())
    assert record["options"]["steps"] == 3
    assert record["samples"][2]["palette"] == read_palette("pico-8").to_hex()
    with Image.open(output / "trajectory.gif") as gif:
        assert gif.n_frames == 3


@pytest.mark.parametrize("sampler", ["ancestral", "entropy-bounded"])
def test_the_trajectory_shows_the_same_images_whatever_the_batch_size(draw, tmp_path, monkeypatch, sampler):
    """Three of five here; images of a batch that needs fewer calls stay as they are."""
    monkeypatch.setattr(sample, "MAX_TRAJECTORY_IMAGES", 3)
    for size in (1, 2, 64):
        draw("--gif", "--palette", "pico-8", "--sampler", sampler, "--batch-size", size, num_images=5, output=f"{size}")
    gifs = [(tmp_path / f"{size}" / "trajectory.gif").read_bytes() for size in (1, 2, 64)]
    assert gifs[0] == gifs[1] == gifs[2]


@pytest.mark.parametrize("palette", ["sweetie-16", "train"])
def test_sample_exports_what_it_drew_exactly(run, checkpoint, tmp_path, palette):
    output = tmp_path / "drawn"
    status, _, _ = run(
        sample, "--checkpoint", checkpoint, "--output", output, "--palette", palette, "--num-images", 5, "--steps", 2,
        "--sprite-sheet", "--columns", 2, "--shape-padding", 1, "--border-padding", 2, "--variants-gif",
        "--duration", 70, "--scale", 4,
    )  # fmt: skip
    assert status == 0
    names = [f"{number:04d}.png" for number in range(5)]
    images = [IndexedImage.load(output / name) for name in names]
    sheet = np.array(Image.open(output / "sprites.png").convert("RGBA"))
    data = json.loads((output / "sprites.json").read_text())
    assert list(data["frames"]) == names
    assert data["meta"]["image"] == "sprites.png"
    gif = read_animation(output / "variants.gif")
    assert gif.durations == [frame["duration"] for frame in data["frames"].values()] == [70] * 5
    for name, image, shown in zip(names, images, gif.frames, strict=True):
        x, y, w, h = (data["frames"][name]["frame"][key] for key in "xywh")
        assert np.array_equal(sheet[y : y + h, x : x + w], image.to_rgba())
        assert np.array_equal(shown, image.to_rgba())
        large = IndexedImage.load(output / "scaled" / name)
        assert large.palette == image.palette
        assert np.array_equal(large.indices, image.indices.repeat(4, axis=0).repeat(4, axis=1))
    for large, shown in zip(read_animation(output / "scaled" / "variants.gif").frames, gif.frames, strict=True):
        assert np.array_equal(large[::4, ::4], shown)
    if palette == "sweetie-16":
        assert IndexedImage.load(output / "sprites.png").palette == read_palette(palette)


@pytest.mark.parametrize("entries", [2, 4, 7, 16])
def test_png8_writes_a_byte_for_each_pixel_of_what_is_drawn(tmp_path, entries):
    words = ["--checkpoint", "x", "--output", "y", "--sprite-sheet", "--scale", "2"]
    image = IndexedImage(np.zeros((3, 3), np.uint8), Palette.from_hex(["08f"] * entries))
    for folder, options in (("packed", []), ("whole", ["--png8"])):
        asked = read_options(sample.Options, sample.make_parser().parse_args([*words, *options]))
        sample.write(tmp_path / folder, sample.Drawn([image], 8, []), 8, asked)
    for name in ("0000.png", "scaled/0000.png", "sprites.png"):
        packed, whole = (tmp_path / folder / name for folder in ("packed", "whole"))
        assert packed.read_bytes()[24] < whole.read_bytes()[24] == 8
        assert IndexedImage.load(whole).palette == image.palette
        assert np.array_equal(IndexedImage.load(whole).indices, IndexedImage.load(packed).indices)


def test_many_colors_with_commas_between_them_are_no_path(tmp_path):
    colors = ",".join(["102030"] * 60)  # longer than a file's name can be
    words = ["--checkpoint", "x", "--output", "y", "--palettes", colors, "pico-8", "own.gpl"]
    parsed = sample.make_parser().parse_args(words)
    options = read_options(sample.Options, parsed)
    assert sample.inputs_of(options, parsed) == [Path("x"), Path("pico-8"), Path("own.gpl")]
    one = read_options(sample.Options, sample.make_parser().parse_args([*words[:4], "--palette", colors]))
    assert one.drawing.read_palettes() == [read_palette(colors)]


def test_a_picture_gives_a_palette(run, checkpoint, tmp_path, rng):
    Image.fromarray(rng.integers(0, 256, (30, 30, 3), np.uint8)).save(tmp_path / "many.png")
    options = ["--checkpoint", checkpoint, "--num-images", 1, "--steps", 1, "--palette", tmp_path / "many.png"]
    run(sample, *options, "--output", tmp_path / "a", "--colors", 7, "--transparent")
    palette = IndexedImage.load(tmp_path / "a" / "0000.png").palette
    assert len(palette) == 8
    assert palette.transparent == 7
    run(sample, *options, "--output", tmp_path / "b")
    assert len(IndexedImage.load(tmp_path / "b" / "0000.png").palette) == 16


def test_overwriting_is_for_samples_only_and_on_request(run, checkpoint, tmp_path):
    options = ["--checkpoint", checkpoint, "--num-images", 1, "--steps", 1, "--output", tmp_path / "drawn"]
    assert run(sample, *options)[0] == 0
    assert run(sample, *options)[0] == 2
    assert run(sample, *options, "--overwrite")[0] == 0
    (tmp_path / "drawn" / "favorite.png").write_text("painted over")
    status, _, err = run(sample, *options, "--overwrite")
    assert (status, (tmp_path / "drawn" / "favorite.png").read_text()) == (2, "painted over")
    assert "favorite.png was not written by this command" in err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    status, _, err = run(sample, *options[:-1], tmp_path / "mine", "--overwrite")
    assert (status, (tmp_path / "mine" / "diary.txt").read_text()) == (2, "dear diary")
    assert "diary.txt was not written by this command" in err
    (tmp_path / "drawn" / "favorite.png").unlink()
    init = ["--init-image", tmp_path / "drawn" / "0000.png", "--strength", 0.5]
    status, _, err = run(sample, *options, "--overwrite", *init)
    assert (status, "holds the input" in err) == (2, True)


def test_an_earlier_run_is_replaced_only_if_all_is_its_and_the_new_one_can_begin(run, checkpoint, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(checkpoint, output)
    before = sorted(path.relative_to(output) for path in output.rglob("*"))
    options = ["--config", checkpoint / "config.yaml", "--output", output, "--overwrite"]
    status, _, err = run(train, *options, "--train.accumulation", 1000)
    assert (status, "too small" in err) == (2, True)
    assert sorted(path.relative_to(output) for path in output.rglob("*")) == before
    weights = (output / "denoiser" / "diffusion_pytorch_model.safetensors").read_bytes()
    status, _, err = run(train, *options, "--track.wandb", "true", "--track.project", "a/b")
    assert (status, "Invalid project name" in err) == (2, True)
    assert sorted(path.relative_to(output) for path in output.rglob("*")) == before
    assert (output / "denoiser" / "diffusion_pytorch_model.safetensors").read_bytes() == weights
    (output / "notes.md").write_text("what I found")
    status, _, err = run(train, *options)
    assert (status, "notes.md was not written by this command" in err) == (2, True)
    (output / "notes.md").unlink()
    assert run(train, *options, "--train.max_steps", 1)[0] == 0
    assert "max_steps: 1\n" in (output / "config.yaml").read_text()


def test_a_run_that_ended_in_the_folder_while_data_were_read_is_not_replaced(run, checkpoint, tmp_path, monkeypatch):
    output, open_feed = tmp_path / "run", feeds.open_feed

    def while_another_run_ends(config):
        shutil.copytree(checkpoint, output, dirs_exist_ok=True)
        return open_feed(config)

    monkeypatch.setattr(feeds, "open_feed", while_another_run_ends)
    status, _, err = run(train, "--config", checkpoint / "config.yaml", "--output", output, "--train.max_steps", 1)
    assert (status, "is not empty" in err) == (2, True)
    assert "max_steps: 12" in (output / "config.yaml").read_text()


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--config missing.yaml", "missing.yaml"),
        ("--config unknown.yaml", "'tran.max_steps' is not accepted (did you mean train.max_steps?)"),
        ("--config misspelt.yaml", "'unet.patchsize' (did you mean model.unet.patch_size?)"),
        ("--config tagged.yaml", "for the tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
        ("--train.max_minuets 5", "--train.max_minuets 5 (did you mean --train.max_minutes?)"),
        ("--train.xyz=5", "unrecognized arguments: --train.xyz=5"),
        ("--train.max_steps soon", "train.max_steps"),
        ("--train.max_steps 1 --data.source folder --data.path empty", "no images"),
        ("--train.max_steps 1 --data.source folder --data.path nowhere", "no such folder"),
        ("--train.max_steps 1 --data.source folder --data.path broken --data.strict true", "cut.png"),
        ("--train.max_steps 1 --data.source folder --data.path broken", "none of the 1 images"),
        ("--train.max_steps 1 --data.max_colors 300", "2 to 256"),
        ("--train.max_steps 1 --data.palette large.hex", "1 to 256 entries, not 300"),
        ("--train.max_steps 1 --output full", "is not empty"),
        ("--train.max_steps 1 --output full --overwrite", "was not written by this command"),
        ("--resume --train.max_steps 1", "no training run to resume in out; to begin one there, say what to train"),
        ("--resume", "no training run to resume in out; to begin one there, say what to train"),
        ("--resume --output full --train.max_steps 1", "no training run to resume in full"),
        ("--resume --output full --config icons16-smoke", "no training run to resume in full, but file"),
        ("", "no end"),
    ],
)
def test_mistakes_in_training_give_one_line_and_nothing_is_written(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "full", "broken"):
        Path(name).mkdir()
    Path("full/file").write_text("kept")
    Path("unknown.yaml").write_text("tran: {max_steps: 3}\n")
    Path("misspelt.yaml").write_text("model: {unet: {patchsize: 3}}\n")
    Path("tagged.yaml").write_text("seed: !!python/object/apply:os.system ['touch hacked']\n")
    Path("large.hex").write_text("000000\n" * 300)
    Image.new("RGB", (20, 20)).save("whole.png")
    Path("broken/cut.png").write_bytes(Path("whole.png").read_bytes()[:50])
    before = snapshot(tmp_path)
    words = arguments.split()
    status, out, err = run(train, *words, *([] if "--output" in words else ["--output", "out"]))
    lines = [line for line in err.splitlines() if "image/s" not in line and line.strip()]
    assert (status, out) == (2, "")
    assert lines[-1].startswith("error: ")
    assert message in lines[-1]
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert "Traceback" not in err
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--checkpoint nowhere", "no such checkpoint"),
        ("--checkpoint empty", "not a checkpoint"),
        ("--palette pico-9", "no palette 'pico-9' (did you mean pico-8?)"),
        ("--palette Pico8", "no palette 'Pico8' (did you mean pico-8?)"),
        ("--palette one.hex", "at least 2 entries"),
        ("--palette large.hex", "1 to 256 entries, not 300"),
        ("--palette cut.png", "cut.png"),
        ("--palette pico-8 --colors 5", "chooses from a picture"),
        ("--palette whole.png --colors 300", "2 to 256"),
        ("--transparent", "need a palette of yours"),
        ("--class-label unicorn", "unknown class 'unicorn'; choose from"),
        ("--class-label foldr", "unknown class 'foldr' (did you mean folder?); choose from"),
        ("--sampler magic", "unknown --sampler 'magic'; choose from ancestral"),
        ("--sampler stratified-hazard", "needs a process without a mask"),
        ("--sampler-options corrector_steps", "--sampler-options takes NAME=NUMBER, not 'corrector_steps'"),
        ("--sampler remasking --sampler-options eta=1", "unknown option of the sampler remasking 'eta'"),
        ("--grid magic", "unknown --grid 'magic'; choose from linear"),
        ("--steps 0", "steps is 0"),
        ("--num-images -3", "--num-images is -3"),
        ("--steps 99999999999999999999", "steps is 99999999999999999999"),
        ("--batch-size 99999999999999999999", "--batch-size is 99999999999999999999"),
        ("--width 99999999999999999999", "width is 99999999999999999999"),
        ("--scale 99999999999999999999", "--scale is 99999999999999999999"),
        ("--scale 0", "--scale is 0"),
        ("--sprite-sheet --columns 0", "--columns is 0"),
        ("--sprite-sheet --shape-padding -1", "--shape-padding is -1"),
        ("--border-padding 2", "--border-padding does nothing without --sprite-sheet"),
        ("--shape-padding 2", "--shape-padding does nothing without --sprite-sheet"),
        ("--duration 50", "--duration does nothing without --sprite-sheet or --variants-gif"),
        ("--guidance-scale 3", "--guidance-scale does nothing without --prompt or --class-label or --luminance"),
        (
            "--negative-class folder --guidance-scale 3",
            "--guidance-scale does nothing without --prompt or --class-label or --luminance",
        ),
        ("--sampler first-hitting --grid cosine", "first-hitting draws its own times; leave the grid out"),
        ("--sampler-options corrector_size=8 --sampler ancestral", "corrector_size of the sampler ancestral is 8.0"),
        ("--variants-gif --duration 5", "--duration is 5; it must be from 10 to 655,350"),
        ("--variants-gif --palette half.hex", "the palette holds ff000080"),
        ("--variants-gif --palette pico-8 --palette-to half.hex", "the palette holds"),
        ("--variants-gif --palettes pico-8 half.hex", "the palette holds ff000080"),
        ("--output full", "is not empty"),
        ("--output whole.png", "is a file"),
        ("--colour red", "--colour red (did you mean --colors?)"),
    ],
)
def test_mistakes_in_sampling_give_one_line_and_nothing_is_written(
    run, checkpoint, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "full"):
        Path(name).mkdir()
    Path("full/file").write_text("kept")
    Path("one.hex").write_text("000000\n")
    Path("half.hex").write_text("000000\nff000080\n")
    Path("large.hex").write_text("000000\n" * 300)
    Image.new("RGB", (20, 20)).save("whole.png")
    Path("cut.png").write_bytes(Path("whole.png").read_bytes()[:50])
    before = snapshot(tmp_path)
    words = arguments.split()
    defaults = {"--checkpoint": checkpoint, "--output": "out", "--num-images": 1, "--steps": 1}
    extra = [word for key, value in defaults.items() if key not in words for word in (key, value)]
    status, out, err = run(sample, *words, *extra)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: ")
    assert message in err.splitlines()[-1]
    assert len(err.splitlines()) == 1
    assert snapshot(tmp_path) == before


def test_a_resumed_run_keeps_its_config(run, checkpoint, tmp_path, cache_dir):
    status, _, err = run(train, "--config", checkpoint / "config.yaml", "--output", checkpoint, "--resume", "--seed", 5)
    assert status == 2
    assert "seed would change" in err


def test_a_resumed_run_needs_no_config_and_may_get_a_larger_budget(run, checkpoint, tmp_path):
    output = shutil.copytree(checkpoint, tmp_path / "model")
    status, out, _ = run(train, "--output", output, "--resume", "--train.max_steps", 14)
    assert status == 0
    assert "held-out bits per pixel" in out
    assert json.loads((output / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 14


def test_a_real_process_ends_with_status_2_and_one_line(tmp_path):
    script = str(Path(train.__file__))
    result = subprocess.run(
        [sys.executable, script, "--config", "nowhere.yaml", "--output", str(tmp_path / "out")],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")


def test_help_names_every_option_with_its_default(capsys):
    for command in (train, sample):
        with pytest.raises(SystemExit) as stop:
            command.main(["--help"])
        assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("--train.max_minutes", "--data.min_colors", "--top-p", "--guidance-scale"):
        assert option in text


HEAVY = {"torch", "diffusers", "accelerate", "datasets", "wandb", "numba", "scipy", "matplotlib", "gradio"}
"""Packages that take a good part of a second to import, or more."""


def start(*words):
    """Call ``tincture`` as a process: its status, its errors, and what of `HEAVY` it loads."""
    tell = f"import atexit, sys; atexit.register(lambda: print('loaded', *{HEAVY} & set(sys.modules)))"
    script = f"{tell}; from tincture.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr, set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("words", [[], *([command.replace("_", "-")] for command in COMMANDS)], ids=" ".join)
def test_help_loads_nothing_heavy(words):
    assert start(*words, "--help") == (0, "", set())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train --output out --train.max_steps 1 --train.mirror 2", "train.mirror is 2.0; it must be from 0 to 1"),
        ("train --output full --train.max_steps 1", "full is not empty"),
        ("train --init-from nowhere --output out --train.max_steps 1", "no such checkpoint folder: nowhere"),
        ("train --init-from MODEL --output out --config icons16", "model.unet.channels is (64, 128), but (80, 160) in"),
        (
            "train --init-from MODEL --output out --model.luminance_dropout null",
            "luminance_dropout is None, but 0.5 in",
        ),
        ("train --started_from a --output out --train.max_steps 1", "began with a, and has no checkpoint yet: give"),
        ("sample --checkpoint nowhere --output out", "no such checkpoint folder: nowhere"),
        ("sample --checkpoint MODEL --output out --palette pico-9", "no palette 'pico-9'"),
        ("sample --checkpoint MODEL --output out --sampler magic", "unknown --sampler 'magic'"),
        ("sample --checkpoint MODEL --output full --palette pico-8", "full is not empty"),
        ("evaluate --checkpoint nowhere --output a.json", "no such checkpoint folder: nowhere"),
        ("evaluate --checkpoint MODEL --output a.json --extractor magic", "unknown --extractor 'magic'"),
        ("publish --checkpoint nowhere --output out", "no such checkpoint folder: nowhere"),
        ("publish --checkpoint MODEL --output out --sampler magic", "unknown sampler 'magic'"),
        ("recolor a.png --palette pico-8 --by model --checkpoint nowhere --output out", "no such checkpoint folder"),
    ],
)
def test_a_mistake_in_options_is_told_before_anything_heavy_is_loaded(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/file").write_text("kept")
    Image.new("RGB", (8, 8)).save("a.png")
    model = Path(__file__).parent.parent / "checkpoints" / "icons16"
    status, err, loaded = start(*words.replace("MODEL", str(model)).split())
    assert (status, loaded) == (2, set())
    assert message in err
