"""A training step, and a call of the network with a sampler's step, as the training loop and the pipeline make them, on synthetic pictures."""

from dataclasses import dataclass, field

import torch
from torch.optim.swa_utils import AveragedModel

from tincture.diffusion.draws import categorical
from tincture.diffusion.guidance import as_prediction
from tincture.diffusion.likelihood import hybrid_loss
from tincture.diffusion.schedules import low_discrepancy_times
from tincture.models.denoiser import DenoiserConfig, build_denoiser
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.training.optimizers import OPTIMIZERS, exponential_average
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
        train: the optimizer and what else a step does.
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
        return cls(config.model, config.data.size, config.data.max_colors, images, config.train, config.process)

    @property
    def stride(self) -> int:
        """The edge length of the smallest picture that the network doesn't pad."""
        return self.model.unet.patch_size * 2 ** (len(self.model.unet.channels) - 1)

    @property
    def pixels(self) -> int:
        """Of one picture."""
        return self.size**2


class Work:
    """The network of a setting with its optimizers, and pictures for it. What they show has no part in the cost."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.model = build_denoiser(setting.model, LABELS, setting.entries).to(memory_format=torch.channels_last)
        self.process = setting.process.make_scheduler().process
        self.optimizers = OPTIMIZERS[setting.train.optimizer](self.model, setting.train)
        self.average = AveragedModel(self.model, multi_avg_fn=exponential_average(setting.train.ema_decay))
        shape = (setting.images, setting.size, setting.size)
        self.x_0 = torch.randint(0, setting.entries, shape)
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
        logits = self.model(x_t, t, self.palette).float()
        weight = self.setting.train.cross_entropy
        losses, _ = hybrid_loss(self.process, logits, self.x_0, x_t, t, self.palette, weight)
        losses.mean().backward()

    def update(self) -> None:
        """Change the weights and their average, forget the gradients."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.setting.train.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.average.update_parameters(self.model)

    def keep_gradients(self) -> None:
        """Make gradients of zero, so that the next pass backward adds to them and its memory is that of pictures alone."""
        for parameter in self.model.parameters():
            parameter.grad = torch.zeros_like(parameter)

    def step(self) -> None:
        """Of training."""
        self.learn()
        self.update()

    @torch.inference_mode()
    def call(self) -> None:
        """Ask the network once, as drawing does as often as the user wants."""
        self.model.eval()
        self.logits = self.model(self.x_0, self.half, self.palette).float()

    @torch.inference_mode()
    def choose(self) -> None:
        """What an ancestral step does with the answer of `call`."""
        x_t = self.process.q_sample(self.x_0, self.half, self.palette)
        posterior = as_prediction(self.logits).posterior(self.process, x_t, self.half / 2, self.half, self.palette)
        categorical(posterior, None)
