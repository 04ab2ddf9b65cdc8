"""Where the time of a training step goes: ``python -m benchmarks.training_speed --config configs/icons16.yaml``.

Operations are counted by torch's FlopCounterMode (multiplications and additions of matrix products and convolutions, forward and
backward). The peak is that of a 2,048² matrix product, measured between the steps, so that a busy machine slows both alike. Figures are
medians; ratios hold where seconds don't.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jsonargparse import ActionConfigFile
from torch.optim.swa_utils import AveragedModel

from tincture.common import cli
from tincture.data.index_maps import load_index_maps
from tincture.diffusion.likelihood import hybrid_loss
from tincture.models.denoiser import build_denoiser
from tincture.training.examples import ExampleMaker, Examples
from tincture.training.feeds import WholeSet
from tincture.training.optimizers import OPTIMIZERS, exponential_average
from tincture.training.run_config import RunConfig

from .costs.counters import operations
from .process_memory import can_measure, peak_mib, reset_peak, resident_mib

MATRIX = 2048
PRODUCT, NETWORK = "matrix product", "network and loss"


class Stopwatch:
    """Seconds of named parts, on any device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        self._wait()
        started = time.perf_counter()
        yield
        self._wait()
        self.seconds.setdefault(name, []).append(time.perf_counter() - started)

    def median(self, name: str) -> float:
        """Of all times that a part was run."""
        return statistics.median(self.seconds[name])

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Step:
    """The parts of a step of training/loop.py, each to be timed."""

    def __init__(self, config: RunConfig, device: torch.device, compiled: bool) -> None:
        self.config, self.device = config.train, device
        training, heldout = load_index_maps(config.data)
        self.feed = WholeSet(training, heldout, config.train.batch_size, seed=0)
        torch.manual_seed(config.seed)
        self.model = build_denoiser(config.model, len(training.label_names), training.palettes.mask_index)
        self.model.to(device, memory_format=torch.channels_last)
        self.network = torch.compile(self.model) if compiled else self.model
        self.process = config.process.make_scheduler().process
        self.make_examples = ExampleMaker(self.model, self.process, training.palettes, config.train, 0, device)
        self.average = AveragedModel(self.model, multi_avg_fn=exponential_average(config.train.ema_decay))
        self.optimizers = OPTIMIZERS[config.train.optimizer](self.model, config.train)

    def load(self, step: int) -> Examples:
        """The step's pictures, augmented and corrupted, on the device."""
        return self.make_examples(self.feed.pictures(step, slice(None)), step, 0)

    def learn(self, examples: Examples) -> None:
        """Predict, and propagate back."""
        x_0, x_t, t, palette = examples.x_0, examples.x_t, examples.t, examples.palette
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.mixed_precision == "bf16"):
            logits = self.network(x_t, t, palette, examples.conditions).float()
        losses, _ = hybrid_loss(self.process, logits, x_0, x_t, t, palette, self.config.cross_entropy)
        losses.mean().backward()

    def update(self) -> None:
        """Change the weights and their average."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.average.update_parameters(self.model)

    def run(self) -> None:
        """All of it."""
        self.learn(self.load(0))
        self.update()


def main(arguments: list[str]) -> None:
    """Time steps and products in turn, print."""
    parser = cli.make_parser(__doc__.split(":")[0])
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of the keys below")
    parser.add_argument("--steps", type=int, default=10, help="training steps to time, after two that are not")
    parser.add_argument("--compile", action="store_true", help="compile the network")
    parser.add_argument("--profile", action="store_true", help="print the operations that take longest")
    parser.add_class_arguments(RunConfig)
    options = parser.parse_args(arguments)
    config: RunConfig = parser.instantiate(options)
    device = torch.device("cuda" if torch.cuda.is_available() and config.train.device == "auto" else "cpu")
    step = Step(config, device, options.compile)
    memory = peak_memory(step.run, device)
    examples = step.load(0)
    network_operations, update_operations = operations(lambda: step.learn(examples)), operations(step.update)
    number_format = torch.bfloat16 if config.train.mixed_precision == "bf16" else torch.float32
    matrix = torch.randn(MATRIX, MATRIX, device=device, dtype=number_format)
    watch = Stopwatch(device)
    for number in range(options.steps):
        with watch.part(PRODUCT):
            matrix @ matrix
        with watch.part("loading, augmentation and corruption"):
            batch = step.load(number)
        with watch.part(NETWORK):
            step.learn(batch)
        with watch.part("optimizer and average"):
            step.update()
    report(watch, network_operations, update_operations, config.train.batch_size, memory)
    if options.profile:
        print_profile(step.run)


def report(watch: Stopwatch, network: int, update: int, batch_size: int, memory: float) -> None:
    """Print two tables, for so many operations of the network and of the optimizer."""
    parts = [name for name in watch.seconds if name != PRODUCT]
    step = sum(watch.median(name) for name in parts)
    peak = 2 * MATRIX**3 / watch.median(PRODUCT)
    print("| part of a step | share |\n| --- | --- |")
    for name in parts:
        print(f"| {name} | {watch.median(name) / step:.1%} |")
    reached, reached_by_network = (network + update) / step, network / watch.median(NETWORK)
    print("\n| | |\n| --- | --- |")
    print(f"| operations of the network, an image | {network / batch_size / 1e9:.3f} GFLOP |")
    print(f"| operations of the optimizer, a step | {update / 1e9:.3f} GFLOP |")
    print(f"| images a second | {batch_size / step:.0f} |")
    print(f"| peak: a {MATRIX}² matrix product | {peak / 1e9:.0f} GFLOP/s |")
    print(
        f"| reached by the network | {reached_by_network / 1e9:.0f} GFLOP/s, {reached_by_network / peak:.0%} of the peak |"
    )
    print(f"| reached by the whole step | {reached / 1e9:.0f} GFLOP/s, {reached / peak:.0%} of the peak |")
    print(f"| memory of a step | {memory:.0f} MiB, {memory / batch_size:.1f} MiB an image |")


def peak_memory(run: Callable[[], object], device: torch.device) -> float:
    """MiB that ``run`` needs at most above what was there before; not a number where that can't be measured."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    if not can_measure():
        return float("nan")
    before = resident_mib()
    reset_peak()
    run()
    return peak_mib() - before


def print_profile(run: Callable[[], object]) -> None:
    """The operations that ``run`` spends most time in."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        run()
    total = sum(event.self_cpu_time_total for event in profile.key_averages())
    print("\n| operation | share of the step's processor time |\n| --- | --- |")
    for event in sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)[:12]:
        print(f"| {event.key} | {event.self_cpu_time_total / total:.1%} |")


if __name__ == "__main__":
    cli.run(main)
