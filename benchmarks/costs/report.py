"""The tables and the figure of what `benchmarks.scaling measure` found."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tincture.benchmarks.costs.laws import TERMS, Law, Point, cost, fit, operations_law, residuals
from tincture.benchmarks.tables import heading, row
from tincture.common.plotting import make_figure, save_figure
from tincture.models.options import DenoiserConfig, UNetConfig

Record = dict[str, Any]
"""One setting: the fields of `Counts`, and seconds."""

SCALED = {"operations": (1e-9, "GFLOP"), "seconds": (1e3, "ms"), "bytes": (2**-20, "MiB")}
"""How each kind of cost is shown."""
LABELS = {"training": "training", "call": "a call of the network"}
MEMORY_TERMS = ("pixels", "pixels × entries", "entries", "picture")
"""Attention doesn't keep its N² shares, so no term is quadratic."""


def model_of(record: Record) -> DenoiserConfig:
    """The network that a record is about."""
    unet = {key: tuple(value) if isinstance(value, list) else value for key, value in record["model"]["unet"].items()}
    return DenoiserConfig(**record["model"] | {"unet": UNetConfig(**unet)})


def points(records: Sequence[Record], name: str) -> list[Point]:
    """A column as measurements."""
    return [Point(record["size"] ** 2, record["entries"], record[name]) for record in records]


def laws(result: dict[str, Any]) -> dict[str, tuple[Law, list[Point]]]:
    """The fitted law of each cost of the network at width 1, and what it was fitted to."""
    records = [record for name, record in result["records"].items() if not name.startswith("width")]
    found = {}
    for name in ("training_operations", "call_operations", "training_seconds", "call_seconds", "choice_seconds"):
        found[name] = fit(points(records, name), list(TERMS)), points(records, name)
    for name in ("training_bytes", "call_bytes", "choice_bytes"):
        found[name] = fit(points(records, name), MEMORY_TERMS), points(records, name)
    return found


def tables(result: dict[str, Any]) -> str:
    """Markdown: every setting, then the laws."""
    header = [
        "edge", "entries", "weights", "training: GFLOP", "of derived", "ms", "GFLOP/s", "MiB", "resident MiB",
        "call: GFLOP", "ms", "MiB", "choice: ms", "MiB", "optimizer: GFLOP", "ms",
    ]  # fmt: skip
    lines = ["Costs of an image; of a step for the optimizer.", "", heading(*header)]
    for record in result["records"].values():
        law = operations_law(model_of(record), training=True)
        derived = cost(law, record["size"] ** 2, record["entries"])
        cells = [
            f"{record['size']}", f"{record['entries']}", f"{record['weights'] / 1e6:.2f} M",
            f"{record['training_operations'] / 1e9:.3f}", f"{record['training_operations'] / derived:.6f}",
            f"{1e3 * record['training_seconds']:.2f}",
            f"{record['training_operations'] / record['training_seconds'] / 1e9:.0f}",
            f"{record['training_bytes'] / 2**20:.2f}", f"{record['training_mib'] / record['images']:.2f}",
            f"{record['call_operations'] / 1e9:.3f}", f"{1e3 * record['call_seconds']:.2f}",
            f"{record['call_bytes'] / 2**20:.2f}",
            f"{1e3 * record['choice_seconds']:.2f}", f"{record['choice_bytes'] / 2**20:.2f}",
            f"{record['update_operations'] / 1e9:.2f}", f"{1e3 * record['update_seconds']:.0f}",
        ]  # fmt: skip
        lines.append(row(*cells))
    lines += ["", f"A {result['product']}² matrix product in turn with these: {result['peak'] / 1e9:.0f} GFLOP/s.", ""]
    names = list(TERMS)
    lines.append(heading("cost of an image, per", *names, "largest residual", "median"))
    model = model_of(next(iter(result["records"].values())))
    for name, (law, at) in laws(result).items():
        factor, unit = {"operations": (1, "FLOP"), "seconds": (1e9, "ns"), "bytes": (1, "bytes")}[name.split("_")[1]]
        if unit == "FLOP":
            derived = operations_law(model, name.startswith("training"))
            cells = [f"{derived.get(term, 0):.6g}" for term in names]
            lines.append(row(f"{name.replace('_', ' ')}, derived", *cells, *_errors(derived, at)))
        cells = [f"{factor * law[term]:.6g}" if law.get(term) else "0" for term in names]
        lines.append(row(f"{name.replace('_', ' ')}, {unit}, fitted", *cells, *_errors(law, at)))
    return "\n".join(lines) + "\n"


def plot(path: Path, result: dict[str, Any]) -> None:
    """Draw operations, seconds and memory: points are measured, lines are the laws."""
    records = list(result["records"].items())
    base = records[0][1]
    sweeps = {
        "pixels": [r for n, r in records if not n.startswith("width") and r["entries"] == base["entries"]],
        "entries": [r for n, r in records if not n.startswith("width") and r["size"] == 32],
        "weights": [r for n, r in records if n.startswith("width")],
    }
    titles = (f"palettes of {base['entries']}", "32 × 32 pixels", f"{base['size']} × {base['size']} pixels")
    fitted = laws(result)
    figure = make_figure(10, 8)
    panels = figure.subplots(3, 3)
    for line_of_panels, (kind, (factor, unit)) in zip(panels, SCALED.items(), strict=True):
        for panel, (axis, sweep), title in zip(line_of_panels, sweeps.items(), titles, strict=True):
            for what, color in (("training", "tab:blue"), ("call", "tab:orange")):
                name = f"{what}_{kind}"
                ordered = sorted(sweep, key=lambda record: (record["size"], record["entries"], record["weights"]))
                places = [record["size"] ** 2 if axis == "pixels" else record[axis] for record in ordered]
                panel.plot(places, [factor * record[name] for record in ordered], "o", color=color, label=LABELS[what])
                line = [_by_law(record, name, fitted, axis == "weights") for record in ordered]
                if None not in line:
                    panel.plot(places, [factor * value for value in line], color=color, linewidth=1)
            panel.set(xscale="log", yscale="log", xlabel=axis, ylabel=f"{unit} an image", title=title)
            panel.grid(visible=True, alpha=0.3)
    panels[0][0].legend(loc="lower right", fontsize=8)
    save_figure(figure, path)


def _by_law(record: Record, name: str, fitted: dict[str, tuple[Law, list[Point]]], other_width: bool) -> float | None:
    """What a law says about a record: the fitted law, or the derived one for another width."""
    if not other_width:
        return cost(fitted[name][0], record["size"] ** 2, record["entries"])
    if not name.endswith("operations"):
        return None
    return cost(operations_law(model_of(record), name.startswith("training")), record["size"] ** 2, record["entries"])


def _errors(law: Law, at: list[Point]) -> list[str]:
    errors = sorted(abs(error) for error in residuals(law, at))
    return [f"{errors[-1]:.2%}", f"{errors[len(errors) // 2]:.2%}"]
