"""What people ask about colors and classes: negative classes, proportions, joint palettes."""

import numpy as np
import pytest
import torch
from diffusers.configuration_utils import register_to_config

from tincture.common.errors import InputError
from tincture.controls.joint import JointPalettes
from tincture.controls.options import Canvas, Controls, Guidance, Sampling
from tincture.controls.proportions import Proportions
from tincture.diffusion.guidance import Prediction, Told
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.models.denoiser import NO_CONDITIONS, ConditionEmbedding, Denoiser, PaletteDenoiser
from tincture.pipelines.asking import JointDenoiser, guidance_branches
from tincture.pipelines.palette_bank import PaletteBank
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.spaces import SPACES
from tincture.tests.palettes import random_palette

UNET = {"channels": (16, 16), "blocks": (1, 1), "attention_head_channels": 16, "head_channels": 16, "head_blocks": 1}


class ByClass(Denoiser):
    """Entry c is likely in class c, whatever the other pixels are."""

    @register_to_config
    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.condition, self.luminance, self.text = ConditionEmbedding(4, num_classes, False), None, None

    def forward(self, x_t, t, palette, conditions=NO_CONDITIONS):
        logits = torch.zeros(len(x_t), palette.mask_index, *x_t.shape[1:])
        if conditions.class_labels is not None:
            logits[torch.arange(len(x_t)), conditions.class_labels] += 1.5
        return logits.masked_fill(~palette.valid[:, :, None, None], -torch.inf)


def make_pipeline(denoiser, size=8, process="absorbing"):
    palettes = PaletteBatch.from_palettes([random_palette(4)])
    bank = PaletteBank.of(palettes, torch.tensor([0]), torch.tensor([False]))
    names = ("cat", "dog", "cow")
    pipeline = PaletteDiffusionPipeline(denoiser, PaletteScheduler(process=process), bank, size=size, label_names=names)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def by_class():
    return make_pipeline(ByClass(), size=24)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return PaletteDenoiser(token_channels=32, palette_depth=1, condition_channels=16, num_classes=3, unet=UNET).eval()


def index_maps(drawn):
    return np.stack([image.indices for image in drawn.images])


def counts(image):
    return np.bincount(image.indices.ravel(), minlength=len(image.palette))


@pytest.mark.parametrize("luminance", [None, torch.zeros(2, 8, 8)])
@pytest.mark.parametrize(("label", "negatives"), [(None, []), (0, []), (None, [1]), (0, [1, 2]), (0, [0]), (1, [1, 1])])
def test_weights_of_guidance_add_up_to_1(label, negatives, luminance):
    told = Told(label, luminance=luminance is not None)
    branches = guidance_branches(2, told, [Told(negative) for negative in negatives], luminance, 1.7, 0.6)
    assert sum(branch.weight for branch in branches) == pytest.approx(1)
    assert all(branch.weight != 0 for branch in branches)


def test_a_negative_class_at_the_scale_of_the_same_class_cancels_it(by_class):
    palette, both = random_palette(4), Guidance("dog", 1.5, ["dog"], 1.5)
    drawn = by_class(2, palette, Sampling(4), both)
    assert np.array_equal(index_maps(drawn), index_maps(by_class(2, palette, Sampling(4))))
    assert not np.array_equal(index_maps(drawn), index_maps(by_class(2, palette, Sampling(4), Guidance("dog"))))


def test_pixels_of_a_negative_class_become_rarer_the_higher_its_scale(by_class):
    shares = []
    for scale in (0.0, 0.5, 1.0, 2.0):
        guidance = Guidance("cat", negative_classes=["dog"], negative_scale=scale)
        shares.append((index_maps(by_class(4, random_palette(4), Sampling(8), guidance)) == 1).mean())
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 2 * shares[-1] > 0


@pytest.mark.parametrize(("begins", "calls"), [(1.0, 8), (0.5, 6), (0.1, 4)])
def test_before_guidance_begins_a_step_is_one_call(by_class, begins, calls):
    asked, sampling = [], Sampling(4, sampler="halton")  # at the noise levels 1, 0.75, 0.5, 0.25
    hook = by_class.denoiser.register_forward_hook(lambda *_: asked.append(1))
    guidance = Guidance("cat", 3.0, guidance_from=begins)
    drawn = by_class(2, random_palette(4), sampling, guidance)
    hook.remove()
    assert len(asked) == calls
    same_as = {1.0: Guidance("cat", 3.0), 0.1: Guidance("cat")}.get(begins)
    if same_as:
        assert np.array_equal(index_maps(drawn), index_maps(by_class(2, random_palette(4), sampling, same_as)))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_marginals_are_the_wanted_proportions(rng, temperature):
    logits = torch.from_numpy(rng.normal(size=(3, 5, 8, 8)) * 3).float()
    drawn = torch.full((3, 8, 8), 5)
    drawn[:, :2] = torch.tensor([0, 1, 2, 3]).repeat(4).view(2, 8)
    shares = torch.tensor([0.2, 0.3, 0.1, 0.15, 0.25])
    prediction = Proportions(shares).steer(Prediction([logits], temperature=temperature), drawn, slice(0, 3))
    p = prediction.p_0()
    fixed = torch.zeros_like(p).scatter_(1, drawn.clamp_max(4)[:, None], 1.0)
    marginal = torch.where(drawn[:, None] < 5, fixed, p).mean(dim=(2, 3))
    assert torch.allclose(marginal, shares.expand(3, -1), atol=1e-3)
    # The nearest such distribution is the prediction times a number for each entry.
    ratio = (prediction.branches[0] - logits).std(dim=(2, 3))
    assert ratio.max() < 1e-5


@pytest.mark.parametrize("temperature", [0.0, 1e-42, 1e-3, 0.01, 0.1])
def test_proportions_hold_at_low_temperatures(network, temperature):
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4])
    styled = make_pipeline(network)(
        4, random_palette(4), Sampling(32, temperature=temperature), controls=Controls(proportions=Proportions(shares))
    )
    for image in styled.images:
        assert counts(image) / 64 == pytest.approx(shares.numpy(), abs=0.07)


def test_a_strength_of_0_and_free_entries_ask_for_nothing(rng):
    prediction = Prediction([torch.from_numpy(rng.normal(size=(1, 3, 8, 8))).float()])
    nothing = torch.full((1, 8, 8), 3)
    same = Proportions(torch.tensor([0.1, 0.1, 0.8]), 0.0).steer(prediction, nothing, slice(0, 1))
    assert torch.equal(same.p_0(), prediction.p_0())
    free = Proportions(torch.tensor([1.0, 3.0, torch.nan])).steer(prediction, nothing, slice(0, 1))
    assert torch.equal(free.branches[0][:, 2], prediction.branches[0][:, 2])
    first, second, _ = free.p_0().mean(dim=(0, 2, 3)).tolist()
    assert second == pytest.approx(3 * first, rel=1e-3)


@pytest.mark.parametrize("process", ["absorbing", "uniform"])
def test_drawings_have_the_proportions_of_the_reference(network, rng, process):
    palette = random_palette(4)
    reference = IndexedImage(rng.choice(4, (8, 8), p=[0.1, 0.2, 0.3, 0.4]).astype(np.uint8), palette)
    pipeline = make_pipeline(network, process=process)
    free = pipeline(4, palette, Sampling(16)).images
    styled = pipeline(4, palette, Sampling(16), controls=Controls(proportions=Proportions.of(reference))).images
    off = [np.mean([abs(counts(x) - counts(reference)).sum() for x in images]) for images in (free, styled)]
    assert off[1] < off[0] / 2
    assert process == "uniform" or off[1] <= 6


def test_proportions_hold_for_the_whole_of_a_mirrored_picture(network):
    shares = torch.tensor([0.25, 0.75])
    drawn = make_pipeline(network)(
        2,
        random_palette(2),
        Sampling(36),
        controls=Controls(proportions=Proportions(shares), canvas=Canvas(mirror="x")),
        height=8,
        width=9,
    )
    for image in drawn.images:
        assert counts(image) / 72 == pytest.approx(shares.numpy(), abs=0.05)


@torch.inference_mode()
def test_the_order_of_a_palette_does_not_matter_to_a_joint_drawing(network):
    palette, order = random_palette(6), np.array([3, 1, 0, 5, 2, 4])
    other = Palette(palette.colors[order])
    joint = JointPalettes.matched([palette, other])
    assert np.array_equal(other.colors[joint.entries[1]], palette.colors)
    x_t, t = torch.randint(0, 7, (2, 8, 8), generator=torch.Generator().manual_seed(0)), torch.tensor([0.3, 0.9])
    batch = PaletteBatch.from_palettes([palette] * 2)
    logits = JointDenoiser(network, joint)(x_t, t, batch, NO_CONDITIONS)
    assert torch.allclose(logits, network(x_t, t, batch).log_softmax(dim=1), atol=1e-4)


@torch.inference_mode()
def test_entries_that_one_palette_merges_share_its_probability(network):
    joint = JointPalettes((random_palette(2),), (np.array([0, 1, 1]),), 0)
    x_t, t = torch.randint(0, 4, (1, 8, 8), generator=torch.Generator().manual_seed(0)), torch.tensor([0.5])
    p = JointDenoiser(network, joint)(x_t, t, PaletteBatch.from_palettes([random_palette(3)]), NO_CONDITIONS).softmax(1)
    seen = torch.tensor([0, 1, 1, 2])[x_t]
    expected = network(seen, t, PaletteBatch.from_palettes([random_palette(2)])).softmax(dim=1)
    assert torch.allclose(p[:, 0], expected[:, 0], atol=1e-5)
    assert torch.allclose(p[:, 1], expected[:, 1] / 2, atol=1e-5)


def test_the_same_drawing_in_every_palette(network):
    palettes = [
        random_palette(3, 1),
        random_palette(6, 2).with_transparency(),
        random_palette(7, 3),
        random_palette(2, 4),
    ]
    joint = JointPalettes.matched(palettes)
    drawn = make_pipeline(network)(3, joint, Sampling(4)).images
    assert [image.palette for image in drawn] == palettes * 3
    for n in range(3):
        versions = drawn[4 * n : 4 * n + 4]
        base = versions[joint.first].indices
        for version, entries in zip(versions, joint.entries, strict=True):
            assert np.array_equal(version.indices, entries[base])
    assert len(set(joint.entries[2])) == 7  # as many entries: one-to-one


@pytest.mark.parametrize("sizes", [(4, 6), (6, 4), (5, 5)])
@pytest.mark.parametrize("clear", [(False, False), (True, False), (True, True)])
def test_a_strip_runs_from_one_palette_to_the_other(sizes, clear):
    ends = [random_palette(n, n + i) for i, n in enumerate(sizes)]
    ends = [palette.with_transparency() if c else palette for palette, c in zip(ends, clear, strict=True)]
    strip = JointPalettes.strip(*ends, 5)
    assert (strip.palettes[0], strip.palettes[-1]) == tuple(ends)
    colors = [
        palette.colors[entries].astype(int) for palette, entries in zip(strip.palettes, strip.entries, strict=True)
    ]
    opaque = (colors[0][:, 3] > 0) & (colors[-1][:, 3] > 0)
    oklab = [SPACES["oklab"].from_bytes(c[opaque].astype(np.uint8)) for c in colors]
    for step in range(5):
        even = (1 - step / 4) * oklab[0] + step / 4 * oklab[4]
        assert np.allclose(oklab[step], even, atol=0.02)
        assert np.allclose(colors[step][:, 3], (1 - step / 4) * colors[0][:, 3] + step / 4 * colors[4][:, 3], atol=1)
    assert len(JointPalettes.strip(*ends, 2).palettes) == 2


@pytest.mark.parametrize("sampler", ["ancestral", "confidence"])
def test_image_i_depends_on_the_seed_and_i_alone_whatever_its_colors(network, sampler):
    joint = JointPalettes.matched([random_palette(5, 1), random_palette(3, 2)])
    options = {
        "palette": joint,
        "guidance": Guidance("cat", 1.5, ["dog", "cow"], 0.5),
        "controls": Controls(proportions=Proportions(torch.tensor([0.1, 0.2, 0.3, torch.nan, 0.2]))),
    }
    pipeline = make_pipeline(network)
    drawn = index_maps(pipeline(3, sampling=Sampling(6, sampler=sampler), **options))
    assert np.array_equal(
        drawn, index_maps(pipeline(3, sampling=Sampling(6, sampler=sampler, batch_size=2), **options))
    )
    assert np.array_equal(drawn[:2], index_maps(pipeline(1, sampling=Sampling(6, sampler=sampler), **options)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda: {"guidance": Guidance(negative_classes=["unicorn"])}, "unknown class 'unicorn'"),
        (lambda: {"guidance": Guidance(negative_classes=["cat"], negative_scale=-1)}, "negative_scale is -1"),
        (
            lambda: {"controls": Controls(proportions=Proportions(torch.ones(3)))},
            r"proportions have the shape \[1, 3\], not \[2, 4\]",
        ),
        (lambda: Proportions(torch.zeros(4)), "at least one of them above 0"),
        (lambda: Proportions(torch.ones(4), 2.0), "strength of proportions is 2"),
        (lambda: JointPalettes.matched([]), "at least one palette"),
        (lambda: JointPalettes.strip(random_palette(3), random_palette(3), 1), "a strip has 1 steps"),
    ],
)
def test_mistakes_are_refused(by_class, options, message):
    with pytest.raises(InputError, match=message):
        by_class(2, random_palette(4), Sampling(1), **options())
