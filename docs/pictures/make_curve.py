"""Draw a run's held-out bits per pixel over its steps: `python docs/pictures/make_curve.py runs/reference checkpoints/icons16/curve.png`."""

import json
import sys
from pathlib import Path

from tincture.common.plotting import make_figure, save_figure
from tincture.training.tracking import METRICS_FILE

LINES = {
    "heldout/bits_per_pixel": "held out",
    "heldout/bits_per_pixel_given_class": "held out, told the class",
    "train/bits_per_pixel": "training, half of the time told luminance",
}


def main(run: Path, output: Path) -> None:
    """Read the scalars, draw, save."""
    records = [json.loads(line) for line in (run / METRICS_FILE).read_text().splitlines()]
    figure = make_figure(7, 3.5)
    axes = figure.subplots()
    for name, label in LINES.items():
        points = [(record["step"], record[name]) for record in records if name in record]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="o" if len(points) < 50 else None)
    axes.set(xlabel="step", ylabel="bits per pixel", ylim=(0.4, 1.8))
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    save_figure(figure, output)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
