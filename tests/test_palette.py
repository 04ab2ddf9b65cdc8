"""The command that draws palettes, and sample.py's drawn ones."""

import json

import numpy as np
import pytest
from PIL import Image

from tincture import palette
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette


def test_palettes_are_written_as_files_as_a_sheet_and_with_their_options(run, checkpoint, tmp_path):
    common = ["--checkpoint", checkpoint, "--num-palettes", 3, "--colors", 5, "--keep-colors", "ff0000,00ff80"]
    status, out, err = run(palette, *common, "--output", tmp_path / "hex", "--class-label", "arrow")
    assert status == 0, err
    assert "drew 3 palettes" in out
    record = json.loads((tmp_path / "hex" / "palettes.json").read_text())
    assert record["options"]["class_label"] == "arrow"
    for number, listed in enumerate(record["palettes"]):
        drawn = read_palette(tmp_path / "hex" / f"{number:04d}.hex")
        assert listed == {"file": f"{number:04d}.hex", "palette": drawn.to_hex()}
        assert len(drawn) == 5
        assert {"ff0000", "00ff80"} <= {*drawn.to_hex()}
    colors = {tuple(color) for color in np.array(Image.open(tmp_path / "hex" / "sheet.png")).reshape(-1, 3).tolist()}
    shown = [bytes.fromhex(each[:6]) for listed in record["palettes"] for each in listed["palette"] if len(each) == 6]
    assert {*map(tuple, shown)} <= colors
    more = ["--suffix", "gpl", "--overwrite", "--num-palettes", 1, "--seed", 1]
    assert run(palette, *common, "--output", tmp_path / "hex", *more)[0] == 0
    assert sorted(path.name for path in (tmp_path / "hex").iterdir()) == ["0000.gpl", "palettes.json", "sheet.png"]
    assert read_palette(tmp_path / "hex" / "0000.gpl").to_hex() != record["palettes"][0]["palette"]


def test_pictures_are_drawn_in_drawn_palettes(draw):
    images = draw("--palette", "drawn", "--colors", 9, "--keep-colors", "ff0000", "--transparent", num_images=2)
    assert len(images[0].palette) == 9
    assert images[0].palette.transparent == 0 and "ff0000" in images[0].palette.to_hex()


def test_a_swatch_of_many_colors_has_rows():
    many = Palette(np.full((100, 4), 255, np.uint8))
    assert palette.squares(many).indices.shape == (4, 25)
    assert palette.squares(Palette(many.colors[:7])).indices.tolist() == [[0, 1, 2, 3, 4, 5, 6]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--colors 300", "colors is 300; it must be from 1 to 256"),
        ("--colors many", 'key "colors": Expected a'),
        ("--keep-colors nothing", "'nothing' is not a color"),
        ("--colors 1 --keep-colors fff,000", "has no place for"),
        ("--suffix tiff", "unknown --suffix 'tiff'; choose from hex"),
        ("--class-label unicorn", "unknown class 'unicorn'"),
        ("dragon", "this model was trained without words"),
        ("--checkpoint nowhere", "no such checkpoint folder: nowhere"),
    ],
)
def test_mistakes_give_one_line(run, checkpoint, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    words = [*options.split(), *(["--checkpoint", checkpoint] if "--checkpoint" not in options else [])]
    status, out, err = run(palette, *words, "--output", "out")
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert err.startswith("error: ")
    assert message in err
    assert not (tmp_path / "out").exists()
