import errno
import fcntl
import os
import stat

import pytest

from tincture.common import output_folder
from tincture.common.errors import InputError
from tincture.common.files import files_in
from tincture.common.output_folder import claimed, recorded_in


def test_only_what_was_written_is_replaced_and_no_input(tmp_path):
    (tmp_path / "report.json").write_text('{"files": ["a.png"]}')
    (tmp_path / "a.png").touch()
    with claimed(tmp_path, overwrite=True, written=recorded_in("report.json")):
        pass
    with (
        pytest.raises(InputError, match="holds the input"),
        claimed(tmp_path, True, written=recorded_in("report.json"), inputs=[tmp_path / "a.png"]),
    ):
        pass
    (tmp_path / "b.png").symlink_to("nowhere")
    with (
        pytest.raises(InputError, match=r"b\.png was not written"),
        claimed(tmp_path, overwrite=True, written=recorded_in("report.json")),
    ):
        pass
    assert files_in(tmp_path) == ["a.png", "b.png", "report.json"]


def test_a_folder_inside_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match="can't be made"), claimed(tmp_path / "file" / "folder", overwrite=True):
        pass


@pytest.fixture(params=["folders can be locked", "only files can, as on NFS"])
def file_system(request, monkeypatch):
    lock = fcntl.flock

    def flock(descriptor, operation):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        lock(descriptor, operation)

    if request.param != "folders can be locked":
        monkeypatch.setattr(fcntl, "flock", flock)


def test_where_there_are_no_locks_a_folder_is_claimed_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(output_folder, "fcntl", None)
    with claimed(tmp_path / "a" / "run", overwrite=False) as output, output.written_whole() as folder:
        (folder / "file").touch()
    assert files_in(tmp_path) == ["a/run/file"]


@pytest.mark.usefixtures("file_system")
def test_a_folder_is_used_by_one_at_a_time_and_nothing_is_left_of_the_claim(tmp_path):
    for _ in range(2):
        with claimed(tmp_path / "a" / "run", overwrite=False):
            with (
                pytest.raises(InputError, match="another process is writing to"),
                claimed(tmp_path / "a" / "run", overwrite=False),
            ):
                pass
            assert (tmp_path / "a" / "run").is_dir()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with claimed(tmp_path / "a", overwrite=False):
        pass
    assert list((tmp_path / "a").iterdir()) == []


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_lock_is_asked_for_before_the_content_is_looked_at(tmp_path, overwrite):
    """The holder of a folder writes files that a second command knows nothing of."""
    with claimed(tmp_path / "run", overwrite=False):
        (tmp_path / "run" / "checkpoints").mkdir()
        (tmp_path / "run" / "checkpoints" / "half").touch()
        with (
            pytest.raises(InputError, match="another process is writing to"),
            claimed(tmp_path / "run", overwrite, written=lambda _: []),
        ):
            pass
    assert files_in(tmp_path) == ["run/checkpoints/half"]


@pytest.mark.usefixtures("file_system")
def test_what_appears_during_the_work_is_not_replaced(tmp_path):
    with (
        pytest.raises(InputError, match="is not empty"),
        claimed(tmp_path / "out", overwrite=False) as output,
        output.written_whole() as folder,
    ):
        (folder / "new").touch()
        (tmp_path / "out" / "theirs").touch()
    assert files_in(tmp_path) == ["out/theirs"]
    with (
        pytest.raises(InputError, match="theirs was not written by this command"),
        claimed(tmp_path / "out", overwrite=True, written=lambda _: ["new"]) as output,
        output.emptied(),
    ):
        pass
    with claimed(tmp_path / "out", overwrite=True) as output, output.written_whole() as folder:
        (folder / "new").touch()
    assert files_in(tmp_path) == ["out/new"]


def test_what_a_killed_command_was_writing_is_in_nobodys_way(tmp_path):
    (tmp_path / ".writing-out").mkdir()
    (tmp_path / ".writing-out" / "half").touch()
    with claimed(tmp_path, overwrite=False), claimed(tmp_path / "other", overwrite=True, written=lambda _: []):
        pass


def test_a_claim_waits_for_no_folder_that_was_just_replaced(tmp_path, monkeypatch):
    """Between opening and locking it, the command that held it put another one in its place."""
    lock, replaced = fcntl.flock, []

    def flock(descriptor, operation):
        if not replaced:
            (tmp_path / "out").rename(tmp_path / "old")
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "result").touch()
            replaced.append(True)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(InputError, match="is not empty"), claimed(tmp_path / "out", overwrite=False):
        pass
