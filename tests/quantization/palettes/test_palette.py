import numpy as np
import pytest
import torch

from tincture.common.errors import InputError
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette


def test_order_and_duplicates_are_kept():
    colors = ["ff0000", "000000", "ff0000", "00ff0080"]
    assert Palette.from_hex(colors).to_hex() == colors


def test_a_palette_cannot_be_changed():
    palette = Palette.from_hex(["000000", "ffffff"])
    with pytest.raises(ValueError, match="read-only"):
        palette.colors[0, 0] = 1


def test_a_palette_does_not_follow_changes_of_the_array_it_came_from():
    colors = np.zeros((2, 4), np.uint8)
    colors[:, 3] = 255
    palette = Palette(colors)
    colors[0] = 7
    assert palette.colors[0].tolist() == [0, 0, 0, 255]


def test_equal_palettes_are_equal_and_hash_alike():
    first, second = Palette.from_hex(["112233"]), Palette.from_hex(["#112233"])
    assert first == second
    assert hash(first) == hash(second)
    assert first != Palette.from_hex(["112234"])


@pytest.mark.parametrize(
    ("colors", "message"),
    [
        ([], "1 to 256 entries, not 0"),
        (["000000"] * 300, "1 to 256 entries, not 300"),
        (["00000000", "ffffff00"], "at most one transparent"),
        (["12345"], "not a color"),
        (["xyzxyz"], "not a color"),
        (["1 2 3 4 5 6"], "not a color"),
    ],
)
def test_wrong_palettes_are_refused(colors, message):
    with pytest.raises(InputError, match=message):
        Palette.from_hex(colors)


def test_transparency_is_added_once_and_last():
    palette = Palette.from_hex(["112233", "445566"]).with_transparency()
    assert palette.transparent == 2
    assert palette.with_transparency() == palette


def test_padding_marks_what_is_real():
    batch = PaletteBatch.from_palettes([Palette.from_hex(["000000"]), Palette.from_hex(["ffffff"] * 3)])
    assert batch.mask_index == 3
    assert batch.valid.tolist() == [[True, False, False], [True, True, True]]
    assert batch.sizes.tolist() == [1, 3]
    assert torch.equal(batch[torch.tensor([1])].colors, batch.colors[1:])
