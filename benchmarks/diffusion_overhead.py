"""What processes and samplers cost beside the network: ``python -m benchmarks.diffusion_overhead``.

The demo's network, 64 icons of 16×16 in 16 entries. Network and algorithm are timed in turns, and medians are compared, so
that a busy machine slows both.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from torch import Tensor

from tincture.diffusion.likelihood import hybrid_loss
from tincture.diffusion.scheduler import PaletteScheduler, sampler_names
from tincture.models.denoiser import Denoiser, DenoiserConfig, build_denoiser
from tincture.models.unet import UNetConfig
from tincture.pipelines.asking import Reuse
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette

BATCH, ENTRIES, SIZE, STEPS, ROUNDS = 64, 16, 16, 16, 15
PROCESSES = {"absorbing": {}, "uniform": {}, "color-heat": {"width": 0.2, "leap": 0.1}}


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(algorithm: Callable[[], object], network: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both, in turns after a warm-up."""
    algorithm(), network()
    rounds = [(seconds(algorithm), seconds(network)) for _ in range(ROUNDS)]
    return tuple(statistics.median(column) for column in zip(*rounds, strict=True))


def palettes() -> PaletteBatch:
    """Palettes of random colors, new objects each time, as a training step has them."""
    rows = torch.randint(0, 2**24, (BATCH, ENTRIES)).tolist()
    return PaletteBatch.from_palettes([Palette.from_hex([f"{color:06x}" for color in row]) for row in rows])


def demo_denoiser() -> Denoiser:
    """The network of configs/icons16.yaml with random weights."""
    options = yaml.safe_load(Path("configs/icons16.yaml").read_text())["model"]
    options["unet"] = UNetConfig(**options["unet"])
    denoiser = build_denoiser(DenoiserConfig(**options), num_classes=2, num_entries=ENTRIES)
    return denoiser.to(memory_format=torch.channels_last)


@torch.inference_mode()
def sampling(denoiser: Denoiser) -> None:
    """A step of each sampler, with logits that are there already, against a call of the network."""
    denoiser.eval()
    palette = palettes()
    logits = 3 * torch.randn(1, BATCH, ENTRIES, SIZE, SIZE)
    x_t, t = torch.randint(0, ENTRIES + 1, (BATCH, SIZE, SIZE)), torch.full((BATCH,), 0.5)
    print("| process | sampler | a step, ms | network, ms | ratio |\n| --- | --- | --- | --- | --- |")
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

            step, network = compare(draw, lambda: denoiser(x_t, t, palette))
            step /= STEPS
            print(
                f"| {process} | {name} | {1000 * step:.1f} | {1000 * network:.1f} | {step / network:.3f} |", flush=True
            )


def training(denoiser: Denoiser) -> None:
    """Corruption and bound with their gradient, against the network's forward and backward pass."""
    denoiser.train()
    x_0 = torch.randint(0, ENTRIES, (BATCH, SIZE, SIZE))
    leaf = torch.randn(BATCH, ENTRIES, SIZE, SIZE, requires_grad=True)
    print("\n| process | corruption and bound, ms | network, ms | ratio |\n| --- | --- | --- | --- |")
    for process, options in PROCESSES.items():
        chain = PaletteScheduler(process, options).process

        def network() -> None:
            x_t, t, palette = torch.randint(0, ENTRIES, (BATCH, SIZE, SIZE)), torch.rand(BATCH), palettes()
            denoiser(x_t, t, palette).mean().backward()

        def bound(chain: object = chain) -> Tensor:
            palette, t = palettes(), 1 - torch.rand(BATCH)
            x_t = chain.q_sample(x_0, t, palette, None)
            hybrid_loss(chain, leaf, x_0, x_t, t, palette, weight=0.0)[0].mean().backward()

        step, whole = compare(bound, network)
        print(f"| {process} | {1000 * step:.1f} | {1000 * whole:.1f} | {step / whole:.3f} |", flush=True)


if __name__ == "__main__":
    model = demo_denoiser()
    sampling(model)
    training(model)
