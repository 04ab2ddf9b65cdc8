import errno
from pathlib import Path

import pytest

from tincture.common.errors import InputError
from tincture.common.files import (
    claim_output_folder,
    files_in,
    folder_written_whole,
    is_disk_full,
    recorded_in,
    used_alone,
)


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


def test_only_what_was_written_is_replaced_and_no_input(tmp_path):
    (tmp_path / "report.json").write_text('{"files": ["a.png"]}')
    (tmp_path / "a.png").touch()
    claim_output_folder(tmp_path, overwrite=True, written=recorded_in("report.json"))
    with pytest.raises(InputError, match="holds the input"):
        claim_output_folder(tmp_path, True, written=recorded_in("report.json"), inputs=[tmp_path / "a.png"])
    (tmp_path / "b.png").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"b\.png was not written"):
        claim_output_folder(tmp_path, overwrite=True, written=recorded_in("report.json"))


def test_a_folder_inside_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match="can't be made"):
        claim_output_folder(tmp_path / "file" / "folder", overwrite=True)


def test_a_folder_is_used_by_one_at_a_time_and_is_free_afterwards(tmp_path):
    for _ in range(2):
        with used_alone(tmp_path / "run"):
            with pytest.raises(InputError, match="another process is writing to"), used_alone(tmp_path / "run"):
                pass
            assert (tmp_path / "run").is_dir()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_full_disk_is_told_from_other_errors():
    assert is_disk_full(OSError(errno.ENOSPC, "No space left on device"))
    assert not is_disk_full(OSError(errno.EACCES, "not allowed"))
    assert not is_disk_full(ValueError("full"))
