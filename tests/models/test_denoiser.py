import functools
import inspect
from dataclasses import fields

import pytest
import torch

from tincture.common.errors import InputError
from tincture.models.denoiser import Conditions, IndexDenoiser, PaletteDenoiser, build_denoiser
from tincture.models.options import DenoiserConfig, UNetConfig
from tincture.models.palette_encoder import color_features
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.palettes.tree import at_pixels, color_tree

SMALL = {
    "token_channels": 32,
    "palette_depth": 2,
    "condition_channels": 32,
    "unet": {"channels": (32, 64), "blocks": (1, 1), "head_channels": 32, "head_blocks": 1},
}

TINY = {**SMALL, "unet": UNetConfig(**SMALL["unet"])}


def randomize(model):
    """Give every weight a value, since blocks start with zeros that let nothing through."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="module")
def denoiser():
    torch.manual_seed(0)
    return randomize(PaletteDenoiser(num_classes=5, **SMALL))


def random_batch(count, entries, size=16, seed=0, masked=0.4):
    generator = torch.Generator().manual_seed(seed)
    colors = torch.randint(0, 256, (count, entries, 4), generator=generator, dtype=torch.uint8)
    colors[..., 3] = 255
    palette = PaletteBatch(colors, torch.ones(count, entries, dtype=torch.bool))
    x_0 = torch.randint(0, entries, (count, size, size), generator=generator)
    x_t = x_0.where(torch.rand(x_0.shape, generator=generator) > masked, entries)
    return x_t, torch.rand(count, generator=generator), palette


@torch.no_grad()
def test_permuting_the_palette_permutes_the_logits(denoiser):
    x_t, t, palette = random_batch(3, 11)
    order = torch.stack([torch.randperm(11) for _ in range(3)])  # new position → old position
    inverse = torch.cat([order.argsort(1), torch.full((3, 1), 11)], dim=1)  # the mask stays the mask
    permuted = PaletteBatch(palette.colors.gather(1, order[..., None].expand(-1, -1, 4)), palette.valid)
    x_permuted = inverse.gather(1, x_t.flatten(1)).view_as(x_t)
    expected = denoiser(x_t, t, palette).gather(1, order[..., None, None].expand(-1, -1, 16, 16))
    torch.testing.assert_close(denoiser(x_permuted, t, permuted), expected, atol=1e-4, rtol=1e-4)
    assert denoiser(x_t, t, palette).std() > 0.1  # the law isn't met by a constant


@torch.no_grad()
def test_a_pixel_at_a_node_of_the_tree_may_become_what_is_under_it_however_the_palette_is_ordered():
    torch.manual_seed(0)
    denoiser = randomize(PaletteDenoiser(tree_nodes=True, time_conditioning=False, **SMALL))
    _, t, palette = random_batch(2, 11, 8)
    members = color_tree(palette).members
    x_t = torch.multinomial(members.any(dim=2).float(), 64, replacement=True).view(2, 8, 8)
    assert (x_t > 11).any()
    logits = denoiser(x_t, t, palette)
    assert torch.equal(logits.isfinite().flatten(2).mT, at_pixels(members, x_t))
    order = torch.randperm(11)
    permuted = PaletteBatch(palette.colors[:, order], palette.valid)
    to_new = torch.cat([order.argsort(), torch.arange(11, members.shape[1])])
    torch.testing.assert_close(denoiser(to_new[x_t], t, permuted), logits[:, order], atol=1e-4, rtol=1e-4)
    # The node itself is seen, and not only what it leaves open.
    node = int(x_t[x_t > 11][0])
    other = denoiser(x_t.where(x_t != node, 11), t, palette)
    both = logits.isfinite() & (x_t != node)[:, None]
    assert (other - logits)[both].abs().max() > 1e-3


@torch.no_grad()
def test_padding_the_palette_changes_nothing(denoiser):
    x_t, t, palette = random_batch(3, 7)
    noise = torch.randint(0, 256, (3, 5, 4), dtype=torch.uint8)
    padded = PaletteBatch(
        torch.cat([palette.colors, noise], dim=1),
        torch.cat([palette.valid, torch.zeros(3, 5, dtype=torch.bool)], dim=1),
    )
    logits = denoiser(x_t.where(x_t < 7, 12), t, padded)
    torch.testing.assert_close(logits[:, :7], denoiser(x_t, t, palette), atol=1e-4, rtol=1e-4)
    assert (logits[:, 7:] == -torch.inf).all()


@torch.no_grad()
def test_it_does_not_matter_where_a_palette_is_padded(denoiser):
    """Entries that training adds stand after the padding of a picture's own."""
    x_t, t, palette = random_batch(3, 7)
    places = torch.tensor([0, 1, 2, 6, 7, 9, 11])
    spread = PaletteBatch(torch.zeros(3, 12, 4, dtype=torch.uint8), torch.zeros(3, 12, dtype=torch.bool))
    spread.colors[:, places], spread.valid[:, places] = palette.colors, palette.valid
    logits = denoiser(torch.cat([places, torch.tensor([12])])[x_t], t, spread)
    torch.testing.assert_close(logits[:, places], denoiser(x_t, t, palette), atol=1e-4, rtol=1e-4)
    assert logits.exp().sum(dim=1).isfinite().all()
    assert (logits[~spread.valid] == -torch.inf).all()


@torch.no_grad()
def test_colors_matter(denoiser):
    x_t, t, palette = random_batch(2, 7)
    other = PaletteBatch(palette.colors.flip(0), palette.valid)
    assert (denoiser(x_t, t, palette) - denoiser(x_t, t, other)).abs().max() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("entries", [2, 7, 16, 64, 256])
def test_any_number_of_entries_works(denoiser, entries):
    x_t, t, palette = random_batch(2, entries)
    assert denoiser(x_t, t, palette).shape == (2, entries, 16, 16)


@torch.no_grad()
@pytest.mark.parametrize("size", [1, 5, 16, 30])
def test_any_size_of_image_works(denoiser, size):
    x_t, t, palette = random_batch(2, 4, size)
    assert denoiser(x_t, t, palette).shape == (2, 4, size, size)


@torch.no_grad()
def test_images_of_a_batch_do_not_see_each_other(denoiser):
    x_t, t, palette = random_batch(4, 9)
    alone = denoiser(x_t[2:3], t[2:3], palette[2:3])
    torch.testing.assert_close(denoiser(x_t, t, palette)[2:3], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_classes_matter_and_no_label_is_the_last_row(denoiser):
    x_t, t, palette = random_batch(2, 9)
    unlabelled = denoiser(x_t, t, palette)
    assert torch.equal(denoiser(x_t, t, palette, Conditions(torch.tensor([5, 5]))), unlabelled)
    assert (denoiser(x_t, t, palette, Conditions(torch.tensor([1, 2]))) - unlabelled).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("kind", ["palette", "index"])
def test_what_was_done_to_a_picture_matters_and_nothing_done_is_as_not_being_told(kind):
    torch.manual_seed(0)
    model = randomize(build_denoiser(DenoiserConfig(kind=kind, augmentation_labels=True, **TINY), 3, 9))
    x_t, t, palette = random_batch(2, 9)
    plain = model(x_t, t, palette)
    told = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
    seen = model(
        x_t, t, palette, model.hide(Conditions(augmentation_labels=told), functools.partial(torch.rand, len(told)))
    )
    torch.testing.assert_close(seen[0], plain[0])
    assert (seen[1] - plain[1]).abs().max() > 1e-3
    deaf = randomize(build_denoiser(DenoiserConfig(kind=kind, **TINY), 3, 9))
    assert torch.equal(deaf(x_t, t, palette, Conditions(augmentation_labels=told)), deaf(x_t, t, palette))


def test_labels_and_luminance_are_hidden_for_whole_images_as_often_as_asked_for():
    torch.manual_seed(0)
    model = PaletteDenoiser(num_classes=3, class_dropout=0.25, luminance_dropout=0.5, **SMALL)
    seen = model.hide(
        Conditions(torch.arange(400) % 3, torch.full((400, 16, 16), 0.4)), functools.partial(torch.rand, 400)
    )
    no_label, unknown = seen.class_labels == 3, seen.luminance.isnan()
    assert torch.equal(seen.class_labels[~no_label], (torch.arange(400) % 3)[~no_label])
    assert torch.equal(unknown.all((1, 2)), unknown.any((1, 2)))
    assert (seen.luminance[~unknown] == 0.4).all()
    assert 60 < no_label.sum() < 140
    assert 150 < unknown[:, 0, 0].sum() < 250
    nothing = model.hide(Conditions(), torch.rand)
    assert nothing.class_labels is None
    assert nothing.luminance is None


@torch.no_grad()
def test_luminance_matters_where_it_is_known_and_nowhere_else():
    torch.manual_seed(0)
    model = randomize(PaletteDenoiser(luminance_dropout=0.5, **SMALL))
    x_t, t, palette = random_batch(2, 9)
    unknown = torch.full((2, 16, 16), torch.nan)
    plain = model(x_t, t, palette)
    torch.testing.assert_close(model(x_t, t, palette, Conditions(luminance=unknown)), plain)
    dark, light = (unknown.index_fill(0, torch.tensor([1]), value) for value in (0.2, 0.8))
    told = [model(x_t, t, palette, Conditions(luminance=luminance)) for luminance in (dark, light)]
    torch.testing.assert_close(told[0][0], plain[0])
    assert (told[0][1] - plain[1]).abs().max() > 1e-3
    assert (told[0][1] - told[1][1]).abs().max() > 1e-3
    assert torch.isfinite(told[0]).all()


@torch.no_grad()
def test_without_time_conditioning_the_time_does_not_matter():
    torch.manual_seed(0)
    x_t, t, palette = random_batch(2, 4)
    for conditioned in (False, True):
        model = randomize(PaletteDenoiser(time_conditioning=conditioned, **SMALL))
        assert torch.equal(model(x_t, t, palette), model(x_t, 1 - t, palette)) is not conditioned


@torch.no_grad()
def test_the_index_denoiser_ignores_colors_and_refuses_larger_palettes():
    torch.manual_seed(0)
    options = {key: value for key, value in SMALL.items() if key != "palette_depth"}
    model = randomize(IndexDenoiser(num_entries=9, **options))
    x_t, t, palette = random_batch(2, 7)
    assert torch.equal(model(x_t, t, palette), model(x_t, t, PaletteBatch(palette.colors.flip(0), palette.valid)))
    assert model(x_t, t, palette).shape == (2, 7, 16, 16)
    model.check_palette(Palette.from_hex(["000000"] * 9))
    with pytest.raises(InputError, match="knows 9 indices; the palette has 10"):
        model.check_palette(Palette.from_hex(["000000"] * 10))


def test_saved_and_loaded_from_safetensors(denoiser, tmp_path):
    denoiser.save_pretrained(tmp_path)
    assert [path.suffix for path in sorted(tmp_path.iterdir())] == [".json", ".safetensors"]
    loaded = PaletteDenoiser.from_pretrained(tmp_path, low_cpu_mem_usage=False)
    x_t, t, palette = random_batch(2, 9)
    with torch.no_grad():
        assert torch.equal(loaded(x_t, t, palette), denoiser(x_t, t, palette))


@pytest.mark.parametrize("kind", [PaletteDenoiser, IndexDenoiser])
def test_the_config_and_the_constructors_say_the_same(kind):
    config = {field.name: field.default for field in fields(DenoiserConfig)}
    of_data_and_process = ("num_classes", "num_entries", "vocabulary", "tree_nodes")
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if name not in ("self", "unet", *of_data_and_process):
            assert config[name] == parameter.default, name
    assert isinstance(build_denoiser(DenoiserConfig(kind=kind.__name__[:-8].lower()), 3, 4), kind)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unet": {"channels": (32, 64, 64)}}, "one value for each level"),
        ({"unet": {"channels": (30, 64)}}, "multiples of 8, not 30"),
        ({"unet": {"channels": (32, 40)}}, "40 channels don't divide into attention heads of 32"),
        ({"unet": {"patch_size": 0}}, "patch_size is 0"),
        ({"unet": {"normalization": "batch"}}, "unknown unet.normalization 'batch'"),
        ({"token_channels": 40}, "40 channels don't divide"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        PaletteDenoiser(**change)


def test_short_numbers_do_not_blur_the_colors_of_a_palette():
    palette = PaletteBatch(torch.arange(256, dtype=torch.uint8).view(1, 64, 4), torch.ones(1, 64, dtype=torch.bool))
    with torch.autocast("cpu", torch.bfloat16):
        short = color_features(palette, 6)
    assert torch.equal(short, color_features(palette, 6))
