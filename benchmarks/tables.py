"""Markdown tables, as the docs hold them."""

import math
from collections.abc import Sequence

import numpy as np


def heading(*cells: str) -> str:
    """The first two lines of a table."""
    return f"{row(*cells)}\n{row(*['---'] * len(cells))}"


def row(*cells: object) -> str:
    """A line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def with_error(value: float, stderr: float, digits: int) -> str:
    """A number and its standard error."""
    return f"{value:.{digits}f} ± " + (f"{stderr:.{digits}f}" if math.isfinite(stderr) else "?")


def mean_of(values: Sequence[float]) -> tuple[float, float]:
    """The mean of independent values and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)
