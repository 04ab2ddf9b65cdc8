"""Palettes that a model's prior draws, alone and together with pictures."""

import numpy as np
import pytest
import torch

from tincture.common.errors import InputError
from tincture.controls.options import DrawnPalette, Guidance, Sampling
from tincture.diffusion.draws import Streams
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.models.denoiser import PaletteDenoiser
from tincture.models.palette_prior import PalettePrior
from tincture.models.text import Table
from tincture.pipelines.palette_bank import PaletteBank
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.tests.palettes import random_palette


@pytest.fixture(scope="module")
def pipeline():
    """Of two classes and two words; its training palettes have 3 entries, or 6 with one of them
    transparent.
    """
    torch.manual_seed(0)
    table = Table.of(["red", "green"], torch.randn(2, 5))
    denoiser = PaletteDenoiser(
        token_channels=32,
        palette_depth=1,
        condition_channels=32,
        num_classes=2,
        vocabulary={"words": 2, "letters": len(table.letters), "vector_channels": 5, "learned": True},
        unet={"channels": (32,), "blocks": (1,), "attention": (False,), "head_channels": 32, "head_blocks": 0},
    )
    denoiser.text.hold(table)
    palettes = PaletteBatch.from_palettes([random_palette(3), random_palette(6, transparent=0), random_palette(9)])
    words = torch.tensor([[0], [1], [1]])
    bank = PaletteBank.of(palettes, torch.tensor([0, 1, 1]), torch.tensor([False, False, True]), words)
    prior = PalettePrior(channels=8, depth=1, head_channels=4, num_classes=2, word_channels=5)
    for weight in prior.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    pipeline = PaletteDiffusionPipeline(denoiser, PaletteScheduler(), bank, 6, ["cat", "dog"], prior.eval())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def streams(*images, seed=0):
    return Streams.of(seed, images)


def test_palettes_have_sizes_as_in_training_those_of_their_class_where_it_is_told(pipeline):
    sizes = [(len(each), each.transparent) for each in pipeline.draw_palettes(DrawnPalette(), streams(*range(20)))]
    assert {*sizes} == {(3, None), (6, 0)}
    dogs = pipeline.draw_palettes(DrawnPalette(), streams(*range(9)), Guidance(class_label="dog"))
    assert {(len(each), each.transparent) for each in dogs} == {(6, 0)}


def test_what_is_asked_of_a_palette_it_has(pipeline):
    kept = Palette.from_hex(["ff0000", "00ff00", "0000ff", "123456"])
    for asked, size, transparent in [
        (DrawnPalette(17, True, kept), 17, 0),
        (DrawnPalette(17, False, kept), 17, None),
        (DrawnPalette(transparent=True, kept=kept), None, 0),
        (DrawnPalette(60, True), 60, 0),
        (DrawnPalette(5, True, kept), 5, 0),
    ]:
        for palette in pipeline.draw_palettes(asked, streams(0, 1)):
            assert size is None or len(palette) == size
            assert palette.transparent == transparent
            assert {*(asked.kept.to_hex() if asked.kept else [])} <= {*palette.to_hex()}
            opaque = palette.colors[palette.colors[:, 3] > 0]
            assert (opaque[:, 3] == 255).all() and len(np.unique(opaque, axis=0)) == len(opaque)


def test_class_words_and_seed_change_what_is_drawn_and_nothing_else_does(pipeline):
    asked = DrawnPalette(4, False)

    def draw(told=Guidance(), seed=0):
        return pipeline.draw_palettes(asked, streams(0, seed=seed), told)[0]

    told = [Guidance(), Guidance(class_label="cat"), Guidance(class_label="dog"), Guidance(prompt=["red"])]
    assert len({draw(each) for each in told}) == 4
    assert draw() == draw() != draw(seed=1)
    many = pipeline.draw_palettes(asked, streams(3, 0), Guidance(prompt=["green", "red"]))
    assert many[1] == draw(Guidance(prompt=["red"]))


def test_pictures_are_drawn_in_palettes_that_are_drawn_for_them(pipeline):
    drawn = pipeline(4, "drawn", Sampling(2, seed=5)).images
    alone = pipeline.draw_palettes(DrawnPalette(), streams(0, 1, 2, 3, seed=5))
    assert [image.palette for image in drawn] == alone
    mixed = pipeline(2, [random_palette(7), DrawnPalette(5)], Sampling(2, seed=5, batch_size=1)).images
    assert [len(image.palette) for image in mixed] == [7, 5]
    again = pipeline(4, "drawn", Sampling(2, seed=5, batch_size=1)).images
    for first, second in zip(drawn, again, strict=True):
        assert first.palette == second.palette
        assert np.array_equal(first.indices, second.indices)


def test_drawn_palettes_change_nothing_for_images_with_palettes_of_the_bank(pipeline):
    whole = pipeline(3, "train", Sampling(2)).images
    mixed = pipeline(3, ["train", DrawnPalette(30), "train"], Sampling(2)).images
    for image in (0, 2):
        assert mixed[image].palette == whole[image].palette
        assert np.array_equal(mixed[image].indices, whole[image].indices)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda p: p(1, DrawnPalette(1, False)), "at least 2 entries, not 1"),
        (lambda p: DrawnPalette(257), "colors is 257; it must be from 1 to 256"),
        (lambda p: DrawnPalette(temperature=-1), "temperature is -1"),
        (lambda p: DrawnPalette(kept=Palette.from_hex(["fff", "ffffff"])), "each is named once, unlike ffffff,ffffff"),
        (lambda p: DrawnPalette(kept=Palette.from_hex(["0000"])), "colors to keep are opaque"),
        (
            lambda p: p.draw_palettes(DrawnPalette(1, True, Palette.from_hex(["fff"])), streams(0)),
            "of 1 entries has no place",
        ),
        (lambda p: p(1, "drown"), "did you mean drawn"),
    ],
)
def test_mistakes_are_said_in_one_line(pipeline, mistake, message):
    with pytest.raises(InputError, match=message) as said:
        mistake(pipeline)
    assert len(str(said.value).splitlines()) == 1


def test_a_model_without_a_prior_says_so(pipeline):
    bare = PaletteDiffusionPipeline(pipeline.denoiser, pipeline.scheduler, pipeline.palette_bank, 6, ["cat", "dog"])
    with pytest.raises(InputError, match=r"this model draws no palettes: publish\.py"):
        bare(1, "drawn")
