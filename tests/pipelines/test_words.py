"""Prompts: what a pipeline that knows words makes of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tincture.common.errors import InputError
from tincture.controls.options import Guidance, Sampling
from tincture.diffusion.guidance import Told
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.models.denoiser import build_denoiser
from tincture.models.options import DenoiserConfig
from tincture.models.text import LEARNED
from tincture.pipelines.asking import guidance_branches
from tincture.pipelines.palette_bank import PaletteBank
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.tests.models.test_denoiser import TINY, randomize
from tincture.tests.palettes import random_palette

PALETTE = random_palette(6)


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    denoiser = build_denoiser(DenoiserConfig(text=LEARNED, **TINY), 2, 0, ["red dragon", "blue shield"])
    denoiser = randomize(randomize(denoiser))  # strong enough that every condition shows
    bank = PaletteBank.of(PaletteBatch.from_palettes([PALETTE]), torch.tensor([0]), torch.tensor([False]))
    pipeline = PaletteDiffusionPipeline(denoiser, PaletteScheduler(), bank, size=8, label_names=["cat", "dog"])
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def draw(pipeline):
    def call(*arguments, **options):
        options = {"palette": PALETTE, "sampling": Sampling(3), "output_type": "pt"} | options
        return pipeline(*arguments, **options).images

    return call


def test_image_i_has_prompt_i_and_then_they_begin_again(draw):
    drawn = draw(4, guidance=Guidance(prompt=["red dragon", "blue shield"]))
    dragons, shields = draw(4, prompt="red dragon"), draw(4, prompt="blue shield")
    assert torch.equal(drawn, torch.stack([dragons[0], shields[1], dragons[2], shields[3]]))
    assert not torch.equal(dragons, shields)
    assert torch.equal(draw(3, guidance=Guidance(prompt=["red dragon", "blue shield"])), drawn[:3])


def test_a_prompt_instead_of_a_number_is_drawn_once_as_in_diffusers(draw):
    drawn = draw(2, guidance=Guidance(prompt=["red dragon", "blue shield"]))
    assert torch.equal(draw(["red dragon", "blue shield"]), drawn)
    assert torch.equal(draw("red dragon"), drawn[:1])


def test_a_model_draws_with_its_own_temperature_and_follows_words_with_its_own_scale(pipeline, draw):
    asked = {"sampling": Sampling(3, temperature=0.5), "guidance": Guidance(guidance_scale=3.0)}
    told, untold = draw(3, prompt="red dragon", **asked), draw(3, sampling=asked["sampling"])
    try:
        pipeline.register_to_config(temperature=0.5, guidance_scale=3.0)
        assert torch.equal(draw(3, prompt="red dragon"), told)
        assert torch.equal(draw(3), untold)
        plain = draw(3, prompt="red dragon", sampling=Sampling(3, temperature=1.0), guidance_scale=1.0)
    finally:
        pipeline.register_to_config(temperature=1.0, guidance_scale=1.0)
    assert torch.equal(plain, draw(3, prompt="red dragon"))
    assert not torch.equal(plain, told)


def test_order_and_number_of_images_at_once_do_not_change_what_a_prompt_gives(draw):
    drawn = draw(5, guidance=Guidance(prompt=["red dragon", "shield"], guidance_scale=2.0))
    guidance = Guidance(prompt=["dragon red", "the shields"], guidance_scale=2.0)
    assert torch.equal(draw(5, guidance=guidance, sampling=Sampling(3, batch_size=2)), drawn)


@pytest.mark.parametrize(
    "guidance",
    [
        {"prompt": ["red dragon"]},
        {"prompt": ["red dragon"], "guidance_scale": 3.0},
        {"prompt": ["red dragon"], "class_label": "cat"},
        {"prompt": ["red dragon"], "class_label": "cat", "negative_prompts": ["shield"]},
        {"prompt": ["red dragon"], "class_label": "cat", "negative_prompts": ["shield"], "negative_classes": ["dog"]},
        {"negative_prompts": ["shield"]},
    ],
)
def test_prompts_classes_guidance_and_negatives_combine(draw, guidance):
    """Each differs from the drawing that lacks its last option."""
    fewer = dict(list(guidance.items())[:-1])
    assert not torch.equal(draw(4, guidance=Guidance(**guidance)), draw(4, guidance=Guidance(**fewer)))


def test_the_same_words_are_one_branch_and_cancel():
    red, blue = ((0, 1), (2, -1)), ((3, -1),)
    branches = guidance_branches(3, Told(1, red), [Told(words=blue), Told(words=blue), Told(2)], None, 1.5, 0.5)
    assert [weight for _, weight in branches] == pytest.approx([1.5, -0.5 + 1.5, -1.0, -0.5])
    told, nothing, negative, of_class = (conditions for conditions, _ in branches)
    assert told.words.tolist() == [[0, 1], [2, -1], [0, 1]]
    assert told.class_labels.tolist() == [1, 1, 1]
    assert nothing.words is nothing.class_labels is None
    assert negative.words.tolist() == [[3, -1]] * 3
    assert of_class.words is None
    (left,) = guidance_branches(3, Told(words=red), [Told(words=red)], None, 1.5, 1.5)
    assert left.conditions.words is None
    assert left.weight == pytest.approx(1)


def test_a_loaded_pipeline_knows_the_same_words(pipeline, draw, tmp_path):
    pipeline.save_pretrained(tmp_path)
    loaded = PaletteDiffusionPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    drawn = loaded("red dragon", PALETTE, Sampling(3)).images
    assert np.array_equal(drawn[0].indices, draw("red dragon")[0].numpy())


def test_a_prompt_without_a_palette_is_drawn_in_one_of_a_picture_that_it_is_like(pipeline, tmp_path):
    palettes = PaletteBatch.from_palettes([random_palette(size, size) for size in range(2, 62)])
    captions = [("a blue shield", "the red dragon", "")[number % 3] for number in range(60)]
    words, heldout = pipeline.denoiser.text.vocabulary.encode(captions), torch.arange(60) < 3
    bank = PaletteBank.of(palettes, torch.zeros(60, dtype=torch.long), heldout, words)
    mine = PaletteDiffusionPipeline(pipeline.denoiser, PaletteScheduler(), bank, size=8, label_names=["cat", "dog"])
    mine.save_pretrained(tmp_path)
    for each in (mine, PaletteDiffusionPipeline.from_pretrained(tmp_path)):
        each.set_progress_bar_config(disable=True)
        drawn = each(16, sampling=Sampling(1), guidance=Guidance(prompt=["red dragon", "shield"])).images
        kinds = [(len(image.palette) - 2) % 3 for image in drawn]
        assert kinds == [1, 0] * 8
        assert len({len(image.palette) for image in drawn}) > 4
        # The images of one prompt in a palette of their own change nothing for those of the other.
        rest = each(16, ["train", PALETTE] * 8, Sampling(1), Guidance(prompt=["red dragon", "shield"])).images
        assert [image.palette for image in rest[::2]] == [image.palette for image in drawn[::2]]
        shields = each(16, [PALETTE, "train"] * 8, Sampling(1), Guidance(prompt=["red dragon", "shield"])).images
        assert [image.palette for image in shields[1::2]] == [image.palette for image in drawn[1::2]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": ""}, "the prompt '' says nothing"),
        ({"prompt": "qqqqq"}, "knows no word of the prompt 'qqqqq'"),
        ({"negative_prompt": " "}, "the prompt ' ' says nothing"),
        ({"num_images": []}, "num_images is 0"),
        ({"prompt": []}, "no prompt"),
    ],
)
def test_prompts_that_say_nothing_are_refused(draw, options, message):
    with pytest.raises(InputError, match=message):
        draw(**options)


@pytest.fixture(scope="module")
def sprites():
    pipeline = PaletteDiffusionPipeline.from_pretrained(Path(__file__).parents[2] / "checkpoints" / "sprites")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("prompt", [None, "red dragon"])
@pytest.mark.parametrize(("width", "height", "entries"), [(8, 8, 2), (64, 9, 31), (13, 40, 6), (64, 64, 256)])
def test_the_model_of_words_draws_any_size_in_exactly_the_palette_given(
    sprites, tmp_path, width, height, entries, prompt
):
    palette = random_palette(entries, transparent=1)
    drawn = sprites(1, palette, Sampling(2), prompt=prompt, guidance_scale=2.0, width=width, height=height).images[0]
    drawn.save(tmp_path / "drawn.png")
    saved = IndexedImage.load(tmp_path / "drawn.png")
    assert saved.indices.shape == (height, width)
    assert saved.palette == palette
    assert len(np.unique(saved.indices)) > 1
