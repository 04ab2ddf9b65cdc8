import numpy as np
import pytest
from PIL import Image

from tincture.common.errors import InputError
from tincture.data.image_folder import fit_to_size, image_folder
from tincture.data.sources import LabelledImage


def gradient(height, width):
    rows, columns = np.indices((height, width))
    return np.stack([rows % 256, columns % 256, rows * 0, rows * 0 + 255], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("resize", ["area", "nearest", "crop"])
@pytest.mark.parametrize("shape", [(16, 16), (40, 20), (20, 40), (7, 9), (1, 30)])
def test_every_picture_gets_the_size(resize, shape):
    assert fit_to_size(gradient(*shape), 16, resize).shape == (16, 16, 4)


def test_a_picture_of_the_right_size_is_not_touched():
    pixels = gradient(16, 16)
    assert fit_to_size(pixels, 16, "area") is pixels


def test_crop_takes_the_center_unscaled_and_pads_with_transparency():
    assert np.array_equal(fit_to_size(gradient(10, 8), 4, "crop"), gradient(10, 8)[3:7, 2:6])
    padded = fit_to_size(gradient(2, 2), 4, "crop")
    assert np.array_equal(padded[1:3, 1:3], gradient(2, 2))
    assert padded[..., 3].sum() == 4 * 255


def test_nearest_mixes_no_colors():
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[::2] = 255
    assert set(np.unique(fit_to_size(pixels, 16, "nearest"))) <= {0, 255}


def test_area_averages_and_gives_transparent_pixels_no_say():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (200, 100, 50, 255)
    pixels[1, 1] = (0, 255, 0, 0)
    assert fit_to_size(pixels, 1, "area")[0, 0, :3].tolist() == pytest.approx([200, 100, 50], abs=4)


def test_subfolders_are_labels_and_broken_files_stand_as_errors(tmp_path):
    for name in ("cats/a.png", "cats/deep/b.png", "dogs/c.png", "d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(gradient(4, 4)).save(tmp_path / name)
    (tmp_path / "dogs" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "notes.txt").write_text("not a picture")
    source = image_folder(tmp_path, 4, "area", 0.1)
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
    source = image_folder(path, 4, "area", 0.1)
    assert source.count == 1
    assert [image.name for image in source.images] == ["cats/a"]


def test_copies_of_a_picture_stand_on_one_side(tmp_path):
    for number in range(100):
        Image.fromarray(gradient(4, 4) + np.uint8(number // 5)).save(tmp_path / f"{number:03d}.png")
    items = list(image_folder(tmp_path, 4, "area", 0.3).images)
    heldout = np.array([item.heldout for item in items]).reshape(20, 5)
    assert (heldout == heldout[:, :1]).all()
    assert 0 < heldout[:, 0].sum() < 20


def test_the_fingerprint_follows_content_and_settings(tmp_path):
    Image.fromarray(gradient(4, 4)).save(tmp_path / "a.png")
    first = image_folder(tmp_path, 4, "area", 0.1).fingerprint
    assert image_folder(tmp_path, 4, "area", 0.1).fingerprint == first
    assert image_folder(tmp_path, 8, "area", 0.1).fingerprint != first
    Image.fromarray(gradient(4, 4) + 1).save(tmp_path / "a.png")
    assert image_folder(tmp_path, 4, "area", 0.1).fingerprint != first


@pytest.mark.parametrize(("make", "message"), [(False, "no such folder"), (True, "no images")])
def test_missing_and_empty_folders_are_refused(tmp_path, make, message):
    path = tmp_path / "pictures"
    if make:
        path.mkdir()
    with pytest.raises(InputError, match=message):
        image_folder(path, 16, "area", 0.1)
