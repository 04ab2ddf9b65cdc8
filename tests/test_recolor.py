"""The command recolor.py as a user calls it: what it writes, and one line for each mistake."""

import errno
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tincture import recolor
from tincture.quantization.palettes.files import read_palette, write_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.animation import read_animation
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import read_image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder: set/cats/{a.png,b.jpg}, set/dogs/c.png (indexed), labels and masks/."""
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
    return json.loads((Path(path) / "report.json").read_text())["files"]


def files(path="out"):
    return sorted(file.relative_to(path).as_posix() for file in Path(path).rglob("*") if file.is_file())


def contents(path="out"):
    return {name: (Path(path) / name).read_bytes() for name in files(path) if name != "report.json"}


def parts(indices):
    """The index map up to names: each pixel's index replaced by where it occurs first."""
    _, first, inverse = np.unique(indices, return_index=True, return_inverse=True)
    return first[inverse]


def test_versions_stand_in_their_classes_with_labels_and_masks_of_the_same_bytes(run, folder):
    status, out, err = run(recolor, "set", "--versions", 2, "--masks", "masks", "--output", "out")
    assert (status, err) == (0, "")
    assert "out/report.json" in out
    versions = [f"{name}-v{number}" for name in ("cats/a", "cats/b", "dogs/c") for number in (1, 2)]
    expected = ["report.json", "set/cats/a-v1.json", "set/cats/a-v2.json"]
    for name in versions:
        expected += [f"set/{name}.png", f"set/{name}.txt", f"masks/{name}.png"]
    assert files() == sorted(expected)
    for record in records():
        source = Path(record["source"]).relative_to("set").with_suffix("")
        for copied in record["annotations"]:
            room = Path("masks") if copied.startswith("masks/") else Path("set")
            original = (room / source).with_suffix(Path(copied).suffix)
            assert (Path("out") / copied).read_bytes() == original.read_bytes()
    assert sorted(["report.json", *(f for r in records() for f in (r["file"], *r["annotations"]))]) == files()


JITTER, OTHERS = ["--by", "jitter"], ["--by", "others"]
ALL = ["--by", "jitter", "others", "areas", "--palette", "own.hex", "sweetie-16"]


@pytest.mark.parametrize("ways", [JITTER, OTHERS, ["--palette", "pico-8"], ALL])
def test_every_pixel_is_an_entry_of_the_palette_that_the_record_names(run, folder, ways):
    write_palette(Palette.from_hex(["102030", "ff8800"]), Path("own.hex"))
    assert run(recolor, "set", *ways, "--versions", 4, "--colors", 6, "--output", "out")[0] == 0
    assert [record["version"] for record in records()] == [1, 2, 3, 4] * 3
    for record in records():
        image = IndexedImage.load(Path("out") / record["file"])
        assert image.palette == Palette.from_hex(record["palette"])
        assert (record["palette_of"] is not None) == (record["by"] != "jitter")
        assert record["by"] != "others" or Path("set", record["palette_of"]) != Path(record["source"])
        if record["by"] == "areas":
            named = read_palette(record["palette_of"])
            assert image.palette in (named, named.with_transparency())
        transparent = read_image(Path(record["source"]))[..., 3] == 0
        assert np.array_equal(image.to_rgba()[..., 3] == 0, transparent)
    for source in {record["source"] for record in records()}:
        used = [(r["by"], r["palette_of"] if r["by"] == "areas" else "") for r in records() if r["source"] == source]
        turns = [("areas", name) for name in ways[ways.index("--palette") + 1 :]] if "--palette" in ways else []
        turns += [(way, "") for way in ("jitter", "others") if way in ways]
        assert sorted(used) == sorted(turns * (4 // len(turns)))


@pytest.mark.parametrize(
    "ways",
    [
        "--palette own.hex --by areas",
        "--palette own.hex --by reversible",
        "--palette own.hex --by model --checkpoint masks",
        "--by jitter --versions 1 --lightness 0 --contrast 0 --chroma 0 --hue 0 --noise 0",
    ],
)
def test_a_picture_that_comes_out_as_it_was_is_counted(run, folder, monkeypatch, ways):
    own = IndexedImage.load(Path("set/dogs/c.png")).palette
    write_palette(own, Path("own.hex"))
    if "model" in ways:  # which gives a picture back as it is, if it has the palette (test_model_recoloring.py)
        monkeypatch.setattr(recolor, "matchers", lambda _: {"model": recolor.recolor_solid})
    status, out, _ = run(recolor, "set/dogs/c.png", *ways.split(), "--output", "out")
    assert status == 0
    assert "1 files from 1 picture, 1 of them unchanged (they had these colors)" in out
    assert [record["unchanged"] for record in records()] == [True]
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    status, out, _ = run(recolor, "set/dogs/c.png", "--palette", "pico-8", "--output", "moved")
    assert "unchanged" not in out
    assert [record["unchanged"] for record in records("moved")] == [False]


def test_png8_writes_a_byte_for_each_pixel(run, folder):
    for output, options in (("packed", []), ("out", ["--png8"])):
        assert run(recolor, "set", "--palette", "000,f00,0f0,fff", *options, "--output", output)[0] == 0
    for record in records():
        bits = [(Path(output) / record["file"]).read_bytes()[24] for output in ("packed", "out")]
        assert (bits[0] < 8, bits[1]) == (True, 8)
        packed, whole = (IndexedImage.load(Path(output) / record["file"]) for output in ("packed", "out"))
        assert np.array_equal(packed.indices, whole.indices)
        assert packed.palette == whole.palette


def test_a_palette_may_be_many_colors_with_commas_between_them(run, folder):
    colors = ",".join(f"{4 * k:02x}80{255 - 4 * k:02x}" for k in range(60))  # longer than a file's name can be
    assert run(recolor, "set/cats", "--palette", colors, "000,fff", "--versions", 2, "--output", "out")[0] == 0
    assert {len(record["palette"]) for record in records()} == {60, 2}


def save_turned(size, orientation, name):
    """A picture that is stored in this size, and has an EXIF orientation."""
    image = Image.fromarray(np.random.default_rng(5).integers(0, 256, (*size[::-1], 3)).astype(np.uint8))
    image.getexif()[0x0112] = orientation
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    image.save(name, exif=image.getexif())


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["as stored", "upright", "with a tag of its own"])
def test_a_mask_is_turned_as_its_picture_is(run, folder, orientation, kind):
    save_turned((8, 4), orientation, "phone/a.jpg")
    size, own = ((8, 4), 1) if kind == "as stored" else ((4, 8), 1) if kind == "upright" else ((8, 4), orientation)
    save_turned(size, own, "depth/a.png")
    before = read_image(Path("depth/a.png"))
    options = ["--palette", "pico-8", "--masks", "depth", "--output", "out"]
    assert run(recolor, "phone", *options)[0] == 0
    picture, after = read_image(Path("out/phone/a.png")), read_image(Path("out/depth/a.png"))
    assert picture.shape == after.shape == (8, 4, 4)
    if kind == "as stored":
        stored = Image.fromarray(before)
        stored.getexif()[0x0112] = orientation
        before = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(after, before)
    with Image.open("out/depth/a.png") as image:
        assert image.getexif().get(0x0112, 1) == 1
    assert ("depth/a.png" in contents()) and (
        kind != "upright" or contents()["depth/a.png"] == Path("depth/a.png").read_bytes()
    )


def test_beside_a_copied_picture_stand_its_masks_as_they_are(run, folder):
    save_turned((8, 4), 6, "phone/a.jpg")
    save_turned((8, 4), 1, "depth/a.png")
    assert run(recolor, "phone", "--palette", "pico-8", "--masks", "depth", "--originals", "--output", "out")[0] == 0
    assert contents()["phone/a.jpg"] == Path("phone/a.jpg").read_bytes()
    assert contents()["depth/a.png"] == Path("depth/a.png").read_bytes()
    assert read_image(Path("out/depth/a-v1.png")).shape == read_image(Path("out/phone/a-v1.png")).shape == (8, 4, 4)


VOC = "<annotation><size><width>{}</width><height>{}</height></size></annotation>"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"shapes": [], "imageHeight": 4, "imageWidth": 8}', "a.json says 8×4 pixels"),
        ("a.xml", VOC.format(8, 4), "a.xml says 8×4 pixels"),
        ("a.json", '{"imageWidth": 4, "imageHeight": 9}', "a.json says 4×9 pixels"),
        ("a.json", '{"imageWidth": 4, "imageHeight": 8}', None),
        ("a.xml", VOC.format(4, 8), None),
        ("a.txt", "0 0.5 0.5 0.1 0.1", None),
    ],
)
def test_boxes_of_a_turned_picture_are_carried_along_where_they_are_of_the_upright_one(
    run, folder, caplog, name, text, message
):
    caplog.set_level(logging.INFO)
    save_turned((8, 4), 6, "phone/a.jpg")
    (Path("phone") / name).write_text(text)
    status, _, err = run(recolor, "phone", "--palette", "pico-8", "--output", "out")
    if message is None:
        assert (Path("out/phone") / name).read_text() == text
        assert ("taken to be of that" in caplog.text) == (name == "a.txt")
    else:
        assert (status, Path("out").exists()) == (2, False)
        assert message in err


@pytest.mark.parametrize(("size", "message"), [((8, 5), "which doesn't fit"), ((4, 2), "which doesn't fit")])
def test_a_mask_that_does_not_fit_its_turned_picture_is_refused(run, folder, size, message):
    save_turned((8, 4), 6, "phone/a.jpg")
    save_turned(size, 1, "depth/a.png")
    status, _, err = run(recolor, "phone", "--palette", "pico-8", "--masks", "depth", "--output", "out")
    assert (status, len(err.splitlines()), Path("out").exists()) == (2, 1, False)
    assert message in err


@pytest.mark.parametrize(("size", "orientation"), [((6, 6), 6), ((8, 4), 3), ((8, 4), 2)])
def test_a_mask_of_which_nothing_says_how_it_lies_is_refused(run, folder, size, orientation):
    save_turned(size, orientation, "phone/a.jpg")
    save_turned(size, 1, "depth/a.png")
    status, _, err = run(recolor, "phone", "--palette", "pico-8", "--masks", "depth", "--output", "out")
    assert (status, Path("out").exists()) == (2, False)
    assert "before or after that: save the picture upright" in err


def test_the_index_map_is_the_sources_own(run, folder):
    source = IndexedImage.load(Path("set/dogs/c.png"))
    run(
        recolor,
        "set",
        "--by",
        "jitter",
        "areas",
        "--palette",
        "pico-8",
        "--distinct",
        3,
        "--versions",
        2,
        "--output",
        "out",
    )
    for record in records():
        if record["source"] == "set/dogs/c.png":
            image = IndexedImage.load(Path("out") / record["file"])
            assert np.array_equal(parts(image.indices), parts(source.indices))
            assert (record["by"] == "jitter") == np.array_equal(image.indices, source.indices)


def test_the_same_seed_gives_the_same_bytes_whatever_else_is_in_the_folder(run, folder):
    ways = ["--by", "jitter", "areas", "--palette", "nord-theme", "--versions", 3]
    for name, seed in (("one", 4), ("two", 4), ("three", 5)):
        run(recolor, "set", *ways, "--seed", seed, "--output", name)
    assert contents("one") == contents("two")
    assert contents("one") != contents("three")
    Image.new("RGB", (4, 4), "red").save("set/cats/a0.png")
    Path("set/cats/b.jpg").unlink()
    run(recolor, "set", *ways, "--seed", 4, "--output", "more")
    first, more = contents("one"), contents("more")
    assert all(first[name] == more[name] for name in first if "cats/b" not in name)


def test_another_turn_of_the_same_palette_gives_another_picture(run, folder):
    run(recolor, "set", "--palette", "endesga-32", "--versions", 3, "--output", "out")
    pictures = [
        (Path("out") / record["file"]).read_bytes() for record in records() if record["source"] == "set/cats/a.png"
    ]
    assert len(set(pictures)) > 1


def test_full_detail_is_not_quantized(run, folder):
    run(recolor, "set", "--colors", "all", "--versions", 1, "--output", "out")
    assert all(record["palette"] is None for record in records())
    before, after = read_image(Path("set/cats/a.png")), read_image(Path("out/set/cats/a.png"))
    assert len(np.unique(after.reshape(-1, 4), axis=0)) > 0.8 * len(np.unique(before.reshape(-1, 4), axis=0)) > 100


def test_originals_are_copied_on_request(run, folder):
    run(recolor, "set", "--originals", "--versions", 1, "--masks", "masks", "--output", "out")
    for name in ("cats/a.png", "cats/b.jpg", "cats/a.txt", "dogs/c.png"):
        assert (Path("out/set") / name).read_bytes() == (Path("set") / name).read_bytes()
    assert Path("out/masks/cats/b.png").read_bytes() == Path("masks/cats/b.png").read_bytes()
    assert [record["by"] for record in records()] == ["original", "jitter"] * 3


def test_only_what_the_command_wrote_is_overwritten_and_on_request(run, folder):
    assert run(recolor, "set", "--output", "out")[0] == 0
    assert run(recolor, "set", "--output", "out")[0] == 2
    assert run(recolor, "set", "--output", "out", "--versions", 1, "--overwrite")[0] == 0
    assert len(records()) == 3
    Path("out/set/diary.txt").write_text("dear diary")
    status, _, err = run(recolor, "set", "--output", "out", "--overwrite")
    assert (status, Path("out/set/diary.txt").read_text()) == (2, "dear diary")
    assert "diary.txt was not written by this command" in err


@pytest.fixture
def icon(tmp_path, rng):
    """An indexed picture that uses its whole palette, and its file."""
    colors = rng.integers(0, 256, (6, 4), np.uint8)
    colors[:, 3] = [255, 255, 0, 255, 255, 255]
    image = IndexedImage(rng.permutation(np.arange(120, dtype=np.uint8) % 6).reshape(12, 10), Palette(colors))
    image.save(tmp_path / "icon.png")
    return image, tmp_path / "icon.png"


def test_recoloring_there_and_back_is_the_identity(run, icon, tmp_path):
    image, path = icon
    reversible = ("--by", "reversible", "--output")
    assert run(recolor, path, "--palette", "pico-8", *reversible, tmp_path / "there")[0] == 0
    there = IndexedImage.load(tmp_path / "there" / "icon.png")
    assert there.palette == read_palette("pico-8").with_transparency()
    assert run(recolor, tmp_path / "there" / "icon.png", "--palette", path, *reversible, tmp_path / "back")[0] == 0
    back = IndexedImage.load(tmp_path / "back" / "icon.png")
    assert np.array_equal(back.indices, image.indices)
    assert back.palette == image.palette


def test_recoloring_there_and_back_is_the_identity_even_of_an_animation(run, folder):
    rng = np.random.default_rng(0)
    still = Image.fromarray(rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)).quantize(9)
    frames = [Image.fromarray(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)).quantize(5).convert("RGB")]
    frames.append(frames[0].rotate(90))
    still.convert("RGB").save("t.png")
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:], duration=100)
    for name in ("t.png", "moving.gif"):
        animation = read_animation(Path(name))
        write_palette(Palette(np.unique(np.concatenate(animation.frames).reshape(-1, 4), axis=0)), Path("own.png"))
        for source, palette, output in ((name, "resurrect-64", "there"), (f"there/{name}", "own.png", "back")):
            words = ("--palette", palette, "--by", "reversible", "--output", output, "--overwrite")
            assert run(recolor, source, *words)[0] == 0
        changed, result = (read_animation(Path(folder) / name) for folder in ("there", "back"))
        assert all(
            (before != after).any(axis=-1).mean() > 0.9
            for before, after in zip(animation.frames, changed.frames, strict=True)
        )
        assert changed.durations == result.durations == animation.durations
        assert all(np.array_equal(*pair) for pair in zip(result.frames, animation.frames, strict=True))


@pytest.mark.parametrize("way", ["areas", "reversible", "role", "model"])
def test_all_pixels_of_a_color_are_recolored_alike(run, icon, tmp_path, request, way):
    image, path = icon
    model = ("--checkpoint", request.getfixturevalue("checkpoint")) if way in ("role", "model") else ()
    (tmp_path / "set").mkdir()
    image.save(tmp_path / "set" / "other.png")
    words = ("--palette", "pico-8", "--by", way, *model, "--output", tmp_path / "out")
    assert run(recolor, path, tmp_path / "set", *words)[0] == 0
    for name in ("icon.png", "set/other.png"):
        after = IndexedImage.load(tmp_path / "out" / name)
        assert after.palette == read_palette("pico-8").with_transparency()
        assert len({*zip(image.indices.flat, after.indices.flat, strict=True)}) == 6


@pytest.mark.parametrize("hexes", ["ffcc00 101010 e04040", "ffffff 00000000 000000 ff0000", "808080 000000 ffffff"])
@pytest.mark.parametrize("count", [1, 3])
def test_jittered_pictures_and_animations_keep_the_order_of_their_palette(run, tmp_path, hexes, count):
    palette = Palette.from_hex(hexes.split())
    order = np.arange(len(palette), dtype=np.uint8)[None]
    write_gif(tmp_path / "a.gif", [np.roll(order, step) for step in range(count)], palette, [100] * count)
    words = ("--by", "jitter", "--versions", 1, "--output", tmp_path / "out")
    assert run(recolor, tmp_path / "a.gif", *words)[0] == 0
    after = IndexedImage.load(tmp_path / "out" / ("a.gif" if count > 1 else "a.png"))
    assert np.array_equal(after.indices, order)
    assert len(after.palette) >= len(palette)


SOFT = {
    "two half transparent": ["000000", "c81e1e80", "ffffff", "1e1ec860", "c81e1e"],
    "a shadow": ["00000000", "00000040", "00000080", "ff8040"],
    "nearly opaque": ["fffffffe", "ffffff", "00000001", "000000"],
    "glass": ["40c0ff80", "40c0ff40", "40c0ff"],
}


@pytest.mark.parametrize("way", ["areas", "reversible", "role", "model"])
@pytest.mark.parametrize("hexes", SOFT.values(), ids=list(SOFT))
def test_a_picture_keeps_the_alphas_that_the_palette_has(run, tmp_path, request, hexes, way):
    model = ("--checkpoint", request.getfixturevalue("checkpoint")) if way in ("role", "model") else ()
    palette = Palette.from_hex(hexes)
    write_palette(palette, tmp_path / "own.hex")
    image = IndexedImage(np.arange(len(palette), dtype=np.uint8)[None].repeat(3, axis=0), palette)
    image.save(tmp_path / "indexed.png")
    Image.fromarray(image.to_rgba()).save(tmp_path / "full.png")
    words = ("--palette", tmp_path / "own.hex", "--by", way, *model, "--output", tmp_path / "out")
    assert run(recolor, tmp_path / "indexed.png", tmp_path / "full.png", *words)[0] == 0
    for name in ("indexed.png", "full.png"):
        after = IndexedImage.load(tmp_path / "out" / name)
        assert after.palette == palette
        assert np.array_equal(after.indices, image.indices)


@pytest.mark.parametrize(
    ("transparency", "has_one", "expected"),
    [("auto", False, False), ("auto", True, True), ("always", False, True), ("never", True, False)],
)
def test_a_palette_gets_a_transparent_entry_as_it_is_asked_for(run, icon, tmp_path, transparency, has_one, expected):
    image, path = icon
    if not has_one:
        Image.fromarray(image.to_rgba()[..., :3].copy()).save(path)
    words = ("--palette", "pico-8", "--transparency", transparency, "--output", tmp_path / "out")
    assert run(recolor, path, *words)[0] == 0
    after = IndexedImage.load(tmp_path / "out" / "icon.png")
    pico = read_palette("pico-8")
    assert after.palette == (pico.with_transparency() if expected else pico)
    if has_one and not expected:
        assert (after.to_rgba()[image.to_rgba()[..., 3] == 0] == pico.colors[7]).all()  # white, like paper


def test_pictures_of_many_colors_are_quantized_and_others_keep_theirs(run, icon, tmp_path, rng):
    noise, few = rng.integers(0, 256, (40, 40, 3), np.uint8), rng.integers(0, 256, (100, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "many.png")
    Image.fromarray(few[rng.permutation(2500) % 100].reshape(50, 50, 3)).save(tmp_path / "few.png")
    large = tmp_path / "large.png"
    write_palette(Palette(np.column_stack([rng.permutation(256), *np.full((3, 256), 255)]).astype(np.uint8)), large)
    for name, colors in (("many.png", 64), ("few.png", 100)):
        words = ("--palette", large, "--by", "reversible", "--output", tmp_path / "out", "--overwrite")
        assert run(recolor, tmp_path / name, *words)[0] == 0
        assert len(np.unique(IndexedImage.load(tmp_path / "out" / name).indices)) == colors
    assert run(recolor, icon[1], "--palette", tmp_path / "many.png", "--colors", 12, "--output", tmp_path / "p")[0] == 0
    assert len(IndexedImage.load(tmp_path / "p" / "icon.png").palette) == 13


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nowhere", "no such picture or folder: nowhere"),
        ("set nowhere.png", "no such picture or folder: nowhere.png"),
        ("empty", "no images"),
        ("broken", "cut.png is broken or cut off"),
        ("twins", "twins/a.bmp and twins/a.png would have the same name"),
        ("set --versions 0", "--versions is 0"),
        ("one one/a.jpg other/one", "one/a.jpg and other/one/a.jpg would have the same name"),
        ("set --palette pico-9", "no palette 'pico-9'"),
        (["set", "--palette", ""], "no palette ''"),
        ("set --palette clear.hex", "clear.hex has no opaque entry"),
        ("set --by areas", "--by areas needs the palette to move pictures to"),
        ("set --by jitter --palette pico-8", "--by jitter takes no --palette"),
        ("set --by magic --palette pico-8", "unknown --by 'magic'; choose from areas"),
        ("set --by model --palette pico-8", "--by model needs a model: name its folder with --checkpoint"),
        ("set --palette pico-8 --checkpoint set", "--checkpoint does nothing by areas"),
        ("set --palette pico-8 --by reversible --distinct 1", "--distinct does nothing by reversible"),
        ("set --palette pico-8 --hue 3", "--hue does nothing by areas"),
        ("set --transparency never", "--transparency does nothing by jitter"),
        ("set --palette pico-8 --tile x", "--tile"),
        ("one --by others", "needs at least 2 pictures"),
        ("clear --by others", "no other picture than a.png has a visible color"),
        ("set --colors 1", "--colors is 1"),
        ("set --colors many", "colors"),
        ("set --colors all --palette pico-8", "leave --palette and --by out"),
        ("set --hue 200", "--hue is 200"),
        ("set --noise -1", "--noise is -1"),
        ("set --distinct -1", "--distinct is -1"),
        ("set --masks nowhere", "no such folder: nowhere"),
        ("set --masks set/cats", "lies in set"),
        ("set --masks empty", "empty has no file for cats/a.png"),
        ("one --masks twins", "twins has 2 files (a.bmp, a.png) for a.jpg"),
        ("one --masks other/one", "which is taken"),
        ("set --output full", "is not empty"),
        ("set --output full --overwrite", "was not written by this command"),
        ("set --output set/more", "lie in each other"),
        ("set/cats --output set", "lie in each other"),
        ("set --output clear.hex", "is a file"),
        ("set --verions 3", "--verions"),
        ("", "images"),
    ],
)
def test_mistakes_give_one_line_and_nothing_is_written(run, folder, arguments, message):
    for name in ("empty", "full", "broken", "twins", "one", "clear", "other/one"):
        Path(name).mkdir(parents=True)
    Path("full/file").write_text("kept")
    Path("clear.hex").write_text("00000000\n")
    Path("broken/cut.png").write_bytes(Path("set/cats/a.png").read_bytes()[:80])
    for name in ("twins/a.png", "twins/a.bmp", "one/a.jpg", "other/one/a.jpg"):
        Image.new("RGB", (3, 3), "red").save(name)
    for name in ("a", "b"):
        Image.new("RGBA", (3, 3)).save(f"clear/{name}.png")
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    words = arguments.split() if isinstance(arguments, str) else arguments
    status, out, err = run(recolor, *words, *([] if "--output" in words else ["--output", "out"]))
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert message in err
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def test_help_names_every_option_with_its_unit(capsys):
    with pytest.raises(SystemExit) as stop:
        recolor.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("--by", "--masks", "--palette", "--originals", "--hue", "degrees", "pico-8", "--distinct"):
        assert option in text


@pytest.mark.parametrize("ways", [JITTER, OTHERS, ["--palette", "pico-8"], ["--colors", "all"]])
def test_broken_pictures_are_named_in_the_end_and_the_others_are_done(run, folder, ways):
    for name in ("cats/cut.png", "dogs/broken.gif", "a.png"):
        Path("set", name).write_bytes(Path("set/cats/a.png").read_bytes()[:80])
    Path("set/cats/cut.txt").write_text("0 0.5 0.5 1\n")
    status, out, err = run(recolor, "set", *ways, "--versions", 2, "--output", "out")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "3 of 6 pictures failed, the others are in out: set/a.png is broken" in err
    assert "set/cats/cut.png" in err
    assert "set/dogs/broken.gif" in err
    assert {record["source"] for record in records()} == {"set/cats/a.png", "set/cats/b.jpg", "set/dogs/c.png"}
    assert sorted(["report.json", *(f for r in records() for f in (r["file"], *r["annotations"]))]) == files()
    for name in ("cats/cut.png", "dogs/broken.gif", "a.png"):
        Path("set", name).unlink()
    if ways is not OTHERS:
        assert run(recolor, "set", *ways, "--versions", 2, "--output", "whole")[0] == 0
        assert contents("whole") == contents()


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("place", [1, 2, 3, 5])
def test_what_is_done_stays_whole_when_a_batch_is_stopped(run, folder, monkeypatch, stop, place):
    """It stops at a picture's first file or at its second."""
    calls = []

    def save_until_stopped(image, path, *options):
        calls.append(path)
        if len(calls) == place:
            raise stop
        original(image, path, *options)

    original = IndexedImage.save
    with monkeypatch.context() as patch:
        patch.setattr(IndexedImage, "save", save_until_stopped)
        status, _, err = run(recolor, "set", "--versions", 2, "--output", "out")
    assert status == (130 if isinstance(stop, KeyboardInterrupt) else 2)
    assert len(err.splitlines()) == 1
    if place <= 2:
        assert not Path("out").exists()
    else:
        assert len({record["source"] for record in records()}) == (place - 1) // 2
        assert sorted(["report.json", *(f for r in records() for f in (r["file"], *r["annotations"]))]) == files()
    assert run(recolor, "set", "--versions", 2, "--output", "out", "--overwrite")[0] == 0
    assert len(records()) == 6
