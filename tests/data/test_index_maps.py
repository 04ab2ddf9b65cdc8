from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tincture.common.errors import InputError
from tincture.data import index_maps
from tincture.data.image_folder import image_folder
from tincture.data.index_maps import decode, encode_picture, load_index_maps
from tincture.data.sources import DataConfig, LabelledImage
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette


@pytest.fixture
def pictures(tmp_path, rng):
    """Forty pictures of 8×8 in at most ten opaque colors each, some with transparency."""
    path = tmp_path / "pictures"
    path.mkdir()
    for number in range(40):
        table = rng.integers(0, 256, (10, 4), np.uint8)
        table[:, 3] = 255
        if number % 2:
            table[0, 3] = 0
        Image.fromarray(table[rng.integers(0, 10, (8, 8))]).save(path / f"{number:02d}.png")
    return path


@pytest.fixture
def config(pictures, tmp_path):
    return DataConfig(source="folder", path=pictures, size=8, heldout_fraction=0.3, cache_dir=tmp_path / "cache")


def decoded(maps):
    """The pictures of an encoded set, by name."""
    return {name: maps.palette(row).colors[maps.indices[row].numpy()] for row, name in enumerate(maps.names)}


def test_encode_then_decode_is_the_identity_with_few_enough_colors(config, pictures):
    training, heldout = load_index_maps(config)
    originals = {image.name: image.pixels for image in image_folder(pictures, 8, "area").images}
    pairs = decoded(training) | decoded(heldout)
    assert pairs.keys() == originals.keys()
    for name, pixels in pairs.items():
        opaque = originals[name][..., 3] == 255
        assert np.array_equal(pixels[opaque], originals[name][opaque])
        assert (pixels[~opaque][:, 3] == 0).all()


def test_the_second_call_reads_the_cache(config, monkeypatch):
    first = load_index_maps(config)
    monkeypatch.setattr(index_maps, "_encode", lambda *_: pytest.fail("encoded again"))
    second = load_index_maps(config)
    assert torch.equal(first[0].indices, second[0].indices)
    assert [first[0].names, first[0].captions] == [second[0].names, second[0].captions]
    with pytest.raises(pytest.fail.Exception, match="encoded again"):
        load_index_maps(replace(config, max_colors=12, min_colors=12))


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("shape", "resize", "left_out", "change"),
    [
        ((8, 8), "auto", False, None),
        ((8, 8), "auto", True, "brought to 8×8: 12 had it, 1 left out"),
        ((6, 8), "pad", False, "brought to 8×8: 12 padded"),
        ((8, 12), "crop", False, "brought to 8×8: 12 cropped"),
        ((16, 24), "area", True, "brought to 8×8: 12 scaled and cropped, 1 left out"),
    ],
)
def test_a_set_is_counted_whether_it_is_cached_or_not(tmp_path, caplog, cached, shape, resize, left_out, change):
    rng = np.random.default_rng(0)
    if left_out:
        (tmp_path / "broken.png").write_bytes(b"")
    for number in range(12):
        path = tmp_path / ("cat", "dog", "dog")[number % 3] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 2, (*shape, 3), np.uint8) * 255).save(path)
    settings = {"size": 8, "resize": resize, "heldout_fraction": 0.5, "cache_dir": tmp_path / "cache"}
    config = DataConfig("folder", str(tmp_path), **settings)
    if cached:
        load_index_maps(config)
    with caplog.at_level("INFO"):
        training, heldout = load_index_maps(config)
    counts = f"{len(training)} pictures to learn from, {len(heldout)} held out; 2 classes: dog 8, cat 4"
    said = [message for message in caplog.messages if not message.startswith("skipped")]
    assert said == [counts, *([change] if change else [])]


@pytest.fixture
def mixed(tmp_path):
    """Pictures of several shapes, all in the same four colors; by name."""
    table = np.array([[200, 0, 0, 255], [0, 200, 0, 255], [0, 0, 200, 255], [255, 255, 255, 255]], np.uint8)
    rng, originals = np.random.default_rng(5), {}
    for height, width in ((8, 8), (12, 12), (7, 5), (9, 12)):
        for number in range(41 if height == 7 else 40):
            originals[f"{height}x{width}-{number}"] = pixels = table[rng.integers(0, 4, (height, width))]
            (tmp_path / "mixed").mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "mixed" / f"{height}x{width}-{number}.png")
    settings = {"size": (8, 12), "heldout_fraction": 0.3, "cache_dir": tmp_path / "cache"}
    return DataConfig("folder", str(tmp_path / "mixed"), **settings), originals


@pytest.mark.parametrize("cached", [False, True])
def test_pictures_of_several_sizes_are_held_whole_each_at_its_own(mixed, caplog, cached):
    config, originals = mixed
    if cached:
        load_index_maps(config)
    with caplog.at_level("INFO"):
        sides = load_index_maps(config)
    assert "; 81 of 8×8; 80 of 12×12" in caplog.text
    assert "brought to 8×8 or 12×12: 81 padded, 80 had it" in caplog.text
    found = {}
    for maps in sides:
        assert maps.indices.shape[1:] == (12, 12)
        found |= dict(zip(maps.names, maps.pictures(torch.arange(len(maps))), strict=True))
    assert found.keys() == originals.keys()
    for name, image in found.items():
        height, width = originals[name].shape[:2]
        size = 8 if max(height, width) <= 8 else 12
        expected = np.zeros((size, size, 4), np.uint8)
        top, left = (size - height) // 2, (size - width) // 2
        expected[top : top + height, left : left + width] = originals[name]
        assert np.array_equal(image.to_rgba(), expected)


def test_a_batch_is_cut_to_the_size_of_its_pictures(mixed):
    training, _ = load_index_maps(mixed[0])
    for size, rows in training.rows_by_size().items():
        pictures = training.subset(rows)
        assert pictures.sizes is None
        assert pictures.names == [training.names[row] for row in rows.tolist()]
        assert torch.equal(pictures.indices, training.indices[rows][:, :size, :size])
        assert torch.equal(training.batch(rows).x_0, pictures.indices.long())
    again = training.subset(torch.arange(len(training)).flip(0))
    assert torch.equal(again.sizes, training.sizes.flip(0))
    assert training.subset(slice(0, 0)).rows_by_size() == {}


def test_a_tilde_is_the_users_folder(config, pictures, monkeypatch):
    monkeypatch.setenv("HOME", str(pictures.parent))
    expected = load_index_maps(config)
    found = load_index_maps(replace(config, path="~/pictures"))
    assert [maps.names for maps in found] == [maps.names for maps in expected]
    with pytest.raises(InputError, match=r"data\.path is ~no-such-user/pictures"):
        load_index_maps(replace(config, path="~no-such-user/pictures"))


def test_a_damaged_cache_is_made_anew(config):
    first = load_index_maps(config)
    (cached,) = config.cache_dir.iterdir()
    cached.write_bytes(cached.read_bytes()[:100])
    assert torch.equal(load_index_maps(config)[0].indices, first[0].indices)


@pytest.mark.parametrize("is_folder", [True, False])
def test_a_cache_that_cannot_be_written_is_refused_before_anything_is_encoded(config, tmp_path, monkeypatch, is_folder):
    place = tmp_path / "place"
    if is_folder:
        place.mkdir()
        monkeypatch.setattr("os.access", lambda path, mode: path != place)  # root may write anywhere
    else:
        place.touch()
    monkeypatch.setattr(index_maps, "decode", lambda *_: pytest.fail("pictures were read"))
    with pytest.raises(InputError, match=r"data\.cache_dir is .*place/cache, but .*place is not a folder"):
        load_index_maps(replace(config, cache_dir=place / "cache"))


def test_sizes_come_from_the_range_and_indices_stay_inside(config):
    training, _ = load_index_maps(replace(config, min_colors=3, max_colors=7))
    sizes = training.palettes.sizes
    assert set(sizes.tolist()) == set(range(3, 8))
    assert (training.indices.flatten(1).amax(1) < sizes).all()


def test_a_shared_palette_is_the_same_for_all_and_fitted_to_the_training_side(config):
    training, heldout = load_index_maps(replace(config, palette="shared", max_colors=9, min_colors=9))
    colors = torch.cat([training.palettes.colors, heldout.palettes.colors])
    assert (colors == colors[0]).all()
    assert training.palettes.sizes.unique().tolist() == [9]


@pytest.mark.parametrize(
    "hexes", [["000000", "c81e1e80", "ffffff", "c81e1e"], ["00000000", "00000040", "00000080"], ["8080ff10", "8080ff"]]
)
def test_pixels_that_are_soft_entries_of_a_given_palette_take_them(config, hexes):
    palette = Palette.from_hex(hexes)
    picture = LabelledImage("soft", palette.colors[None], "", 0)
    assert encode_picture(picture, config, palette).indices.tolist() == [list(range(len(palette)))]


def test_a_named_palette_is_taken_as_it_stands(config):
    training, _ = load_index_maps(replace(config, palette="pico-8"))
    assert training.palette(0) == read_palette("pico-8")


def test_a_named_palette_of_one_entry_is_refused(config, tmp_path):
    (tmp_path / "one.hex").write_text("ffffff\n")
    with pytest.raises(InputError, match="has one entry; a palette to draw with has at least 2"):
        load_index_maps(replace(config, palette=str(tmp_path / "one.hex")))


def test_a_shared_palette_of_no_training_picture_is_refused(config):
    with pytest.raises(InputError, match=r"no training picture to fit data\.palette shared to"):
        load_index_maps(replace(config, palette="shared", heldout_fraction=1 - 1e-9))


def test_broken_files_are_named_and_skipped_or_stop_the_run(config, pictures, caplog):
    (pictures / "broken.png").write_bytes((pictures / "00.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"broken\.png"):
        load_index_maps(replace(config, strict=True))
    training, heldout = load_index_maps(config)
    assert len(training) + len(heldout) == 40
    assert "broken.png" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_colors": 300}, "max_colors is 300; it must be from 2 to 256"),
        ({"min_colors": 1}, "min_colors is 1; it must be from 2 to 256"),
        ({"min_colors": 20}, "above data.max_colors"),
        ({"heldout_fraction": 0.0}, "between 0 and 1"),
        ({"heldout_fraction": 1e-9}, "one side of the split"),
        ({"path": None}, "needs data.path"),
        ({"palette": "no-such-palette"}, "no palette"),
        ({"quantizer": "magic"}, "unknown quantizer"),
        ({"source": "icons", "size": 32}, "icons are 16×16"),
        ({"source": "icons", "size": (24, 32)}, "icons are 16×16"),
        ({"size": ()}, r"data\.size names no size"),
        ({"size": (8, 0)}, r"data\.size is 0; it must be from 1"),
        ({"source": "datasets", "streaming": True, "size": (8, 12)}, "a stream has one size, and data.size names 2"),
    ],
)
def test_contradictory_settings_are_refused(config, change, message):
    with pytest.raises(InputError, match=message):
        load_index_maps(replace(config, **change))
    assert not config.cache_dir.exists()


def test_only_the_first_of_many_broken_pictures_are_named(tmp_path, caplog):
    for number in range(30):
        (tmp_path / f"{number}.png").write_bytes(b"")
    Image.new("RGB", (4, 4)).save(tmp_path / "whole.png")
    assert len(decode(image_folder(tmp_path, 4, "pad"), strict=False)) == 1
    assert [message.startswith("skipped") for message in caplog.messages] == [True] * 21
    assert caplog.messages[-1] == "skipped: 10 more"
