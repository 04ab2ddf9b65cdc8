from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import load_dataset
from PIL import Image

from tincture import encode_dataset
from tincture.common.errors import InputError
from tincture.data import hugging_face, index_maps
from tincture.data.index_maps import load_index_maps
from tincture.data.sources import DataConfig
from tincture.data.stream import start_stream

ALL = 10**6


def settings(path, cache_dir, **more):
    return {"source": "datasets", "path": str(path), "size": 8, "heldout_fraction": 0.3, "cache_dir": cache_dir} | more


def rows_by_name(maps):
    return {
        name: (maps.indices[row].tolist(), maps.palette(row).to_hex(), maps.label_names[maps.labels[row]])
        for row, name in enumerate(maps.names)
    }


@pytest.fixture
def encode(run, picture_sets, cache_dir, tmp_path):
    """Run the command; returns what `run` returns, and its output folder."""

    def call(kind, *options):
        output = tmp_path / "encoded"
        common = [f"--data.path={picture_sets / kind}", "--data.size=8", f"--data.cache_dir={cache_dir}"]
        return *run(encode_dataset, *common, f"--output={output}", *options), output

    return call


@pytest.mark.parametrize(
    ("kind", "label", "options"),
    [
        ("parquet", None, {"min_colors": 2, "max_colors": 5}),
        ("tar", "cls", {"palette": "pico-8"}),
        ("folder", None, {}),
    ],
)
def test_what_is_encoded_offline_is_read_as_if_encoded_now(
    encode, picture_sets, cache_dir, monkeypatch, kind, label, options
):
    flags = [f"--data.{key}={value}" for key, value in options.items()] + [f"--data.label_column={label or 'null'}"]
    status, out, err, output = encode(kind, *flags, "--num-proc=2", "--shards=4")
    assert status == 0, err
    assert "90 of 90 pictures" in out
    assert len(list(output.iterdir())) == 4
    direct = load_index_maps(DataConfig(**settings(picture_sets / kind, cache_dir, label_column=label, **options)))
    monkeypatch.setattr(index_maps, "encode", lambda *_: pytest.fail("encoded again"))
    read = DataConfig(**settings(output, cache_dir, label_column=label))
    streamed = DataConfig(
        **settings(output, cache_dir, label_column=label), streaming=True, sample_images=ALL, heldout_images=ALL
    )
    for sides in (load_index_maps(read), load_index_maps(streamed)):
        for side, expected in zip(sides, direct, strict=True):
            assert rows_by_name(side) == rows_by_name(expected)


def test_the_columns_can_be_read_by_anybody(encode):
    output = encode("parquet")[-1]
    row = load_dataset(str(output), split="train")[0]
    indices = np.frombuffer(row["indices"], np.uint8).reshape(8, 8)
    palette = np.frombuffer(row["palette"], np.uint8).reshape(-1, 4)
    assert palette[indices].shape == (8, 8, 4)
    assert row["label"] in (0, 1)


def test_an_encoded_set_may_get_another_palette_but_no_other_size(encode, cache_dir):
    output = encode("parquet")[-1]
    start = start_stream(DataConfig(**settings(output, cache_dir, palette="pico-8"), streaming=True))
    assert start.pool.palettes.sizes.unique().tolist() == [16]
    assert torch.equal(start.pool.palettes.colors[0], start.pool.palettes.colors[-1])
    for change, message in (({"size": 16}, "encoded at 8×8"), ({"min_colors": 2, "max_colors": 2}, "with 4 colors")):
        with pytest.raises(InputError, match=message):
            load_index_maps(DataConfig(**settings(output, cache_dir) | change))


@pytest.mark.parametrize(
    ("size", "resize", "change"),
    [(12, "pad", "90 padded"), (6, "crop", "90 cropped"), (4, "area", "90 scaled"), (16, "auto", "90 padded")],
)
def test_how_pictures_came_to_their_size_is_counted_and_not_written(encode, size, resize, change):
    status, out, err, output = encode("parquet", f"--data.size={size}", f"--data.resize={resize}")
    assert status == 0, err
    assert f"brought to {size}×{size}: {change}" in out
    assert "change" not in load_dataset(str(output), split="train").column_names


def test_a_set_of_several_sizes_is_written_and_read_each_picture_at_its_own(run, cache_dir, tmp_path):
    rng, pictures, output = np.random.default_rng(2), tmp_path / "mixed", tmp_path / "encoded"
    pictures.mkdir()
    for number in range(40):
        shape = [(8, 8), (12, 12), (5, 7), (12, 9)][number % 4]
        colors = rng.integers(0, 256, (3, 3), np.uint8)
        Image.fromarray(colors[rng.integers(0, 3, shape)]).save(pictures / f"{number:02d}.png")
    common = ["--data.size=[8,12]", f"--data.cache_dir={cache_dir}", f"--output={output}"]
    status, out, err = run(encode_dataset, f"--data.path={pictures}", *common)
    assert status == 0, err
    assert "brought to 8×8 or 12×12" in out
    more = {"size": (8, 12)}
    whole = load_index_maps(DataConfig(**settings(pictures, cache_dir, **more)))
    read = load_index_maps(DataConfig(**settings(output, cache_dir, **more)))
    for one, other in zip(whole, read, strict=True):
        assert {size: len(rows) for size, rows in one.rows_by_size().items()} == {
            size: len(rows) for size, rows in other.rows_by_size().items()
        }
        rows = [other.names.index(name) for name in one.names]
        assert torch.equal(one.indices, other.indices[rows])
    with pytest.raises(InputError, match=r"was encoded at 12×12, but data\.size is 8"):
        load_index_maps(DataConfig(**settings(output, cache_dir)))


def test_a_set_is_encoded_anew_each_time(encode, monkeypatch):
    """The library would give back what another version of the code has made."""
    before = load_dataset(str(encode("parquet")[-1]), split="train")["indices"]
    make = hugging_face.encode_picture

    def turned(*words):
        picture = make(*words)
        return replace(picture, indices=picture.indices[::-1].copy())

    monkeypatch.setattr(hugging_face, "encode_picture", turned)
    after = load_dataset(str(encode("parquet", "--overwrite")[-1]), split="train")["indices"]
    assert before != after


def test_mistakes_are_said_in_a_line(encode, run, cache_dir):
    assert encode("parquet", "--data.palette=shared")[2].startswith("error: one palette for all")
    assert "data.path is ~nobody-of-that-name" in encode("parquet", "--data.path=~nobody-of-that-name/x")[2]
    assert encode("parquet", "--num-proc=0")[2].startswith("error: --num-proc and --shards are at least 1")
    assert encode("parquet")[0] == 0
    status, _, err, output = encode("parquet")
    assert status == 2
    assert "is not empty" in err
    assert encode("parquet", "--overwrite")[0] == 0
    (output / "README.md").write_text("where they are from")
    status, _, err, _ = encode("parquet", "--overwrite")
    assert (status, "README.md was not written by this command" in err) == (2, True)
    (output / "README.md").unlink()
    for inside in (output, f"{output}/*.parquet"):
        status, _, err = run(encode_dataset, f"--data.path={inside}", f"--output={output}", "--overwrite")
        assert (status, "holds the input" in err) == (2, True)
    again = [f"--data.path={output}", "--data.size=8", f"--data.cache_dir={cache_dir}", f"--output={output}-2"]
    assert "is encoded already" in run(encode_dataset, *again)[2]


def test_several_sources_become_one_set_with_captions_labels_credits_and_sides(run, tmp_path, cache_dir):
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (4, 4), np.uint8) | np.array([0, 0, 0, 255], np.uint8)
    cells = [colors[rng.integers(0, 4, (8, 8))] for _ in range(12)]
    Image.fromarray(np.concatenate(cells, 1)).save(tmp_path / "weapons.png")
    for number, cell in enumerate(cells[:5]):
        path = tmp_path / "mine" / f"red fox {number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(cell[::-1, :, [1, 2, 0, 3]]).save(path)  # mirrored and recolored
    sources = f"[folder={tmp_path / 'mine'}, sheets={tmp_path / 'weapons.png'}]"
    data = {"sources": sources, "cell": "8x8", "size": "[8, 16]", "heldout_fraction": 0.5, "cache_dir": cache_dir}
    output = tmp_path / "encoded"
    status, out, err = run(
        encode_dataset, *(f"--data.{key}={value}" for key, value in data.items()), f"--output={output}", "--num-proc=2"
    )
    assert status == 0, err
    assert "17 of 17 pictures are in" in out
    sides = load_index_maps(DataConfig(**settings(output, cache_dir, size=(8, 16), heldout_fraction=0.5)))
    found = {
        name: (number, caption, maps.label_names[label])
        for number, maps in enumerate(sides)
        for name, caption, label in zip(maps.names, maps.captions, maps.labels, strict=True)
    }
    assert found["red fox 3"][1:] == ("red fox", "mine")
    assert found["weapons/0,11"][1:] == ("weapons", "weapons")
    assert all(found[f"red fox {number}"][0] == found[f"weapons/0,{number}"][0] for number in range(5))
    assert len({found[f"weapons/0,{number}"][0] for number in range(12)}) == 2
    direct = load_index_maps(
        DataConfig(
            sources=(f"folder={tmp_path / 'mine'}", f"sheets={tmp_path / 'weapons.png'}"),
            cell="8x8",
            size=8,
            heldout_fraction=0.5,
            cache_dir=cache_dir,
        )
    )
    assert [sorted(maps.names) for maps in direct] == [sorted(maps.names) for maps in sides]


def test_credits_are_written_and_read_back(tmp_path, cache_dir, run):
    for path in ("mon/rat", "dngn/door", "mon/bat", "mon/cat"):
        (tmp_path / "tiles" / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(len(path)).integers(0, 256, (8, 8, 3), np.uint8) // 128 * (ord(path[-3]) % 8 + 9)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "tiles" / f"{path}.png")
    data = ["--data.source=crawl", f"--data.path={tmp_path / 'tiles'}", "--data.size=8"]
    status, _, err = run(encode_dataset, *data, f"--output={tmp_path / 'encoded'}")
    assert status == 0, err
    row = load_dataset(str(tmp_path / "encoded"), split="train")[0]
    assert row["caption"] in ("monster rat", "dungeon door", "monster bat", "monster cat")
    assert "CC0" in row["credit"]


def test_an_unknown_source_among_several_is_refused(run, tmp_path):
    _, _, err = run(encode_dataset, "--data.sources=[icons, nosuch=a]", f"--output={tmp_path / 'encoded'}")
    assert "data.sources has 'nosuch=a'; write SOURCE=PATH, where SOURCE is icons, folder, sheets" in err
