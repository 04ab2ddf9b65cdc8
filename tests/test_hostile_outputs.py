"""Names and links never lead a write or a removal out of the output folder."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from tincture import quantize, recolor, sample, train
from tincture.common.output_folder import claimed
from tincture.data.annotated_pictures import find_pictures
from tincture.data.image_folder import image_folder


def everything(path):
    """All that lies below a folder, links not followed: what each is, and its content."""
    return {
        str(file.relative_to(path)): (file.is_symlink(), hashlib.sha256(file.read_bytes()).hexdigest())
        if file.is_file()
        else (file.is_symlink(), None)
        for file in path.rglob("*")
    }


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)).save(path, format="PNG")
    return path


@pytest.mark.parametrize("name", ["..png", "...png", ".png", "....png", "-.png", "a..png", "\\..\\x.png", "~.png"])
def test_a_name_leads_no_picture_out_of_the_output(run, tmp_path, name):
    source = picture(tmp_path / "in" / name)
    (tmp_path / "out").mkdir()
    before = everything(tmp_path)
    status, _, err = run(quantize, source, "--colors", 4, "--output", tmp_path / "out" / "here")
    assert status == 0, err
    written = set(everything(tmp_path)) - set(before)
    assert written
    assert all(file.startswith("out/here") for file in written)
    assert len([file for file in written if file.endswith(".png")]) == 1


@pytest.mark.parametrize("name", ["..png", "....png", "a/..png", "-.png", "~/x.png"])
def test_a_name_leads_no_version_out_of_the_output(run, tmp_path, name):
    picture(tmp_path / "in" / name)
    picture(tmp_path / "in" / "other.png", 1)
    before = everything(tmp_path)
    status, _, err = run(recolor, tmp_path / "in", "--versions", 1, "--colors", 4, "--output", tmp_path / "out")
    assert status == 0, err
    assert all(file.startswith("out") for file in set(everything(tmp_path)) - set(before))


def test_masks_without_a_name_are_refused(run, tmp_path):
    picture(tmp_path / "in" / "a.png")
    status, _, err = run(recolor, tmp_path / "in", "--masks", "/", "--output", tmp_path / "out")
    assert (status, len(err.splitlines())) == (2, 1)
    assert not (tmp_path / "out").exists()


def commands(tmp_path, checkpoint):
    """Each command that writes a folder, with all that it needs but the output."""
    source = picture(tmp_path / "in" / "a.png")
    drawing = ["--checkpoint", checkpoint, "--num-images", 1, "--steps", 1, "--palette", "pico-8"]
    return {
        "quantize": (quantize, [source, "--colors", 4]),
        "recolor": (recolor, [tmp_path / "in", "--versions", 1, "--colors", 4]),
        "sample": (sample, drawing),
        "train": (train, ["--train.max_steps", 1]),
    }


@pytest.mark.parametrize("name", ["quantize", "recolor", "sample", "train"])
def test_an_output_that_is_a_link_is_refused(run, tmp_path, checkpoint, name):
    command, arguments = commands(tmp_path, checkpoint)[name]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.txt").write_text("mine")
    (tmp_path / "out").symlink_to("elsewhere")
    before = everything(tmp_path)
    for more in ([], ["--overwrite"]):
        status, _, err = run(command, *arguments, "--output", tmp_path / "out", *more)
        assert (status, len(err.splitlines())) == (2, 1)
        assert "is a link" in err
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", ["quantize", "recolor", "sample", "train"])
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_folder_that_another_process_writes_to_is_refused_whatever_it_holds(run, tmp_path, checkpoint, name, more):
    command, arguments = commands(tmp_path, checkpoint)[name]
    with claimed(tmp_path / "out", overwrite=False):
        (tmp_path / "out" / "half.png").write_text("half")
        before = everything(tmp_path)
        status, _, err = run(command, *arguments, "--output", tmp_path / "out", *more)
        assert (status, len(err.splitlines())) == (2, 1)
        assert err.startswith("error: another process is writing to")
        assert everything(tmp_path) == before


@pytest.mark.parametrize("name", ["quantize", "recolor", "sample"])
def test_what_links_in_the_output_name_stays_as_it_is(run, tmp_path, checkpoint, name):
    """Every earlier result is a link to something else, and a folder is linked in besides."""
    command, arguments = commands(tmp_path, checkpoint)[name]
    output, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    assert run(command, *arguments, "--output", output)[0] == 0
    for number, file in enumerate(sorted(path for path in output.rglob("*") if path.is_file())):
        elsewhere.mkdir(exist_ok=True)
        file.rename(elsewhere / str(number))
        file.symlink_to(elsewhere / str(number))
    (elsewhere / "folder").mkdir()
    (elsewhere / "folder" / "mine.txt").write_text("mine")
    before = everything(elsewhere)
    status, _, err = run(command, *arguments, "--output", output, "--overwrite")
    assert status == 0, err
    assert everything(elsewhere) == before
    assert not any(path.is_symlink() for path in output.rglob("*"))


def test_links_to_pictures_are_read_and_loops_of_links_end(tmp_path):
    elsewhere = picture(tmp_path / "elsewhere" / "real.png")
    farm = tmp_path / "farm" / "label"
    farm.mkdir(parents=True)
    (farm / "a.png").symlink_to(elsewhere)
    (farm / "self.png").symlink_to("self.png")
    (farm / "gone.png").symlink_to("nowhere.png")
    (farm / "up").symlink_to("..")
    (farm / "root").symlink_to("/")
    assert [picture.name for picture in find_pictures([tmp_path / "farm"])] == ["label/a.png"]
    assert [image.name for image in image_folder(tmp_path / "farm", 6, "crop").images] == ["label/a"]
