import pytest
import torch

from evaluation.memorization import nearest_training


@pytest.fixture
def training():
    return torch.randint(0, 9, (30, 16, 16), generator=torch.Generator().manual_seed(0))


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


def test_a_blank_image_is_a_copy_of_nothing(training):
    assert nearest_training(torch.zeros(1, 16, 16), training).agreement.item() < 0.3


def test_images_may_have_more_entries_than_the_training_set(training):
    image = training[5].clone()
    image[0, 0] = 200
    assert nearest_training(image[None], training).row.item() == 5
