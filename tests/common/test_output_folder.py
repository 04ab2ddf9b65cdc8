import errno
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from tincture.common import output_folder
from tincture.common.errors import InputError
from tincture.common.files import files_in, write_json
from tincture.common.output_folder import claimed, progress, recorded_in


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


def written_by(number, broken=()):
    """What `OutputFolder.filled` asks of inputs 0, 1, …: a file and one in a subfolder for each."""

    def save(folder):
        (folder / "deep").mkdir()
        for name in (f"{number}.txt", f"deep/{number}.txt"):
            (folder / name).write_text(str(number))
        return [{"file": f"{number}.txt"}]

    if number in broken:
        raise broken[number]
    return save


def fill(path, broken, count=5, overwrite=True):
    def describe(done):
        return {"done": done.records, "errors": done.errors, "files": [*sorted(done.files), "report.json"]}

    inputs = [(Path(f"in/{number}"), number) for number in range(count)]
    with claimed(path, overwrite, recorded_in("report.json")) as output:
        return output.filled(inputs, lambda _, number: written_by(number, broken), "report.json", describe)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({}, None),
        ({2: InputError("in/2 is broken")}, "1 of 5 pictures failed, the others are in .*: in/2 is broken"),
        ({0: InputError("cut"), 4: InputError("in/4 is none")}, "2 of 5 .*: in/0: cut; in/4 is none"),
        ({0: InputError("no"), 3: InputError("no")}, "2 of 5 pictures failed, .*: in/0: no; in/3: no"),
    ],
)
@pytest.mark.parametrize("earlier", [False, True])
def test_broken_inputs_are_told_in_the_end_and_the_others_are_done(tmp_path, broken, message, earlier):
    if earlier:
        fill(tmp_path / "out", {}, 7)
    with nullcontext() if message is None else pytest.raises(InputError, match=message):
        fill(tmp_path / "out", broken)
    good = [number for number in range(5) if number not in broken]
    assert files_in(tmp_path / "out") == sorted(
        [*(f"{n}.txt" for n in good), *(f"deep/{n}.txt" for n in good), "report.json"]
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["files"] == [*sorted(set(files_in(tmp_path / "out")) - {"report.json"}), "report.json"]
    assert report["done"] == [{"file": f"{number}.txt"} for number in good]
    assert len(report["errors"]) == len(broken)


@pytest.mark.parametrize(
    "stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"), ZeroDivisionError()]
)
@pytest.mark.parametrize("place", [0, 1, 4])
def test_whatever_stops_a_batch_leaves_what_is_done_or_else_what_was_there(tmp_path, stop, place):
    fill(tmp_path / "out", {}, 2)
    before = {name: (tmp_path / "out" / name).read_text() for name in files_in(tmp_path / "out")}
    with pytest.raises(type(stop)):
        fill(tmp_path / "out", {place: stop})
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert sorted(report["files"]) == files_in(tmp_path / "out")
    if place == 0:
        assert {name: (tmp_path / "out" / name).read_text() for name in files_in(tmp_path / "out")} == before
    else:
        assert [record["file"] for record in report["done"]] == [f"{number}.txt" for number in range(place)]
    fill(tmp_path / "out", {})  # which replaces what the stopped one wrote
    assert len(files_in(tmp_path / "out")) == 11


@pytest.mark.parametrize("earlier", [False, True])
def test_a_batch_of_broken_inputs_writes_nothing(tmp_path, earlier):
    if earlier:
        fill(tmp_path / "out", {}, 1)
    with pytest.raises(InputError, match=r"^3 of 3 pictures failed: all alike$"):
        fill(tmp_path / "out", {number: InputError("all alike") for number in range(3)}, 3)
    assert files_in(tmp_path) == (["out/0.txt", "out/deep/0.txt", "out/report.json"] if earlier else [])
    assert (tmp_path / "out").exists() == earlier


def test_a_killed_batch_has_written_its_report(tmp_path):
    """A signal that nobody can catch comes after three results."""
    script = (
        "import os, signal; from pathlib import Path; from tincture.tests.common import test_output_folder as t;"
        "work = t.written_by;"
        "t.written_by = lambda n, _: os.kill(os.getpid(), signal.SIGKILL) if n == 3 else work(n);"
        f"t.fill(Path({str(tmp_path / 'out')!r}), {{}})"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert files_in(tmp_path / "out") == sorted(
        [*(f"{deep}{n}.txt" for deep in ("", "deep/") for n in range(3)), "report.json"]
    )
    assert len(fill(tmp_path / "out", {})) == 5


def test_a_disk_that_is_full_even_for_the_report_leaves_what_the_last_one_names(tmp_path, monkeypatch):
    def write_json_while_there_is_room(path, value):
        if len(value["done"]) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_json(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(output_folder, "write_json", write_json_while_there_is_room)
        with pytest.raises(OSError, match="No space"):
            fill(tmp_path / "out", {})
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(report["done"]) == 3
    assert sorted(report["files"]) == files_in(tmp_path / "out")
    assert len(fill(tmp_path / "out", {})) == 5


@pytest.mark.parametrize("count", [1, 90, 1000])
def test_writing_reports_takes_no_longer_than_the_work(tmp_path, monkeypatch, count):
    lengths = []
    monkeypatch.setattr(output_folder, "write_json", lambda _, value: lengths.append(len(value["done"])))
    fill(tmp_path / "out", {}, count)
    assert lengths[-1] == count
    assert sum(lengths) <= 101 * count


def test_long_work_without_a_terminal_says_now_and_then_how_far_it_is(monkeypatch, capsys):
    assert list(progress(range(3), "image")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(output_folder, "PROGRESS_SECONDS", -1)
    assert list(progress(range(3), "image")) == [0, 1, 2]
    assert capsys.readouterr().err.splitlines() == [f"{number} of 3 images are done" for number in range(3)]
