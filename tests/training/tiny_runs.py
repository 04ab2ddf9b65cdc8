"""Runs of a tiny network on few pictures."""

from safetensors.torch import load_file

from tincture.models.options import DenoiserConfig, UNetConfig
from tincture.training import loop
from tincture.training.checkpoints import list_checkpoints
from tincture.training.feeds import WholeSet

TINY = DenoiserConfig(
    token_channels=32,
    palette_depth=1,
    condition_channels=32,
    unet=UNetConfig(channels=(32, 32), blocks=(1, 1), head_channels=32, head_blocks=1, dropout=0.1),
)


def train(config, pictures, heldout, output, **options):
    feed = WholeSet(pictures, heldout, config.train.batch_size, config.seed)
    return loop.train(config, feed, heldout, output, **options)


def weights(output):
    folder = list_checkpoints(output)[-1]
    return {
        f"{name}.{key}": value
        for name in ("denoiser", "average", "optimizer")
        for key, value in load_file(folder / f"{name}.safetensors").items()
    }
