"""Where time goes: `python -m benchmarks.speed operations`, or another of `PARTS`.

Pictures are random: what they show has no part in the cost. Works are timed in turns and medians
are compared, so that a busy machine slows all of them alike. Ratios hold where seconds don't.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
import yaml
from jsonargparse import Namespace
from torch import Tensor

from tincture.benchmarks.meters import dispatched, medians, operations, process_memory
from tincture.benchmarks.tables import heading, row
from tincture.benchmarks.work import LABELS, TrainingStep
from tincture.common import cli
from tincture.controls.options import Sampling
from tincture.data.index_maps import IndexMaps
from tincture.diffusion.draws import AHEAD
from tincture.diffusion.likelihood import hybrid_loss
from tincture.diffusion.scheduler import PaletteScheduler, sampler_names
from tincture.models.denoiser import Denoiser, build_denoiser
from tincture.models.options import DenoiserConfig, UNetConfig
from tincture.pipelines.asking import Reuse
from tincture.pipelines.palette_bank import PaletteBank
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.training.devices import number_format
from tincture.training.examples import ExampleMaker, Examples
from tincture.training.feeds import WholeSet
from tincture.training.run import CLOCKS
from tincture.training.run_config import RunConfig, add_run_options

PICTURES = 4096
"""In a random data set."""

PRODUCT, LOADING, NETWORK, UPDATE = "matrix product", "loading", "network and loss", "optimizer and average"
EDGES = {"cpu": 2048, "cuda": 8192}
"""Of the matrices whose product is a device's peak."""

BATCH, ENTRIES, SIZE, STEPS, ROUNDS = 64, 16, 16, 16, 15
PROCESSES = {"absorbing": {}, "uniform": {}, "color-heat": {"width": 0.2, "leap": 0.1}}


class Stopwatch:
    """Seconds of named parts, on any device, by a clock of `CLOCKS`."""

    def __init__(self, device: torch.device, clock: str) -> None:
        self.device, self.clock = device, CLOCKS[clock]
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what happens inside, on a device that has nothing else to do, until it is done."""
        self._wait()
        started = self.clock()
        yield
        self._wait()
        self.seconds.setdefault(name, []).append(self.clock() - started)

    def median(self, name: str) -> float:
        """The median of all times that a part was run."""
        return statistics.median(self.seconds[name])

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Step(TrainingStep):
    """The parts of a step of training/loop.py, on random pictures."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        training, heldout = (random_pictures(config, count) for count in (PICTURES, 1))
        torch.manual_seed(config.seed)
        model = build_denoiser(config.model, LABELS, training.palettes.mask_index)
        super().__init__(model, config.process, config.train, device)
        self.feed = WholeSet(training, heldout, config.train.batch_size, seed=0)
        self.make_examples = ExampleMaker(self.model, self.process, training.palettes, config.train, 0, device)

    def load(self, step: int) -> Examples:
        """The step's pictures, augmented and corrupted, on the device."""
        return self.make_examples(self.feed.pictures(step, slice(None)), step, 0)

    def run(self, step: int = 0) -> None:
        """The whole step."""
        self.learn_from(self.load(step))
        self.update()


def random_pictures(config: RunConfig, count: int) -> IndexMaps:
    """Pictures of a run's largest size, in palettes of its most entries."""
    size, entries = config.data.size, config.data.max_colors
    indices = torch.randint(0, entries, (count, size, size), dtype=torch.uint8)
    colors = torch.randint(0, 256, (count, entries, 4), dtype=torch.uint8)
    colors[..., 3] = 255
    palettes = PaletteBatch(colors, torch.ones(count, entries, dtype=torch.bool))
    words = [[str(number) for number in range(count)], [""] * count, [""] * count]
    return IndexMaps(indices, palettes, torch.arange(count) % LABELS, [str(label) for label in range(LABELS)], *words)


def make_pipeline(config: RunConfig, device: torch.device) -> PaletteDiffusionPipeline:
    """A pipeline that has learned nothing."""
    pool = random_pictures(config, 64)
    denoiser = build_denoiser(config.model, LABELS, pool.palettes.mask_index)
    denoiser.to(device, memory_format=torch.channels_last)
    bank = PaletteBank.of(pool.palettes, pool.labels, torch.zeros(len(pool), dtype=torch.bool))
    pipeline = PaletteDiffusionPipeline(
        denoiser, PaletteScheduler(**config.process.scheduler_options), bank, config.data.size, tuple(pool.label_names)
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def find_device(config: RunConfig) -> torch.device:
    """Where a run would be."""
    return torch.device("cuda" if torch.cuda.is_available() and config.train.device == "auto" else "cpu")


# Tensor operations. Each costs a CPU some microseconds, whatever it computes, or starts a GPU's
# kernel. They are counted on a CPU, and are the same anywhere.


def count_operations(options: Namespace, config: RunConfig) -> None:
    """Count the tensor operations that the parts of training and of drawing dispatch."""
    counts = [operations_of_training(config, images) for images in options.batches]
    print(heading("part of a training step", *(f"{images} images" for images in options.batches)))
    for name in counts[0]:
        print(row(name, *(f"{each[name]:,}" for each in counts)))
    print("\n" + heading("part of a step of drawing", *(f"{images} images" for images in options.batches)))
    counts = [operations_of_drawing(config, images) for images in options.batches]
    for name in counts[0]:
        print(row(name, *(f"{each[name]:,}" for each in counts)))


def operations_of_training(config: RunConfig, images: int) -> dict[str, int]:
    """Tensor operations of each part of a step with so many images."""
    step = Step(replace(config, train=replace(config.train, batch_size=images)), torch.device("cpu"))
    step.run(0)  # what is made once, and stays
    batch = step.load(1)
    logits = step.predict(batch)
    loss = step.loss(batch, logits)
    return {
        "loading: augmentation and corruption": dispatched(lambda: step.load(1)),
        "network, forward": dispatched(lambda: step.predict(batch)),
        "loss, forward": dispatched(lambda: step.loss(batch, logits)),
        "network and loss, backward": dispatched(loss.backward),
        "optimizer and average": dispatched(step.update),
    }


@torch.inference_mode()
def operations_of_drawing(config: RunConfig, images: int) -> dict[str, int]:
    """Tensor operations of the network, and of all the rest of a step of each sampler."""
    pipeline, pool = make_pipeline(config, torch.device("cpu")), random_pictures(config, images)
    x_t, t = pool.indices.long(), torch.full((images,), 0.5)
    counts = {"network": dispatched(lambda: pipeline.denoiser(x_t, t, pool.palettes))}
    logits = torch.randn(images, pool.palettes.mask_index, *x_t.shape[1:])
    pipeline.denoiser.forward = lambda x_t, *_: logits if len(x_t) == images else logits[: len(x_t)]
    # Each image changes in each step, so each is asked about; random numbers are drawn ahead.
    few, more = 3, 3 + AHEAD

    def whole(steps: int, name: str) -> int:
        sampling = Sampling(steps, sampler=name, batch_size=images)
        return dispatched(lambda: pipeline(images, sampling=sampling))

    for name in sampler_names(PaletteScheduler(**config.process.scheduler_options).process):
        counts[f"{name}, besides the network"] = (whole(more, name) - whole(few, name)) // (more - few)
    return counts


# Training. The peak is that of a large matrix product, measured between the steps. Parts are timed
# each for itself; images a second are those of steps that wait for nothing.


def time_training(options: Namespace, config: RunConfig) -> None:
    """Time training steps, compiled and not where a GPU compiles, and matrix products."""
    device = find_device(config)
    edge = EDGES[device.type]
    matrix = torch.randn(edge, edge, device=device, dtype=number_format(config.train, device))
    plain = replace(config, train=replace(config.train, compile="no"))
    step = Step(plain, device)
    batch = step.load(0)
    per_image, per_update = operations(lambda: step.learn_from(batch)) / len(batch.t), operations(step.update)
    print(heading("", ""))
    print(
        row("device", torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads")
    )
    print(row("numbers", str(matrix.dtype).removeprefix("torch.")))
    print(row("multiplications and additions of the network, an image", f"{per_image / 1e9:.3f} billion"))
    print(row("of the optimizer, a step", f"{per_update / 1e9:.3f} billion"))
    parts = [LOADING, NETWORK, UPDATE]
    print("\n" + heading("images", "network", "images/s", *parts, "peak, GFLOP/s", "reached", "MiB, at most"))
    for images in options.batches:
        for each in (plain, config):
            step = Step(replace(each, train=replace(each.train, batch_size=images)), device)
            if each is plain or step.is_compiled:
                speed, watch, memory = measured_step(step, options, matrix)
                peak = 2 * edge**3 / watch.median(PRODUCT)
                reached = (per_image + per_update / images) * speed
                whole = sum(map(watch.median, parts))
                shares = [f"{watch.median(part) / whole:.0%}" for part in parts]
                name, rates = (
                    "compiled" if step.is_compiled else "as it is",
                    [f"{peak / 1e9:,.0f}", f"{reached / peak:.1%}"],
                )
                print(row(images, name, f"{speed:,.0f}", *shares, *rates, f"{memory:,.0f}"), flush=True)
    if options.profile:
        print_profile(Step(plain, device).run)


def measured_step(step: Step, options: Namespace, matrix: Tensor) -> tuple[float, Stopwatch, float]:
    """Images a second, the times of the parts and of a product, and MiB."""
    for _ in range(3 if step.is_compiled else 1):  # compile, record a CUDA graph, play it
        step.run()
    memory = peak_memory(step.run, step.device)
    watch = Stopwatch(step.device, options.clock)
    for number in range(options.steps):
        with watch.part(PRODUCT):
            matrix @ matrix
        with watch.part(LOADING):
            batch = step.load(number)
        with watch.part(NETWORK):
            step.learn_from(batch)
        with watch.part(UPDATE):
            step.update()
    with watch.part("all"):
        for number in range(options.steps):
            step.run(number)
    return options.steps * step.train.batch_size / watch.median("all"), watch, memory


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


# Drawing.


def time_drawing(options: Namespace, config: RunConfig) -> None:
    """Time whole drawings with each sampler, and the network's part of them."""
    device = find_device(config)
    pipeline = make_pipeline(config, device)
    print(heading("sampler", "images", "calls", "seconds", "images/s", "in the network"))
    for name in options.samplers:
        watch = Stopwatch(device, options.clock)

        def draw(calls: int, name: str = name) -> None:
            pipeline(options.images, sampling=Sampling(calls, sampler=name, batch_size=options.images))

        draw(1)
        with watch.part("whole"):
            draw(options.calls)
        with watched_forward(pipeline.denoiser, watch), watch.part("whole, stopping at each call"):
            draw(options.calls)
        whole, share = (
            watch.median("whole"),
            sum(watch.seconds["network"]) / watch.median("whole, stopping at each call"),
        )
        cells = name, options.images, options.calls, f"{whole:.2f}", f"{options.images / whole:.1f}", f"{share:.0%}"
        print(row(*cells), flush=True)


@contextmanager
def watched_forward(denoiser: Denoiser, watch: Stopwatch) -> Iterator[None]:
    """Time each call of the network."""
    forward = denoiser.forward

    def timed(*arguments: object) -> Tensor:
        with watch.part("network"):
            return forward(*arguments)

    denoiser.forward = timed
    yield
    del denoiser.forward


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


PARTS = {
    "operations": count_operations,
    "training_speed": time_training,
    "drawing_speed": time_drawing,
    "overhead": time_overhead,
}


def main(arguments: list[str]) -> None:
    """Do one part."""
    parser = cli.make_parser(__doc__.split(":")[0])
    choice = parser.add_subcommands(required=True, dest="part")
    parts = {name: cli.make_parser(part.__doc__) for name, part in PARTS.items()}
    for name in ("operations", "training_speed"):
        parts[name].add_argument("--batches", type=int, nargs="+", default=[64, 512], help="images in a step")
    training, drawing = parts["training_speed"], parts["drawing_speed"]
    training.add_argument("--steps", type=int, default=10, help="training steps to time")
    training.add_argument("--profile", action="store_true", help="print the operations that take longest")
    drawing.add_argument("--images", type=int, default=64, help="to draw, all at once")
    drawing.add_argument("--calls", type=int, default=64, help="of the network, for each image")
    drawing.add_argument("--samplers", nargs="+", default=["ancestral", "remasking"], help="as sample.py names them")
    for part in (training, drawing):
        part.add_argument("--clock", choices=list(CLOCKS), default="wall", help="as train.clock")
    for name in ("operations", "training_speed", "drawing_speed"):
        add_run_options(parts[name])
    parts["overhead"].add_argument("--rounds", type=int, default=ROUNDS, help="of which medians are taken")
    for name, part in parts.items():
        choice.add_subcommand(name, part, help=PARTS[name].__doc__)
    options = parser.parse_args(arguments)
    if options.part == "overhead":
        time_overhead(options.overhead)
    else:
        PARTS[options.part](options[options.part], RunConfig.of(parser.instantiate(options)[options.part]))


if __name__ == "__main__":
    cli.run(main)
