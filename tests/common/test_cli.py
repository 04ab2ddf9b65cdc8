import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tincture.__main__ import COMMANDS
from tincture.common import cli
from tincture.common.errors import InputError
from tincture.common.signals import SignalWatch


class DistBackendError(RuntimeError):
    """As torch calls it."""


MISTAKES = [
    (InputError("a mistake"), "error: a mistake"),
    (InputError("two\nlines"), "error: two lines"),
    (FileNotFoundError(2, "No such file", "x.png"), "error: No such file: x.png"),
    (OSError(28, "No space left on device"), "error: no space is left on the disk"),
    (MemoryError("full"), "error: there isn't enough memory (full)"),
]
LOST = [
    RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1217"),
    RuntimeError("[../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms"),
    DistBackendError("NCCL communicator was aborted on rank 1."),
]


@pytest.fixture
def failed(monkeypatch, capsys):
    """Let a command raise in a process of a rank; returns its status, what it printed, and how long
    it waited before."""

    def call(error, rank=None):
        waited = []

        def main(_):
            raise error

        if rank is not None:
            monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setattr(cli.time, "sleep", waited.append)
        with pytest.raises(SystemExit) as stop:
            cli.run(main)
        return stop.value.code, capsys.readouterr().err, sum(waited)

    return call


@pytest.mark.parametrize(("error", "message"), MISTAKES)
@pytest.mark.parametrize("rank", [None, 0, 1, 7])
def test_the_first_process_speaks_at_once_and_others_only_if_the_launcher_leaves_them_time(
    failed, error, message, rank
):
    status, err, waited = failed(error, rank)
    assert (status, len(err.splitlines())) == (2, 1)
    assert err.startswith(message)
    assert waited == (cli.LAUNCHERS_PATIENCE if rank else 0)


@pytest.mark.parametrize("error", LOST)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_lost_another_waits_for_its_end_before_it_says_so(failed, error, rank):
    status, err, waited = failed(error, rank)
    assert (status, waited, len(err.splitlines())) == (2, cli.LAUNCHERS_PATIENCE, 1)
    assert err.startswith("error: another process of this launch has ended, or can't be reached any more")


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), RuntimeError("bug"), KeyError("bug"), ValueError("bug")])
def test_a_bug_keeps_its_traceback(monkeypatch, error):
    def main(_):
        raise error

    waited = []
    monkeypatch.setattr(cli.time, "sleep", waited.append)
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(type(error), match="bug"):
            cli.run(main)
    assert waited == [cli.LAUNCHERS_PATIENCE]


def test_only_the_first_process_says_that_it_was_interrupted(failed):
    assert [failed(KeyboardInterrupt(), rank)[:2] for rank in (0, 1)] == [
        (130, "interrupted; what was done before is whole\n"),
        (130, ""),
    ]


@pytest.mark.parametrize(("error", "message"), MISTAKES)
def test_torchrun_is_told_what_was_wrong(failed, monkeypatch, tmp_path, error, message):
    def end(status):
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    assert failed(error, 0)[0] == 2
    told = json.loads((tmp_path / "error.json").read_text())["message"]
    assert told["message"] == told["extraInfo"]["py_callstack"]
    assert told["message"].startswith(message)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "2000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"GOMP_SPINCOUNT": "infinite", "OMP_WAIT_POLICY": "passive"}, "infinite"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
    ],
)
def test_threads_that_wait_give_their_core_away_unless_the_user_says_otherwise(given, expected):
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    script = "import os; import tincture.common.cli; print(os.environ.get('GOMP_SPINCOUNT'))"
    finished = subprocess.run(
        [sys.executable, "-c", script], env=environment | given, capture_output=True, text=True, check=True
    )
    assert finished.stdout.strip() == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_loads_torch_after_that(command):
    """OpenMP reads the environment once; isort puts torch before this project."""
    tree = ast.parse((Path(cli.__file__).parent.parent / f"{command}.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias.name if isinstance(node, ast.Import) else node.module for node in imports for alias in node.names]
    roots = [name.split(".")[0] for name in names]
    assert not {"torch", "accelerate", "diffusers"} & set(roots)
    assert names[roots.index("tincture")] == "tincture.common"  # cli


@pytest.mark.parametrize("error", LOST)
def test_a_signal_that_came_before_the_others_were_lost_ends_the_process(error):
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with pytest.raises(RuntimeError), SignalWatch():
            signal.raise_signal(signal.SIGTERM)
            raise error
        assert seen == [signal.SIGTERM]
        with pytest.raises(OSError), SignalWatch():  # what went wrong in saving must be said
            signal.raise_signal(signal.SIGTERM)
            raise OSError(28, "No space left on device")
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells threads so simply")
@pytest.mark.parametrize("words", [["quantize.py"], ["tincture", "quantize"]])
def test_reducing_pictures_starts_no_threads_that_only_multiply_matrices(words):
    count = "import os; print(len(os.listdir('/proc/self/task')))"
    code = f"import sys; sys.argv = {words}; import tincture.quantize, numpy; {count}"
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    found = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert int(found.stdout) == 1
