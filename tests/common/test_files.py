import errno
from pathlib import Path

import pytest

from tincture.common.files import files_in, folder_written_whole, is_disk_full, remove_leftovers, set_aside


def test_a_failed_folder_leaves_nothing_behind_not_even_its_parents(tmp_path):
    with pytest.raises(RuntimeError), folder_written_whole(tmp_path / "a" / "b" / "c") as folder:
        (folder / "file").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_takes_the_place_of_the_old_one_at_once(tmp_path):
    for text in ("first", "second"):
        with folder_written_whole(tmp_path / "a" / "b") as folder:
            (folder / text).write_text(text)
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["second"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_folder_that_somebody_stands_in_keeps_its_place(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    number = Path().stat().st_ino
    for text in ("first", "second"):
        with folder_written_whole(Path()) as folder:
            (folder / "below").mkdir()
            (folder / "below" / text).write_text(text)
    assert [path.as_posix() for path in Path().rglob("*")] == ["below", f"below/{text}"]
    assert (tmp_path / "here").stat().st_ino == number
    with pytest.raises(RuntimeError), folder_written_whole(Path()) as folder:
        (folder / "third").touch()
        raise RuntimeError
    assert files_in(Path()) == ["below/second"]
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_the_old_folder_is_back_if_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    with folder_written_whole(tmp_path / "a") as folder:
        (folder / "file").write_text("old")
    rename = Path.replace

    def fail(path, target):
        if target == tmp_path / "a" and (path / "file").read_text() == "new":
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="busy"), folder_written_whole(tmp_path / "a") as folder:
        (folder / "file").write_text("new")
    assert files_in(tmp_path) == ["a/file"]
    assert (tmp_path / "a" / "file").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_was_set_aside_is_back_after_an_exception_and_gone_after_none(tmp_path):
    (tmp_path / "old").write_text("old")
    (tmp_path / "both").mkdir()
    with pytest.raises(RuntimeError), set_aside(tmp_path):
        assert files_in(tmp_path) == [f"{next(tmp_path.iterdir()).name}/old"]
        (tmp_path / "both").write_text("new")
        (tmp_path / "new").mkdir()
        raise RuntimeError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["both", "old"]
    assert (tmp_path / "both").is_dir()
    with set_aside(tmp_path):
        (tmp_path / "new").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_leftovers_are_removed_wherever_they_lie_and_nothing_else(tmp_path):
    for name in (".writing-a/b", "c/.writing-d/.writing-e", "c/f.writing-", ".g"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "c" / ".writing-file").touch()
    (tmp_path / ".writing-link").symlink_to("c")
    remove_leftovers(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [".g", "c", "c/f.writing-"]


def test_a_full_disk_is_told_from_other_errors():
    assert is_disk_full(OSError(errno.ENOSPC, "No space left on device"))
    assert not is_disk_full(OSError(errno.EACCES, "not allowed"))
    assert not is_disk_full(ValueError("full"))
