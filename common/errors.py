"""The one exception for a mistake in what a person gave, and the two checks that raise it most."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

Choice = TypeVar("Choice")


class InputError(ValueError):
    """Something given from outside is wrong: a file, an option, a palette.

    Its message is one line that says what was wrong, with what value, and what to do. Commands
    print it as ``error: …`` and exit with status 2. Any other exception is a bug.
    """


def choose(kind: str, name: str, choices: Mapping[str, Choice]) -> Choice:
    """Look ``name`` up in a registry of ``kind``.

    Raises:
        InputError: it isn't there; the message lists the names that are.
    """
    if name not in choices:
        raise InputError(f"unknown {kind} {name!r}{did_you_mean(name, choices)}; choose from {', '.join(choices)}")
    return choices[name]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A question in parentheses if ``name`` is spelled nearly like one of ``names``."""
    from difflib import get_close_matches  # not above: few mistakes are made

    lower = {each.lower(): each for each in names}
    return "".join(
        f" (did you mean {lower[near]}?)" for near in get_close_matches(name.lower(), lower, n=1, cutoff=0.8)
    )


class Range(NamedTuple):
    """The numbers from ``low`` to ``high``, both included unless ``low`` is left out."""

    low: float
    high: float
    without_low: bool = False

    def __repr__(self) -> str:
        start = f"above {self.low:,}, at most" if self.without_low else f"{self.low:,} to"
        return f"{start} {self.high:,}"

    def check(self, name: str, value: float) -> None:
        """Raise InputError unless ``value`` lies inside, which NaN doesn't."""
        if not self.low <= value <= self.high or (self.without_low and value == self.low):
            start = f"above {self.low:,}, and at most" if self.without_low else f"from {self.low:,} to"
            raise InputError(f"{name} is {value}; it must be {start} {self.high:,}")


SHARE = Range(0, 1)
"""Of probabilities and of parts of a whole."""

SEED = Range(0, 2**63 - 1)
"""Of random numbers."""
