import os
import sys

import numpy as np
import pytest

import cli

os.environ.setdefault("WANDB_MODE", "offline")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    """One cache of encoded data sets for all tests, not the user's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(monkeypatch, capsys):
    """Call a command; returns its exit status, standard output and standard error."""

    def call(command, *arguments):
        monkeypatch.setattr(sys, "argv", [command.__file__, *map(str, arguments)])
        status = 0
        try:
            cli.run(command.main)
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call
