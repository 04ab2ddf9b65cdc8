from collections import defaultdict

import pytest

from tincture.data.icons import _fugue, _silk, fugue_base_name, icons, silk_base_name
from tincture.data.sources import is_heldout


@pytest.fixture(scope="module")
def images():
    return list(icons().images)


def test_both_packages_are_complete(images):
    assert len(list(_fugue())) == 3570
    assert len(list(_silk())) > 990
    assert all(image.pixels.shape == (16, 16, 4) for image in images)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("folder_add", "folder"),
        ("tag_blue_delete", "tag"),
        ("page_white_code_red", "page"),
        ("arrow_up", "arrow_up"),
        ("add", "add"),
        ("award_star_gold_1", "award_star"),
    ],
)
def test_silk_base_names(name, base):
    assert silk_base_name(name) == base


def test_fugue_base_names():
    assert fugue_base_name("folder--plus") == fugue_base_name("folder") == "folder"
    assert fugue_base_name("folder-open--arrow") == "folder-open"


def test_no_base_name_stands_on_both_sides(images):
    sides = defaultdict(set)
    bases = [base for _, base, _ in _fugue()] + [base for _, base, _ in _silk()]
    for base, image in zip(bases, images, strict=True):
        sides[base.replace("_", "-")].add(is_heldout(image.side, 0.1))
    assert len(sides) > 2000
    assert all(len(side) == 1 for side in sides.values())
    assert 0.08 < sum(is_heldout(image.side, 0.1) for image in images) / len(images) < 0.12


def test_captions_are_the_names_words(images):
    captions = {image.name: image.caption for image in images}
    assert captions["folder--plus"] == "folder plus"
    assert captions["tag_blue_add"] == "tag blue add"
    assert captions["arrow-045"] == "arrow"
    assert all(image.caption and image.credit for image in images)


def test_labels_are_first_words_and_rare_ones_are_merged(images):
    labels = defaultdict(int)
    for image in images:
        labels[image.label] += 1
    assert {"other", "arrow", "document", "folder", "user"} <= set(labels)
    assert min(labels.values()) >= 20
