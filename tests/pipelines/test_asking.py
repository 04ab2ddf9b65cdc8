import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tincture.benchmarks.meters import dispatched
from tincture.controls.options import WHOLE, Canvas
from tincture.diffusion import draws
from tincture.diffusion.draws import Streams
from tincture.diffusion.guidance import Prediction
from tincture.diffusion.scheduler import PaletteScheduler, sampler_names
from tincture.models.denoiser import NO_CONDITIONS
from tincture.pipelines.asking import GuidedDenoiser, Reuse
from tincture.quantization.palettes.batch import PaletteBatch

PAIRS = [
    (process, sampler)
    for process in ("absorbing", "uniform", "color-heat")
    for sampler in sampler_names(PaletteScheduler(process).process)
]


def drawing(process, sampler, images, canvas=WHOLE, device="cpu", steps=20):
    """A drawing step by step, as the pipeline goes, after its start and without a network."""
    scheduler = PaletteScheduler(process, sampler=sampler)
    scheduler.set_timesteps(steps, device)
    logits = torch.zeros(images, 4, 6, 6, device=device)
    colors = torch.arange(images * 16, device=device).view(images, 4, 4).byte()
    palette = PaletteBatch(colors, torch.ones(images, 4, dtype=torch.bool, device=device))
    streams = Streams.of(0, range(images), device)

    def denoiser(picture, t, palette, told):
        return (
            logits
            if picture.shape == (images, 6, 6)
            else picture.new_zeros(len(picture), 4, *picture.shape[1:]).float()
        )

    ask = Reuse(GuidedDenoiser(denoiser, palette, [NO_CONDITIONS], None, canvas, None, streams, 64), True)
    x_t = scheduler.start(scheduler.prior(palette, 6, 6, streams), palette, streams)
    yield
    for t in scheduler.timesteps:
        if not scheduler.finished:
            x_t = scheduler.step(Prediction(ask(x_t, scheduler.times).unbind(0)), t, x_t).prev_sample
            yield


@pytest.mark.parametrize("depends_on_time", [True, False])
def test_reuse_asks_only_about_images_that_changed_and_answers_as_if_it_asked_about_all(depends_on_time):
    asked = []

    def denoise(x_t, t, rows):
        asked.append(rows.tolist())
        return (x_t + (t * depends_on_time)[:, None, None] + rows[:, None, None])[None, :, None].float()

    reuse, rows = Reuse(denoise, depends_on_time), torch.arange(3)
    x_t = torch.zeros(3, 2, 2)
    for change, t in [(None, 1.0), (1, 1.0), (None, 1.0), (2, 0.5)]:
        x_t = x_t.clone()
        if change is not None:
            x_t[change, 0, 1] += 1
        times = torch.full((3,), t)
        expected = (x_t + (times * depends_on_time)[:, None, None] + rows[:, None, None])[None, :, None]
        assert torch.equal(reuse(x_t, times), expected)
    assert asked == [[0, 1, 2], [1], [0, 1, 2] if depends_on_time else [2]]
    assert reuse.image_calls == sum(map(len, asked))


@pytest.mark.parametrize(("process", "sampler"), PAIRS)
@torch.inference_mode()
def test_a_step_dispatches_few_operations_and_as_many_whatever_the_batch(process, sampler):
    """What `first-hitting` and `entropy-bounded` do depends on the pixels, but not how many do."""
    counts = []
    for images in (4, 32):
        steps = drawing(process, sampler, images)
        next(steps)
        counts.append(dispatched(lambda steps=steps: list(steps)))
    assert counts[0] == counts[1] <= 120 * 20


class Waits(TorchDispatchMode):
    """Counts the operations for which a GPU's host waits."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function._schema.name in ("aten::_local_scalar_dense", "aten::nonzero", "aten::bincount")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("process", "sampler"), PAIRS)
@torch.no_grad()
def test_ten_steps_wait_for_a_gpu_once(monkeypatch, process, sampler):
    for module in ("diffusion.draws", "diffusion.samplers", "diffusion.color_heat", "pipelines.asking"):
        monkeypatch.setattr(f"tincture.{module}.is_waited_for", lambda device: True)
    steps = drawing(process, sampler, 3)
    next(steps)
    with Waits() as waits:
        taken = len(list(steps))
    assert taken == 20
    at_the_end, if_it_has_ended = 1, 2 if sampler == "entropy-bounded" else 0
    assert waits.count <= 2 + at_the_end + if_it_has_ended


@pytest.mark.parametrize("canvas", [WHOLE, Canvas(tile="both", window=5)])
@pytest.mark.parametrize(
    ("process", "sampler"),
    [("absorbing", name) for name in ("ancestral", "confidence", "remasking")]
    + [("uniform", name) for name in ("ancestral", "stratified-hazard")],
)
@torch.no_grad()
def test_until_the_tenth_draw_no_step_needs_what_its_device_found(process, sampler, canvas):
    """Tensors of the meta device have no numbers that one could wait for or copy."""
    taken = -1
    with pytest.raises(RuntimeError, match="meta"):
        for _ in drawing(process, sampler, 3, canvas, "meta"):
            taken += 1
    assert taken == draws.LOOK_EVERY - (2 if process == "uniform" else 1)  # the prior's draw is one of them
