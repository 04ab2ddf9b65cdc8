"""Do other palettes make classifiers robust? `python -m benchmarks.claims.augmentation --help`.

Prints the table of docs/claims.md. A small network learns the classes of icons and the categories
of Crawl's tiles. It is tested on held-out pictures as they are and in other colors.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tincture.benchmarks.judge import both_sides
from tincture.benchmarks.tables import heading, mean_of, row, with_error
from tincture.common import cli
from tincture.data.index_maps import IndexMaps
from tincture.data.palette_changes import ColorChange, OtherPalettes, PaletteJitter, into_gamut
from tincture.data.sources import OTHER_LABEL
from tincture.quantization.color import oklab_to_srgb, srgb_to_oklab
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

from .trials import Claim, Records, examine, on_ground

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEEDS = 3
STEPS = 500
BATCH = 64
GROUND = 128
VERSIONS = 4
"""In other palettes, of each training picture."""
OTHERS = 64
"""Palettes of training pictures that others are recolored to."""
UNSEEN = ("pico-8", "sweetie-16", "endesga-32", "commodore64", "nintendo-gameboy-bgb", "resurrect-64")
WAYS = ("none", "color jitter", "palettes", "both")
TESTS = ("as they are", "hue turned by 120°", "half as light", "in unseen palettes")


@dataclass(frozen=True)
class Sets:
    """Pictures on gray, float ``[N, 3, H, W]``, and their classes, int64 ``[N]``."""

    versions: list[Tensor]
    """Of training pictures: as they are, then in other palettes."""
    labels: Tensor
    tests: dict[str, Tensor]
    answers: Tensor
    clear: Tensor
    """Which pixels of training pictures are transparent, bool ``[N, 1, H, W]``."""


@cache
def sets(kind: str, data: Path | None) -> Sets:
    """The icons of classes that mean something, or the tiles; the first word is the class."""
    sides = both_sides(None) if kind == "icons" else [side.subset(tile_rows(side)) for side in both_sides(data)]
    words = [[side.label_names[label].split()[0] for label in side.labels.tolist()] for side in sides]
    names = sorted({*words[0]} - {OTHER_LABEL, "blue"})
    rows = [[n for n, word in enumerate(each) if word in names] for each in words]
    training, heldout = (side.pictures(torch.tensor(each)) for side, each in zip(sides, rows, strict=True))
    labels = [torch.tensor([names.index(each[n]) for n in some]) for each, some in zip(words, rows, strict=True)]
    rng = np.random.default_rng(0)
    others = [training[n].palette for n in rng.permutation(len(training))[:OTHERS]]
    ways = PaletteJitter(hue=90), OtherPalettes(others)
    unseen = OtherPalettes([read_palette(name) for name in UNSEEN])
    tests = [
        heldout,
        [changed(image, ColorChange(1, 0, 1, 120)) for image in heldout],
        [changed(image, ColorChange(0.5, -0.25, 1, 0)) for image in heldout],
        [unseen(image, rng) for image in heldout],
    ]
    versions = [training, *([ways[rng.integers(2)](image, rng) for image in training] for _ in range(VERSIONS))]
    return Sets(
        [stacked(each) for each in versions],
        labels[0],
        dict(zip(TESTS, map(stacked, tests), strict=True)),
        labels[1],
        torch.from_numpy(np.stack([image.to_rgba()[None, ..., 3] == 0 for image in training])),
    )


def tile_rows(side: IndexMaps) -> Tensor:
    """The rows of Crawl's tiles of the usual size."""
    is_tile = ["Crawl" in credit and size == 32 for credit, size in zip(side.credits, side.sizes.tolist(), strict=True)]
    return torch.tensor(is_tile).nonzero()[:, 0]


def changed(image: IndexedImage, change: ColorChange) -> IndexedImage:
    """A picture with all of its colors changed alike."""
    colors = image.palette.colors.copy()
    moved = into_gamut(change.apply(srgb_to_oklab(colors[:, :3].astype(np.float32) / 255).astype(np.float64)))
    colors[:, :3] = (oklab_to_srgb(moved) * 255).round()
    return IndexedImage(image.indices, Palette(colors))


def stacked(images: list[IndexedImage]) -> Tensor:
    """Pictures on gray, float ``[N, 3, H, W]``, 0 to 1."""
    pixels = np.stack([on_ground(image.to_rgba(), GROUND) for image in images])
    return torch.from_numpy(pixels).movedim(3, 1).float() / 255


def jittered(rgb: Tensor, clear: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue changed at random, picture by picture.

    They are torchvision's `ColorJitter(0.4, 0.4, 0.4, 0.1)`, which turns hue about the gray axis
    here. Transparent pixels stay gray.
    """
    brightness, contrast, saturation, turn = (2 * torch.rand(4, len(rgb), 1, 1, 1) - 1) * 0.4
    x = rgb * (1 + brightness)
    gray = x.mean(dim=(1, 2, 3), keepdim=True)
    x = gray + (x - gray) * (1 + contrast)
    gray = x.mean(dim=1, keepdim=True)
    chroma = (x - gray) * (1 + saturation)
    angle = turn / 4 * 2 * torch.pi  # up to a tenth of a turn
    crossed = (chroma.roll(-1, 1) - chroma.roll(1, 1)) / 3**0.5  # turned by 90° about the gray axis
    x = (gray + chroma * angle.cos() + crossed * angle.sin()).clamp(0, 1)
    return torch.where(clear, rgb, x)


def network(classes: int, size: int) -> nn.Sequential:
    """Three convolutions, which see pictures at 16 × 16, 8 × 8 and 4 × 4, and a linear layer."""
    layers: list[nn.Module] = []
    for before, after, stride in ((3, 24, size // 16), (24, 48, 2), (48, 96, 2)):
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, classes))


def trained(kind: str, data: Path | None, way: str, seed: int, steps: int) -> dict[str, str]:
    """Train in one of `WAYS`; for each test, which held-out pictures are classified right (1)."""
    given = sets(kind, data)
    torch.manual_seed(seed)
    model = network(int(given.labels.max()) + 1, given.clear.shape[-1])
    optimizer = torch.optim.AdamW(model.parameters(), 0.003, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.003, steps)
    for _ in range(steps):
        rows = torch.randint(len(given.labels), (BATCH,))
        number = int(torch.randint(VERSIONS + 1, ())) if way in ("palettes", "both") else 0
        x = given.versions[number][rows]
        if way in ("color jitter", "both"):
            x = jittered(x, given.clear[rows])
        x = torch.where(torch.rand(BATCH, 1, 1, 1) < 0.5, x.flip(3), x)
        F.cross_entropy(model(x), given.labels[rows], label_smoothing=0.05).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    model.eval()
    with torch.inference_mode():
        right = {name: model(x).argmax(dim=1) == given.answers for name, x in given.tests.items()}
    return {name: "".join(map(str, each.int().tolist())) for name, each in right.items()}


def trials(options: Namespace) -> Mapping[str, Callable[[], Any]]:
    """One for each way and seed."""
    kind = "icons" if options.data is None or options.quick else "tiles"
    seeds, steps = (2, 20) if options.quick else (SEEDS, STEPS)
    return {
        f"{kind} in {steps} steps, {way}, seed {seed}": partial(trained, kind, options.data, way, seed, steps)
        for seed in range(seeds)
        for way in WAYS
    }


def accuracies(records: Records, kind: str, way: str, test: str) -> np.ndarray:
    """Which pictures are classified right, ``[seeds, N]``."""
    here = [record for name, record in records.items() if name.startswith(f"{kind}, {way},")]
    return np.array([[int(each) for each in record[test]] for record in here], float)


def mean_over_both(right: np.ndarray) -> tuple[float, float]:
    """The mean of ``[seeds, N]``; its standard error is that over seeds and that over pictures."""
    return float(right.mean()), float(np.hypot(mean_of(right.mean(axis=0))[1], mean_of(right.mean(axis=1))[1]))


def table(records: Records) -> str:
    """Accuracies, and what each way gains, paired, over no augmentation and over color jitter."""
    gains = (f"gain {TESTS[0]}", "gain in other colors", f"the same, over {WAYS[1]}")
    lines = [heading("set", "augmentation", *TESTS, *gains)]
    for kind in dict.fromkeys(name.partition(",")[0] for name in records):
        found = {way: [accuracies(records, kind, way, test) for test in TESTS] for way in WAYS}
        in_others = {way: np.mean(each[1:], axis=0) for way, each in found.items()}
        for way, each in found.items():
            paired = (
                each[0] - found[WAYS[0]][0],
                in_others[way] - in_others[WAYS[0]],
                in_others[way] - in_others[WAYS[1]],
            )
            lines.append(row(kind, way, *(with_error(*mean_over_both(values), 3) for values in (*each, *paired))))
    return "\n".join(lines)


def draw(figure: "Figure", records: Records) -> None:
    """Accuracies as bars, a panel for each set."""
    kinds = list(dict.fromkeys(name.partition(",")[0] for name in records))
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for number, way in enumerate(WAYS):
            found = [mean_over_both(accuracies(records, kind, way, test)) for test in TESTS]
            means, errors = np.array(found).T
            axes.bar(np.arange(len(TESTS)) + 0.2 * number, means, 0.2, yerr=errors, capsize=2, label=way)
        axes.set(title=kind, ylabel="accuracy on held-out pictures")
        axes.set_xticks(np.arange(len(TESTS)) + 0.3, TESTS)
        axes.set_ylim(0, 1)
        axes.legend(fontsize="small", ncols=len(WAYS))


CLAIM = Claim("augmentation", trials, table, draw, (13, 4))


def main(arguments: list[str]) -> None:
    """Train, test, print."""
    examine(CLAIM, __doc__, arguments)


if __name__ == "__main__":
    cli.run(main)
