"""Small folders laid out as the three games' are: captions, classes, credits, mistakes."""

import json

import numpy as np
import pytest
from PIL import Image

from tincture.common.errors import InputError
from tincture.data.game_tiles import angband, cataclysm, crawl
from tincture.data.sources import DataConfig


def drawn(number, height=4, width=4):
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 4), np.uint8)
    pixels[..., 3] = 255
    return pixels


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def captions(source):
    return {image.name: image.caption for image in source.images}


def test_crawls_paths_are_captions_in_words_that_people_use(tmp_path):
    paths = {
        "mon/animals/adder": "monster animal adder",
        "mon/butterfly3": "monster butterfly",
        "mon/butterfly": "monster butterfly",
        "dngn/floor/grey_dirt0": "dungeon floor grey dirt",
        "gui/spells/fire/fireball": "spell fire fireball",
        "item/potion/i-cure": "item potion cure",
        "player/base/elf_f": "player race elf female",
        "player/drcwing/drcwing_red": "player draconian wing red",
        "UNUSED/weapons/misc/claymore": "item weapon claymore",
        "misc/blood/blood_red00": "dungeon blood red",
        "misc/blood/blood_darkgreen": "dungeon blood darkgreen",
        "misc/halo": "icon halo",
    }
    for number, path in enumerate(paths):
        save(tmp_path / "tiles-2015" / f"{path}.png", drawn(number))
    images = {image.name: image for image in crawl(DataConfig("crawl", str(tmp_path), size=4)).images}
    assert {name: image.caption for name, image in images.items()} == paths
    assert all("CC0" in image.credit for image in images.values())
    assert images["mon/butterfly"].side == images["mon/butterfly3"].side
    assert images["misc/blood/blood_red00"].side == images["misc/blood/blood_darkgreen"].side
    assert len({image.side for image in images.values()}) == len(paths) - 2


def test_crawls_classes_are_its_folders_where_they_hold_enough(tmp_path):
    for number in range(22):
        save(tmp_path / "mon" / "demons" / f"{number}.png", drawn(number))
    save(tmp_path / "mon" / "eyes" / "eye.png", drawn(30))
    save(tmp_path / "dngn" / "door.png", drawn(31))
    labels = {image.name: image.label for image in crawl(DataConfig("crawl", str(tmp_path), size=4)).images}
    assert labels["mon/demons/7"] == "monster demon"
    assert labels["mon/eyes/eye"] == "monster"
    assert labels["dngn/door"] == "other"


def test_angbands_cells_are_named_by_its_preferences_and_edit_files(tmp_path):
    cells = [drawn(n, 32, 32) for n in range(8)]
    save(
        tmp_path / "usr/share/angband/xtra/graf/32x32.png",
        np.concatenate([np.concatenate(row, 1) for row in (cells[:4], cells[4:])]),
    )
    write(
        tmp_path / "etc/angband/pref/graf-dvg.prf",
        "# granite\nF:9:lit:0x80:0x81\nR:5:0x80:0x80\nR:6:0x80:0x80\nK:sword:Main Gauche:0x80:0x83\n"
        "# The Ring 'Vilya'\nK:ring:54:0x81:0x80\nGF:ELEC | ACID:0:0x81:0x81\nR:7:1:0x64\n%:flvr-dvg.prf\n",
    )
    write(tmp_path / "etc/angband/pref/flvr-dvg.prf", "L:2:0x81:0x82\n")
    write(
        tmp_path / "etc/angband/pref/xtra-dvg.prf",
        "?:[AND [EQU $CLASS Mage] [EQU $RACE Half-Elf] ]\nR:0:0x81:0x83\n",
    )
    write(tmp_path / "etc/angband/edit/monster.txt", "N:5:Farmer Maggot's Dog\nT:canine\nN:6:Wolf\nT:canine\n")
    write(tmp_path / "etc/angband/edit/terrain.txt", "N:9:granite wall\n")
    write(tmp_path / "etc/angband/edit/flavor.txt", "kind:ring:=\nflavor:2:Green:Jade\n")
    images = {
        image.name.removeprefix("32x32.png/"): image
        for image in angband(DataConfig("angband", str(tmp_path), size=32)).images
    }
    assert {name: image.caption for name, image in images.items()} == {
        "0,0": "monster canine farmer maggot dog",
        "0,1": "dungeon granite wall",
        "0,2": "",
        "0,3": "item sword main gauche",
        "1,0": "item the ring vilya",
        "1,1": "effect lightning acid",
        "1,2": "item jade ring",
        "1,3": "player half elf mage",
    }
    assert all(np.array_equal(image.pixels, cell) for image, cell in zip(images.values(), cells, strict=True))
    assert "David Gervais, CC BY 3.0" in images["0,2"].credit


def test_cataclysms_sprites_are_numbered_through_all_sheets_and_named_by_their_ids(tmp_path):
    folder = tmp_path / "gfx" / "Old"
    save(folder / "tiles.png", np.concatenate([drawn(n) for n in range(3)], 1))
    save(folder / "tall.png", np.concatenate([drawn(n, 6, 4) for n in range(3, 5)]))
    write(folder / "tileset.txt", "#by somebody\nVIEW: Old Days\n")
    tiles = [
        {
            "id": ["mon_zombie_dog", "mon_dog"],
            "fg": [{"weight": 2, "sprite": 1}, {"weight": 1, "sprite": [0]}],
            "bg": 2,
        },
        {"id": "t_tree_season_autumn", "fg": 3, "additional_tiles": [{"id": "corner", "fg": 4}]},
    ]
    sheets = [
        {"file": "tiles.png", "tiles": tiles[:1]},
        {"file": "tall.png", "sprite_width": 4, "sprite_height": 6, "tiles": [*tiles[1:], {"id": "knife_1", "bg": 2}]},
    ]
    write(folder / "tile_config.json", {"tile_info": [{"width": 4, "height": 4}], "tiles-new": sheets})
    write(tmp_path / "json" / "some.json", [{"id": "knife_1", "type": "TOOL", "name": {"str": "rusty knife"}}])
    write(tmp_path / "json" / "more.json", [{"id": ["t_tree"], "type": "terrain", "name": "old oak"}])
    images = {image.name: image for image in cataclysm(DataConfig("cataclysm", str(tmp_path / "gfx"), size=6)).images}
    assert {name: image.caption for name, image in images.items()} == {
        "Old/0 mon_zombie_dog": "monster zombie dog",
        "Old/1 mon_zombie_dog": "monster zombie dog",
        "Old/2 knife_1": "item tool rusty knife",
        "Old/3 t_tree_season_autumn": "terrain old oak autumn",
        "Old/4 t_tree_season_autumn": "terrain old oak autumn corner",
    }
    sides = [image.side for image in images.values()]
    assert sides[0] == sides[1] != sides[2] != sides[3] == sides[4]
    assert np.array_equal(images["Old/4 t_tree_season_autumn"].pixels[:, 1:5], drawn(4, 6, 4))
    assert {image.credit for image in images.values()} == {
        "Old Days tileset of Cataclysm: Dark Days Ahead, CC BY-SA 3.0"
    }


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (crawl, "holds no tiles of Crawl: there is no folder mon"),
        (angband, "holds no tiles of Angband"),
        (cataclysm, "holds no tileset of Cataclysm"),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path, game, message):
    with pytest.raises(InputError, match=message):
        game(DataConfig(game.__name__, str(tmp_path)))
    with pytest.raises(InputError, match="there is no such folder"):
        game(DataConfig(game.__name__, str(tmp_path / "no")))
    with pytest.raises(InputError, match=rf"data\.source {game.__name__} needs data\.path"):
        game(DataConfig(game.__name__))


def test_a_damaged_tileset_is_named(tmp_path):
    write(tmp_path / "tile_config.json", {"tiles-new": [{"file": "a.png"}]})
    with pytest.raises(InputError, match=r"tile_config\.json lacks or has in another form what a tileset should have"):
        cataclysm(DataConfig("cataclysm", str(tmp_path)))
