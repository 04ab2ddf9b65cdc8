"""Figures drawn with matplotlib, which is optional: it is imported only where a figure is drawn."""

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError
from .files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def require_matplotlib() -> None:
    """Raise InputError if matplotlib isn't installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError("plots need matplotlib: pip install -r requirements-app.txt") from None


def make_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many hundreds of pixels.

    Raises:
        InputError: matplotlib isn't installed.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as a PNG, whole or not at all."""
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))
