"""The one exception for mistakes that belong to the person who gave the input, and the look-up that raises it most."""

from collections.abc import Mapping
from typing import TypeVar

Choice = TypeVar("Choice")


class InputError(ValueError):
    """Something given from outside is wrong: a file, an option, a palette.

    Its message is one line that says what was wrong, with what value, and what to do. The commands
    print it as ``error: …`` and exit with status 2; everything else is a bug and keeps its traceback.
    """


def choose(kind: str, name: str, choices: Mapping[str, Choice]) -> Choice:
    """Look ``name`` up in a registry of ``kind``.

    Raises:
        InputError: it isn't there; the message lists the names that are.
    """
    if name not in choices:
        raise InputError(f"unknown {kind} {name!r}; choose from {', '.join(choices)}")
    return choices[name]
