"""Where time goes: `python -m benchmarks.speed step --config FILE`, or `… overhead`.

Works are timed in turns and medians are compared, so that a busy machine slows all of them alike.
Ratios hold where seconds don't.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import yaml
from jsonargparse import ActionConfigFile, Namespace
from torch import Tensor

from tincture.benchmarks.meters import dispatched, medians, operations, process_memory
from tincture.benchmarks.tables import heading, row
from tincture.benchmarks.work import TrainingStep
from tincture.common import cli
from tincture.data.index_maps import load_index_maps
from tincture.diffusion.likelihood import hybrid_loss
from tincture.diffusion.scheduler import PaletteScheduler, sampler_names
from tincture.models.denoiser import Denoiser, build_denoiser
from tincture.models.options import DenoiserConfig, UNetConfig
from tincture.pipelines.asking import Reuse
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.training.examples import ExampleMaker, Examples
from tincture.training.feeds import WholeSet
from tincture.training.run_config import RunConfig

MATRIX = 2048
PRODUCT, NETWORK = "matrix product", "network and loss"
BATCH, ENTRIES, SIZE, STEPS, ROUNDS = 64, 16, 16, 16, 15
PROCESSES = {"absorbing": {}, "uniform": {}, "color-heat": {"width": 0.2, "leap": 0.1}}


# A training step. Operations are the multiplications and additions of matrix products and
# convolutions, forward and backward. The peak is that of a 2,048² matrix product, measured between
# the steps.


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
        """The median of all times that a part was run."""
        return statistics.median(self.seconds[name])

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Step(TrainingStep):
    """The parts of a step of training/loop.py, on its own data."""

    def __init__(self, config: RunConfig, device: torch.device, is_compiled: bool) -> None:
        training, heldout = load_index_maps(config.data)
        torch.manual_seed(config.seed)
        model = build_denoiser(config.model, len(training.label_names), training.palettes.mask_index)
        super().__init__(model, config.process, config.train, device, is_compiled)
        self.feed = WholeSet(training, heldout, config.train.batch_size, seed=0)
        self.make_examples = ExampleMaker(self.model, self.process, training.palettes, config.train, 0, device)

    def load(self, step: int) -> Examples:
        """The step's pictures, augmented and corrupted, on the device."""
        return self.make_examples(self.feed.pictures(step, slice(None)), step, 0)

    def run(self) -> None:
        """The whole step."""
        self.learn_from(self.load(0))
        self.update()


def time_step(options: Namespace, config: RunConfig) -> None:
    """Time steps and matrix products in turn, print."""
    device = torch.device("cuda" if torch.cuda.is_available() and config.train.device == "auto" else "cpu")
    step = Step(config, device, options.compile)
    memory = peak_memory(step.run, device)
    examples = step.load(0)
    network_operations, update_operations = operations(lambda: step.learn_from(examples)), operations(step.update)
    step.learn_from(examples)  # an update takes the gradients away
    launches = {"loading": dispatched(lambda: step.load(1)), "optimizer and average": dispatched(step.update)}
    number_format = torch.bfloat16 if config.train.mixed_precision == "bf16" else torch.float32
    matrix = torch.randn(MATRIX, MATRIX, device=device, dtype=number_format)
    watch = Stopwatch(device)
    for number in range(options.steps):
        with watch.part(PRODUCT):
            matrix @ matrix
        with watch.part("loading, augmentation and corruption"):
            batch = step.load(number)
        with watch.part(NETWORK):
            step.learn_from(batch)
        with watch.part("optimizer and average"):
            step.update()
    report(watch, network_operations, update_operations, config.train.batch_size, memory)
    for part, count in launches.items():
        print(row(f"tensor operations dispatched by {part}", f"{count:,}"))
    if options.profile:
        print_profile(step.run)


def report(watch: Stopwatch, network: int, update: int, batch_size: int, memory: float) -> None:
    """Print two tables, for so many operations of the network and of the optimizer."""
    parts = [name for name in watch.seconds if name != PRODUCT]
    step = sum(watch.median(name) for name in parts)
    peak = 2 * MATRIX**3 / watch.median(PRODUCT)
    print(heading("part of a step", "share"))
    for name in parts:
        print(row(name, f"{watch.median(name) / step:.1%}"))
    reached, by_network = (network + update) / step, network / watch.median(NETWORK)
    print("\n" + heading("", ""))
    print(row("operations of the network, an image", f"{network / batch_size / 1e9:.3f} GFLOP"))
    print(row("operations of the optimizer, a step", f"{update / 1e9:.3f} GFLOP"))
    print(row("images a second", f"{batch_size / step:.0f}"))
    print(row(f"peak: a {MATRIX}² matrix product", f"{peak / 1e9:.0f} GFLOP/s"))
    print(row("reached by the network", f"{by_network / 1e9:.0f} GFLOP/s, {by_network / peak:.0%} of the peak"))
    print(row("reached by the whole step", f"{reached / 1e9:.0f} GFLOP/s, {reached / peak:.0%} of the peak"))
    print(row("memory of a step", f"{memory:.0f} MiB, {memory / batch_size:.1f} MiB an image"))


def peak_memory(run: Callable[[], object], device: torch.device) -> float:
    """MiB that ``run`` needs at most above what was there before; NaN if unknown."""
    if device.type != "cuda":
        return process_memory(run)[0]
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def print_profile(run: Callable[[], object]) -> None:
    """Print the operations that ``run`` spends most time in."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        run()
    total = sum(event.self_cpu_time_total for event in profile.key_averages())
    print("\n" + heading("operation", "share of the step's processor time"))
    for event in sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)[:12]:
        print(row(event.key, f"{event.self_cpu_time_total / total:.1%}"))


# What processes and samplers cost beside the network: the demo's, on 64 icons of 16 × 16 in 16
# entries.


def time_overhead(options: Namespace) -> None:
    """Time samplers and losses against the demo's network, print two tables."""
    model = yaml.safe_load(Path("configs/icons16.yaml").read_text())["model"]
    config = DenoiserConfig(**model | {"unet": UNetConfig(**model["unet"])})
    denoiser = build_denoiser(config, num_classes=2, num_entries=ENTRIES).to(memory_format=torch.channels_last)
    overhead_of_sampling(denoiser, options.rounds)
    overhead_of_training(denoiser, options.rounds)


@torch.inference_mode()
def overhead_of_sampling(denoiser: Denoiser, rounds: int) -> None:
    """Print a step of each sampler, with logits that are there, against a call of the network."""
    denoiser.eval()
    palette = palettes()
    logits = 3 * torch.randn(1, BATCH, ENTRIES, SIZE, SIZE)
    x_t, t = torch.randint(0, ENTRIES + 1, (BATCH, SIZE, SIZE)), torch.full((BATCH,), 0.5)
    print(heading("process", "sampler", "a step, ms", "network, ms", "ratio"))
    for process, options in PROCESSES.items():
        for name in sampler_names(PaletteScheduler(process, options).process):
            scheduler = PaletteScheduler(process, options, sampler=name)

            def draw(scheduler: PaletteScheduler = scheduler) -> None:
                scheduler.set_timesteps(STEPS)
                reuse = Reuse(lambda x, t, rows: logits[:, rows], depends_on_time=True)
                x = scheduler.start(scheduler.prior(palette, SIZE, SIZE), palette)
                for time_ in scheduler.timesteps:
                    if not scheduler.finished:
                        x = scheduler.step(reuse(x, scheduler.times)[0], time_, x).prev_sample

            print_ratio([process, name], draw, lambda: denoiser(x_t, t, palette), rounds, STEPS)


def overhead_of_training(denoiser: Denoiser, rounds: int) -> None:
    """Print corruption and bound with gradient, against the network's passes forward and back."""
    denoiser.train()
    x_0 = torch.randint(0, ENTRIES, (BATCH, SIZE, SIZE))
    leaf = torch.randn(BATCH, ENTRIES, SIZE, SIZE, requires_grad=True)
    print("\n" + heading("process", "corruption and bound, ms", "network, ms", "ratio"))
    for process, options in PROCESSES.items():
        chain = PaletteScheduler(process, options).process

        def network() -> None:
            x_t, t, palette = torch.randint(0, ENTRIES, (BATCH, SIZE, SIZE)), torch.rand(BATCH), palettes()
            denoiser(x_t, t, palette).mean().backward()

        def bound(chain: object = chain) -> Tensor:
            palette, t = palettes(), 1 - torch.rand(BATCH)
            x_t = chain.q_sample(x_0, t, palette, None)
            hybrid_loss(chain, leaf, x_0, x_t, t, palette, weight=0.0)[0].mean().backward()

        print_ratio([process], bound, network, rounds)


def print_ratio(
    names: list[str], algorithm: Callable[[], object], network: Callable[[], object], rounds: int, steps: int = 1
) -> None:
    """Print a row: the time of one step of the algorithm's, and the network's."""
    found = medians({"algorithm": algorithm, "network": network}, rounds, time.perf_counter)
    step, whole = found["algorithm"] / steps, found["network"]
    print(row(*names, f"{1000 * step:.1f}", f"{1000 * whole:.1f}", f"{step / whole:.3f}"), flush=True)


def palettes() -> PaletteBatch:
    """Palettes of random colors, new objects each time, as a training step has them."""
    rows = torch.randint(0, 2**24, (BATCH, ENTRIES)).tolist()
    return PaletteBatch.from_palettes([Palette.from_hex([f"{color:06x}" for color in colors]) for colors in rows])


def main(arguments: list[str]) -> None:
    """Do one part."""
    parser = cli.make_parser(__doc__.split(":")[0])
    parts = parser.add_subcommands(required=True, dest="part")
    step, overhead = cli.make_parser(time_step.__doc__), cli.make_parser(time_overhead.__doc__)
    step.add_argument("--config", action=ActionConfigFile, help="YAML file with any of the keys below")
    step.add_argument("--steps", type=int, default=10, help="training steps to time")
    step.add_argument("--compile", action="store_true", help="compile the network")
    step.add_argument("--profile", action="store_true", help="print the operations that take longest")
    step.add_class_arguments(RunConfig)
    overhead.add_argument("--rounds", type=int, default=ROUNDS, help="of which medians are taken")
    parts.add_subcommand("step", step, help=time_step.__doc__)
    parts.add_subcommand("overhead", overhead, help=time_overhead.__doc__)
    options = parser.parse_args(arguments)
    if options.part == "step":
        time_step(options.step, parser.instantiate(options).step)
    else:
        time_overhead(options.overhead)


if __name__ == "__main__":
    cli.run(main)
