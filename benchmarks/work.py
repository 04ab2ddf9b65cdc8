"""A training step, and a call of the network with a sampler's step: their parts and costs."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context

import torch
from torch import Tensor

from tincture.benchmarks.meters import operations, process_memory, tensor_bytes
from tincture.diffusion.draws import categorical
from tincture.diffusion.guidance import as_prediction
from tincture.diffusion.likelihood import hybrid_loss
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.diffusion.schedules import low_discrepancy_times
from tincture.models.denoiser import NO_CONDITIONS, Denoiser, build_denoiser
from tincture.models.options import DenoiserConfig
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.training.devices import autocast, compile_where_it_pays
from tincture.training.examples import Examples
from tincture.training.optimizers import OPTIMIZERS, ExponentialAverage
from tincture.training.run_config import ProcessConfig, RunConfig, TrainConfig

LABELS = 2


@dataclass(frozen=True)
class Setting:
    """What a cost may depend on.

    Args:
        model: the network.
        size: edge length of the pictures, pixels.
        entries: of each palette.
        images: in a step.
        train: the optimizer, and what else a step does.
        process: how pixels are corrupted.
    """

    model: DenoiserConfig
    size: int
    entries: int
    images: int
    train: TrainConfig = field(default_factory=TrainConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)

    @classmethod
    def of_run(cls, config: RunConfig, images: int | None = None) -> "Setting":
        """The largest pictures and palettes of a training run, in its own batches or others."""
        images = images or config.train.batch_size
        return cls(config.model, config.data.sizes[-1], config.data.max_colors, images, config.train, config.process)

    @property
    def stride(self) -> int:
        """The edge length of the smallest picture that the network doesn't pad."""
        return self.model.unet.patch_size * 2 ** (len(self.model.unet.channels) - 1)

    @property
    def pixels(self) -> int:
        """Of one picture."""
        return self.size**2


class TrainingStep:
    """What a training step does after its pictures are there.

    Args:
        model: the network.
        process: how pixels are corrupted.
        train: the optimizer, and what else a step does.
        device: where; the model is moved there.
    """

    def __init__(
        self,
        model: Denoiser,
        process: ProcessConfig,
        train: TrainConfig,
        device: torch.device | None = None,
    ) -> None:
        self.device, self.train = device or torch.device("cpu"), train
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.is_compiled = compile_where_it_pays(self.model, train, self.device)
        self.process = PaletteScheduler(**process.scheduler_options).process
        self.optimizers = OPTIMIZERS[train.optimizer](model, train)
        self.average = ExponentialAverage(model, train.ema_decay)

    def predict(self, batch: Examples) -> Tensor:
        """Logits, ``[B, K, H, W]``."""
        with autocast(self.train, self.device):
            return self.model(batch.x_t, batch.t, batch.palette, batch.conditions).float()

    def loss(self, batch: Examples, logits: Tensor) -> Tensor:
        """Bits per pixel, with the cross-entropy."""
        weight = self.train.cross_entropy
        return hybrid_loss(self.process, logits, batch.x_0, batch.x_t, batch.t, batch.palette, weight)[0].mean()

    def learn_from(self, batch: Examples) -> None:
        """Predict, and propagate back."""
        self.loss(batch, self.predict(batch)).backward()

    def update(self) -> None:
        """Change the weights and their average, forget the gradients."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.train.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.average.update_parameters(self.model)


class Work(TrainingStep):
    """The work of a setting on random pictures. What they show has no part in the cost."""

    def __init__(self, setting: Setting) -> None:
        model = build_denoiser(setting.model, LABELS, setting.entries)
        super().__init__(model, setting.process, setting.train)
        self.setting = setting
        self.x_0 = torch.randint(0, setting.entries, (setting.images, setting.size, setting.size))
        colors = torch.randint(0, 256, (setting.images, setting.entries, 4), dtype=torch.uint8)
        colors[..., 3] = 255
        self.palette = PaletteBatch(colors, torch.ones(colors.shape[:2], dtype=torch.bool))
        self.half = torch.full((setting.images,), 0.5)

    @property
    def weights(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def learn(self) -> None:
        """Corrupt, predict, and propagate back."""
        self.model.train()
        t = low_discrepancy_times(self.setting.images)
        x_t = self.process.q_sample(self.x_0, t, self.palette)
        self.learn_from(Examples(self.x_0, x_t, t, self.palette, NO_CONDITIONS))

    def keep_gradients(self) -> None:
        """Make gradients of zero, so that the next pass backward only adds to them."""
        for parameter in self.model.parameters():
            parameter.grad = torch.zeros_like(parameter)

    def step(self) -> None:
        """A whole training step."""
        self.learn()
        self.update()

    @torch.inference_mode()
    def call(self) -> None:
        """Ask the network once, as each step of drawing does."""
        self.model.eval()
        self.logits = self.model(self.x_0, self.half, self.palette).float()

    @torch.inference_mode()
    def choose(self) -> None:
        """What an ancestral step does with the answer of `call`."""
        x_t = self.process.q_sample(self.x_0, self.half, self.palette)
        s, t = self.process.clock(torch.stack([self.half / 2, self.half]), self.palette)
        posterior = as_prediction(self.logits).posterior(self.process, x_t, s, t, self.palette)
        categorical(posterior, None)


@dataclass(frozen=True)
class Counts:
    """What a setting costs, but for time."""

    weights: int
    training_operations: float
    """Of the network and the loss, forward and backward, for an image."""
    update_operations: int
    """Of the optimizer, for a step."""
    call_operations: float
    """Of a call of the network, for an image."""
    training_bytes: float
    """Of tensors, for an image more in a batch; gradients of weights are there already."""
    call_bytes: float
    choice_bytes: float
    """Of a sampler's step with the network's answer, which is not counted again."""
    training_mib: float
    """By how much a training step of all images raises the process's memory; NaN off Linux."""
    process_mib: float
    """The process's whole memory at the most, in training."""


def count(setting: Setting) -> Counts:
    """Count everything, memory in a process of its own."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once; no child sees what another has run
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_count, setting).result()


def _count(setting: Setting) -> Counts:
    torch.set_num_threads(1)
    work = Work(setting)
    _warm_up(work)
    training_mib, process_mib = process_memory(work.step)
    counted = [operations(run) for run in (work.learn, work.update, work.call)]
    other = Work(replace(setting, images=max(1, setting.images // 2) if setting.images > 1 else 2))
    more = setting.images - other.setting.images
    grown = [(a - b) / more for a, b in zip(_bytes(work), _bytes(other), strict=True)]
    training, update, call = counted
    return Counts(
        work.weights, training / setting.images, update, call / setting.images, *grown, training_mib, process_mib
    )


def _bytes(work: Work) -> list[int]:
    """Of tensors in training, in a call, and in a sampler's step."""
    work.keep_gradients()
    found = [tensor_bytes(work.learn), tensor_bytes(work.call)]
    return [*found, tensor_bytes(work.choose)]


def _warm_up(work: Work) -> None:
    """Take a step on one small picture, so that what stays between steps is there."""
    Work(replace(work.setting, images=1, size=work.setting.stride)).step()
    work.keep_gradients()
    work.update()
