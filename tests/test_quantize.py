"""The command quantize.py as a user calls it: what it writes, and one line for each mistake."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tincture import quantize
from tincture.common import output_folder
from tincture.quantization.dither import DITHER_SPACES, DITHERERS, dither
from tincture.quantization.encoding import encode
from tincture.quantization.fit import QUANTIZERS, fit_palette, learned
from tincture.quantization.palettes.files import read_palette, write_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures import gif
from tincture.quantization.pictures.animation import read_animation
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.spaces import SPACES


def gradient(seed=0, size=(24, 32), transparent=False):
    """A smooth RGBA picture, uint8 ``[H, W, 4]``, with a transparent corner on request."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)
    image = np.array(Image.fromarray(corners).resize(size[::-1], Image.Resampling.BILINEAR).convert("RGBA"))
    if transparent:
        image[:5, :5] = 0
    return image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a/x.png, b/x.png and, with a transparent corner, t.png."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a/x.png", "b/x.png", "t.png")):
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(gradient(number, transparent=name == "t.png")).save(name)
    return tmp_path


def load(path="out"):
    return json.loads((Path(path) / "report.json").read_text())


def files(path="out"):
    return sorted(str(file.relative_to(path)) for file in Path(path).rglob("*") if file.is_file())


def snapshot(path):
    return {file: file.stat().st_mtime_ns for file in path.rglob("*")}


def test_one_picture_gives_an_indexed_png_its_palette_and_a_report(run, folder):
    status, out, err = run(quantize, "a/x.png", "--colors", 8, "--output", "out")
    assert (status, err) == (0, "")
    assert "out/report.json" in out
    assert files() == ["palette.hex", "report.json", "x.png"]
    image = IndexedImage.load(Path("out/x.png"))
    assert image.palette == read_palette("out/palette.hex")
    record = load()["images"][0]
    assert record["palette"] == image.palette.to_hex()
    assert (record["file"], record["palette_file"]) == ("x.png", "palette.hex")
    assert (record["width"], record["height"], record["frames"]) == (32, 24, 1)
    assert record["colors_used"] == len(np.unique(image.indices)) <= 8
    assert record["bytes_before"] == Path("a/x.png").stat().st_size
    assert record["bytes_after"] == Path("out/x.png").stat().st_size
    error = (gradient()[..., :3].astype(float) - image.to_rgba()[..., :3]) ** 2
    assert record["psnr"] == pytest.approx(10 * np.log10(255**2 / error.mean()), abs=1e-3)
    assert 0 < record["mean_delta_e"] < 0.2


def test_inputs_of_one_name_do_not_overwrite_each_other(run, folder):
    Image.fromarray(gradient(5)).save("X.webp")
    run(quantize, "a/x.png", "b/x.png", "X.webp", "--colors", 4, "--output", "out")
    assert files() == ["X-3.hex", "X-3.png", "report.json", "x-2.hex", "x-2.png", "x.hex", "x.png"]
    assert [record["source"] for record in load()["images"]] == ["a/x.png", "b/x.png", "X.webp"]
    assert len({tuple(record["palette"]) for record in load()["images"]}) == 3


def test_a_shared_palette_is_one_file_for_all(run, folder):
    run(quantize, "a/x.png", "b/x.png", "t.png", "--colors", 9, "--shared", "--output", "out")
    assert files() == ["palette.hex", "report.json", "t.png", "x-2.png", "x.png"]
    palette = read_palette("out/palette.hex")
    assert (len(palette), palette.transparent) == (9, 0)
    assert all(IndexedImage.load(Path("out") / name).palette == palette for name in ("t.png", "x-2.png", "x.png"))


@pytest.mark.parametrize("name", ["t.png", "t.webp", "t.gif"])
def test_transparency_never_becomes_a_visible_color(run, folder, name):
    Image.fromarray(gradient(2, transparent=True)).save(name, **({"lossless": True} if name == "t.webp" else {}))
    for number, options in enumerate((["--colors", 2], ["--palette", "pico-8"], ["--sort", "hue", "--colors", 5])):
        run(quantize, name, *options, "--output", f"out{number}")
        image = IndexedImage.load(Path(f"out{number}") / "t.png")
        assert np.array_equal(image.to_rgba()[..., 3] == 0, gradient(transparent=True)[..., 3] == 0)
        assert (image.palette.colors[:, 3] == 0).sum() == 1


INDEXED = {
    "in no order": ("ffcc00 101010 e04040 40a0e0", [0, 1, 2, 3]),
    "two equal": ("ff0000 00ff00 ff0000 0000ff", [0, 1, 2, 3]),
    "an unused entry": ("ffffff 000000 808080 ff0000", [3, 1, 0, 1]),
    "a hidden color": ("204060 ff00ff00 ffffff 000000", [1, 2, 0, 3]),
    "soft": ("ff8040 00000060 00000000 00000030", [3, 2, 1, 0]),
}


def save_indexed(name, hexes, indices):
    image = IndexedImage(np.array([indices, indices[::-1]], np.uint8), Palette.from_hex(hexes.split()))
    image.save(Path(name))
    return image


@pytest.mark.parametrize(("hexes", "indices"), INDEXED.values(), ids=list(INDEXED))
@pytest.mark.parametrize(
    "options", [["--colors", 64], ["--palette", "i.png"], ["--colors", 4, "--dither", "bayer4"], ["--shared"]]
)
def test_an_indexed_picture_that_fits_keeps_its_palette_and_every_index(run, folder, hexes, indices, options):
    image = save_indexed("i.png", hexes, indices)
    assert run(quantize, "i.png", *options, "--output", "out")[0] == 0
    drawn = IndexedImage.load(Path("out/i.png"))
    assert drawn.palette == image.palette
    assert np.array_equal(drawn.indices, image.indices)
    assert (load()["images"][0]["psnr"], load()["images"][0]["mean_delta_e"]) == (None, 0)


@pytest.mark.parametrize("order", ["luminance", "hue"])
def test_sorting_reorders_an_indexed_picture_that_fits(run, folder, order):
    image = save_indexed("i.png", *INDEXED["in no order"])
    run(quantize, "i.png", "--sort", order, "--output", "out")
    drawn = IndexedImage.load(Path("out/i.png"))
    assert drawn.palette != image.palette
    assert np.array_equal(drawn.to_rgba(), image.to_rgba())


@pytest.mark.parametrize(
    ("hexes", "indices", "colors", "kept"),
    [
        ("ffffff 000000 808080 ff0000", [3, 1, 0, 1], 3, "ffffff 000000 ff0000"),
        ("0000ff 102030 ffff00 00000000 ff00ff", [2, 3, 0, 2], "auto", "0000ff ffff00 00000000"),
        ("808080 ffffff 000000 ff0000", [3, 3, 1, 1], 2, "ffffff ff0000"),
        ("00000060 ff8000 00000030 00000000 00ff00", [0, 2, 3, 1], "auto", "00000060 ff8000 00000030 00000000"),
    ],
)
def test_unused_entries_go_only_where_the_palette_is_too_large_with_them(run, folder, hexes, indices, colors, kept):
    image = save_indexed("i.png", hexes, indices)
    run(quantize, "i.png", "--colors", colors, "--output", "out")
    drawn = IndexedImage.load(Path("out/i.png"))
    assert drawn.palette.to_hex() == kept.split()
    assert np.array_equal(drawn.to_rgba(), image.to_rgba())


@pytest.mark.parametrize(
    "hexes", ["ffcc00 101010 e04040", "ffffff 00000000 000000 ff0000", "808080 000000 ffffff c0c0c0 ff8000"]
)
def test_an_animation_of_one_table_keeps_its_order(run, folder, hexes):
    palette = Palette.from_hex(hexes.split())
    frames = [np.roll(np.arange(len(palette), dtype=np.uint8), step)[None] for step in range(3)]
    write_gif(Path("a.gif"), frames, palette, [100] * 3)
    run(quantize, "a.gif", "--colors", 8, "--output", "out")
    assert load()["images"][0]["palette"] == palette.to_hex()
    run(quantize, "a.gif", "--colors", 2, "--output", "few")
    assert len(load("few")["images"][0]["palette"]) == 2


def glow(color, size=24):
    """A light of one color that fades, uint8 ``[size, size, 4]``."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    alpha = (1 - np.hypot(x, y) / (size / 2)).clip(0, 1) * 255
    return np.dstack([np.full((size, size, 3), color), alpha]).astype(np.uint8)


@pytest.mark.parametrize(
    "options",
    [
        ["--colors", 256],
        ["--colors", 256, "--dither", "floyd-steinberg"],
        ["--shared"],
        ["--colors", 255, "--sort", "hue"],
    ],
)
def test_soft_alpha_is_fitted_on_request_and_stored_in_the_png(run, folder, options):
    image = glow((200, 60, 40))
    Image.fromarray(image).save("glow.png")
    assert run(quantize, "glow.png", *options, "--alpha", "soft", "--output", "soft")[0] == 0
    with Image.open("soft/glow.png") as drawn:
        assert drawn.mode == "P"
        assert np.array_equal(np.array(drawn.convert("RGBA"))[..., 3], image[..., 3])
    run(quantize, "glow.png", *options, "--output", "hard")
    assert set(np.unique(IndexedImage.load(Path("hard/glow.png")).to_rgba()[..., 3])) == {0, 255}
    errors = [load(name)["images"][0]["mean_delta_e"] for name in ("soft", "hard")]
    assert errors[0] == 0 < 0.05 < errors[1]  # what is lost of alpha counts


def test_few_colors_of_a_glow_and_its_plot(run, folder):
    pytest.importorskip("matplotlib")
    Image.fromarray(glow((255, 255, 255))).save("glow.png")
    for colors in (6, "auto"):
        options = ["--colors", colors, "--alpha", "soft", "--plot", "--overwrite", "--output", "out"]
        assert run(quantize, "glow.png", *options)[0] == 0
        palette = read_palette("out/palette.hex")
        assert palette.is_soft
        assert len(palette) == 6 or colors == "auto"


def test_a_given_palette_keeps_its_order_and_gets_a_place_for_transparency(run, folder):
    run(quantize, "a/x.png", "--palette", "pico-8", "--output", "out")
    assert read_palette("out/palette.hex") == read_palette("pico-8")
    run(quantize, "t.png", "--palette", "pico-8", "--output", "out2")
    assert read_palette("out2/palette.hex") == read_palette("pico-8").with_transparency()


@pytest.mark.parametrize("colors", [2, 4, 7, 16])
def test_png8_writes_a_byte_for_each_pixel(run, folder, colors):
    for output, options in (("packed", []), ("out", ["--png8"])):
        assert run(quantize, "a/x.png", "--colors", colors, *options, "--output", output)[0] == 0
    packed, whole = (IndexedImage.load(Path(output) / "x.png") for output in ("packed", "out"))
    assert Path("packed/x.png").read_bytes()[24] < Path("out/x.png").read_bytes()[24] == 8
    assert np.array_equal(packed.indices, whole.indices)
    assert packed.palette == whole.palette


@pytest.mark.parametrize("colors", [["000", "555", "aaa", "fff"], ["ff004d", "29adff80"], ["102030"] * 60])
def test_a_palette_may_be_colors_with_commas_between_them(run, folder, colors):
    assert run(quantize, "a/x.png", "--palette", ",".join(colors), "--output", "out")[0] == 0
    assert IndexedImage.load(Path("out/x.png")).palette == Palette.from_hex(colors)


def test_kept_colors_are_in_the_palette_exactly_and_once(run, folder):
    run(quantize, "a/x.png", "--colors", 6, "--keep-colors", "000000,#FF00fe", "--output", "out")
    palette = read_palette("out/palette.hex").to_hex()
    assert len(palette) == len(set(palette)) == 6
    assert {"000000", "ff00fe"} <= set(palette)


def test_channel_bits_hold_for_every_entry(run, folder):
    run(quantize, "a/x.png", "--colors", 12, "--channel-bits", "3,3,2", "--output", "out")
    colors = read_palette("out/palette.hex").colors
    assert set(np.unique(colors[:, 0])) <= {round(255 * level / 7) for level in range(8)}
    assert set(np.unique(colors[:, 2])) <= {0, 85, 170, 255}


@pytest.mark.parametrize("order", ["luminance", "hue"])
def test_sorting_changes_the_palette_but_no_pixel(run, folder, order):
    run(quantize, "t.png", "--palette", "sweetie-16", "--output", "plain")
    run(quantize, "t.png", "--palette", "sweetie-16", "--sort", order, "--output", "sorted")
    plain, ordered = (IndexedImage.load(Path(name) / "t.png") for name in ("plain", "sorted"))
    assert ordered.palette != plain.palette
    assert np.array_equal(ordered.to_rgba(), plain.to_rgba())


def test_the_best_of_a_folder_is_found_for_each_picture(run, folder):
    palettes = {name: read_palette(name) for name in ("pico-8", "commodore64", "nord-theme")}
    rng = np.random.default_rng(0)
    for name, suffix in zip(palettes, (".gpl", ".act", ".png"), strict=True):
        Path("palettes").mkdir(exist_ok=True)
        write_palette(palettes[name], Path("palettes") / f"{name}{suffix}")
        colors = palettes[name].colors[rng.integers(0, 16, (20, 20))]
        Image.fromarray(colors).save(f"in-{name}.png")
    run(quantize, *(f"in-{name}.png" for name in palettes), "--best-of", "palettes", "--output", "out")
    sources = [record["palette_source"] for record in load()["images"]]
    assert sources == ["pico-8.gpl", "commodore64.act", "nord-theme.png"]
    assert {record["psnr"] for record in load()["images"]} == {None}
    assert {record["mean_delta_e"] for record in load()["images"]} == {0}


def test_auto_finds_as_many_colors_as_the_error_needs(run, folder):
    sizes = []
    for error in (0.06, 0.02):
        run(quantize, "a/x.png", "--colors", "auto", "--max-error", error, "--output", f"out{error}")
        record = load(f"out{error}")["images"][0]
        sizes.append(len(record["palette"]))
        assert record["mean_delta_e"] <= error
    assert sizes[0] < sizes[1]
    run(quantize, "a/x.png", "--colors", "auto", "--keep-colors", "ff00fe,00ff01", "--output", "elbow")
    assert 4 <= len(load("elbow")["images"][0]["palette"]) < 256


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_keeps_its_frames_durations_and_transparency_in_one_palette(run, folder, name):
    frames = [Image.fromarray(gradient(number, transparent=True)) for number in range(3)]
    options = {"lossless": True} if name == "a.webp" else {"disposal": 2}
    frames[0].save(name, save_all=True, append_images=frames[1:], duration=[100, 250, 40], loop=0, **options)
    run(quantize, name, "--colors", 8, "--sort", "luminance", "--output", "out")
    assert files() == ["a.gif", "palette.hex", "report.json"]
    animation, palette = read_animation(Path("out/a.gif")), read_palette("out/palette.hex")
    assert (animation.durations, animation.loops) == ([100, 250, 40], 0)
    allowed = {tuple(color[:3]) for color in palette.colors[palette.colors[:, 3] > 0].tolist()}
    for frame in animation.frames:
        assert (frame[:5, :5, 3] == 0).all()
        assert {tuple(pixel[:3]) for pixel in frame[5:].reshape(-1, 4).tolist()} <= allowed
    assert (load()["images"][0]["frames"], load()["images"][0]["milliseconds"]) == (3, 390)


def test_pictures_of_every_kind_are_read_as_the_eye_sees_them(run, folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (4, 2), "red").save("turned.jpg", exif=exif)
    Image.new("CMYK", (3, 3), (255, 0, 0, 0)).save("ink.jpg")
    Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], np.uint16)).save("deep.png")
    Image.fromarray(np.array([[[7, 0], [200, 255]]], np.uint8), mode="LA").save("grey.png")
    names = ["turned.jpg", "ink.jpg", "deep.png", "grey.png"]
    assert run(quantize, *names, "--output", "out")[0] == 0
    turned, ink, deep, grey = (IndexedImage.load(Path("out") / f"{Path(name).stem}.png").to_rgba() for name in names)
    assert turned.shape[:2] == (4, 2)
    assert ink[0, 0, 0] < 60 < 180 < ink[0, 0, 2]
    assert deep[0, :, 0].tolist() == [0, 128, 255]
    assert grey[0].tolist() == [[0, 0, 0, 0], [200, 200, 200, 255]]


@pytest.mark.parametrize("method", [name for name in QUANTIZERS if name != "fixed"])
@pytest.mark.parametrize("space", list(SPACES))
def test_every_method_and_space_gives_at_most_so_many_colors(run, folder, method, space, monkeypatch):
    monkeypatch.setattr(learned, "STEPS", 8)  # the number doesn't depend on how well it fits
    run(quantize, "a/x.png", "t.png", "--method", method, "--space", space, "--colors", 6, "--output", "out")
    assert all(2 <= len(record["palette"]) <= 6 for record in load()["images"])


@pytest.mark.parametrize("dither", list(DITHERERS))
@pytest.mark.parametrize("space", DITHER_SPACES)
def test_every_dither_stays_in_the_palette_and_out_of_transparency(run, folder, dither, space):
    options = ["--dither", dither, "--dither-space", space, "--space", "srgb", "--palette", "nintendo-gameboy-bgb"]
    assert run(quantize, "t.png", *options, "--output", "out")[0] == 0
    image = IndexedImage.load(Path("out/t.png"))
    assert np.array_equal(image.indices == 4, gradient(transparent=True)[..., 3] == 0)


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ([], "kmeans"),
        (["--dither", "floyd-steinberg"], "mixtures"),
        (["--dither", "floyd-steinberg", "--method", "kmeans"], "kmeans"),
    ],
)
def test_a_palette_to_be_dithered_is_fitted_to_be_mixed(run, folder, options, method):
    run(quantize, "a/x.png", *options, "--colors", 6, "--output", "out")
    assert load()["images"][0]["palette_source"] == method


def test_error_diffusion_is_exact_with_a_given_palette_and_calm_with_a_fitted_one(run, folder):
    image = gradient()
    for options, exact in ((["--palette", "e-paper-7"], True), (["--colors", 4], False)):
        run(quantize, "a/x.png", *options, "--dither", "floyd-steinberg", "--output", "out", "--overwrite")
        drawn = IndexedImage.load(Path("out/x.png"))
        right, wrong = (dither(image, drawn.palette, "floyd-steinberg", exact=choice) for choice in (exact, not exact))
        assert np.array_equal(drawn.indices, right)
        assert not np.array_equal(right, wrong)


@pytest.mark.parametrize("smooth", ["isolated", "mode"])
def test_smoothing_adds_no_color(run, folder, smooth):
    run(quantize, "t.png", "--colors", 8, "--smooth", smooth, "--output", "out")
    assert np.array_equal(
        IndexedImage.load(Path("out/t.png")).to_rgba()[..., 3] == 0, gradient(transparent=True)[..., 3] == 0
    )


@pytest.mark.parametrize(
    "options", [["--palette", "pico-8"], ["--method", "fixed", "--keep-colors", "ff0000"], ["--method", "octree"]]
)
def test_plots_are_drawn_however_the_palette_was_chosen(run, folder, options):
    pytest.importorskip("matplotlib")
    assert run(quantize, "t.png", *options, "--plot", "--output", "out")[0] == 0
    assert "plots/t.png" in files()


def test_plots_are_drawn_on_request(run, folder):
    pytest.importorskip("matplotlib")
    status, _, err = run(quantize, "a/x.png", "--colors", 4, "--plot", "--output", "out")
    assert (status, err) == (0, "")
    assert "plots/x.png" in files()
    assert "plots/x.png" in load()["files"]
    assert run(quantize, "a/x.png", "--colors", 4, "--output", "out", "--overwrite")[0] == 0
    assert files() == ["palette.hex", "report.json", "x.png"]


def test_kept_colors_alone_are_a_given_palette(run, folder):
    Path("own.hex").write_text("000000\n181818\nffffff\n")
    given = ("--palette", "own.hex"), ("--method", "fixed", "--keep-colors", "000000,181818,ffffff")
    for name, options in zip(("one", "two"), given, strict=True):
        assert run(quantize, "a/x.png", *options, "--dither", "floyd-steinberg", "--output", name)[0] == 0
    assert Path("one/x.png").read_bytes() == Path("two/x.png").read_bytes()
    auto = ("--colors", "auto", "--output", "three")
    assert run(quantize, "t.png", *given[1], *auto)[0] == 0
    assert load("three")["images"][0]["palette"] == ["00000000", "000000", "181818", "ffffff"]


def test_the_best_palette_is_one_with_a_place_for_transparency(run, folder):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 4), np.uint8)
    for name, alpha in (("opaque", 255), ("open", 0)):
        noise[..., 3] = 255
        noise[0, 0, 3] = alpha
        Image.fromarray(noise).save(f"{name}.png")
        if name == "opaque":
            Path("palettes").mkdir()
            write_palette(fit_palette([noise], 256), Path("palettes/many.hex"))
            write_palette(read_palette("pico-8"), Path("palettes/few.hex"))
        assert run(quantize, f"{name}.png", "--best-of", "palettes", "--output", name)[0] == 0
    sources = [load(name)["images"][0]["palette_source"] for name in ("opaque", "open")]
    assert sources == ["many.hex", "few.hex"]


def test_the_same_seed_gives_the_same_files(run, folder):
    for name in ("one", "two"):
        run(quantize, "a/x.png", "t.png", "--colors", 7, "--dither", "floyd-steinberg", "--seed", 3, "--output", name)
    assert files("one") == files("two")
    for name in files("one"):
        if name != "report.json":
            assert (Path("one") / name).read_bytes() == (Path("two") / name).read_bytes()


def test_only_what_the_command_wrote_is_overwritten_and_on_request(run, folder):
    assert run(quantize, "a/x.png", "--output", "out")[0] == 0
    assert run(quantize, "b/x.png", "--output", "out")[0] == 2
    assert run(quantize, "b/x.png", "--output", "out", "--overwrite")[0] == 0
    Path("out/diary.txt").write_text("dear diary")
    status, _, err = run(quantize, "a/x.png", "--output", "out", "--overwrite")
    assert (status, Path("out/diary.txt").read_text()) == (2, "dear diary")
    assert "diary.txt was not written by this command" in err


def test_an_input_is_never_overwritten(run, folder):
    assert run(quantize, "a/x.png", "--output", "out")[0] == 0
    before = Path("out/x.png").read_bytes()
    for arguments in (["out/x.png"], ["a/x.png", "--palette", "out/palette.hex"], ["a/x.png", "--best-of", "out"]):
        status, _, err = run(quantize, *arguments, "--output", "out", "--overwrite")
        assert status == 2
        assert "holds the input" in err
    assert Path("out/x.png").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("missing.png", "no such picture or folder: missing.png"),
        ("a/x.png missing.png", "no such picture or folder: missing.png"),
        ("empty", "no images"),
        ("a --output a/out", "lie in each other"),
        ("cut.png", "cut.png is broken or cut off"),
        ("cut.png --shared", "cut.png is broken or cut off"),
        ("notes.txt", "not an image"),
        ("a/x.png --colors 1", "--colors is '1'"),
        ("a/x.png --colors 300", "--colors is '300'"),
        ("a/x.png --colors many", "--colors is 'many'"),
        ("a/x.png --max-error 0.1", "add --colors auto"),
        ("a/x.png --colors auto --max-error -1", "--max-error is -1"),
        ("a/x.png --palette pico-9", "no palette 'pico-9'"),
        ("a/x.png --palette large.hex", "1 to 256 entries, not 300"),
        ("a/x.png --palette clear.hex", "only entry is transparent"),
        ("t.png --palette full.hex", "no place"),
        ("a/x.png --palette pico-8 --colors 5", "--colors says how to fit"),
        ("a/x.png --palette pico-8 --method kmeans", "--method says how to fit"),
        ("a/x.png --best-of a --keep-colors ff0000", "--keep-colors says how to fit"),
        ("a/x.png --palette pico-8 --best-of a", "give one of the two"),
        ("a/x.png --best-of nowhere", "no such folder of palettes"),
        ("a/x.png --best-of empty", "holds no palette"),
        ("a/x.png --keep-colors red", "'red' is not a color"),
        ("a/x.png --keep-colors 000000,111111,222222 --colors 2", "don't fit among 2"),
        ("a/x.png --keep-colors 010203 --channel-bits 3,3,3", "010203 can't be shown"),
        ("a/x.png --channel-bits 3,3", "--channel-bits is '3,3'"),
        ("a/x.png --channel-bits 3,3,9", "--channel-bits is '3,3,9'"),
        ("a/x.png --method magic", "--method"),
        ("a/x.png --method fixed", "takes its colors from kept ones"),
        ("a/x.png --dither magic", "--dither"),
        ("a/x.png --space cmyk", "--space"),
        ("a/x.png --sort size", "--sort"),
        ("a/x.png --smooth much", "--smooth"),
        ("a/x.png --strength 2", "--strength is 2"),
        ("a/x.png --per-frame --shared", "--shared is one for all"),
        ("moving.gif --per-frame --palette pico-8", "--palette is one for all"),
        ("a/x.png --size 800", "--size is '800'"),
        ("a/x.png --size 0x9", "--size is '0x9'"),
        ("a/x.png --size 9x99999", "--size is '9x99999'"),
        ("a/x.png --size ²x9", "--size is '²x9'"),
        ("a/x.png --resize fit", "--resize does nothing without --size"),
        ("a/x.png --size 9x9 --resize crop", "--resize"),
        ("a/x.png --colors 4 --seed -1", "--seed is -1"),
        ("a/x.png --method learned --seed 99999999999999999999999", "--seed is 99999999999999999999999"),
        ("moving.gif --palette half.hex", "the palette holds ff000080"),
        ("a/x.png --palette pico-8 --alpha soft", "--alpha says how to fit a palette"),
        ("a/x.png --alpha half", "half"),
        ("a/x.png --output full", "is not empty"),
        ("a/x.png --output full --overwrite", "was not written by this command"),
        ("a/x.png --output notes.txt", "is a file"),
        ("a/x.png --output notes.txt/deeper/out", "can't be made"),
        ("a/x.png missing.png --output new/deep/out", "no such picture"),
        ("a/x.png --colours 5", "--colours"),
        ("", "images"),
    ],
)
def test_mistakes_give_one_line_and_nothing_is_written(run, folder, arguments, message):
    for name in ("empty", "full"):
        Path(name).mkdir()
    Path("full/file").write_text("kept")
    Path("notes.txt").write_text("not a picture")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save("noise.png")
    Path("clear.hex").write_text("00000000\n")
    Path("half.hex").write_text("000000\nff000080\n")
    write_gif(Path("moving.gif"), [np.eye(2, dtype=np.uint8)] * 2, Palette.from_hex(["000000", "ff0000"]), [100, 100])
    Path("large.hex").write_text("000000\n" * 300)
    write_palette(Palette(np.full((256, 4), 255, np.uint8)), Path("full.hex"))
    Path("cut.png").write_bytes(Path("a/x.png").read_bytes()[:80])
    before = snapshot(folder)
    words = arguments.split()
    status, out, err = run(quantize, *words, *([] if "--output" in words else ["--output", "out"]))
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert message in err
    assert snapshot(folder) == before


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        quantize.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("--max-error", "--best-of", "--channel-bits", "--keep-colors", "--strength", "pico-8", "kmeans"):
        assert option in text


@pytest.mark.parametrize(
    ("options", "loaded"), [([], []), (["--dither", "floyd-steinberg", "--smooth", "mode", "--sort", "hue"], ["numba"])]
)
def test_reducing_a_picture_loads_neither_torch_nor_scipy_and_numba_only_to_dither(tmp_path, rng, options, loaded):
    """They take seconds to import, and quantize.py has nothing for them to do."""
    Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).save(tmp_path / "picture.png")
    words = [str(tmp_path / "picture.png"), "--output", str(tmp_path / "out"), "--colors", "auto", "--max-error", "0.1"]
    heavy = ("torch", "accelerate", "diffusers", "scipy", "jsonargparse", "numba")
    script = (
        "import sys, tincture; from tincture import quantize;"
        f"quantize.main({[*words, *options]});"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(loaded)
    environment = json.loads((tmp_path / "out" / "report.json").read_text())["environment"]
    assert "device" not in environment
    assert "torch" in environment["packages"]


def test_broken_pictures_are_named_in_the_end_and_the_others_are_done(run, folder):
    for name, content in (("cut.png", Path("a/x.png").read_bytes()[:80]), ("text.jpg", b"no picture")):
        Path("a", name).write_bytes(content)
    for options in ([], ["--shared"], ["--palette", "pico-8"]):
        status, out, err = run(quantize, "a", "b/x.png", *options, "--output", "out", "--overwrite")
        assert (status, out, len(err.splitlines())) == (2, "", 1)
        assert "2 of 4 pictures failed, the others are in out: a/cut.png is broken" in err
        assert "a/text.jpg is not an image" in err
        assert [record["file"] for record in load()["images"]] == ["a/x.png", "x.png"]
        assert len(load()["errors"]) == 2
        assert sorted(load()["files"]) == files()


@pytest.mark.parametrize(
    "stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"), MemoryError("full")]
)
def test_what_is_done_stays_when_a_batch_is_stopped(run, folder, monkeypatch, stop):
    assert run(quantize, "t.png", "--output", "out")[0] == 0
    calls = []

    def save_until_stopped(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise stop
        original(*arguments)

    original = IndexedImage.save
    monkeypatch.setattr(IndexedImage, "save", save_until_stopped)
    arguments = ["a/x.png", "b/x.png", "t.png", "--colors", 4, "--output", "out", "--overwrite"]
    status, _, err = run(quantize, *arguments)
    assert status == (130 if isinstance(stop, KeyboardInterrupt) else 2)
    assert len(err.splitlines()) == 1
    assert files() == ["report.json", "x-2.hex", "x-2.png", "x.hex", "x.png"]
    assert [record["file"] for record in load()["images"]] == ["x.png", "x-2.png"]
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert run(quantize, *arguments)[0] == 0
    assert len(load()["images"]) == 3


def test_a_batch_of_some_length_shows_how_far_it_is_without_a_terminal(run, folder, monkeypatch):
    monkeypatch.setattr(output_folder, "PROGRESS_SECONDS", -1)
    assert run(quantize, "a/x.png", "b/x.png", "t.png", "--colors", 4, "--output", "out")[2].splitlines() == [
        f"{number} of 3 images are done" for number in range(3)
    ]


def test_folders_are_taken_whole_and_keep_their_structure(run, folder):
    for name in ("set/cats/deep/x.png", "set/dogs/x.png", "set/x.png", "other/set/dogs/X.webp", "set/.trash/x.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(gradient(len(name))).save(name)
    Image.fromarray(gradient(4)).save("set/dogs/x.bmp")
    for name in ("set/notes.txt", "set/dogs/x.json"):
        Path(name).write_text("{}")
    status, out, err = run(quantize, "set", "other/set", "t.png", "--colors", 4, "--output", "out")
    assert (status, err) == (0, "")
    assert "quantized 6 images" in out
    assert "3 other files were left out" in out
    expected = {
        "set/cats/deep/x.png": "set/cats/deep/x",
        "set/dogs/x.bmp": "set/dogs/x",
        "set/dogs/x.png": "set/dogs/x-2",
        "set/x.png": "set/x",
        "other/set/dogs/X.webp": "set/dogs/X-3",
        "t.png": "t",
    }
    assert {record["source"]: record["file"].removesuffix(".png") for record in load()["images"]} == expected
    assert files() == sorted(["report.json", *(name + end for name in expected.values() for end in (".hex", ".png"))])
    assert run(quantize, "set/cats", "--shared", "--output", "one")[0] == 0
    assert files("one") == ["cats/deep/x.png", "palette.hex", "report.json"]


def test_a_plot_and_a_picture_never_have_one_name(run, folder):
    pytest.importorskip("matplotlib")
    Path("plots").mkdir()
    Image.fromarray(gradient(4, (4, 4))).save("plots/x.png")
    assert run(quantize, "plots", "a/x.png", "--plot", "--colors", 4, "--output", "out")[0] == 0
    assert [record["file"] for record in load()["images"]] == ["plots/x.png", "x-2.png"]
    assert {"plots/plots/x.png", "plots/x-2.png"} < set(files())
    assert IndexedImage.load(Path("out/plots/x.png")).indices.shape == (4, 4)


def test_a_given_palette_that_gets_a_transparent_entry_is_a_second_file(run, folder):
    Image.fromarray(gradient(3)).save("palette-2.png")
    assert run(quantize, "a/x.png", "t.png", "palette-2.png", "--palette", "pico-8", "--output", "out")[0] == 0
    assert [record["palette_file"] for record in load()["images"]] == ["palette.hex", "palette-2.hex", "palette.hex"]
    assert read_palette("out/palette.hex") == read_palette("pico-8")
    assert read_palette("out/palette-2.hex") == read_palette("pico-8").with_transparency()


def many_colored(count, seed=0, shape=(16, 16), colors=200, transparent=False):
    """Frames that hold so many colors each, and others than the frames before."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        table = rng.integers(0, 256, (colors, 4)).astype(np.uint8) | np.array([0, 0, 0, 255], np.uint8)
        if transparent:
            table[0] = 0
        frames.append(table[rng.permutation(np.arange(shape[0] * shape[1]) % colors).reshape(shape)])
    return frames


@pytest.mark.parametrize(
    ("count", "colors", "transparent", "suffix"),
    [
        (8, 200, False, "gif"),
        (3, 256, False, "png"),
        (5, 40, True, "gif"),
        (4, 256, True, "webp"),
        (2, 2, False, "webp"),
    ],
)
def test_with_a_palette_for_each_frame_every_frame_is_exact(run, folder, count, colors, transparent, suffix):
    frames = many_colored(count, colors=colors, transparent=transparent)
    palettes = [Palette(np.unique(frame.reshape(-1, 4), axis=0)) for frame in frames]
    if suffix == "gif":
        indices = [encode(*pair) for pair in zip(frames, palettes, strict=True)]
        write_gif(Path("many.gif"), indices, palettes, [100] * count)
    else:
        images = [Image.fromarray(frame) for frame in frames]
        options = {"lossless": True, "exact": True} if suffix == "webp" else {"blend": 0}
        images[0].save(f"many.{suffix}", save_all=True, append_images=images[1:], duration=100, loop=0, **options)
    assert all(
        np.array_equal(*pair) for pair in zip(read_animation(Path(f"many.{suffix}")).frames, frames, strict=True)
    )
    for name, option in (("shared", []), ("own", ["--per-frame"])):
        assert run(quantize, f"many.{suffix}", *option, "--output", name)[0] == 0
    record = load("own")["images"][0]
    assert (record["psnr"], record["mean_delta_e"], record["colors_used"]) == (None, 0, colors * count)
    assert [len(palette) for palette in record["palettes"]] == [colors] * count
    assert all(np.array_equal(*pair) for pair in zip(read_animation(Path("own/many.gif")).frames, frames, strict=True))
    assert files("own") == ["many.gif", "report.json"]
    assert (load("shared")["images"][0]["psnr"] is None) == (colors * count <= 256)


def test_a_still_picture_has_one_frame_and_so_one_palette(run, folder):
    for name, option in (("plain", []), ("own", ["--per-frame"])):
        assert run(quantize, "a/x.png", "--colors", 9, *option, "--output", name)[0] == 0
    assert Path("plain/x.png").read_bytes() == Path("own/x.png").read_bytes()
    assert read_palette("own/palette.hex") == read_palette("plain/palette.hex")


def test_a_photograph_of_any_size_comes_out_in_the_panels_size_and_colors(run, folder):
    Image.fromarray(gradient(1, (90, 70))).convert("RGB").save("photo.jpg")
    sizes = {"cover": (48, 80), "fit": (48, 37), "exact": (48, 80)}
    for way, shape in sizes.items():
        words = ("--size", "80x48", "--resize", way, "--palette", "e-paper-7", "--dither", "floyd-steinberg")
        assert run(quantize, "photo.jpg", *words, "--output", way)[0] == 0
        image = IndexedImage.load(Path(way) / "photo.png")
        assert image.indices.shape == shape
        assert image.palette == read_palette("e-paper-7")
        assert (load(way)["images"][0]["height"], load(way)["images"][0]["width"]) == shape
    assert run(quantize, "photo.jpg", "--size", "80X48", "--output", "default")[0] == 0
    assert IndexedImage.load(Path("default/photo.png")).indices.shape == (48, 80)


@pytest.mark.parametrize(("duration", "hints"), [(10, 1), (0, 1), (20, 0), (15, 1)])
@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_frames_that_browsers_slow_down_are_told_once_and_kept(run, folder, duration, hints, suffix, caplog):
    gif._hint_at_short_frames.cache_clear()
    frames = [Image.fromarray(gradient(number)) for number in range(4)]
    for name in ("m", "n"):
        frames[0].save(f"{name}.{suffix}", save_all=True, append_images=frames[1:], duration=duration, loop=0)
    assert run(quantize, f"m.{suffix}", f"n.{suffix}", "--colors", 4, "--output", "out")[0] == 0
    assert ["browsers" in record.getMessage() for record in caplog.records] == [True] * hints
    before, after = (read_animation(Path(name)).durations for name in (f"m.{suffix}", "out/m.gif"))
    assert abs(sum(before) - sum(after)) <= 5


@pytest.mark.parametrize("options", [["--palette", "e-paper-7"], ["--colors", 6], ["--colors", 6, "--size", "48x40"]])
@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_what_stands_still_in_an_animation_stands_still_in_its_gif(run, folder, options, suffix):
    still = gradient(7, (20, 24))
    frames = [still.copy() for _ in range(5)]
    for number, frame in enumerate(frames):
        frame[:5] = np.roll(still[:5], 4 * number, axis=1)
    images = [Image.fromarray(frame) for frame in frames]
    more = {"lossless": True} if suffix == "webp" else {}
    images[0].save(f"m.{suffix}", save_all=True, append_images=images[1:], duration=100, loop=0, **more)
    assert run(quantize, f"m.{suffix}", *options, "--dither", "floyd-steinberg", "--output", "out")[0] == 0
    shown = read_animation(Path("out/m.gif")).frames
    assert len(shown) == 5
    top = 14 if "--size" in options else 5  # with what is mixed with the strip above
    for one, other in zip(shown, [*shown[1:], shown[0]], strict=True):
        assert np.array_equal(one[top:], other[top:])
    assert any((one[:5] != shown[0][:5]).any() for one in shown)
