import errno

import pytest

from quantization.errors import InputError
from quantization.files import claim_output_folder, folder_written_whole, is_disk_full, used_alone


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
