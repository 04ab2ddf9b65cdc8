import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from tincture.benchmarks.peer_models import PEERS
from tincture.benchmarks.peer_models.ddpm import to_pixels
from tincture.benchmarks.peer_models.networks import meta_unet, unet2d
from tincture.benchmarks.peer_models.peer import PeerTraining, nearest_width, num_parameters
from tincture.data.index_maps import IndexMaps
from tincture.diffusion.draws import mixed_seed
from tincture.diffusion.schedules import low_discrepancy_times
from tincture.models.denoiser import NO_CONDITIONS
from tincture.models.options import DenoiserConfig, UNetConfig
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.training.checkpoints import list_checkpoints
from tincture.training.examples import ExampleMaker, Examples
from tincture.training.feeds import WholeSet
from tincture.training.loop import train
from tincture.training.optimizers import learning_rate_factor
from tincture.training.run_config import RunConfig, TrackConfig, TrainConfig

TINY = DenoiserConfig(
    token_channels=32,
    palette_depth=1,
    condition_channels=32,
    unet=UNetConfig(channels=(32, 32), blocks=(1, 1), head_channels=32, head_blocks=1),
)
CONFIG = TrainConfig(batch_size=16, learning_rate=3e-3, max_steps=5, evaluate_every=100, checkpoint_every=100,
                     preview_images=1, preview_steps=1)  # fmt: skip
PALETTE = Palette.from_hex(["000000", "ff0000", "00ff00", "ffffff", "00000000"])


@pytest.fixture
def maps():
    """Pictures that are easy to learn: three flat ones, in one palette."""
    indices = torch.tensor([1, 3, 4]).repeat(10)[:, None, None].expand(-1, 16, 16).to(torch.uint8).contiguous()
    return IndexMaps(
        indices, PaletteBatch.from_palettes([PALETTE] * 30), torch.zeros(30).long(), ["all"], *[[""] * 30] * 3
    )


@pytest.mark.parametrize(
    "name", [name if name == "per-index" else pytest.param(name, marks=pytest.mark.slow) for name in PEERS]
)
def test_every_peer_learns_and_draws_entries(name, maps):
    if name.startswith("flow-matching"):
        pytest.importorskip("flow_matching")
    torch.manual_seed(0)
    peer = PEERS[name](TINY, maps.palettes.mask_index)
    training = PeerTraining(peer, CONFIG, maps, 0, torch.device("cpu"))

    def loss():
        torch.manual_seed(1)  # the same corruptions each time
        return sum(peer.loss(maps.batch(torch.arange(30))).item() for _ in range(4))

    before = loss()
    for step in range(15):
        training.step(0.1 + step / 20)
    assert loss() < 0.7 * before
    for sampler in peer.samplers:
        drawing = peer.draw(training.average.module, maps.palettes[:3], 16, 4, sampler, seed=1)
        assert drawing.indices.shape == (3, 16, 16)
        assert drawing.indices.min() >= 0 and drawing.indices.max() < 5
        again = peer.draw(training.average.module, maps.palettes[:3], 16, 4, sampler, seed=1)
        assert torch.equal(drawing.indices, again.indices)
        assert (drawing.rgba is not None) == (name == "ddpm")
    bits = peer.bits_per_pixel(training.average.module, maps.subset(torch.arange(4)), 1)
    assert (bits is None) == (name == "ddpm")


def drawn_as_peers_do(process, pictures, step, seed):
    torch.manual_seed(mixed_seed(seed, step, 0))
    batch = pictures.batch(torch.arange(len(pictures)))
    t = low_discrepancy_times(len(pictures))
    x_t = process.q_sample(batch.x_0, t, batch.palette, None)
    return Examples(batch.x_0, x_t, t, batch.palette, NO_CONDITIONS)


def test_a_step_is_that_of_the_training_loop(maps, tmp_path, monkeypatch):
    """Same batches, optimizer, rate and average: given the same random numbers, the weights are
    those of training/loop.py.
    """
    config = RunConfig(model=replace(TINY, kind="index"), train=CONFIG, track=TrackConfig(wandb=False), seed=3)
    monkeypatch.setattr(
        ExampleMaker, "__call__", lambda self, pictures, step, _: drawn_as_peers_do(self.process, pictures, step, 3)
    )
    train(config, WholeSet(maps, maps, CONFIG.batch_size, 3), maps, tmp_path / "run")
    torch.manual_seed(3)
    training = PeerTraining(PEERS["per-index"](TINY, maps.palettes.mask_index), CONFIG, maps, 3, torch.device("cpu"))
    for step in range(5):
        training.step(step / 5)
    expected = load_file(list_checkpoints(tmp_path / "run")[-1] / "average.safetensors")
    for name, tensor in training.average.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])
    assert learning_rate_factor(0, CONFIG.warmup) == 0  # so the first of five steps changes nothing in either


def test_networks_of_others_have_about_as_many_parameters_as_asked_for():
    for make in (unet2d, meta_unet):
        width = nearest_width(lambda width, make=make: make(64, width), 3_000_000)
        counts = [abs(num_parameters(make(64, other)) - 3_000_000) for other in (width - 8, width, width + 8)]
        assert min(counts) == counts[1]


def test_pixels_are_what_the_palette_shows(maps):
    pixels = to_pixels(maps.batch(torch.tensor([0, 2])))
    assert pixels[0, :, 0, 0].tolist() == [1, -1, -1, 1]  # red
    assert pixels[1, :, 5, 5].tolist() == [-1, -1, -1, -1]  # transparent


def test_the_flows_own_loss_is_a_looser_bound_of_the_same_network(maps):
    """Untrained, it gives every entry the same probability: the masked bound is log2 K, and the
    package's lies above.
    """
    pytest.importorskip("flow_matching")
    peer = PEERS["flow-matching"](TINY, maps.palettes.mask_index)
    bits = peer.bits_per_pixel(peer.network, maps, 20)
    assert bits.mean == pytest.approx(math.log2(5), abs=4 * bits.stderr + 1e-3)
    torch.manual_seed(0)
    with torch.no_grad():
        own = sum(peer.loss(maps.batch(torch.arange(30))).item() for _ in range(20)) / 20
    assert own > math.log2(5) + 0.5


@pytest.mark.parametrize("calls", [16, 64, 256])
def test_continuous_drawing_begins_at_full_noise(calls):
    peer = PEERS["ddpm"](TINY, 5)
    peer.scheduler.set_timesteps(calls)
    assert len(peer.scheduler.timesteps) == calls
    assert peer.scheduler.timesteps[0] == 999
    assert peer.scheduler.timesteps[-1] < 1000 / calls
