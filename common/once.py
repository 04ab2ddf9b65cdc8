"""What is worked out of an array once, in a block that doesn't change the array."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np

_known: dict[Callable, tuple[np.ndarray, Any]] | None = None
"""The last array of each function, and what was worked out of it."""
_SMALL = 1 << 17
"""Arrays of fewer elements aren't remembered: they would only displace a photograph's."""


@contextmanager
def remembered() -> Iterator[None]:
    """Remember in the block what functions under `once` returned last; nobody may change that."""
    global _known  # noqa: PLW0603
    before, _known = _known, {}
    try:
        yield
    finally:
        _known = before


def once(function: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """Make a function work once for an array that comes again, in a `remembered` block."""

    @wraps(function)
    def call(array: np.ndarray) -> Any:
        if _known is None or array.size < _SMALL:
            return function(array)
        last, result = _known.get(function, (None, None))
        if last is not array:
            result = function(array)
            _known[function] = array, result
        return result

    return call
