import json
import os
import signal

import pytest

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
