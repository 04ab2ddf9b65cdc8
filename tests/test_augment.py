"""The command augment.py as a user calls it: what it writes, and one line for each mistake."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tincture import augment
from tincture.quantization.palettes.files import read_palette, write_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import read_image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with set/cats/{a.png,b.jpg}, set/dogs/c.png (indexed), labels beside them, and masks/."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("cats/a.png", "cats/b.jpg", "dogs/c.png"):
        path, mask = Path("set") / name, Path("masks") / Path(name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        mask.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (3, 2, 3)).astype(np.uint8))
        image = coarse.resize((12, 20), Image.Resampling.BILINEAR)
        if name == "dogs/c.png":
            indices = rng.integers(0, 4, (20, 12)).astype(np.uint8)
            image = IndexedImage(indices, Palette.from_hex(["00000000", "ff0000", "20a020", "ffffff"])).to_pil()
        image.save(path)
        path.with_suffix(".txt").write_text(f"0 0.5 0.5 {len(name)}\n")
        Image.fromarray(rng.integers(0, 3, (20, 12)).astype(np.uint8)).save(mask)
    Path("set/cats/a.json").write_text("{}")
    return tmp_path


def records(path="out"):
    return json.loads((Path(path) / "augment.json").read_text())["files"]


def files(path="out"):
    return sorted(file.relative_to(path).as_posix() for file in Path(path).rglob("*") if file.is_file())


def contents(path="out"):
    return {name: (Path(path) / name).read_bytes() for name in files(path) if name != "augment.json"}


def parts(indices):
    """The index map up to names: each pixel's index replaced by where it occurs first."""
    _, first, inverse = np.unique(indices, return_index=True, return_inverse=True)
    return first[inverse]


def test_versions_stand_in_their_classes_with_labels_and_masks_of_the_same_bytes(run, folder):
    status, out, err = run(augment, "set", "--versions", 2, "--masks", "masks", "--output", "out")
    assert (status, err) == (0, "")
    assert "out/augment.json" in out
    versions = [f"{name}-v{number}" for name in ("cats/a", "cats/b", "dogs/c") for number in (1, 2)]
    expected = ["augment.json", "images/cats/a-v1.json", "images/cats/a-v2.json"]
    for name in versions:
        expected += [f"images/{name}.png", f"images/{name}.txt", f"masks/{name}.png"]
    assert files() == sorted(expected)
    for record in records():
        source = Path(record["source"]).with_suffix("")
        for copied in record["annotations"]:
            room = Path("masks") if copied.startswith("masks/") else Path("set")
            original = (room / source).with_suffix(Path(copied).suffix)
            assert (Path("out") / copied).read_bytes() == original.read_bytes()
    assert sorted(["augment.json", *(f for r in records() for f in (r["file"], *r["annotations"]))]) == files()


@pytest.mark.parametrize("ways", [["jitter"], ["others"], ["pico-8"], ["jitter", "others", "own.hex", "sweetie-16"]])
def test_every_pixel_is_an_entry_of_the_palette_that_the_record_names(run, folder, ways):
    write_palette(Palette.from_hex(["102030", "ff8800"]), Path("own.hex"))
    assert run(augment, "set", "--ways", *ways, "--versions", 4, "--colors", 6, "--output", "out")[0] == 0
    assert [record["version"] for record in records()] == [1, 2, 3, 4] * 3
    for record in records():
        image = IndexedImage.load(Path("out") / record["file"])
        assert image.palette == Palette.from_hex(record["palette"])
        assert (record["palette_of"] is not None) == (record["way"] == "others")
        assert record["palette_of"] != record["source"]
        if record["way"] not in ("jitter", "others"):
            named = read_palette(record["way"])
            assert image.palette in (named, named.with_transparency())
        transparent = read_image(Path("set") / record["source"])[..., 3] == 0
        assert np.array_equal(image.to_rgba()[..., 3] == 0, transparent)
    for source in {record["source"] for record in records()}:
        used = [record["way"] for record in records() if record["source"] == source]
        assert sorted(used) == sorted(ways * (4 // len(ways)))


def test_the_index_map_is_the_sources_own(run, folder):
    source = IndexedImage.load(Path("set/dogs/c.png"))
    run(augment, "set", "--ways", "jitter", "pico-8", "--distinct", 3, "--versions", 2, "--output", "out")
    for record in records():
        if record["source"] == "dogs/c.png":
            image = IndexedImage.load(Path("out") / record["file"])
            assert np.array_equal(parts(image.indices), parts(source.indices))
            assert (record["way"] == "jitter") == np.array_equal(image.indices, source.indices)


def test_the_same_seed_gives_the_same_bytes_whatever_else_is_in_the_folder(run, folder):
    ways = ["--ways", "jitter", "nord-theme", "--versions", 3]
    for name, seed in (("one", 4), ("two", 4), ("three", 5)):
        run(augment, "set", *ways, "--seed", seed, "--output", name)
    assert contents("one") == contents("two")
    assert contents("one") != contents("three")
    Image.new("RGB", (4, 4), "red").save("set/cats/a0.png")
    Path("set/cats/b.jpg").unlink()
    run(augment, "set", *ways, "--seed", 4, "--output", "more")
    first, more = contents("one"), contents("more")
    assert all(first[name] == more[name] for name in first if "cats/b" not in name)


def test_another_turn_of_the_same_palette_gives_another_picture(run, folder):
    run(augment, "set", "--ways", "endesga-32", "--versions", 3, "--output", "out")
    pictures = [(Path("out") / record["file"]).read_bytes() for record in records() if record["source"] == "cats/a.png"]
    assert len(set(pictures)) > 1


def test_full_detail_is_not_quantized(run, folder):
    run(augment, "set", "--full-detail", "--versions", 1, "--output", "out")
    assert all(record["palette"] is None for record in records())
    before, after = read_image(Path("set/cats/a.png")), read_image(Path("out/images/cats/a-v1.png"))
    assert len(np.unique(after.reshape(-1, 4), axis=0)) > 0.8 * len(np.unique(before.reshape(-1, 4), axis=0)) > 100


def test_originals_are_copied_on_request(run, folder):
    run(augment, "set", "--originals", "--versions", 1, "--masks", "masks", "--output", "out")
    for name in ("cats/a.png", "cats/b.jpg", "cats/a.txt", "dogs/c.png"):
        assert (Path("out/images") / name).read_bytes() == (Path("set") / name).read_bytes()
    assert Path("out/masks/cats/b.png").read_bytes() == Path("masks/cats/b.png").read_bytes()
    assert [record["way"] for record in records()] == ["original", "jitter"] * 3


def test_only_what_the_command_wrote_is_overwritten_and_on_request(run, folder):
    assert run(augment, "set", "--output", "out")[0] == 0
    assert run(augment, "set", "--output", "out")[0] == 2
    assert run(augment, "set", "--output", "out", "--versions", 1, "--overwrite")[0] == 0
    assert len(records()) == 3
    Path("out/images/diary.txt").write_text("dear diary")
    status, _, err = run(augment, "set", "--output", "out", "--overwrite")
    assert (status, Path("out/images/diary.txt").read_text()) == (2, "dear diary")
    assert "diary.txt was not written by this command" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nowhere", "no such folder: nowhere"),
        ("empty", "no images"),
        ("broken", "cut.png is broken or cut off"),
        ("twins", "a.bmp and a.png would have the same name"),
        ("set --versions 0", "--versions is 0"),
        ("set --ways jitter pico-9", "no palette 'pico-9'"),
        ("set --ways clear.hex", "clear.hex has no opaque entry"),
        ("one --ways others", "needs at least 2 pictures"),
        ("clear --ways others", "no other picture than a.png has a visible color"),
        ("set --colors 1", "--colors is 1"),
        ("set --colors many", "colors"),
        ("set --full-detail --colors 8", "leave --colors out"),
        ("set --full-detail --ways pico-8", "the only way"),
        ("set --hue 200", "--hue is 200"),
        ("set --noise -1", "--noise is -1"),
        ("set --distinct -1", "--distinct is -1"),
        ("set --masks nowhere", "no such folder: nowhere"),
        ("set --masks set/cats", "lies in set"),
        ("set --masks empty", "empty has no file for cats/a.png"),
        ("one --masks twins", "twins has 2 files (a.bmp, a.png) for a.jpg"),
        ("one --masks images", "which is taken"),
        ("set --output full", "is not empty"),
        ("set --output full --overwrite", "was not written by this command"),
        ("set --output set/more", "lie in each other"),
        ("set/cats --output set", "lie in each other"),
        ("set --output clear.hex", "is a file"),
        ("set --verions 3", "--verions"),
        ("", "folder"),
    ],
)
def test_mistakes_give_one_line_and_nothing_is_written(run, folder, arguments, message):
    for name in ("empty", "full", "broken", "twins", "one", "clear", "images"):
        Path(name).mkdir()
    Path("full/file").write_text("kept")
    Path("clear.hex").write_text("00000000\n")
    Path("broken/cut.png").write_bytes(Path("set/cats/a.png").read_bytes()[:80])
    for name in ("twins/a.png", "twins/a.bmp", "one/a.jpg"):
        Image.new("RGB", (3, 3), "red").save(name)
    for name in ("a", "b"):
        Image.new("RGBA", (3, 3)).save(f"clear/{name}.png")
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    words = arguments.split()
    status, out, err = run(augment, *words, *([] if "--output" in words else ["--output", "out"]))
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert message in err
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def test_help_names_every_option_with_its_unit(capsys):
    with pytest.raises(SystemExit) as stop:
        augment.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("--ways", "--masks", "--full-detail", "--originals", "--hue", "degrees", "pico-8", "--distinct"):
        assert option in text
