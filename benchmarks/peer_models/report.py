"""The tables and the figure of a comparison of peers."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tincture.benchmarks.tables import heading, row
from tincture.common.plotting import make_figure, save_figure

STYLES = ("-", "--")
"""Lines of a peer's samplers, in their order."""

Records = Sequence[dict[str, Any]]
"""One record for each set of palettes, peer and seed, and one of ``real`` images for each set."""


def tables(records: Records) -> str:
    """Markdown: training and drawing for each set of palettes, as means over seeds."""
    parts = []
    for palettes in _names(records, "palettes"):
        here = [record for record in records if record["palettes"] == palettes]
        real = next(record for record in here if record["peer"] == "real")
        runs = {
            peer: [record for record in here if record["peer"] == peer]
            for peer in _names(here, "peer")
            if peer != "real"
        }
        parts.append(f"## Palettes: {palettes}\n\n" + _training_table(runs))
        if any(record["drawings"] for seeds in runs.values() for record in seeds):
            parts.append(_drawing_table(runs, real))
    return "\n".join(parts)


def plot(path: Path, records: Records) -> None:
    """Draw bits over minutes and Fréchet distances over calls, a row for each palette set."""
    sets = _names(records, "palettes")
    figure = make_figure(12, 4.5 * len(sets))
    peers = [peer for peer in _names(records, "peer") if peer != "real"]
    for panels, palettes in zip(figure.subplots(len(sets), 2, squeeze=False), sets, strict=True):
        here = [record for record in records if record["palettes"] == palettes]
        for number, peer in enumerate(peers):
            runs = [record for record in here if record["peer"] == peer]
            if not runs:
                continue  # its color stays its own in all rows
            curves = [run["curve"] for run in runs if run["curve"]]
            for place, curve in enumerate(curves):
                label = {"label": peer} if place == 0 else {}
                minutes, bits = ([point[name] for point in curve] for name in ("minutes", "bits"))
                panels[0].plot(minutes, bits, color=f"C{number}", **label)
            ways = _ways(runs)
            for sampler, style in zip(dict.fromkeys(sampler for sampler, _ in ways), STYLES, strict=False):
                calls = sorted(each for name, each in ways if name == sampler)
                distances = [[drawing["frechet"] for drawing in _drawings(runs, sampler, each)] for each in calls]
                panels[1].errorbar(
                    calls,
                    [statistics.mean(values) for values in distances],
                    yerr=[_stderr(values) or 0 for values in distances],
                    marker="o", capsize=3, color=f"C{number}", linestyle=style, label=f"{peer}, {sampler}",
                )  # fmt: skip
        real = next(record for record in here if record["peer"] == "real")
        panels[1].axhline(real["frechet"], color="black", linestyle=":", label="real")
        ends = [run["curve"][-1]["bits"] for run in here if run.get("curve")]
        if ends:  # the first minutes would leave no room for the differences
            panels[0].set_ylim(0.95 * min(ends), 1.85 * min(ends))
        raw = math.log2(real["entries"])
        panels[0].set(
            xlabel="minutes of training",
            ylabel=f"held-out bits per pixel (raw: {raw:g})",
            title=f"palettes: {palettes}",
        )
        if panels[0].get_legend_handles_labels()[0]:  # the other legend lacks those that weren't drawn with
            panels[0].legend(loc="upper right", fontsize="small")
        panels[1].set(xlabel="calls of the network", ylabel="Fréchet distance", title=f"palettes: {palettes}")
        ticks = sorted({drawing["calls"] for run in here for drawing in run.get("drawings", [])})
        panels[1].set_xscale("log", base=2)
        panels[1].set_xticks(ticks, [str(tick) for tick in ticks])
        panels[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    save_figure(figure, path)


def _training_table(runs: dict[str, list[dict[str, Any]]]) -> str:
    lines = [heading("peer", "parameters", "seeds", "steps", "images/s", "peak MiB", "held-out bits per pixel")]
    for peer, seeds in runs.items():
        steps, speed = ([seed[name] for seed in seeds] for name in ("steps", "images_per_second"))
        cells = [peer, f"{seeds[0]['parameters']:,}", str(len(seeds)), _mean(steps, 0), _mean(speed, 0)]
        memory = seeds[0]["peak_mib"]
        cells.append("not measured" if memory is None else f"{memory:.0f}")
        bits = [seed["bits_per_pixel"] for seed in seeds]
        lines.append(row(*cells, "none" if None in bits else _mean(bits, 3)))
    return "\n".join(lines) + "\n"


def _drawing_table(runs: dict[str, list[dict[str, Any]]], real: dict[str, Any]) -> str:
    heads = ["Fréchet", "kernel × 1,000", "recall", "images/s", "pixels off palette", "ΔE to the palette"]
    of_real = [f"{real['frechet']:.1f}", f"{real['kernel']:.1f}", f"{real['recall']:.2f}", "", "", ""]
    lines = [heading("peer", "sampler", "calls", "seeds", *heads), row("real", "", "", "", *of_real)]
    for peer, seeds in runs.items():
        for sampler, calls in _ways(seeds):
            figures = _drawings(seeds, sampler, calls)
            shown = {"frechet": 1, "kernel": 1, "recall": 2, "images_per_second": 1}
            cells = [
                _mean([each[name] for each in figures], digits, [each.get(f"{name}_stderr") for each in figures])
                for name, digits in shown.items()
            ]
            if "off_palette_share" in figures[0]:
                share = statistics.mean(each["off_palette_share"] for each in figures)
                cells += [f"{share:.1%}", _mean([each["off_palette_distance"] for each in figures], 4)]
            else:
                cells += ["0", "0"]
            lines.append(row(peer, sampler, calls, len(figures), *cells))
    return "\n".join(lines) + "\n"


def _ways(runs: Records) -> list[tuple[str, int]]:
    """The samplers and numbers of calls by which any of the runs was drawn, each once."""
    return list(dict.fromkeys((drawing["sampler"], drawing["calls"]) for run in runs for drawing in run["drawings"]))


def _drawings(runs: Records, sampler: str, calls: int) -> list[dict[str, Any]]:
    """The figures of one way to draw, of each run."""
    return [
        drawing
        for run in runs
        for drawing in run["drawings"]
        if (drawing["sampler"], drawing["calls"]) == (sampler, calls)
    ]


def _names(records: Records, key: str) -> list[str]:
    """The values of ``key``, each once, in their order."""
    return list(dict.fromkeys(record[key] for record in records))


def _mean(values: Sequence[float], digits: int, errors: Sequence[float | None] = ()) -> str:
    """The mean, and the standard error by the spread of the seeds or by their own errors.

    Each one's own error holds the choice of the held-out images too, which more seeds don't make
    surer: the result is the error given these images.
    """
    known = [error for error in errors if error is not None]
    own = statistics.mean(known) / len(known) ** 0.5 if known else None
    stderr = max((error for error in (_stderr(values), own) if error is not None), default=None)
    text = f"{statistics.mean(values):.{digits}f}"
    return text if stderr is None else f"{text} ± {stderr:.{digits}f}"


def _stderr(values: Sequence[float]) -> float | None:
    """Of the mean, from the spread of the seeds; nothing for one seed."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
