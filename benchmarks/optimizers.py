"""Compare optimizers at equal time: `python -m benchmarks.optimizers --config FILE …`.

Our network on icons in palettes of their own, as benchmarks/peers.py trains it, once for each
`--runs NAME:RATE`, in turns, so that a busy machine slows all of them alike. `schedule-free` is
AdamW of the package `schedulefree`, whose learning rate only rises and stays, and whose own average
of the weights takes the place of ours. Writes `optimizers.json` and prints a table; weight decay is
the config's for all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ActionConfigFile

from tincture.benchmarks.peer_models import PEERS
from tincture.benchmarks.peer_models.peer import PeerTraining
from tincture.benchmarks.peers import icons_in, plain_options, take_turns, training_figures
from tincture.benchmarks.tables import heading, row, with_error
from tincture.common import cli
from tincture.common.errors import InputError, choose
from tincture.common.files import write_json
from tincture.common.output_folder import claimed
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.training.run_config import RunConfig

SCHEDULE_FREE = "schedule-free"
RESULTS = "optimizers.json"


class ScheduleFreeTraining(PeerTraining):
    """AdamW without a schedule after warmup (Defazio et al. 2024, arXiv 2405.15682)."""

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """One, for all weights."""
        try:
            from schedulefree import AdamWScheduleFree
        except ImportError:
            raise InputError(f"{SCHEDULE_FREE} needs pip install -r requirements-benchmarks.txt") from None
        betas = (0.9, self.config.beta2)
        rate, decay = self.config.learning_rate, self.config.weight_decay
        return [AdamWScheduleFree(self.peer.network.parameters(), lr=rate, betas=betas, weight_decay=decay)]

    def run(self, until: float, budget: float) -> None:
        """As `PeerTraining.run`. Between runs, the network holds the optimizer's average."""
        self.optimizers[0].train()
        super().run(until, budget)
        self.optimizers[0].eval()
        self.average.module.load_state_dict(self.peer.network.state_dict())

    def rate_factor(self, fraction: float) -> float:
        """A linear rise, and no fall."""
        return min(1.0, fraction / self.config.warmup) if self.config.warmup else 1.0

    def update(self) -> None:
        """Change the weights; their average is the optimizer's affair."""
        self.optimizers[0].step()


TRAININGS: dict[str, Callable[..., PeerTraining]] = {
    "adamw": PeerTraining,
    "muon": PeerTraining,
    SCHEDULE_FREE: ScheduleFreeTraining,
}


@dataclass(frozen=True)
class Run:
    """An optimizer, and the peak of its learning rate: AdamW's, of which Muon's is a multiple."""

    optimizer: str
    rate: float

    @classmethod
    def parse(cls, text: str) -> "Run":
        """From ``NAME:RATE``; raises InputError if it isn't that."""
        name, _, rate = text.partition(":")
        choose("optimizer", name, TRAININGS)
        try:
            return cls(name, float(rate))
        except ValueError:
            raise InputError(f"--runs {text}: write an optimizer and its learning rate, such as adamw:0.002") from None

    def start(self, config: RunConfig, training: IndexMaps, device: torch.device) -> PeerTraining:
        """Our network with weights of the config's seed, not yet trained."""
        torch.manual_seed(config.seed)
        changes: dict[str, Any] = {"learning_rate": self.rate}
        if self.optimizer != SCHEDULE_FREE:
            changes["optimizer"] = self.optimizer
        peer = PEERS["ours"](config.model, training.palettes.mask_index)
        return TRAININGS[self.optimizer](peer, replace(config.train, **changes), training, config.seed, device)


def main(arguments: list[str]) -> None:
    """Train all runs in turns, measure, write, print."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    add = parser.add_argument
    add("--config", action=ActionConfigFile, help="YAML file of sizes (model), batches, clock and weight decay (train)")
    add("--output", type=Path, required=True, help="folder for optimizers.json")
    add("--overwrite", action="store_true", help="replace what an earlier comparison left there")
    add("--runs", nargs="+", default=["muon:0.002", "adamw:0.002", "schedule-free:0.002"], help="NAME:RATE of each")
    add("--minutes", type=float, default=6.0, help="of training, for each")
    add("--slices", type=int, default=12, help="turns in which a run's minutes come")
    add("--times", type=int, default=8, help="corruptions of each held-out icon for the final bits per pixel")
    parser.add_class_arguments(RunConfig)
    options = parser.parse_args(arguments)
    runs = {text: Run.parse(text) for text in options.runs}
    with claimed(options.output, options.overwrite, lambda _: [RESULTS]):
        config = parser.instantiate(options)
        device = torch.device("cuda" if torch.cuda.is_available() and config.train.device == "auto" else "cpu")
        training, heldout = load_index_maps(icons_in("own", config.data))
        trainings = {text: run.start(config, training, device) for text, run in runs.items()}
        curves = take_turns(trainings, heldout, 60 * options.minutes, options.slices)
        records = [
            {"optimizer": runs[text].optimizer, "rate": runs[text].rate}
            | training_figures(each, heldout, options.times)
            | {"curve": curves[text]}
            for text, each in trainings.items()
        ]
        records.sort(key=lambda record: record["bits_per_pixel"])
        print(table(records))
        write_json(options.output / RESULTS, {"options": plain_options(parser, options), "records": records})


def table(records: list[dict[str, Any]]) -> str:
    """Markdown, in the order of ``records``."""
    lines = [heading("optimizer", "learning rate", "steps", "held-out bits per pixel")]
    for each in records:
        bits = with_error(each["bits_per_pixel"], each["bits_per_pixel_stderr"], 3)
        lines.append(row(each["optimizer"], f"{each['rate']:g}", each["steps"], bits))
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
