from dataclasses import replace
from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
import PIL.Image
import pytest

from tincture.common.errors import InputError
from tincture.data.index_maps import load_index_maps
from tincture.data.sources import DataConfig
from tincture.data.stream import start_stream

ALL = 10**6


@pytest.fixture
def config(picture_sets, cache_dir):
    def make(kind="parquet", **changes):
        path = changes.pop("path", picture_sets / kind)
        label = {"label_column": "cls"} if kind == "tar" else {}
        common = {"source": "datasets", "size": 8, "heldout_fraction": 0.3, "cache_dir": cache_dir}
        return DataConfig(path=str(path), **{**common, **label, **changes})

    return make


def decoded(maps):
    """Labels by pixels."""
    rows = range(len(maps))
    pixels = [maps.palette(row).colors[maps.indices[row].numpy()].tobytes() for row in rows]
    return {pixels[row]: maps.label_names[maps.labels[row]] for row in rows}


def encoded(maps):
    """Everything about each picture, by name."""
    return {
        name: (maps.indices[row].numpy().tobytes(), maps.palette(row).to_hex(), maps.label_names[maps.labels[row]])
        for row, name in enumerate(maps.names)
    }


def write(path, content, **columns):
    """A parquet file of pictures."""
    images = [{"bytes": each, "path": None} for each in content]
    data = datasets.Dataset.from_dict({"image": images, **columns})
    data.cast_column("image", datasets.Image()).to_parquet(path)
    return path


def png(pixels):
    file = BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pngs(rng):
    return [png(rng.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(20)]


@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_tar_shards_and_folder_hold_the_same_pictures_on_the_same_sides(config, streaming):
    kinds = {"parquet": {}, "tar": {"0": "even", "1": "odd"}, "folder": {}}
    whole = [decoded(side) for side in load_index_maps(config())]
    assert sum(map(len, whole)) == 90
    assert 15 < len(whole[1]) < 40
    for kind, words in kinds.items():
        options = {"heldout_images": ALL, "sample_images": ALL, "streaming": streaming}
        sides = [decoded(side) for side in load_index_maps(config(kind, **options))]
        assert [{key: words.get(label, label) for key, label in side.items()} for side in sides] == whole


@pytest.mark.parametrize(
    "options",
    [
        {"min_colors": 2, "max_colors": 5},
        {"palette": "pico-8"},
        {"palette": "shared", "min_colors": 9, "max_colors": 9},
    ],
)
def test_a_stream_is_encoded_as_the_whole_set_is(config, options):
    sides = zip(
        load_index_maps(config(**options)),
        load_index_maps(config(streaming=True, heldout_images=ALL, sample_images=ALL, **options)),
        strict=True,
    )
    for whole, streamed in sides:
        assert encoded(whole) == encoded(streamed)


def test_a_stream_begins_with_as_many_pictures_as_are_asked_for(config):
    start = start_stream(config(streaming=True, heldout_images=5, sample_images=12))
    assert (len(start.pool), len(start.heldout)) == (12, 5)


def test_files_and_patterns_of_files_are_sets_too(config, picture_sets):
    training, heldout = load_index_maps(config(path=picture_sets / "tar" / "1.tar"))
    assert len(training) + len(heldout) == 30
    training, heldout = load_index_maps(config(path=picture_sets / "parquet" / "*-[02].parquet", split="some"))
    assert len(training) + len(heldout) == 60


def test_names_dont_depend_on_where_a_folder_stands(config):
    training, heldout = load_index_maps(config("folder"))
    names = {*training.names, *heldout.names}
    assert {"even/000.png", "odd/089.png"} <= names


@pytest.mark.parametrize("streaming", [False, True])
def test_labels_may_be_numbers_words_or_missing(config, tmp_path, pngs, streaming):
    numbers = [[None, 3, 7][row % 3] for row in range(20)]
    words = [["frog", "toad"][row % 2] for row in range(20)]
    path = write(tmp_path / "some.parquet", pngs, number=numbers, word=words)

    def labels(column):
        options = {"path": path, "label_column": column, "streaming": streaming}
        sides = load_index_maps(config(**options))
        return {side.label_names[label] for side in sides for label in side.labels}

    assert labels("number") == {"3", "7", "other"}
    assert labels("word") == {"frog", "toad"}
    assert labels(None) == {"other"}


@pytest.mark.parametrize("streaming", [False, True])
def test_broken_pictures_are_named_and_skipped_or_stop_the_run(config, tmp_path, pngs, caplog, streaming):
    path = write(tmp_path / "some.parquet", [*pngs, pngs[0][:50]])
    training, heldout = load_index_maps(config(path=path, streaming=streaming))
    assert len(training) + len(heldout) == 20
    assert "skipped: a picture of" in caplog.text
    with pytest.raises(InputError, match="broken or cut off"):
        load_index_maps(config(path=path, streaming=streaming, strict=True))


def test_equal_pictures_stand_on_one_side(config, tmp_path, pngs):
    path = write(tmp_path / "some.parquet", pngs * 2)
    sides = load_index_maps(config(path=path))
    assert sum(map(len, sides)) == 40
    assert not decoded(sides[0]).keys() & decoded(sides[1]).keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "no/such/folder"}, "can't be read"),
        ({"path": "nothing-*.parquet"}, "can't be read"),
        ({"path": __file__}, "should end with one of"),
        ({"split": "nosuch"}, "(Bad|Unknown) split:? .?nosuch"),
        ({"image_column": "picture"}, r"no column 'picture' \(data.image_column\): it has image, label"),
        ({"label_column": "kind"}, r"no column 'kind' \(data.label_column\)"),
        ({"heldout_fraction": 1e-9}, "one side of the split|no held-out picture"),
        ({"workers": -1}, "data.workers is -1"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_mistakes_are_said_in_a_line(config, change, message, streaming):
    with pytest.raises(InputError, match=message) as error:
        load_index_maps(config(streaming=streaming, **change))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("place", ["train-metro", "train/metro"])
def test_a_folder_of_which_the_library_would_take_a_part_is_refused(config, tmp_path, pngs, streaming, place):
    for number, content in enumerate(pngs):
        path = tmp_path / "set" / (f"{place}{number}.png" if number < 4 else f"picture{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(InputError, match="holds 20 pictures, but names such as train or test put only 4 of them"):
        load_index_maps(config(path=tmp_path / "set", streaming=streaming))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "places", [["cat/train", "dog/train", "cat/test"], ["Train/cat", "TEST/cat"], ["cat/train", "cat/valid"]]
)
def test_a_split_that_the_library_would_take_for_classes_is_refused(config, tmp_path, pngs, streaming, places):
    for number, content in enumerate(pngs):
        path = tmp_path / "set" / places[number % len(places)] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(InputError, match="has a split that the library datasets takes for classes"):
        load_index_maps(config(path=str(tmp_path / "set"), streaming=streaming))


def test_a_folder_in_splits_is_read_by_its_split(config, tmp_path, pngs):
    for number, content in enumerate(pngs):
        path = tmp_path / "set" / ("test" if number % 4 == 0 else "train") / "cat" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert sum(map(len, load_index_maps(config(path=tmp_path / "set")))) == 15


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"indices": bytes([9] * 64)}, "has the index 9, and 2 entries"),
        ({"indices": None}, "is damaged"),
        ({"palette": bytes(7)}, "is damaged"),
        ({"palette": b""}, "is damaged"),
        ({"content": "zz"}, "is damaged"),
    ],
)
def test_a_damaged_row_of_an_encoded_set_is_named(config, tmp_path, changed, message):
    row = {"name": "a", "content": "00ff", "indices": bytes(64), "palette": bytes([0, 0, 0, 255] * 2)} | changed
    datasets.Dataset.from_list([row]).to_parquet(tmp_path / "encoded.parquet")
    with pytest.raises(InputError, match=message):
        load_index_maps(config(path=tmp_path / "encoded.parquet"))


@pytest.mark.parametrize("option", ["path", "cache_dir"])
def test_a_home_that_is_nobodys_is_said_in_a_line(config, option):
    with pytest.raises(InputError, match=f"data.{option} is ~nobody-of-that-name"):
        load_index_maps(replace(config(), **{option: Path("~nobody-of-that-name/x")}))


def test_a_name_that_the_hub_cant_be_asked_for_is_said_in_a_line(config, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="the data set somebody/pictures can't be read"):
        load_index_maps(config(path="somebody/pictures"))


def test_a_set_without_pictures_says_what_it_has(config, tmp_path):
    datasets.Dataset.from_dict({"text": ["a", "b"]}).to_parquet(tmp_path / "text.parquet")
    with pytest.raises(InputError, match="no column of images, but text"):
        load_index_maps(config(path=tmp_path / "text.parquet"))


def test_only_the_library_streams(cache_dir):
    with pytest.raises(InputError, match="streaming is for"):
        load_index_maps(replace(DataConfig(cache_dir=cache_dir), streaming=True))


@pytest.mark.parametrize("streaming", [False, True])
def test_captions_are_a_column_of_their_own_or_the_one_that_is_named(config, tmp_path, pngs, streaming):
    words = {"text": [f"fox {row}" for row in range(19)] + [None], "title": ["dog"] * 20, "credit": ["me"] * 20}
    path = write(tmp_path / "some.parquet", pngs, **words)

    def captions(column):
        sides = load_index_maps(config(path=path, caption_column=column, streaming=streaming))
        assert {credit for side in sides for credit in side.credits} == {"me"}
        return {caption for side in sides for caption in side.captions}

    assert captions(None) == {"", *words["text"][:-1]}
    assert captions("title") == {"dog"}
    with pytest.raises(InputError, match="no column 'nosuch'"):
        captions("nosuch")
