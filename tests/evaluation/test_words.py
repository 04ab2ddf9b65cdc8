from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tincture.common.errors import InputError
from tincture.controls.options import Sampling
from tincture.data.index_maps import IndexMaps
from tincture.evaluation.measuring import check_metrics, draw_captions, recognition
from tincture.evaluation.options import Measuring
from tincture.evaluation.words import Probe, common_things, shown_things
from tincture.models.text import Vocabulary
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

CAPTIONS = [*["monster animal red dragon"] * 30, *["monster animal newt"] * 40, *["item potion red"] * 50, "wall"]


def test_things_are_the_commonest_words_that_name_one():
    assert common_things(CAPTIONS) == {"animal": 70, "potion": 50, "newt": 40, "dragon": 30}
    assert common_things(CAPTIONS, 2) == {"animal": 70, "potion": 50}
    with pytest.raises(InputError, match="at least 20 captions name each, and there are 1 of them"):
        common_things(["red dragon"] * 20 + ["newt"] * 19)


def test_a_picture_shows_the_rarest_thing_of_its_caption():
    things = common_things(CAPTIONS)
    shown = shown_things(["animal dragon", "newt animal", "animal", "a wall", ""], things)
    assert shown.tolist() == [3, 2, 0, -1, -1]


def test_the_probe_recognizes_what_features_tell_and_guesses_where_they_tell_nothing():
    generator = torch.Generator().manual_seed(0)
    shown = torch.arange(900) % 3
    shown[:300] = 0  # one of the three is much commoner
    marks = torch.randn(3, 20, generator=generator, dtype=torch.float64)
    noise = torch.randn(900, 20, generator=generator, dtype=torch.float64)
    features = 100 + 7 * (noise + 2 * marks[shown])
    learn, judge = slice(0, 600), slice(600, 900)
    probe = Probe(features[learn], shown[learn])
    assert probe.recognized(features[judge], shown[judge]).value > 0.95
    guessed = probe.recognized((100 + 7 * noise)[judge], shown[judge])
    assert guessed.value == pytest.approx(1 / 3, abs=4 * guessed.stderr)
    assert 0 < guessed.stderr < 0.05


APPLE, SEA = 1, 2
"""Entries of a palette: apples are pictures of one color, seas of another."""


def pictures_of(captions):
    generator, size = torch.Generator().manual_seed(len(captions)), (len(captions), 8, 8)
    filled = torch.tensor([APPLE if "apple" in caption else SEA for caption in captions])[:, None, None]
    indices = filled * (torch.rand(size, generator=generator) < 0.8)
    palettes = PaletteBatch.from_palettes([Palette.from_hex(["ffffff", "c02020", "2040c0"])] * len(captions))
    texts = [""] * len(captions), captions, [""] * len(captions)
    return IndexMaps(indices.to(torch.uint8), palettes, torch.zeros(len(captions), dtype=torch.long), ["all"], *texts)


class Painter:
    """A pipeline that draws what its prompt names, and seas without one."""

    def __init__(self):
        self.scales = {}

    denoiser = SimpleNamespace(device="cpu", text=SimpleNamespace(vocabulary=Vocabulary(["apple", "sea", "big"])))

    def __call__(self, num_images, palettes, sampling, height, width, prompt=None, guidance_scale=None, **_):
        filled = [SEA] * num_images if prompt is None else [APPLE if "apple" in each else SEA for each in prompt]
        self.prompts = prompt or self.prompts
        self.scales[prompt is None] = guidance_scale
        images = [np.full((height, width), entry, np.uint8) for entry in filled]
        return SimpleNamespace(images=list(map(IndexedImage, images, palettes)))


def test_drawings_of_captions_are_recognized_as_often_as_they_show_what_these_name():
    training = pictures_of(["big apple", "sea", "big"] * 30)
    reference = pictures_of(["apple qqqq", "sea", "big", "big apple", "apple"] * 4)
    things, painter = common_things(training.captions), Painter()
    assert list(things) == ["apple", "sea"]
    asked, drawn = draw_captions(painter, reference, things, Measuring(["words"], guidance_scale=2.0), Sampling())
    assert sorted(asked.captions) == sorted(caption for caption in reference.captions if caption != "big")
    assert sorted(set(painter.prompts)) == ["apple", "big apple", "sea"]  # an unknown word isn't asked for
    assert painter.scales == {False: 2.0, True: None}  # without a prompt there is nothing to follow

    looked = []

    def mean_color(rgba):
        looked.append(len(rgba))
        return rgba.double().mean(dim=(1, 2))

    scalars = recognition(training, asked, drawn, things, mean_color)
    assert scalars["words/recognized"] == scalars["words/recognized_real"] == 1
    assert scalars["words/recognized_unprompted"] == 0.25  # of the captions asked for, those that name a sea
    assert looked[0] == 60  # of pictures that show one of the things
    with pytest.raises(InputError, match="none of apple, sea in captions"):
        draw_captions(painter, pictures_of(["big"] * 4), things, Measuring(["words"]), Sampling())


def test_words_are_measured_only_of_a_model_that_knows_some():
    pipeline = SimpleNamespace(denoiser=SimpleNamespace(text=None))
    with pytest.raises(InputError, match="models that know words"):
        check_metrics(Measuring(["words"]), pipeline, pictures_of(["sea"]), pictures_of(["sea"]))
