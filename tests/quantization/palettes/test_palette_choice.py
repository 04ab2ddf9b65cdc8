import numpy as np
import pytest

from tincture.common.errors import InputError
from tincture.quantization.palettes.choice import rank_palettes
from tincture.quantization.palettes.files import named_palettes, read_palette
from tincture.quantization.palettes.palette import Palette


@pytest.mark.parametrize("name", ["pico-8", "sweetie-16", "commodore64", "zughy-32"])
def test_a_picture_drawn_in_a_palette_finds_it_again(rng, name):
    palettes = {other: read_palette(other) for other in named_palettes()}
    image = palettes[name].colors[rng.integers(0, len(palettes[name]), (60, 60))]
    ranking = rank_palettes([image], palettes)
    assert ranking[0] == (name, 0)
    assert [error for _, error in ranking] == sorted(error for _, error in ranking)


def test_transparent_pixels_and_entries_play_no_part():
    image = np.zeros((2, 2, 4), np.uint8)
    image[0] = (255, 0, 0, 255)
    palettes = {"black": Palette.from_hex(["000000"]), "red": Palette.from_hex(["00000000", "fe0000"])}
    assert rank_palettes([image], palettes)[0][0] == "red"
    assert rank_palettes([np.zeros((2, 2, 4), np.uint8)], palettes)[0] == ("black", 0)


def test_nothing_to_choose_from_is_refused():
    with pytest.raises(InputError, match="no palette to choose from"):
        rank_palettes([], {})
    with pytest.raises(InputError, match="clear has no opaque entry"):
        rank_palettes([np.zeros((1, 1, 4), np.uint8)], {"clear": Palette.from_hex(["00000000"])})
