"""Do pictures in other colors keep their structure? `python -m benchmarks.claims.style --help`.

Prints the table of docs/claims.md: this project's ways to recolor against transport in RGB and
against quantizing with the reference's palette.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.exposure import match_histograms
from skimage.feature import canny

from tincture.benchmarks.judge import heldout_icons
from tincture.benchmarks.tables import heading, mean_of, row, with_error
from tincture.common import cli
from tincture.evaluation.colors import cheapest_transport
from tincture.pipelines.model_recoloring import load_ways
from tincture.quantization.encoding import encode
from tincture.quantization.fit import quantize
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.recolor import recolor_solid
from tincture.quantization.spaces import SPACES

from .trials import ICONS, Claim, Records, examine, on_ground, small_photographs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {"icons": 16, "photographs": 32}
"""Pictures, and the entries in which they are recolored."""
COUNTED = 16
"""Colors to which pictures are reduced before their proportions are compared."""
TURNS = 30
"""Random directions along which colors are transported."""
PAPER = 255
PLAIN = "nearest entry"

Way = Callable[[IndexedImage, IndexedImage], np.ndarray]
"""(picture, reference) → the picture's opaque pixels in other colors, uint8 ``[N, 3]``."""


def moved(image: IndexedImage, reference: IndexedImage, by: Callable[..., IndexedImage]) -> np.ndarray:
    """By a way to recolor of this project."""
    return opaque(by(image, reference.palette), image)


def opaque(image: IndexedImage, like: IndexedImage) -> np.ndarray:
    """The colors of the pixels that are opaque in ``like``, uint8 ``[N, 3]``."""
    return image.to_rgba()[like.to_rgba()[..., 3] > 0, :3]


def nearest_entry(image: IndexedImage, reference: IndexedImage) -> np.ndarray:
    """By quantizing with the reference's palette."""
    return opaque(IndexedImage(encode(image.to_rgba(), reference.palette), reference.palette), image)


def by_channel(image: IndexedImage, reference: IndexedImage) -> np.ndarray:
    """By transport of red, green and blue, each alone."""
    pair = [opaque(each, each)[None] for each in (image, reference)]
    return match_histograms(*pair, channel_axis=2)[0].round().astype(np.uint8)


def sliced(image: IndexedImage, reference: IndexedImage) -> np.ndarray:
    """By transport in RGB along random axes in turn (Pitié, Kokaram and Dahyot 2007)."""
    rng = np.random.default_rng(0)
    colors, goal = (opaque(each, each).astype(np.float64) for each in (image, reference))
    places = (np.arange(len(colors)) + 0.5) / len(colors)
    for _ in range(TURNS):
        axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        turned, wanted = colors @ axes, np.quantile(goal @ axes, places, axis=0)
        colors = np.take_along_axis(wanted, turned.argsort(axis=0).argsort(axis=0), axis=0) @ axes.T
    return colors.clip(0, 255).round().astype(np.uint8)


@cache
def ways(kind: str) -> dict[str, Way]:
    """How a picture is moved to the colors of another one; the model knows icons only."""
    ours = {"areas": partial(recolor_solid, reversible=False), "reversible": recolor_solid}
    ours |= load_ways(ICONS) if kind == "icons" else {}
    return {
        **{f"{name}, ours": partial(moved, by=by) for name, by in ours.items()},
        PLAIN: nearest_entry,
        "transport by channel": by_channel,
        "sliced transport": sliced,
    }


def trials(options: Namespace) -> Mapping[str, Callable[[], Any]]:
    """One for each picture."""
    icons = [image for image in heldout_icons(12 if options.quick else 80) if len(image.palette) > 4]
    pictures = {"icons": icons, "photographs": []}
    if not options.quick:
        photos = small_photographs(144, 96).values()
        pictures["photographs"] = [quantize(rgb, KINDS["photographs"]) for rgb in photos]
    shifts = {"icons": 7, "photographs": 1}  # icons that follow one another are of one kind
    return {
        f"{kind} {n}": partial(measured, kind, image, some[(n + shifts[kind]) % len(some)])
        for kind, some in pictures.items()
        for n, image in enumerate(some)
    }


def measured(kind: str, image: IndexedImage, reference: IndexedImage) -> dict[str, list[float]]:
    """The F-measure of edges, the distance of proportions, and pixels off the palette, by way."""
    found, palette = {}, {*map(tuple, reference.palette.colors[:, :3].tolist())}
    for name, way in ways(kind).items():
        colors = way(image, reference)
        off = np.mean([tuple(color) not in palette for color in colors.tolist()])
        distance = distance_of_proportions(colors, opaque(reference, reference))
        found[name] = [edges_kept(image, colors), distance, float(off)]
    return found


def edges_kept(image: IndexedImage, colors: np.ndarray) -> float:
    """The F-measure of the edges of lightness, by Canny's detector, of pixels in other colors.

    The strongest tenth of the gradients begin edges, whatever the contrast.
    """
    rgba, after = image.to_rgba(), on_ground(image.to_rgba(), PAPER)
    before = after.copy()
    after[rgba[..., 3] > 0] = colors
    lightness = [
        SPACES["oklab"].from_bytes(each.reshape(-1, 3))[:, 0].reshape(each.shape[:2]) for each in (before, after)
    ]
    maps = [canny(each, 1.0, 0.8, 0.9, use_quantiles=True) for each in lightness]
    total = maps[0].sum() + maps[1].sum()
    return float(2 * (maps[0] & maps[1]).sum() / total) if total else 1.0


def distance_of_proportions(first: np.ndarray, second: np.ndarray) -> float:
    """The earth mover's distance in OKLab of two sets of pixels, uint8 ``[N, 3]`` each."""
    points, shares = [], []
    for colors in (first, second):
        image = quantize(colors[None], COUNTED)
        counts = np.bincount(image.indices.ravel(), minlength=len(image.palette))
        points.append(SPACES["oklab"].from_bytes(image.palette.colors[counts > 0]).astype(np.float64))
        shares.append(counts[counts > 0] / counts.sum())
    return cheapest_transport(np.linalg.norm(points[0][:, None] - points[1], axis=2), *shares)


def by_way(records: Records, kind: str) -> dict[str, np.ndarray]:
    """The figures of all pictures of a kind, ``[N, 3]``, by way."""
    here = [record for name, record in records.items() if name.startswith(kind)]
    return {name: np.array([record[name] for record in here]) for name in (here[0] if here else ())}


def table(records: Records) -> str:
    """Means over pictures, and paired differences to quantizing with the reference's palette."""
    less = f"less that of {PLAIN}"
    lines = [heading("pictures", "way", "edges kept, F", less, "distance of proportions", less, "off the palette")]
    for kind in KINDS:
        found = by_way(records, kind)
        for name, figures in found.items():
            columns = [column for pair in zip(figures.T, (figures - found[PLAIN]).T, strict=True) for column in pair]
            cells = [with_error(*mean_of(column), 3) for column in columns[:4]]
            lines.append(row(f"{len(figures)} {kind}", name, *cells, f"{figures[:, 2].mean():.0%}"))
    return "\n".join(lines)


def draw(figure: "Figure", records: Records) -> None:
    """Edges over distance, with standard errors: up and left is better."""
    for axes, kind in zip(figure.subplots(1, len(KINDS)), KINDS, strict=True):
        for name, figures in by_way(records, kind).items():
            (edges, edges_error), (distance, error), _ = map(mean_of, figures.T)
            axes.errorbar(distance, edges, edges_error, error, marker="o" if "ours" in name else "s", label=name)
        axes.set(title=kind, xlabel="distance of color proportions, OKLab", ylabel="edges kept, F-measure")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize="small")


CLAIM = Claim("style", trials, table, draw, (11, 4.5))


def main(arguments: list[str]) -> None:
    """Recolor, measure, print."""
    examine(CLAIM, __doc__, arguments)


if __name__ == "__main__":
    cli.run(main)
