"""Sheets are made here and cut again: what comes out is what was put on them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tincture.common.errors import InputError
from tincture.data.sheets import Drawing, sheets, source_of
from tincture.data.sources import DataConfig
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.sprite_sheet import make_sprite_sheet

EMPTY = np.zeros((4, 4, 4), np.uint8)


def drawn(number, height=4, width=4):
    """A picture like no other of its number; every pixel is visible."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 4), np.uint8)
    pixels[..., 3] = 255
    return pixels


def on_sheet(path, pictures, columns, margin=0, spacing=0):
    """Equally large pictures in rows, saved at ``path``."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    size = [2 * margin + n * edge + (n - 1) * spacing for n, edge in ((rows, height), (columns, width))]
    canvas = np.zeros((*size, 4), np.uint8)
    for place, picture in enumerate(pictures):
        y, x = (margin + n * (edge + spacing) for n, edge in ((place // columns, height), (place % columns, width)))
        canvas[y : y + height, x : x + width] = picture
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(canvas).save(path)
    return path


def found(path, **options):
    """The pictures of a set of sheets, by name."""
    source = sheets(DataConfig("sheets", str(path), **{"size": 4, **options}))
    images = list(source.images)
    assert len(images) == source.count
    return {image.name: image for image in images}


def frame(x, y, w, h, **more):
    return {"frame": {"x": x, "y": y, "w": w, "h": h}, **more}


@pytest.mark.parametrize("paddings", [(0, 0), (1, 3)])
def test_our_own_sprite_sheets_are_read_back(tmp_path, paddings):
    rng = np.random.default_rng(0)
    palette = Palette(rng.integers(0, 256, (5, 4), np.uint8) | np.array([0, 0, 0, 255], np.uint8))
    images = {f"red fox {n}": IndexedImage(rng.integers(0, 5, (4, 4), np.uint8), palette) for n in range(7)}
    make_sprite_sheet(images, 3, *paddings).save(tmp_path / "sprites.png")
    for path in (tmp_path, tmp_path / "sprites.png", tmp_path / "sprites.json"):
        cut = found(path)
        assert {image.caption for image in cut.values()} == {"red fox"}
        for name, image in images.items():
            assert np.array_equal(cut[f"sprites/{name}"].pixels, image.to_rgba())


@pytest.mark.parametrize("is_list", [True, False])
def test_aseprites_tags_are_classes_and_captions_but_not_one_that_all_frames_have(tmp_path, is_list):
    on_sheet(tmp_path / "hero.png", [drawn(n) for n in range(4)], 4)
    frames = {f"hero {n}.aseprite": frame(4 * n, 0, 4, 4, rotated=False) for n in range(4)}
    tags = [("all", 0, 3), ("walk", 0, 2), ("Jump-Up", 2, 2)]
    meta = {"image": "C:\\art\\hero.png", "frameTags": [{"name": name, "from": a, "to": b} for name, a, b in tags]}
    listed = [{"filename": name, **each} for name, each in frames.items()]
    (tmp_path / "hero.json").write_text(json.dumps({"frames": listed if is_list else frames, "meta": meta}))
    images = [*found(tmp_path).values()]
    assert [image.label for image in images] == ["walk", "walk", "jump up", "hero"]
    assert [image.caption for image in images] == ["walk hero", "walk hero", "jump up hero", "hero"]
    assert images[0].side == images[1].side != images[2].side
    assert all(np.array_equal(image.pixels, drawn(n)) for n, image in enumerate(images))


def test_trimmed_frames_get_their_place_and_turned_ones_are_turned_back(tmp_path):
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[1:3, 1:4] = drawn(0, 2, 3)
    sheet = np.zeros((8, 8, 4), np.uint8)
    sheet[2:5, 1:3] = np.rot90(picture[1:3, 1:4], -1)  # clockwise
    sheet[6:8, 4:7] = drawn(1, 2, 3)
    Image.fromarray(sheet).save(tmp_path / "packed.png")
    place = {"sourceSize": {"w": 4, "h": 4}, "spriteSourceSize": {"x": 1, "y": 1, "w": 3, "h": 2}}
    frames = {
        "monsters/orc.png": frame(1, 2, 3, 2, rotated=True, trimmed=True, **place),
        "monsters/elf.png": frame(4, 6, 3, 2, rotated=False, trimmed=True, **place),
    }
    packed = {"image": "packed.png", "frames": [{"filename": name, **each} for name, each in frames.items()]}
    (tmp_path / "any-name.json").write_text(json.dumps({"textures": [packed]}))
    cut = found(tmp_path)
    assert np.array_equal(cut["any-name/monsters/orc.png"].pixels, picture)
    assert cut["any-name/monsters/orc.png"].caption == "monsters orc"
    assert cut["any-name/monsters/elf.png"].label == "monsters"
    assert np.array_equal(cut["any-name/monsters/elf.png"].pixels[1:3, 1:], drawn(1, 2, 3))


def test_a_tiled_tileset_has_classes_words_and_variants(tmp_path):
    on_sheet(tmp_path / "art" / "town.png", [drawn(n) for n in range(3)] + [EMPTY] + [drawn(4)], 3, 2, 1)
    (tmp_path / "town.tsx").write_text(
        '<tileset name="town tiles" tilewidth="4" tileheight="4" margin="2" spacing="1" tilecount="5" columns="3">'
        '<image source="art/town.png"/><tile id="0" class="Wall"><properties><property name="of" value="red brick"/>'
        '<property name="cost" type="int" value="7"/></properties></tile>'
        '<tile id="1" type="wall"><animation><frame tileid="1"/><frame tileid="4"/></animation></tile></tileset>'
    )
    images = found(tmp_path)
    assert [(name, image.caption, image.label) for name, image in images.items()] == [
        ("town/0", "wall red brick", "wall"),
        ("town/1", "wall", "wall"),
        ("town/2", "town", "town"),
        ("town/4", "town", "town"),
    ]
    assert images["town/1"].side == images["town/4"].side != images["town/2"].side
    assert np.array_equal(images["town/4"].pixels, drawn(4))


def test_a_tiled_tileset_may_be_of_single_pictures(tmp_path):
    Image.fromarray(drawn(1)).save(tmp_path / "cat.png")
    (tmp_path / "set.tsx").write_text(
        '<tileset tilewidth="4" tileheight="4"><tile id="3" class="animal"><image source="cat.png"/></tile></tileset>'
    )
    assert [(image.label, image.pixels.tolist()) for image in found(tmp_path).values()] == [
        ("animal", drawn(1).tolist())
    ]


def test_a_color_that_tiled_calls_transparent_is(tmp_path):
    picture = drawn(0)
    picture[0, 0, :3] = 255, 0, 255
    on_sheet(tmp_path / "a.png", [picture], 1)
    (tmp_path / "a.tsx").write_text(
        '<tileset tilewidth="4" tileheight="4"><image source="a.png" trans="ff00ff"/></tileset>'
    )
    (image,) = found(tmp_path).values()
    assert image.pixels[0, 0].tolist() == [0, 0, 0, 0]
    assert np.array_equal(image.pixels[1:], picture[1:])


def test_a_grid_is_cut_without_empty_cells_and_copies(tmp_path):
    plain = np.full((4, 4, 4), 255, np.uint8)
    pictures = [drawn(0), EMPTY, drawn(1), plain, drawn(0), drawn(2)]
    on_sheet(tmp_path / "old" / "weapons_sheet.png", pictures, 2, 3, 1)
    images = found(tmp_path, cell="4x4", margin=3, spacing=1)
    assert [*images] == [f"weapons_sheet/{place}" for place in ("0,0", "1,0", "2,1")]
    assert [np.array_equal(image.pixels, drawn(n)) for n, image in enumerate(images.values())] == [True] * 3
    assert {(image.caption, image.label) for image in images.values()} == {("weapons", "weapons")}
    assert len({image.side for image in images.values()}) == 3


def test_a_cell_given_for_a_sheet_counts_more_than_its_json(tmp_path):
    on_sheet(tmp_path / "a.png", [drawn(n) for n in range(4)], 2)
    (tmp_path / "a.json").write_text(json.dumps({"frames": {"x": frame(0, 0, 8, 8)}}))
    assert len(found(tmp_path / "a.png", size=8)) == 1
    assert len(found(tmp_path / "a.png", cell="4x4")) == 4


def test_pictures_keep_their_size_where_a_run_has_several(tmp_path):
    on_sheet(tmp_path / "a.png", [drawn(n, 8, 8) for n in range(2)], 2)
    on_sheet(tmp_path / "b.png", [drawn(n) for n in range(3)], 3)
    (tmp_path / "b.json").write_text(json.dumps({"frames": {f"{n}": frame(4 * n, 0, 4, 4) for n in range(3)}}))
    images = found(tmp_path, cell="8x8", size=(4, 8)).values()
    assert [len(image.pixels) for image in images] == [4, 4, 4, 8, 8]


def test_numbers_tell_variants_apart_unless_they_are_all_that_there_is(tmp_path):
    def sides(names):
        on_sheet(tmp_path / "a.png", [drawn(n) for n in range(len(names))], len(names))
        frames = {name: frame(4 * n, 0, 4, 4) for n, name in enumerate(names)}
        (tmp_path / "a.json").write_text(json.dumps({"frames": frames}))
        return [image.side for image in found(tmp_path).values()]

    assert len(set(sides(["rat0", "rat_2", "cat 1", "cat", "dog"]))) == 3
    assert len(set(sides(["0", "1", "2", "3"]))) == 4
    assert len(set(sides(["icon-0", "icon-1", "icon-2"]))) == 3
    assert len(set(sides([f"icon-{n}" for n in range(17)] + [f"{n}" for n in range(40)]))) == 57


def test_rare_kinds_are_counted_to_the_more_general_one():
    config = DataConfig("sheets", ".", size=4)
    kinds = [("monster", "undead")] * 3 + [("monster", "animal")] * 2 + [("item",)] * 2 + [("item", "sword", "old")] * 3
    drawings = [Drawing(f"{n}", drawn(n), kind=kind) for n, kind in enumerate([*kinds, ()])]
    labels = [image.label for image in source_of(drawings, config, 3).images]
    assert labels == ["monster undead"] * 3 + ["monster"] * 2 + ["item"] * 2 + ["item sword"] * 3 + ["other"]


def test_the_fingerprint_follows_pictures_captions_and_settings():
    config = DataConfig("sheets", ".", size=4)
    drawing = Drawing("a", drawn(0), "fox")
    changed = [replace(drawing, pixels=drawn(1)), replace(drawing, words="dog"), replace(drawing, kind=("animal",))]
    prints = [source_of([each], config).fingerprint for each in (drawing, *changed)]
    prints.append(source_of([drawing], replace(config, size=(4, 8))).fingerprint)
    assert len(set(prints)) == len(prints)
    assert source_of([drawing], config).fingerprint == prints[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"nothing says where the pictures on .*a\.png are: put its \.json .* or give .*--data\.cell 16x16"),
        ({"cell": "3x4"}, r"a\.png is 8 pixels wide: cells of 3x4 with .*margin 0 .*spacing 0 don't divide it"),
        ({"cell": "4x4", "margin": 1}, r"is 8 pixels wide: cells of 4x4 with data\.margin 1"),
        ({"cell": "4"}, r"data\.cell is 4; write width and height in pixels, like 16x16"),
        ({"path": None}, r"data\.source sheets needs data\.path"),
        ({"path": "nosuch.json"}, r"nosuch\.json can't be read"),
    ],
)
def test_a_sheet_that_cannot_be_cut_is_refused(tmp_path, options, message):
    on_sheet(tmp_path / "a.png", [drawn(n) for n in range(4)], 2)
    with pytest.raises(InputError, match=message):
        sheets(DataConfig("sheets", **{"path": str(tmp_path / "a.png"), "size": 4, **options}))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.json", "{", "can't be read"),
        ("a.json", '{"other": 1}', "doesn't say where the pictures on a sheet are"),
        ("a.json", '{"frames": {"x": {}}}', "lacks or has in another form"),
        ("a.json", {"frames": {"x": frame(6, 0, 4, 4)}}, "the frame x is 4×4 pixels at 6, 0, and the sheet has 8×8"),
        ("a.json", {"frames": {"x": frame(0, 0, 0, 4)}}, "the frame x is 0×4 pixels"),
        (
            "a.json",
            {"frames": {"x": frame(0, 0, 4, 4, sourceSize={"w": 3, "h": 9})}},
            "the frame x has 4×4 pixels at 0, 0 of a picture of 3×9",
        ),
        ("a.json", {"frames": {}, "meta": {"image": "b.png"}}, r"describes the picture b\.png, which isn't there"),
        ("a.json", {"frames": {}}, "there is no picture on the sheets"),
        ("a.tsx", "<tileset", "can't be read"),
        ("a.tsx", "<map/>", "is no tileset of Tiled"),
        ("a.tsx", '<tileset tilewidth="4"><image source="a.png"/></tileset>', "lacks or has in another form"),
        (
            "a.tsx",
            '<tileset tilewidth="4" tileheight="4" tilecount="9" columns="2"><image source="a.png"/></tileset>',
            "the tile 4 is 4×4 pixels at 0, 8, and the sheet has 8×8",
        ),
    ],
)
def test_a_file_that_contradicts_its_sheet_is_named(tmp_path, file, content, message):
    on_sheet(tmp_path / "a.png", [drawn(n) for n in range(4)], 2)
    (tmp_path / file).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=message):
        sheets(DataConfig("sheets", str(tmp_path / file), size=4))
