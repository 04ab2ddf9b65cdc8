import json

import numpy as np
import pytest
from PIL import Image

from tincture.common.errors import InputError
from tincture.data.image_folder import image_folder
from tincture.data.near_duplicates import joined
from tincture.data.sources import LabelledImage, is_heldout


def gradient(height, width):
    rows, columns = np.indices((height, width))
    return np.stack([rows % 256, columns % 256, rows * 0, rows * 0 + 255], axis=-1).astype(np.uint8)


def test_subfolders_are_labels_and_broken_files_stand_as_errors(tmp_path):
    for name in ("cats/a.png", "cats/deep/b.png", "dogs/c.png", "d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(gradient(4, 4)).save(tmp_path / name)
    (tmp_path / "dogs" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "notes.txt").write_text("not a picture")
    source = image_folder(tmp_path, 4, "area")
    items = list(source.images)
    assert source.count == 5
    labels = {item.name: item.label for item in items if isinstance(item, LabelledImage)}
    assert labels == {"cats/a": "cats", "cats/deep/b": "cats", "dogs/c": "dogs", "d": "other"}
    assert [item for item in items if isinstance(item, InputError) and "broken.png" in str(item)]


def test_hidden_files_and_folders_are_left_out_but_the_folder_itself_may_lie_in_one(tmp_path):
    path = tmp_path / ".hidden" / "pictures"
    for name in ("cats/a.png", ".ipynb_checkpoints/b.png", "cats/.thumbnails/c.png", "cats/._a.png", ".d.png"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(gradient(4, 4)).save(path / name)
    source = image_folder(path, 4, "area")
    assert source.count == 1
    assert [image.name for image in source.images] == ["cats/a"]


def test_copies_of_a_picture_stand_on_one_side(tmp_path):
    for number in range(100):
        Image.fromarray(gradient(4, 4) + np.uint8(number // 5)).save(tmp_path / f"{number:03d}.png")
    items = joined(list(image_folder(tmp_path, 4, "area").images))
    heldout = np.array([is_heldout(item.side, 0.3) for item in items]).reshape(20, 5)
    assert (heldout == heldout[:, :1]).all()
    assert 0 < heldout[:, 0].sum() < 20


def test_the_fingerprint_follows_content_and_settings(tmp_path):
    Image.fromarray(gradient(4, 4)).save(tmp_path / "a.png")
    first = image_folder(tmp_path, 4, "area").fingerprint
    assert image_folder(tmp_path, 4, "area").fingerprint == first
    assert image_folder(tmp_path, 8, "area").fingerprint != first
    Image.fromarray(gradient(4, 4) + 1).save(tmp_path / "a.png")
    assert image_folder(tmp_path, 4, "area").fingerprint != first


@pytest.mark.parametrize(("make", "message"), [(False, "no such folder"), (True, "no images")])
def test_missing_and_empty_folders_are_refused(tmp_path, make, message):
    path = tmp_path / "pictures"
    if make:
        path.mkdir()
    with pytest.raises(InputError, match=message):
        image_folder(path, 16, "area")


PETS = [f"{animal}{number}" for animal in ("cat/", "dog/") for number in (1, 2)]


def pictures_named(folder, names):
    for number, name in enumerate(names):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(gradient(4, 4) + np.uint8(number)).save(path)
    return folder


def sides_of(folder):
    """The labels of the training side and of the held-out side."""
    sides = {False: [], True: []}
    for image in image_folder(folder, 4, "area").images:
        sides[is_heldout(image.side, 0.5)].append(image.label)
    return [sorted(labels) for labels in sides.values()]


@pytest.mark.parametrize(
    ("above", "below", "held"),
    [
        (("train/", "test/"), "", ["test"]),
        (("Training/", "VALIDATION/"), "", ["VALIDATION"]),
        (("train_set/", "test-set/"), "", ["test-set"]),
        (("train/", "val/", "test/"), "", ["test", "val"]),
        (("train/", "dev/"), "deep/er/", ["dev"]),
        (("pets/train/", "pets/valid/"), "", ["valid"]),
    ],
)
def test_folders_that_are_sides_of_a_split_are_no_classes(tmp_path, caplog, above, below, held):
    names = [f"{side}{pet[:4]}{below}{pet[4:]}" for side in above for pet in PETS]
    with caplog.at_level("INFO"):
        training, heldout = sides_of(pictures_named(tmp_path, names))
    assert training == ["cat", "cat", "dog", "dog"]
    assert heldout == sorted(["cat", "cat", "dog", "dog"] * (len(above) - 1))
    assert f"held out is {', '.join(held)}" in caplog.text


@pytest.mark.parametrize("sides", [("train", "test"), ("training", "eval"), ("Train", "hold-out"), ("train", "valid")])
def test_a_split_may_stand_below_the_classes_and_may_have_none(tmp_path, sides):
    train, held = sides
    below = pictures_named(tmp_path / "below", [f"{pet}/{side}/{side}" for pet in ("cat", "dog") for side in sides])
    assert sides_of(below) == [["cat", "dog"], ["cat", "dog"]]
    bare = pictures_named(tmp_path / "bare", [f"{train}/1", f"{train}/2", f"{held}/3"])
    assert sides_of(bare) == [["other", "other"], ["other"]]


@pytest.mark.parametrize("only", ["train/", "Training/", "train_data/"])
def test_a_folder_with_nothing_but_a_training_side_is_split_as_any_other(tmp_path, only):
    alone = pictures_named(tmp_path / "alone", [f"{pet}{number}" for pet in PETS for number in range(9)])
    inside = pictures_named(tmp_path / "inside", [f"{only}{pet}{number}" for pet in PETS for number in range(9)])
    for folder in (alone, inside):
        training, heldout = sides_of(folder)
        assert {*training} == {*heldout} == {"cat", "dog"}


@pytest.mark.parametrize("names", [("train", "car", "plane"), ("training", "running"), ("testing", "debugging")])
def test_a_class_may_be_called_train(tmp_path, names):
    pictures_named(tmp_path, [f"{name}/{number}" for name in names for number in range(9)])
    training, heldout = sides_of(tmp_path)
    assert {*training} | {*heldout} == {*names}


@pytest.mark.parametrize(
    "names",
    [
        ["train/1", "test/2", "cat/3"],
        ["train/cat/1", "val/cat/2", "3"],
        ["cat/train/1", "cat/test/2", "dog/3"],
        ["test/cat/1", "val/cat/2"],
    ],
)
def test_a_split_that_only_some_pictures_are_in_or_that_has_none_to_learn_from_is_refused(tmp_path, names):
    with pytest.raises(InputError, match=r"has a split .*: name its folders train and test"):
        image_folder(pictures_named(tmp_path, names), 4, "area")


def test_a_picture_on_both_sides_of_a_folders_split_is_not_learned_from(tmp_path):
    pictures_named(tmp_path, ["train/a", "train/b", "valid/c"])
    (tmp_path / "valid" / "copy.png").write_bytes((tmp_path / "train" / "b.png").read_bytes())
    images = joined(list(image_folder(tmp_path, 4, "area").images))
    held = {image.name for image in images if is_heldout(image.side, 0.1)}
    assert held == {"train/b", "valid/c", "valid/copy"}


def captions_in(folder):
    return {image.name: image.caption for image in image_folder(folder, 4, "area").images}


def test_captions_are_the_words_of_the_path_without_the_split_or_what_a_text_file_says(tmp_path):
    folder = pictures_named(tmp_path, ["train/animals/RedFox_02", "train/animals/animals-cat", "test/animals/3"])
    (folder / "train" / "animals" / "animals-cat.txt").write_text("a black cat,\n  asleep\n")
    assert captions_in(folder) == {
        "train/animals/RedFox_02": "animals red fox",
        "train/animals/animals-cat": "a black cat, asleep",
        "test/animals/3": "animals",
    }


@pytest.mark.parametrize("name", ["captions.json", "metadata.jsonl"])
def test_a_caption_file_names_every_picture_and_no_other(tmp_path, name):
    folder = pictures_named(tmp_path, ["a/1", "b"])

    def write(captions):
        rows = [json.dumps({"file_name": path, "text": text}) for path, text in captions.items()]
        (folder / name).write_text(json.dumps(captions) if name == "captions.json" else "\n".join(rows))

    write({"a/1.png": "a  fox", "b.png": ""})
    assert captions_in(folder) == {"a/1": "a fox", "b": ""}
    first = image_folder(folder, 4, "area").fingerprint
    write({"a/1.png": "a dog", "b.png": ""})
    assert image_folder(folder, 4, "area").fingerprint != first
    for captions, message in (
        ({"b.png": "fox"}, r"has no caption for a/1\.png"),
        ({"a/1.png": "", "b.png": "", "c.png": "", "a.png": ""}, r"that don't exist: a\.png, c\.png"),
        ({"a/1.png": 7, "b.png": ""}, "captions that are no text"),
    ):
        write(captions)
        with pytest.raises(InputError, match=message):
            captions_in(folder)
    (folder / name).write_text("[7]")
    with pytest.raises(InputError, match="should hold"):
        captions_in(folder)
