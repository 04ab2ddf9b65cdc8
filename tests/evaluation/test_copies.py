from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tincture.data.index_maps import IndexMaps
from tincture.evaluation.copies import (
    calibrated_threshold,
    closest_pairs,
    count_copies,
    nearest_of_their_size,
    nearest_training,
)
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage


@pytest.fixture
def training():
    return torch.randint(0, 9, (30, 16, 16), generator=torch.Generator().manual_seed(0))


def agreement_by_matrices(image, other):
    """Agreement of two index maps by its definition: the joint counts of their entries as a
    product of one-hots.
    """
    together = F.one_hot(image.flatten()).T @ F.one_hot(other.flatten())  # pixels with entries j and k
    return min(together.amax(dim=1).sum().item(), together.amax(dim=0).sum().item()) / image.numel()


def test_counting_gives_what_the_definition_does():
    generator = torch.Generator().manual_seed(3)
    training = torch.randint(0, 4, (20, 5, 7), generator=generator)
    images = torch.randint(0, 3, (15, 5, 7), generator=generator)
    images[:5] = torch.where(torch.rand(5, 5, 7, generator=generator) < 0.7, training[:5], images[:5])
    found = nearest_training(images, training)
    for image, agreement, row in zip(images, *found, strict=True):
        shifted = [image.roll((down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        expected = [max(agreement_by_matrices(each, other) for each in shifted) for other in training]
        assert agreement.item() == pytest.approx(max(expected))
        assert row.item() == int(np.argmax(expected))


def test_a_recolored_and_shifted_copy_is_found(training):
    recolor = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    copy = recolor[training[17]].roll((1, -1), (0, 1))
    found = nearest_training(copy[None], training)
    assert found.row.item() == 17
    assert found.agreement.item() == 1
    assert nearest_training(copy[None], training, max_shift=0).agreement.item() < 0.5


def test_agreement_falls_with_every_changed_pixel(training):
    changed = training[3].clone()
    changed.flatten()[:64] = (changed.flatten()[:64] + 1) % 9
    found = nearest_training(changed[None], training)
    assert found.row.item() == 3
    assert found.agreement.item() == pytest.approx(0.75, abs=0.02)


def test_a_blank_image_agrees_with_others_as_far_as_they_are_blank(training):
    assert nearest_training(torch.zeros(1, 16, 16), training).agreement.item() < 0.3
    nearly_blank = torch.zeros(1, 16, 16, dtype=torch.long)
    nearly_blank[0, 0, :13] = 1
    assert nearest_training(torch.zeros(1, 16, 16), nearly_blank).agreement.item() == (256 - 13) / 256


def test_a_mirrored_copy_is_found_where_mirrors_are_looked_for(training):
    copy = training[[17]].flip(2).roll((0, 1), (1, 2))
    assert nearest_training(copy, training).agreement.item() < 0.5
    found = nearest_training(copy, training, mirrored=True)
    assert (found.row.item(), found.agreement.item()) == (17, 1)


def test_an_agreement_that_is_just_near_enough_counts():
    image = torch.arange(100).view(1, 10, 10)
    other = image.clone()
    other.flatten()[:10] = 0
    copies = count_copies(nearest_training(other, image, max_shift=0).agreement, torch.zeros(100))
    assert copies.near[0].value == 1


def test_a_model_that_copies_nothing_is_above_the_threshold_with_a_chance_of_one_percent_at_most():
    generator = torch.Generator().manual_seed(0)
    for heldout in (99, 150, 467):
        sets = torch.rand(4000, heldout, generator=generator)
        chance = torch.stack([1 - calibrated_threshold(each) for each in sets])  # uniform agreements
        assert chance.mean().item() <= 0.01 + 4 * chance.std().item() / 4000**0.5


def test_too_few_held_out_images_give_no_threshold():
    copies = count_copies(torch.rand(50), torch.rand(98))
    assert copies.share_above is None and copies.heldout_99th_percentile is None
    assert count_copies(torch.rand(50), torch.rand(99)).share_above is not None


def test_images_may_have_more_entries_than_the_training_set(training):
    image = training[5].clone()
    image[0, 0] = 200
    assert nearest_training(image[None], training).row.item() == 5


def test_the_share_of_copies_is_counted_with_the_error_of_its_threshold():
    generator = torch.Generator().manual_seed(0)
    heldout, drawn = torch.rand(400, generator=generator), torch.rand(300, generator=generator)
    share, stderr = count_copies(torch.cat([drawn, torch.ones(100)]), heldout).share_above
    assert share == pytest.approx(0.25 + 0.75 * 0.01, abs=0.01)
    assert 0.5 < stderr / (0.25 * 0.75 / 400) ** 0.5 < 2  # about the binomial one, since the threshold hardly matters


def test_copies_are_seen_where_held_out_images_have_twins_in_the_training_set():
    heldout = torch.full((500,), 0.5)
    heldout[:10] = 1  # the threshold is 1, and nothing is above it
    copies = count_copies(torch.ones(200), heldout)
    assert copies.share_above.value == 0
    assert [share.value for share in copies.near] == [1, 1, 1]
    assert [share.value for share in copies.heldout_near] == [0.02] * 3
    halves = count_copies(torch.tensor([0.89, 0.94, 0.96, 1.0]), heldout)
    assert [share.value for share in halves.near] == [0.75, 0.5, 0.25]


def test_the_closest_pairs_come_first_drawn_then_trained(training):
    palette = Palette.from_hex([f"{level:02x}0000" for level in range(9)])
    palettes = PaletteBatch.from_palettes([palette] * 30)
    maps = IndexMaps(training.to(torch.uint8), palettes, torch.zeros(30, dtype=torch.long), ["all"], *[[""] * 30] * 3)
    changed = training[[4, 7]].clone()
    changed[0, :6] = 0
    images = [IndexedImage(each.numpy().astype(np.uint8), palette) for each in changed]
    pairs = closest_pairs(images, nearest_training(changed, training), maps, pairs=2)
    assert pairs[0].indices.tolist() == pairs[2].indices.tolist() == training[7].tolist()
    assert pairs[1].indices.tolist() == changed[0].tolist()
    assert pairs[3].indices.tolist() == training[4].tolist()


def test_each_image_is_compared_with_training_images_of_its_own_size(training):
    palette = Palette.from_hex([f"{level:02x}0000" for level in range(9)])
    palettes, sizes = PaletteBatch.from_palettes([palette] * 30), torch.tensor([training.shape[1], 5, 7] * 10)
    maps = IndexMaps(training.to(torch.uint8), palettes, torch.zeros(30).long(), ["all"], *[[""] * 30] * 3)
    whole = [IndexedImage(each.numpy().astype(np.uint8), palette) for each in training[:3]]
    assert all(
        torch.equal(mine, other)
        for mine, other in zip(
            nearest_of_their_size(whole, maps), nearest_training(training[:3], training), strict=True
        )
    )
    mixed = replace(maps, sizes=sizes)
    images = [mixed.pictures(torch.tensor([row]))[0] for row in (4, 2, 0, 1)]
    strange = IndexedImage(np.zeros((6, 6), np.uint8), palette)
    found = nearest_of_their_size([*images, strange], mixed)
    assert found.agreement.tolist() == [1, 1, 1, 1, 0]
    assert found.row[:4].tolist() == [4, 2, 0, 1]
