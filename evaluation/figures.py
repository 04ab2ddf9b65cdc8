"""The figures of an evaluation: metrics, bits over time, agreement with training images."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from tincture.common.plotting import make_figure, save_figure
from tincture.diffusion.likelihood import mean_and_stderr

from .heldout import Estimates
from .report import Scalars

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
"""Panels in a row."""
TIME_BINS = 10


def plot_scalars(path: Path, scalars: Scalars) -> None:
    """Draw a panel for each metric that has a standard error: a bar for it, and one for its floor.

    Raises:
        InputError: matplotlib isn't installed.
    """
    names = [name for name in scalars if f"{name}_stderr" in scalars and not name.endswith("_floor")]
    rows = -(-len(names) // COLUMNS)

    def draw(axes: list["Axes"]) -> None:
        for name, panel in zip(names, axes, strict=False):
            bars = {"model": name, "real": f"{name}_floor"} if f"{name}_floor" in scalars else {"": name}
            heights = [scalars[bar] for bar in bars.values()]
            errors = [scalars[f"{bar}_stderr"] for bar in bars.values()]
            colors = ["tab:blue", "lightgray"][: len(bars)]
            panel.bar(list(bars), heights, yerr=errors, capsize=4, color=colors, width=0.6)
            panel.set_xlim(-0.7, 1.7)
            panel.set_ylim(bottom=min([0.0, *heights]), top=None if any(heights) else 1.0)
            panel.set_title(name.replace("/", "\n"), fontsize=9)
        for panel in axes[len(names) :]:
            panel.axis("off")

    _figure(path, draw, rows, COLUMNS, size=(3.0 * COLUMNS, 2.6 * rows))


def plot_bits_over_time(path: Path, estimates: Estimates) -> None:
    """Draw which noise levels the bits come from: means over bins of time, with standard errors.

    Their mean is the bound.

    Raises:
        InputError: matplotlib isn't installed.
    """
    times, bits = estimates.times.flatten(), estimates.bits.flatten()
    bins = (times * TIME_BINS).ceil().clamp(1, TIME_BINS) - 1  # times lie in (0, 1]
    filled = [number for number in range(TIME_BINS) if (bins == number).any()]
    means, errors = zip(*(mean_and_stderr(bits[bins == number]) for number in filled), strict=True)

    def draw(axes: list["Axes"]) -> None:
        centers = [(number + 0.5) / TIME_BINS for number in filled]
        axes[0].errorbar(centers, means, yerr=errors, marker="o", capsize=3, color="tab:blue")
        axes[0].axhline(bits.mean().item(), linestyle="--", color="black", label="the bound: their mean")
        axes[0].set(xlabel="t: 0 is clean, 1 is noise", ylabel="bits per pixel", xlim=(0, 1))
        axes[0].set_ylim(bottom=0)
        axes[0].legend()

    _figure(path, draw, 1, 1, size=(6, 4))


def plot_agreement(path: Path, drawn: Tensor, heldout: Tensor, threshold: float | None) -> None:
    """Draw histograms of agreement with the nearest training image, and the threshold as a line.

    Args:
        path: of the PNG.
        drawn: agreement of drawn images, ``[N]``.
        heldout: agreement of held-out images, ``[M]``.
        threshold: None if there is none.

    Raises:
        InputError: matplotlib isn't installed.
    """

    def draw(axes: list["Axes"]) -> None:
        edges = [step / 25 for step in range(26)]
        for name, agreement, color in (("held-out", heldout, "gray"), ("drawn", drawn, "tab:blue")):
            shares = [1 / len(agreement)] * len(agreement)
            axes[0].hist(agreement.tolist(), edges, weights=shares, label=name, color=color, alpha=0.5)
        if threshold is not None:
            axes[0].axvline(threshold, linestyle="--", color="tab:red", label="held-out: 99th percentile")
        axes[0].set(xlabel="agreement with the nearest training image", ylabel="share of images")
        axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)

    _figure(path, draw, 1, 1, size=(6, 4))


def _figure(
    path: Path, draw: Callable[[list["Axes"]], None], rows: int, columns: int, size: tuple[float, float]
) -> None:
    """Make a figure of ``rows × columns`` panels, let ``draw`` fill them, and write it as a PNG."""
    figure = make_figure(*size)
    draw(list(figure.subplots(rows, columns, squeeze=False).flat))
    save_figure(figure, path)
