from pathlib import Path

import numpy as np
import pytest
import torch

from tincture.common.errors import InputError
from tincture.controls.joint import JointPalettes
from tincture.controls.kept import Init
from tincture.controls.options import Controls, Guidance, Sampling
from tincture.diffusion.draws import Streams
from tincture.diffusion.scheduler import PaletteScheduler, sampler_names
from tincture.models.denoiser import PaletteDenoiser
from tincture.pipelines.palette_bank import PaletteBank
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.files import read_palette, write_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.palettes.tree import color_tree
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.tests.palettes import random_palette


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    denoiser = PaletteDenoiser(
        token_channels=32,
        palette_depth=1,
        condition_channels=32,
        num_classes=2,
        luminance_dropout=0.5,
        unet={"channels": (32, 32), "blocks": (1, 1), "head_channels": 32, "head_blocks": 1},
    )
    palettes = PaletteBatch.from_palettes([random_palette(n, n) for n in (3, 5, 8, 4)])
    bank = PaletteBank.of(palettes, torch.tensor([0, 0, 1, 1]), torch.tensor([False, True, False, True]))
    pipeline = PaletteDiffusionPipeline(denoiser, PaletteScheduler(), bank, size=8, label_names=["cat", "dog"])
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a.indices, b.indices) and a.palette == b.palette for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("entries", [2, 7, 16, 64, 256])
@pytest.mark.parametrize("size", [8, 11])
def test_every_pixel_is_an_entry_of_the_palette_it_was_asked_for(pipeline, tmp_path, entries, size):
    palette = random_palette(entries, transparent=entries // 2)
    images = pipeline(3, palette, Sampling(4), height=size, width=size).images
    for number, image in enumerate(images):
        assert image.palette == palette
        assert image.indices.shape == (size, size)
        image.save(tmp_path / f"{number}.png")
        saved = type(image).load(tmp_path / f"{number}.png")
        assert saved.palette == palette
        assert np.array_equal(saved.indices, image.indices)
        assert ((saved.to_rgba()[..., 3] == 0) == (saved.indices == entries // 2)).all()


@pytest.mark.parametrize("shape", [(8, 64), (17, 23), (33, 9), (64, 64)])
def test_any_height_and_width_can_be_drawn(pipeline, shape):
    palette = random_palette(5)
    for image in pipeline(2, palette, Sampling(2), height=shape[0], width=shape[1]).images:
        assert image.indices.shape == shape
        assert image.palette == palette
        assert set(np.unique(image.indices)) <= set(range(5))
        assert len({*map(tuple, image.indices.tolist())}) > 1  # no row is repeated to fill the picture


def test_a_size_that_memory_cannot_hold_is_one_line(pipeline):
    with pytest.raises(InputError, match=r"8 pictures of 60000×50000 pixels in 4 colors take 3,219 GiB, and there are"):
        pipeline(8, random_palette(4), Sampling(1), height=50_000, width=60_000)


def test_image_i_depends_on_the_seed_and_i_alone(pipeline):
    drawn = pipeline(7, sampling=Sampling(6, seed=3, batch_size=7)).images
    for batch_size in (1, 2, 3, 64):
        assert same(pipeline(7, sampling=Sampling(6, seed=3, batch_size=batch_size)).images, drawn)
    assert same(pipeline(2, sampling=Sampling(6, seed=3)).images, drawn[:2])
    assert not same(pipeline(7, sampling=Sampling(6, seed=4)).images, drawn)


def test_palettes_come_from_the_bank_by_side_and_class(pipeline):
    def sizes(*arguments, **options):
        drawn = pipeline(20, *arguments, sampling=Sampling(1), **options).images
        return {len(image.palette) for image in drawn}

    assert sizes() == sizes("train") == {3, 8}
    assert sizes("heldout") == {5, 4}
    assert sizes(guidance=Guidance("dog")) == {8}


def test_a_palette_for_each_image(pipeline):
    palettes = [random_palette(n) for n in (2, 9, 5)]
    assert [image.palette for image in pipeline(3, palettes, Sampling(2)).images] == palettes


def test_a_logit_bias_decides_pixels(pipeline):
    palette = random_palette(4)
    bias = torch.zeros(2, 4, 8, 8)
    bias[:, 2, :, :4] = torch.inf
    bias = bias.where(bias == 0, 1e4)
    for image in pipeline(2, palette, Sampling(3), controls=Controls(logit_bias=bias)).images:
        assert (image.indices[:, :4] == 2).all()
        assert (image.indices[:, 4:] != 2).any()


def test_a_luminance_map_is_told_to_the_model_image_by_image(pipeline):
    torch.nn.init.normal_(pipeline.denoiser.luminance.project.weight, std=3.0)
    palette, maps = random_palette(6), torch.rand(5, 8, 8)
    maps[0] = torch.nan
    told = pipeline(
        5, palette, Sampling(4, sampler="confidence", batch_size=2), controls=Controls(luminance=maps)
    ).images
    assert same(told, pipeline(5, palette, Sampling(4, sampler="confidence"), controls=Controls(luminance=maps)).images)
    free = pipeline(5, palette, Sampling(4, sampler="confidence")).images
    assert same(told[:1], free[:1])  # nothing is known of the first image
    assert not any(same([a], [b]) for a, b in zip(told[1:], free[1:], strict=True))
    unguided = pipeline(
        5,
        palette,
        Sampling(4, sampler="confidence"),
        guidance=Guidance(guidance_scale=0.0),
        controls=Controls(luminance=maps),
    ).images
    assert same(unguided, free)


def test_temperature_zero_leaves_nothing_to_chance_but_the_order(pipeline):
    palette = random_palette(4)
    assert same(
        pipeline(2, palette, Sampling(1, seed=0, temperature=0)).images,
        pipeline(2, palette, Sampling(1, seed=1, temperature=0)).images,
    )


def test_steps_are_reported(pipeline):
    seen = []

    def note(pipe, step, t, state):
        seen.append((step, t.item(), state["images"]))
        return {}

    drawn = pipeline(2, sampling=Sampling(5), callback_on_step_end=note).images
    assert [step for step, _, _ in seen] == [0, 1, 2, 3, 4]
    assert [t for _, t, _ in seen] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])
    assert same(seen[-1][2], drawn)


def test_a_color_tree_shows_what_is_coming_keeps_what_is_kept_and_takes_one_palette():
    torch.manual_seed(0)
    small = {"channels": (32, 32), "blocks": (1, 1), "head_channels": 32, "head_blocks": 1}
    denoiser = PaletteDenoiser(32, 1, 32, time_conditioning=False, tree_nodes=True, unet=small)
    scheduler = PaletteScheduler("color-tree", {"blur": 1.0})
    bank = PaletteBank.of(PaletteBatch.from_palettes([random_palette(4)]), torch.tensor([0]), torch.tensor([False]))
    pipeline = PaletteDiffusionPipeline(denoiser, scheduler, bank, size=8)
    pipeline.set_progress_bar_config(disable=True)
    palette, seen = random_palette(16, transparent=3), []

    def note(pipe, step, t, state):
        seen.append((state["x_t"], state["images"][0].indices))
        return {}

    keep = torch.zeros(8, 8, dtype=torch.bool)
    keep[0] = True
    controls = Controls(Init(torch.full((8, 8), 7), keep))
    drawn = pipeline(1, palette, Sampling(6), controls=controls, callback_on_step_end=note).images[0]
    members = color_tree(PaletteBatch.from_palettes([palette])).members[0]
    assert any((x_t > 16).any() for x_t, _ in seen)
    for x_t, image in seen:
        assert members[x_t[0], torch.tensor(image).long()].all()
    assert np.array_equal(seen[-1][1], drawn.indices)
    assert (drawn.indices[0] == 7).all()
    with pytest.raises(InputError, match="color-tree model draws in one palette at a time"):
        pipeline(1, JointPalettes.matched([palette, random_palette(16, 1)]), Sampling(1))


def test_a_callback_may_change_the_image(pipeline):
    palette = random_palette(4)

    def paint(pipe, step, t, state):
        return {"x_t": torch.full_like(state["x_t"], 3)}

    images = pipeline(2, palette, Sampling(5), callback_on_step_end=paint).images
    assert all((image.indices == 3).all() for image in images)


def test_output_types_agree(pipeline):
    def draw(output_type):
        return pipeline(3, random_palette(5, transparent=0), Sampling(3), output_type=output_type).images

    indexed = draw("indexed")
    assert np.array_equal(draw("pt").numpy(), np.stack([image.indices for image in indexed]))
    assert np.array_equal(draw("np"), np.stack([image.to_rgba() for image in indexed]))
    assert np.array_equal(np.array(draw("pil")[2]), indexed[2].indices)


def test_streams_stand_for_the_seed(pipeline):
    drawn = pipeline(3, sampling=Sampling(3, seed=5)).images
    assert same(pipeline(3, sampling=Sampling(3), generator=Streams.of(5, range(3))).images, drawn)
    assert same(pipeline(2, sampling=Sampling(3), generator=Streams.of(5, [2, 0])).images, [drawn[2], drawn[0]])


def test_a_generator_for_each_image_stands_for_the_images_seed(pipeline):
    def draw(generators, **options):
        return pipeline(len(generators), sampling=Sampling(3, **options), generator=generators).images

    def of(*seeds):
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    drawn, generators = draw(of(5, 6, 7)), of(7, 5)
    assert same(draw(of(5, 6, 7), seed=1, batch_size=2), drawn)
    assert same(draw(generators), [drawn[2], drawn[0]])
    assert not same(draw(generators), [drawn[2], drawn[0]])  # they have gone on
    assert not same(draw(of(5, 5, 8)), drawn)


def test_one_generator_gives_the_seed_and_goes_on(pipeline):
    def draw(generator, count=3, **options):
        return pipeline(count, "pico-8", Sampling(3, **options), generator=generator).images

    first = torch.Generator().manual_seed(7)
    drawn = draw(first)
    assert same(draw(torch.Generator().manual_seed(7)), drawn)
    assert same(draw(torch.Generator().manual_seed(7), batch_size=2), drawn)
    assert same(draw(torch.Generator().manual_seed(7), count=2), drawn[:2])
    assert not same(draw(first), drawn)  # it has gone on, as in diffusers
    assert not same(draw(torch.Generator().manual_seed(8)), drawn)
    assert not same(drawn[:1], drawn[1:2])


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_diffusers_names_say_what_ours_say(pipeline, steps):
    assert same(pipeline(2, "pico-8", num_inference_steps=steps).images, pipeline(2, "pico-8", Sampling(steps)).images)
    ours = pipeline(2, "pico-8", Sampling(steps, seed=4), Guidance("cat", guidance_scale=3.0)).images
    theirs = pipeline(
        2, "pico-8", Sampling(seed=4), Guidance("cat"), num_inference_steps=steps, guidance_scale=3.0, return_dict=False
    )
    assert isinstance(theirs, tuple)
    assert same(theirs[0], ours)


@pytest.mark.parametrize(
    "palette", ["pico-8", "000,555,aaa,fff", "#ff004d,29ADFF", "own.gpl", Path("own.gpl"), "picture.png"]
)
def test_a_palette_goes_by_its_name_its_file_or_its_colors(pipeline, tmp_path, monkeypatch, palette):
    monkeypatch.chdir(tmp_path)
    write_palette(random_palette(5), "own.gpl")
    pipeline(1, random_palette(4), Sampling(1)).images[0].save("picture.png")
    assert {image.palette for image in pipeline(2, palette, Sampling(1)).images} == {read_palette(palette)}
    mixed = pipeline(2, [palette, random_palette(6)], Sampling(1)).images
    assert [image.palette for image in mixed] == [read_palette(palette), random_palette(6)]


def test_what_diffusers_users_do_next_works(pipeline, tmp_path):
    pipeline.save_pretrained(f"{tmp_path}/model")
    loaded = PaletteDiffusionPipeline.from_pretrained(f"{tmp_path}/model").to("cpu")
    loaded.set_progress_bar_config(disable=True)
    seen = []

    def note(pipe, step, timestep, callback_kwargs):
        seen.append((step, float(timestep)))
        return callback_kwargs

    image = loaded(1, "pico-8", num_inference_steps=2, callback_on_step_end=note, output_type="pil").images[0]
    image.save(f"{tmp_path}/image.png")
    assert [step for step, _ in seen] == [0, 1]
    assert np.array_equal(IndexedImage.load(f"{tmp_path}/image.png").indices, np.asarray(image))


@pytest.mark.parametrize("sampler", sampler_names(PaletteScheduler().process))
def test_every_sampler_draws_the_same_whatever_the_batch(pipeline, sampler):
    palettes = [random_palette(n) for n in (3, 9, 5, 4, 2)]
    drawn = pipeline(5, palettes, Sampling(6, seed=2, sampler=sampler)).images
    assert same(pipeline(5, palettes, Sampling(6, seed=2, sampler=sampler, batch_size=2)).images, drawn)
    assert all((image.indices < len(image.palette)).all() for image in drawn)


def test_images_in_which_nothing_changed_cost_no_call(pipeline):
    assert pipeline(4, sampling=Sampling(200, sampler="first-hitting")).image_calls == 4 * 64  # one for each pixel
    assert pipeline(4, sampling=Sampling(3)).image_calls == 12  # this model is told the time, and that changes


def test_saved_and_loaded_it_draws_the_same(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "metrics.jsonl").write_text("kept")
    pipeline.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / "metrics.jsonl").read_text() == "kept"
    loaded = PaletteDiffusionPipeline.from_pretrained(tmp_path / "model")
    loaded.set_progress_bar_config(disable=True)
    assert same(
        loaded(3, sampling=Sampling(4), guidance=Guidance("cat")).images,
        pipeline(3, sampling=Sampling(4), guidance=Guidance("cat")).images,
    )
    assert not [path for path in (tmp_path / "model").rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model_index.json").unlink(), "is not a checkpoint"),
        (lambda folder: (folder / "model_index.json").write_text("{"), "not a checkpoint of this project"),
        (
            lambda folder: (folder / "model_index.json").write_text(
                (folder / "model_index.json").read_text().replace("models.denoiser", "os")
            ),
            "not a checkpoint of this project",
        ),
        (lambda folder: (folder / "denoiser" / "config.json").unlink(), "is damaged"),
        (
            lambda folder: (folder / "denoiser" / "diffusion_pytorch_model.safetensors").write_bytes(b"\x08" * 64),
            "is damaged",
        ),
    ],
)
def test_what_is_not_a_whole_checkpoint_is_refused(pipeline, tmp_path, damage, message):
    pipeline.save_pretrained(tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(InputError, match=message):
        PaletteDiffusionPipeline.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda: {"num_images": 0}, "num_images is 0"),
        (lambda: {"sampling": Sampling(0)}, "steps is 0"),
        (lambda: {"sampling": Sampling(seed=-1)}, "seed is -1"),
        (lambda: {"sampling": Sampling(temperature=-1.0)}, "temperature is -1"),
        (lambda: {"guidance": Guidance("cat", float("nan"))}, "guidance_scale is nan"),
        (lambda: {"sampling": Sampling(top_p=0.0)}, "top_p is 0"),
        (lambda: {"sampling": Sampling(sampler="magic")}, "unknown sampler 'magic'; choose from ancestral"),
        (lambda: {"sampling": Sampling(sampler="stratified-hazard")}, "needs a process without a mask"),
        (
            lambda: {"sampling": Sampling(sampler_options={"speed": 1})},
            "unknown option of the sampler ancestral 'speed'; choose from corrector_steps",
        ),
        (lambda: {"sampling": Sampling(grid="fitted")}, "no fitted schedule"),
        (
            lambda: {"sampling": Sampling(grid="cosine", sampler="first-hitting")},
            "first-hitting draws its own times; leave the grid out",
        ),
        (lambda: {"generator": [torch.Generator()]}, "1 generators for 2 images"),
        (lambda: {"guidance": Guidance("horse")}, "unknown class 'horse'; choose from cat, dog"),
        (lambda: {"palette": Palette.from_hex(["000000"])}, "at least 2 entries"),
        (lambda: {"palette": [Palette.from_hex(["000000", "ffffff"])] * 3}, "3 palettes for 2 images"),
        (lambda: {"palette": "own"}, "no palette 'own': neither a file nor one of the names"),
        (lambda: {"palette": "trian"}, "no palette 'trian' .did you mean train"),
        (lambda: {"palette": ["pico-8"] * 3}, "3 palettes for 2 images"),
        (lambda: {"palette": "000,5x5"}, "'5x5' is not a color"),
        (lambda: {"num_images": "a red cat"}, "see --class-label; leave the prompt 'a red cat' out"),
        (lambda: {"num_inference_steps": 0}, "steps is 0"),
        (lambda: {"guidance_scale": -1.0}, "guidance_scale is -1"),
        (
            lambda: {
                "controls": Controls(logit_bias=torch.zeros(2, 3, 8, 8)),
                "palette": Palette.from_hex(["000000"] * 2),
            },
            "logit_bias has the shape",
        ),
        (lambda: {"output_type": "jpeg"}, "output_type"),
        (lambda: {"height": 0}, "height is 0"),
        (lambda: {"width": 10**20}, "width is 10"),
        (lambda: {"sampling": Sampling(10**20)}, "steps is 10"),
        (lambda: {"guidance": Guidance("cat", 1e38)}, "guidance_scale is 1e"),
        (lambda: {"controls": Controls(luminance=torch.zeros(2, 8, 9))}, "luminance has the shape"),
    ],
)
def test_wrong_arguments_are_refused(pipeline, options, message):
    with pytest.raises(InputError, match=message):
        pipeline(**{"num_images": 2, "sampling": Sampling(1), **options()})


def test_half_precision_is_half_as_large_and_loads_as_single(pipeline, tmp_path):
    for name, half in (("whole", False), ("half", True)):
        pipeline.save_pretrained(tmp_path / name, half=half)
    weights = [tmp_path / name / "denoiser" / "diffusion_pytorch_model.safetensors" for name in ("whole", "half")]
    whole, half = (path.stat().st_size for path in weights)
    assert half < 0.55 * whole
    loaded = PaletteDiffusionPipeline.from_pretrained(tmp_path / "half").denoiser.state_dict()
    for name, weight in pipeline.denoiser.state_dict().items():
        assert loaded[name].dtype == torch.float32 == weight.dtype
        assert torch.equal(loaded[name], weight.half().float())
    PaletteDiffusionPipeline.from_pretrained(tmp_path / "half").save_pretrained(tmp_path / "again", half=True)
    assert not [path for path in (tmp_path / "again").rglob("*.json") if str(tmp_path) in path.read_text()]
