"""What people ask of pixels, through the pipeline: kept ones, wishes, symmetry, tiles, windows."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tincture.common.errors import InputError
from tincture.controls.kept import Init
from tincture.controls.options import Canvas, Controls, Guidance, Sampling
from tincture.controls.views import View
from tincture.controls.wishes import ColorWish, LightnessWish, color_distances
from tincture.diffusion.scheduler import PaletteScheduler, sampler_names
from tincture.models.denoiser import PaletteDenoiser
from tincture.pipelines.palette_bank import PaletteBank
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.encoding import encode
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.luminance import luminance_of_indices
from tincture.tests.palettes import random_palette

PROCESSES = ("absorbing", "uniform", "color-heat")
WAYS = [(p, s) for p in PROCESSES for s in sampler_names(PaletteScheduler(process=p).process)]


def make_pipeline(process="absorbing", time_conditioning=True):
    torch.manual_seed(0)
    denoiser = PaletteDenoiser(
        token_channels=32,
        palette_depth=1,
        condition_channels=16,
        time_conditioning=time_conditioning,
        luminance_dropout=0.5,
        unet={
            "channels": (16, 16),
            "blocks": (1, 1),
            "attention_head_channels": 16,
            "head_channels": 16,
            "head_blocks": 1,
        },
    )
    palettes = PaletteBatch.from_palettes([random_palette(n, n) for n in (3, 5)])
    bank = PaletteBank.of(palettes, torch.tensor([0, 0]), torch.tensor([False, False]))
    pipeline = PaletteDiffusionPipeline(denoiser, PaletteScheduler(process=process), bank, size=8)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline()


def index_maps(drawn):
    return np.stack([image.indices for image in drawn.images])


@pytest.mark.parametrize(("process", "sampler"), WAYS)
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_kept_pixels_never_change(process, sampler, strength):
    pipeline = make_pipeline(process)
    palette, shape = random_palette(6), (5, 7, 9)
    generator = torch.Generator().manual_seed(1)
    indices = torch.randint(0, 6, shape, generator=generator)
    keep = torch.rand(shape, generator=generator) < torch.tensor([0.02, 0.3, 0.5, 0.9, 0.98])[:, None, None]
    keep[:, 0, 0], keep[:, 0, 1] = True, False
    seen = []

    def note(_, __, ___, state):
        seen.append(np.stack([image.indices for image in state["images"]]))
        return {}

    options = {"palette": palette, "height": 7, "width": 9, "controls": Controls(Init(indices, keep, strength))}
    sampling = Sampling(6, sampler=sampler)
    drawn = index_maps(pipeline(5, sampling=sampling, callback_on_step_end=note, **options))
    assert (drawn == indices.numpy())[keep.numpy()].all()
    assert (drawn != indices.numpy())[~keep.numpy()].any()
    assert all((maps == indices.numpy())[keep.numpy()].all() for maps in seen)
    # Image i depends on the seed and i alone, however few pixels the others of its batch draw.
    assert np.array_equal(index_maps(pipeline(5, sampling=replace(sampling, batch_size=2), **options)), drawn)


def test_a_weaker_strength_leaves_more_of_the_picture(pipeline):
    palette, indices = random_palette(6), torch.randint(0, 6, (16, 8, 8), generator=torch.Generator().manual_seed(0))
    same = [
        (
            index_maps(pipeline(16, palette, Sampling(8), controls=Controls(Init(indices, strength=s))))
            == indices.numpy()
        ).mean()
        for s in (0.02, 0.25, 0.5, 0.75)
    ]
    assert same == sorted(same, reverse=True)
    assert same[0] > 0.95
    assert same[-1] < 0.6


def test_from_free_drawing_to_the_nearest_entry(pipeline, rng):
    target, palette = rng.integers(0, 256, (8, 8, 4), np.uint8), random_palette(7)
    target[..., 3] = 255
    goal = encode(target, palette)

    of_entries = color_distances(PaletteBatch.from_palettes([palette] * 32), torch.from_numpy(target)[None])

    def distance(fidelity):
        drawn = pipeline(
            32, palette, Sampling(4), controls=Controls(wishes=[ColorWish(target, fidelity)]), output_type="pt"
        ).images
        return of_entries.gather(1, drawn[:, None]).mean().item()

    # 2,048 pixels with a spread of about 0.1: the means are known to 0.003, and differ by more.
    distances = [distance(fidelity) for fidelity in (0.0, 3.0, 10.0, 30.0, 100.0)]
    assert all(weaker > stronger + 0.003 for weaker, stronger in pairwise(distances))
    for fidelity in (1e8, float("inf")):
        drawn = index_maps(pipeline(3, palette, Sampling(2), controls=Controls(wishes=[ColorWish(target, fidelity)])))
        assert (drawn == goal).all()


@pytest.mark.parametrize("guidance_scale", [1.0, 2.0])
@pytest.mark.parametrize("process", ["absorbing", "uniform"])
def test_a_mirrored_target_at_infinite_fidelity_is_met_as_nearly_as_both_halves_allow(process, guidance_scale, rng):
    target, palette = rng.integers(0, 256, (8, 8, 4), np.uint8), random_palette(7, 3)
    target[..., 3] = 255
    distances = color_distances(PaletteBatch.from_palettes([palette]), torch.from_numpy(target)[None])
    wishes = [ColorWish(target, float("inf"))]
    options = {
        "sampling": Sampling(3),
        "guidance": Guidance(guidance_scale=guidance_scale),
        "controls": Controls(wishes=wishes, luminance=torch.rand(2, 8, 8), canvas=Canvas(mirror="x")),
    }
    drawn = make_pipeline(process)(2, palette, output_type="pt", **options).images
    assert (drawn == (distances + distances.flip(3)).argmin(dim=1)).all()


def test_free_of_wishes_is_free_drawing(pipeline, rng):
    target = rng.integers(0, 256, (8, 8, 4), np.uint8)
    assert np.array_equal(
        index_maps(pipeline(3, sampling=Sampling(3), controls=Controls(wishes=[ColorWish(target, 0.0)]))),
        index_maps(pipeline(3, sampling=Sampling(3))),
    )


def test_a_colorization_is_as_light_as_the_palette_allows(pipeline, rng):
    luminance, palette = torch.from_numpy(rng.random((8, 8), np.float32)), random_palette(16)
    batch = PaletteBatch.from_palettes([palette] * 8)
    drawn = pipeline(
        8, palette, Sampling(4), controls=Controls(wishes=[LightnessWish(luminance, 1e4)]), output_type="pt"
    ).images
    error = (luminance_of_indices(drawn, batch) - luminance).abs().mean()
    best = (luminance - batch.oklab()[0, :, 0, None, None]).abs().min(dim=0).values.mean()
    assert error <= 1.05 * best
    assert len({image.numpy().tobytes() for image in drawn}) > 1  # colors of one lightness are the model's choice


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_a_mirrored_picture_is_symmetric(pipeline, size):
    options = {"palette": random_palette(5), "sampling": Sampling(4), "height": size[0], "width": size[1]}
    for axes, flips in {"x": [2], "y": [1], "both": [1, 2]}.items():
        drawn = index_maps(pipeline(3, controls=Controls(canvas=Canvas(mirror=axes)), **options))
        assert drawn.shape == (3, *size)
        assert all(np.array_equal(np.flip(drawn, axis), drawn) for axis in flips)
    assert not np.array_equal(np.flip(drawn[:, :, : size[1] // 2], 2), drawn[:, :, : size[1] // 2])


@pytest.mark.parametrize(("sampler", "time_conditioning"), [("ancestral", True), ("entropy-bounded", False)])
def test_image_i_depends_on_the_seed_and_i_alone_whatever_is_asked(rng, sampler, time_conditioning):
    pipeline = make_pipeline(time_conditioning=time_conditioning)
    target = rng.integers(0, 256, (3, 8, 9, 4), np.uint8)
    keep = torch.zeros(8, 9, dtype=torch.bool)
    keep[3:6, 4] = True
    controls = Controls(
        Init(torch.zeros(8, 9, dtype=torch.long), keep),
        [ColorWish(target, 3.0), LightnessWish(torch.rand(8, 9), 2.0)],
        luminance=torch.rand(3, 8, 9),
        canvas=Canvas(mirror="x", tile="x", window=16),
    )
    options = {"height": 8, "width": 9, "guidance": Guidance(guidance_scale=2.0), "controls": controls}
    sampling = Sampling(3, sampler=sampler)
    drawn = index_maps(pipeline(3, sampling=sampling, **options))
    assert (drawn[:, keep.numpy()] == 0).all()
    assert np.array_equal(np.flip(drawn, 2), drawn)
    assert np.array_equal(index_maps(pipeline(3, sampling=replace(sampling, batch_size=2), **options)), drawn)


def test_windows_of_only_as_many_images_are_held_at_once_as_fill_a_batch(pipeline, monkeypatch):
    held = []
    gather = View.gather
    monkeypatch.setattr(View, "gather", lambda view, logits: held.append(len(logits)) or gather(view, logits))
    options = {"height": 16, "width": 16, "controls": Controls(canvas=Canvas(tile="both", window=16))}
    drawn = index_maps(pipeline(5, sampling=Sampling(2, batch_size=64), **options))
    assert set(held) == {4 * 16, 4, 16, 1}  # the windows of four images, what they become, those of the fifth
    held.clear()
    assert np.array_equal(index_maps(pipeline(5, sampling=Sampling(2, batch_size=3), **options)), drawn)
    assert set(held) == {16, 1}


def test_a_tile_and_a_window_change_what_the_network_sees_but_not_what_it_can_draw(pipeline):
    palette = random_palette(4)
    plain = index_maps(pipeline(3, palette, Sampling(4), height=16, width=16))
    for canvas in (Canvas(tile="both"), Canvas(window=8)):
        drawn = index_maps(pipeline(3, palette, Sampling(4), controls=Controls(canvas=canvas), height=16, width=16))
        assert drawn.shape == plain.shape
        assert drawn.max() < 4
        assert not np.array_equal(drawn, plain)


HALF = torch.zeros(8, 8, dtype=torch.bool)
HALF[:, 0], HALF[:, 7] = True, True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda: {"init": Init(torch.zeros(8, 9, dtype=torch.long), strength=0.5)}, "9×8 pixels; .* is 8×8"),
        (lambda: {"init": Init(torch.full((8, 8), 5), strength=0.5)}, "the index 5; the palette has 5 entries"),
        (lambda: {"init": Init(torch.full((8, 8), -1), strength=0.5)}, "the index -1; entries start at 0"),
        (lambda: {"init": Init(torch.zeros(3, 8, 8, dtype=torch.long), strength=0.5)}, "3 initial images for 2"),
        (lambda: {"init": Init(torch.zeros(8, 8))}, "an initial image is integers"),
        (lambda: {"init": Init(torch.zeros(8, 8, dtype=torch.long))}, "nothing of the initial image would be left"),
        (lambda: {"init": Init(torch.zeros(8, 8, dtype=torch.long), HALF | True)}, "there is nothing to draw"),
        (lambda: {"init": Init(torch.zeros(8, 8, dtype=torch.long), HALF[:7])}, r"keep is bool \[8, 8\]"),
        (lambda: {"init": Init(torch.zeros(8, 8, dtype=torch.long), HALF, 0.0)}, "strength is 0"),
        (
            lambda: {"init": Init(torch.arange(64).view(8, 8) % 5, HALF), "canvas": Canvas(mirror="x")},
            "not symmetric",
        ),
        (lambda: {"wishes": [ColorWish(np.zeros((8, 9, 4), np.uint8), 1.0)]}, "a ColorWish has the shape"),
        (lambda: {"wishes": [LightnessWish(torch.zeros(3, 8, 8), 1.0)]}, "a LightnessWish has the shape"),
        (
            lambda: {"wishes": [LightnessWish(torch.zeros(n, 8, 8), 1.0) for n in (3, 1)]},
            "a LightnessWish has the shape",
        ),
    ],
)
def test_controls_that_do_not_fit_are_refused(pipeline, options, message):
    with pytest.raises(InputError, match=message):
        pipeline(2, random_palette(5), Sampling(1), controls=Controls(**options()))
