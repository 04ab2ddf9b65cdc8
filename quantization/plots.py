"""A figure of one quantization: before and after, its colors in OKLab, the error over K."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tincture.common.plotting import make_figure, save_figure

from .histogram import OPAQUE_ALPHA
from .palettes.palette import Palette
from .palettes.swatch import swatch
from .spaces import SPACES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_POINTS = 4000
"""About so many of a picture's pixels are drawn as points."""
PICTURE_PIXELS = 640
"""Pictures are shrunk to this width or height, whichever is larger."""


def plot_quantization(
    path: Path,
    original: np.ndarray,
    indices: np.ndarray,
    palette: Palette,
    counts: Sequence[int],
    errors: Sequence[float],
    needed: int,
) -> None:
    """Draw the figure and write it as a PNG.

    Args:
        path: where to, whole or not at all.
        original: sRGB RGBA, uint8 ``[H, W, 4]``.
        indices: the same picture in the palette, uint8 ``[H, W]``.
        palette: K entries.
        counts: numbers of colors, rising.
        errors: the mean ΔE in OKLab for each of them, where black and white are 1 apart.
        needed: the number of entries that `choose_colors` finds.

    Raises:
        InputError: matplotlib isn't installed.
    """
    figure = make_figure(12, 11)
    grid = figure.add_gridspec(3, 2, height_ratios=(4, 4, 1.4))
    for column, (title, rgba) in enumerate((("before", original), ("after", palette.colors[indices]))):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(_on_white(rgba, smooth=column == 0), interpolation="nearest")
        axes.set_title(title)
        axes.axis("off")
    _draw_colors(figure.add_subplot(grid[1, 0], projection="3d"), original, palette)
    opaque = int((palette.colors[:, 3] > 0).sum())
    _draw_errors(figure.add_subplot(grid[1, 1]), counts, errors, needed, opaque)
    axes = figure.add_subplot(grid[2, :])
    square, columns = (64, 16) if len(palette) <= 32 else (24, 32)  # large squares have labels
    axes.imshow(swatch(palette, square, columns))
    axes.set_title(f"the palette: {len(palette)} entries")
    axes.axis("off")
    save_figure(figure, path)


def _on_white(rgba: np.ndarray, smooth: bool) -> Image.Image:
    """A picture on white, shrunk if it is large; smoothly, or without mixing entries."""
    picture = Image.fromarray(rgba)
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    scale = PICTURE_PIXELS / max(picture.size)
    if scale < 1:
        size = tuple(max(round(side * scale), 1) for side in picture.size)
        picture = picture.resize(size, Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST)
    return picture


def _draw_colors(axes: "Axes", original: np.ndarray, palette: Palette) -> None:
    pixels = original[original[..., 3] >= OPAQUE_ALPHA][:, :3]
    pixels = pixels[:: max(len(pixels) // MAX_POINTS, 1)]
    entries = palette.colors[palette.colors[:, 3] > 0, :3]
    axes.computed_zorder = False  # entries in front of the pixels that surround them
    for rgb, style in ((pixels, {"s": 3, "alpha": 0.4}), (entries, {"s": 60, "edgecolors": "black", "alpha": 1.0})):
        lightness, a, b = SPACES["oklab"].from_bytes(rgb).T
        axes.scatter(a, b, lightness, c=rgb / 255, depthshade=False, **style)
    axes.set(xlabel="a: green to red", ylabel="b: blue to yellow", zlabel="lightness", zlim=(0, 1))
    axes.locator_params(nbins=5)
    axes.set_title("the colors in OKLab, the entries ringed")


def _draw_errors(axes: "Axes", counts: Sequence[int], errors: Sequence[float], needed: int, used: int) -> None:
    axes.plot(counts, errors, marker="o", color="black")
    axes.axvline(needed, linestyle="--", color="tab:red", label=f"needed: {needed} entries")
    axes.axvline(used, linestyle=":", color="tab:blue", label=f"this palette: {used} opaque entries")
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set(
        xlabel="colors",
        ylabel="mean ΔE in OKLab (black to white is 1)",
        title="the error of fitted palettes, without dithering",
    )
    axes.legend()
