import numpy as np
import pytest

from tincture.quantization.encoding import encode
from tincture.quantization.fit import error_curve
from tincture.quantization.metric import NEAR, hue_weight, nearest_entries
from tincture.quantization.nearest import nearest
from tincture.quantization.palettes.choice import rank_palettes
from tincture.quantization.palettes.files import named_palettes, read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.recolor import recolor
from tincture.quantization.spaces import SPACES

PANELS = {
    "red": "000000 ffffff ff0000",
    "yellow": "000000 ffffff ffff00",
    "red, yellow": "000000 ffffff ff0000 ffff00",
    "as measured": "1c1c1c e6e6e6 a02020 d8c840",
    "six, as measured": "191e21 e8e8e8 2157ba 125f20 b21318 efde44",
    "a gray": "000000 999999 ffffff 0000ff ff8800",
}
"""Of e-paper."""
STRONG = 0.12
"""The chroma of a color that nobody takes for a gray."""


def panel(name):
    return Palette.from_hex(PANELS[name].split())


def oklab(colors):
    return SPACES["oklab"].from_bytes(np.ascontiguousarray(colors))


def chroma(colors):
    return np.hypot(*oklab(colors)[:, 1:].T)


def grays_between_neutrals(palette):
    """Every gray, some with a cast, that is lighter than one neutral and darker than another."""
    steps = np.stack([np.arange(256) + shift * cast for shift in (0, 2) for cast in np.eye(3)[:, :, None]])
    grays = steps.transpose(0, 2, 1).reshape(-1, 3).clip(0, 255).astype(np.uint8)
    neutrals = oklab(palette.colors)[chroma(palette.colors) < 0.03, 0]
    lightness = oklab(grays)[:, 0]
    return grays[(lightness >= neutrals.min()) & (lightness <= neutrals.max())]


def with_neutrals(names):
    return [name for name in names if (chroma(read_palette(name).colors) < 0.03).sum() > 1]


@pytest.mark.parametrize("palette", [*map(panel, PANELS), *map(read_palette, with_neutrals(named_palettes()))])
@pytest.mark.parametrize("space", SPACES)
def test_a_gray_becomes_no_strong_color_while_the_palette_has_neutrals(palette, space):
    grays = grays_between_neutrals(palette)
    taken = palette.colors[nearest_entries(grays, palette.colors, space)]
    far = np.linalg.norm(oklab(grays) - oklab(taken), axis=1) > NEAR
    assert len(grays) > 200
    assert not (far & (chroma(taken) > STRONG)).any()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(
    ("color", "name", "entry"),
    [
        ("555555", "red", "000000"),
        ("808080", "red", "ffffff"),
        ("999999", "yellow", "ffffff"),
        ("5e5e5e", "red, yellow", "000000"),
        ("5a5550", "as measured", "1c1c1c"),
        ("606a60", "six, as measured", "191e21"),
        ("405060", "red", "000000"),  # a bluish gray
        ("0000ff", "red", "000000"),
        ("c02020", "red", "ff0000"),
        ("ff7700", "red, yellow", "ff0000"),
        ("2040c0", "six, as measured", "2157ba"),
        ("707070", "a gray", "999999"),
    ],
)
def test_the_nearest_entry_of_a_panel_has_the_hue(color, name, entry, space):
    pixels = Palette.from_hex([color]).colors[None]
    assert panel(name).to_hex()[int(encode(pixels, panel(name), space)[0, 0])] == entry


@pytest.mark.parametrize("name", PANELS)
def test_the_soft_edges_of_black_text_on_white_have_no_colored_fringe(name):
    ramp = np.linspace(0, 255, 16).round().astype(np.uint8)
    edge = np.dstack([np.broadcast_to(ramp, (4, 16))] * 3 + [np.full((4, 16), 255, np.uint8)])
    shown = panel(name).colors[encode(edge, panel(name))]
    assert (chroma(shown.reshape(-1, 4)) < 0.03).all()


@pytest.mark.parametrize(
    "colors",
    [
        "000000 404040 808080 c0c0c0 ffffff ff0000",  # enough grays
        "000000 ffffff",
        "081820 346856 88c070 e0f8d0",  # greens, of which one passes for a gray
        "ff0000 00ff00 0000ff",
    ],
)
@pytest.mark.parametrize("space", SPACES)
def test_hue_counts_once_where_the_palette_has_enough_grays_or_none(colors, space):
    assert hue_weight(Palette.from_hex(colors.split()).colors, space) == 1


@pytest.mark.parametrize("space", SPACES)
def test_a_near_match_is_the_nearest_in_its_space(rng, space):
    palette, to_space = read_palette("zx-spectrum").colors, SPACES[space].from_bytes
    colors = rng.integers(0, 256, (3000, 3), np.uint8)
    plain = nearest(to_space(colors), to_space(palette))[0]
    near = np.linalg.norm(oklab(colors) - oklab(palette)[plain], axis=1) < NEAR
    taken = nearest_entries(colors, palette, space)
    assert near.sum() > 100
    assert np.array_equal(taken[near], plain[near])
    assert (taken != plain).any()


@pytest.mark.parametrize("name", PANELS)
def test_recoloring_by_areas_keeps_grays_gray(name):
    grays = Palette.from_hex(["222222", "5c5c5c", "6b6b6b", "808080", "c8c8c8"])
    indices, target = np.arange(5, dtype=np.uint8)[None], panel(name)
    recolored = recolor(IndexedImage(indices, grays), target, reversible=False, distinct=0, stretch=0)
    assert np.array_equal(recolored.indices, encode(grays.colors[indices], target))
    assert (chroma(target.colors[recolored.indices[0]]) < 0.03).all()


def test_the_best_palette_is_judged_by_what_is_drawn_with_it():
    gray = np.full((4, 4, 4), (0x5C, 0x5C, 0x5C, 255), np.uint8)
    palettes = {
        "blue": Palette.from_hex(["000000", "ffffff", "2040c0"]),
        "dark": Palette.from_hex(["333333", "ffffff"]),
    }
    errors = dict(rank_palettes([gray], palettes))
    assert errors["blue"] == pytest.approx(float(oklab(gray[0, :1])[0, 0]), abs=1e-4)  # drawn in black
    assert min(errors, key=errors.get) == "dark"


def test_the_error_over_the_number_of_colors_is_that_of_what_is_drawn():
    stripes = np.repeat(Palette.from_hex(["000000", "ffffff", "ff0000", "555555"]).colors, [40, 40, 40, 1], axis=0)
    keep = Palette.from_hex(["000000", "ffffff", "ff0000"])
    error = error_curve([stripes[None]], [3], "fixed", keep=keep)[0]
    assert error * len(stripes) == pytest.approx(float(oklab(stripes[-1:])[0, 0]), rel=1e-3)
