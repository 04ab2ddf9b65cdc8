import json
from dataclasses import replace

import pytest
import torch

from tincture.benchmarks import optimizers
from tincture.benchmarks.optimizers import Run, ScheduleFreeTraining, table
from tincture.benchmarks.peer_models.peer import Peer
from tincture.common.errors import InputError
from tincture.data.index_maps import IndexMaps
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.training.run_config import TrainConfig

CONFIG = TrainConfig(batch_size=2, learning_rate=0.1, warmup=0.25, weight_decay=0.0, beta2=0.5)


class Bowl(Peer):
    """The loss Σ (w - target)² of a network that is one row of weights."""

    def __init__(self, target):
        self.network, self.target, self.seen = torch.nn.Linear(2, 1, bias=False), torch.tensor(target), []
        torch.nn.init.zeros_(self.network.weight)

    def loss(self, batch):
        self.seen.append(self.network.weight.detach().clone())
        return (self.network.weight - self.target).square().sum()


def maps():
    palettes = PaletteBatch.from_palettes([Palette.from_hex(["000000", "ffffff"])] * 4)
    return IndexMaps(torch.zeros(4, 2, 2, dtype=torch.uint8), palettes, torch.zeros(4).long(), ["all"], *[[""] * 4] * 3)


def test_without_a_schedule_it_is_schedule_free_adamw_and_leaves_the_average_of_its_weights():
    pytest.importorskip("schedulefree")
    peer = Bowl([3.0, -2.0])
    training = ScheduleFreeTraining(peer, CONFIG, maps(), 0, torch.device("cpu"))
    training.optimizers[0].train()
    fractions = torch.linspace(0.125, 1, 8).tolist()
    for fraction in fractions:
        training.step(fraction)
    # The paper's equations: y = 0.1 z + 0.9 x, z by AdamW's step without momentum, x the mean of
    # all z weighted by squared rates.
    x = z = torch.zeros(1, 2)
    second, weights = torch.zeros(1, 2), 0.0
    largest = 0.0
    for step, fraction in enumerate(fractions):
        y = 0.1 * z + 0.9 * x
        torch.testing.assert_close(peer.seen[step], y)
        gradient = 2 * (y - peer.target)
        gradient = gradient * min(1, CONFIG.clip_norm / (gradient.norm().item() + 1e-6))
        second = 0.5 * second + 0.5 * gradient**2
        rate = 0.1 * min(1, fraction / 0.25)
        largest = max(largest, rate)
        z = z - rate * gradient / ((second / (1 - 0.5 ** (step + 1))).sqrt() + 1e-8)
        weights += largest**2
        x = x + largest**2 / weights * (z - x)
    training.optimizers[0].eval()
    torch.testing.assert_close(peer.network.weight.detach(), x)


def test_after_a_run_the_average_is_the_optimizers():
    pytest.importorskip("schedulefree")
    peer = Bowl([3.0, -2.0])
    training = ScheduleFreeTraining(peer, replace(CONFIG, clock="wall"), maps(), 0, torch.device("cpu"))
    training.run(0.2, 0.2)
    assert training.steps > 1
    assert torch.equal(training.average.module.weight, peer.network.weight)
    assert (peer.network.weight - peer.target).abs().max() < 3, "it moved"
    assert not torch.equal(peer.network.weight, peer.seen[-1]), "the average, not where gradients are taken"


def test_runs_are_an_optimizer_and_a_rate():
    assert Run.parse("adamw:0.002") == Run("adamw", 0.002)
    with pytest.raises(InputError, match="unknown optimizer 'sgd'"):
        Run.parse("sgd:1")
    with pytest.raises(InputError, match="write an optimizer and its learning rate"):
        Run.parse("muon")


def test_the_table_has_a_line_for_each_run():
    record = {"optimizer": "muon", "rate": 0.002, "steps": 9, "bits_per_pixel": 1.25, "bits_per_pixel_stderr": 0.02}
    assert table([record]).splitlines()[-1] == "| muon | 0.002 | 9 | 1.250 ± 0.020 |"


def test_a_comparison_is_written_and_refused_the_second_time(run, cache_dir, tmp_path):
    small = ["--model.unet.channels", "[8,32]", "--model.unet.blocks", "[1,1]", "--model.token_channels", 32]
    small += ["--model.unet.patch_size", 2, "--model.unet.attention", "[false,true]"]
    options = [
        "--config",
        "configs/icons16.yaml",
        "--runs",
        "muon:0.002",
        "adamw:0.002",
        "--train.batch_size",
        8,
        *small,
    ]
    words = [*options, "--minutes", 0.002, "--slices", 1, "--times", 1, "--output", tmp_path]
    words += ["--data.cache_dir", cache_dir]
    status, out, err = run(optimizers, *words)
    assert status == 0, err
    records = json.loads((tmp_path / "optimizers.json").read_text())["records"]
    assert {record["optimizer"] for record in records} == {"muon", "adamw"}
    assert out.count("| muon |") == 1
    status, _, err = run(optimizers, *words)
    assert (status, "is not empty" in err) == (2, True)
