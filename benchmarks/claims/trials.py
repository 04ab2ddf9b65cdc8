"""What the tests of claims share: trials whose records are kept, and the pictures they are made on.

A test prints its table and draws its picture from the records alone. So a command prints again what
was measured before, and goes on where it was stopped.
"""

import json
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from tincture.benchmarks.compression import pictures_of, rgba
from tincture.benchmarks.judge import both_sides, heldout_pictures
from tincture.benchmarks.photographs import photographs
from tincture.common import cli
from tincture.common.files import read_json, write_atomically
from tincture.common.plotting import make_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEPT = Path("docs/results/claims")
ICONS, SPRITES = Path("checkpoints/icons16"), Path("checkpoints/sprites")

Records = dict[str, Any]
"""What each trial came to, by a name that says all it depends on; values that JSON can hold."""


class Claim(NamedTuple):
    """How a claim is tested."""

    name: str
    trials: Callable[[Namespace], Mapping[str, Callable[[], Any]]]
    """The trials, of the command's options. Names of those with ``--quick`` are no others'."""
    table: Callable[[Records], str]
    draw: Callable[["Figure", Records], None]
    size: tuple[float, float]
    """Of the picture, in hundreds of pixels."""


def examine(claim: Claim, description: str, arguments: list[str]) -> None:
    """Run the trials that weren't run yet, keep their records, print a table, draw a picture."""
    parser = cli.FlagParser(description.partition(": `python")[0])
    parser.add_argument("--output", type=Path, help=f"folder of its JSON and picture; {KEPT} if left out, if not quick")
    parser.add_argument("--data", type=Path, help="of encode_dataset.py; no trials on Crawl's tiles if left out")
    parser.add_argument("--quick", action="store_true", help="few and small trials, in under two minutes")
    options = parser.parse_args(arguments)
    output = options.output or (Path("runs/claims") if options.quick else KEPT)
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{claim.name}.json"
    records: Records = read_json(path) if path.exists() else {}
    for name, run in tqdm(claim.trials(options).items(), desc=claim.name, unit="trial"):
        if name not in records:
            records[name] = run()
            lines = ",\n".join(f"{json.dumps(each)}: {json.dumps(record)}" for each, record in records.items())
            write_atomically(path, lambda temporary, text=lines: temporary.write_text(f"{{\n{text}\n}}\n"))
    print(claim.table(records))
    figure = make_figure(*claim.size)
    claim.draw(figure, records)
    save_figure(figure, path.with_suffix(".png"))


def small_photographs(width: int, height: int) -> dict[str, np.ndarray]:
    """Photographs made small, whole, uint8 ``[height, width, 3]`` each."""
    sizes = {"size": (width, height), "resample": Image.Resampling.LANCZOS}
    return {name: np.array(Image.fromarray(pixels).resize(**sizes)) for name, pixels in photographs().items()}


def icon_sheets(number: int) -> dict[str, np.ndarray]:
    """Sheets of 8 × 4 held-out icons in all their colors, on white, uint8 ``[64, 128, 3]`` each."""
    icons = heldout_pictures()
    order = np.random.default_rng(0).permutation(len(icons))
    return {f"icons {n}": sheet([icons[i] for i in order[32 * n : 32 * n + 32]], 8, 255) for n in range(number)}


def crawl_sheets(data: Path, number: int) -> dict[str, np.ndarray]:
    """Sheets of 4 × 3 held-out tiles of Dungeon Crawl on black, uint8 ``[96, 128, 3]`` each."""
    asked = Namespace(size=32, credit="Crawl", most=12 * number)
    tiles = [rgba(picture) for picture in pictures_of(both_sides(data)[1], asked)]
    return {f"tiles {n}": sheet(tiles[12 * n : 12 * n + 12], 4, 0) for n in range(number)}


def sheet(pictures: list[np.ndarray], columns: int, ground: int) -> np.ndarray:
    """Pictures of one size side by side on a gray, uint8 ``[H, W, 3 or 4]`` → ``[H, W, 3]``."""
    laid = [on_ground(picture, ground) for picture in pictures]
    return np.concatenate([np.concatenate(laid[i : i + columns], axis=1) for i in range(0, len(laid), columns)])


def on_ground(picture: np.ndarray, ground: int) -> np.ndarray:
    """A picture laid on a gray, uint8 ``[H, W, 3 or 4]`` → ``[H, W, 3]``."""
    alpha = picture[..., 3:] / 255 if picture.shape[2] == 4 else 1.0
    return (picture[..., :3] * alpha + ground * (1 - alpha)).round().astype(np.uint8)
