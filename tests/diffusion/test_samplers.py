import itertools

import pytest
import torch
from einops import rearrange

from tincture.common.errors import InputError
from tincture.controls.options import Sampling
from tincture.diffusion.draws import categorical
from tincture.diffusion.guidance import Prediction
from tincture.diffusion.options import SAMPLER_OPTIONS
from tincture.diffusion.samplers import SAMPLERS, Sampler, even_times, run
from tincture.diffusion.schedules import make_schedule
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette

DRAWS = 20_000
PIXELWISE = ("ancestral", "stratified-hazard")
"""Samplers that draw each pixel without a look at the others."""


def draw_counts(world, name, steps, process=None, **options):
    """How often a sampler draws each of the 81 states."""
    generator = torch.Generator().manual_seed(0)
    process, images = process or world.processes["absorbing"], 20 if name in PIXELWISE else DRAWS
    palette, beside = world.palette(images), DRAWS // images  # a row of states is one image: fewer transitions
    denoise = world.denoiser(process)

    def denoise_rows(x_t, t):
        apart = rearrange(x_t, "b h (n w) -> (b n) h w", n=beside)
        return rearrange(denoise(apart, t.repeat_interleave(beside)), "(b n) k h w -> b k h (n w)", n=beside)

    x_1 = process.prior(palette, 2, 2 * beside, generator)
    sampler = SAMPLERS[name].algorithm(process, palette, x_1, even_times(steps), generator, **options)
    x_0 = rearrange(run(sampler, denoise_rows), "b h (n w) -> (b n) h w", n=beside)
    return torch.bincount(world.state_index(x_0), minlength=len(world.states))


def distance(world, *arguments, **options):
    """Total variation between what a sampler draws and the true distribution."""
    return (draw_counts(world, *arguments, **options) / DRAWS - world.p).abs().sum().item() / 2


@pytest.mark.parametrize(
    ("process_name", "steps"),
    [("absorbing", 128), ("absorbing, cosine", 128), ("uniform", 128), ("color-heat", 256), ("color-tree", 128)],
)
def test_ancestral_sampling_reproduces_the_distribution(world, p_value, process_name, steps):
    assert p_value(draw_counts(world, "ancestral", steps, world.processes[process_name]), world.p) > 0.001


@pytest.mark.parametrize(
    ("name", "steps", "options"),
    [
        ("first-hitting", 4, {}),  # as many steps as pixels are enough: there is no grid of times
        ("first-hitting", 100, {}),
        ("halton", 4, {}),
        ("lattice", 4, {}),
        ("raster", 4, {}),
        ("remasking", 128, {"remasking_rate": 0.0}),
        ("remasking", 256, {"remasking_rate": 3.0}),
        (
            "entropy-bounded",
            4,
            {"entropy_bound": 0.0},
        ),  # one pixel in a step, in an order that what is drawn can't bias
    ],
)
def test_exact_samplers_reproduce_the_distribution(world, p_value, name, steps, options):
    assert p_value(draw_counts(world, name, steps, **options), world.p) > 0.001


def test_the_chi_squared_test_notices_too_few_steps(world, p_value):
    assert p_value(draw_counts(world, "ancestral", 2), world.p) < 1e-6
    assert p_value(draw_counts(world, "first-hitting", 2), world.p) < 1e-6


@pytest.mark.parametrize(
    ("name", "process_name", "steps"),
    [
        ("ancestral", "absorbing", (1, 2, 4, 16)),
        ("ancestral", "uniform", (1, 2, 4, 16)),
        ("ancestral", "color-heat", (1, 2, 4, 16)),
        ("ancestral", "color-tree", (1, 2, 4, 16)),
        ("first-hitting", "absorbing", (1, 2, 4)),
        ("halton", "absorbing", (1, 2, 4)),
        ("lattice", "absorbing", (1, 2, 4)),
        ("raster", "absorbing", (1, 2, 4)),
        ("confidence", "absorbing", (1, 2, 4)),
        ("entropy-bounded", "absorbing", (1, 2, 4)),
        ("remasking", "absorbing", (1, 2, 4, 16)),
        ("stratified-hazard", "uniform", (1, 4, 16)),
        ("stratified-hazard", "color-heat", (1, 4, 16)),
        ("stratified-hazard", "color-tree", (1, 4, 16)),
    ],
)
def test_more_steps_come_nearer(world, name, process_name, steps):
    distances = [distance(world, name, n, world.processes[process_name]) for n in steps]
    assert distances == sorted(distances, reverse=True)


def test_a_corrector_brings_few_steps_nearer(world):
    uniform_process = world.processes["uniform"]
    plain = distance(world, "ancestral", 4, uniform_process)
    assert distance(world, "ancestral", 4, uniform_process, corrector_steps=3) < 0.6 * plain


def test_a_corrector_leaves_the_right_distribution_as_it_is(world, process, p_value):
    """Exact draws of x_s, corrupted and stepped back again and again, stay draws of x_s."""
    s, t = torch.full((DRAWS,), 0.5), torch.full((DRAWS,), 0.51)
    generator = torch.Generator().manual_seed(0)
    palette, denoise = world.palette(DRAWS), world.denoiser(process)
    x_0 = world.states[torch.multinomial(world.p, DRAWS, replacement=True, generator=generator)]
    x_s = start = process.q_sample(x_0, s, palette, generator)
    clock = process.clock(torch.stack([s, t]), palette)
    for _ in range(12):
        x_t = process.renoise(x_s, *clock, palette, generator)
        x_s = categorical(Prediction([denoise(x_t, t)]).posterior(process, x_t, *clock, palette), generator)
    assert (x_s != start).any()
    q = world.marginal(process, 0.5)
    states = torch.cartesian_prod(*[torch.arange(q.shape[1])] * 4)  # [S^4, 4]
    p_s = sum(p * q[x.flatten(), states].prod(1) for p, x in zip(world.p, world.states, strict=True))
    digits = q.shape[1] ** torch.arange(3, -1, -1)
    counts = torch.bincount((x_s.flatten(1) * digits).sum(1), minlength=len(states))
    possible = p_s > 0
    assert counts[~possible].sum() == 0
    assert p_value(counts[possible], p_s[possible]) > 0.001


def test_the_remasked_pixels_are_as_many_as_the_rate_says(world):
    """At rate 2 a pixel drawn early is masked again about twice as often as at rate 1."""

    def remaskings(rate):
        count, masked_again, last = 4000, 0, None
        palette, process = world.palette(count), world.processes["absorbing"]
        x_1 = process.prior(palette, 2, 2)
        steps = SAMPLERS["remasking"].algorithm(
            process, palette, x_1, even_times(200), torch.Generator().manual_seed(0), remasking_rate=rate
        )

        def denoise(x_t, t):
            nonlocal last, masked_again
            if last is not None:
                masked_again += ((last != world.mask) & (x_t == world.mask)).sum().item()
            last = x_t
            return world.denoise(x_t, t)

        run(steps, denoise)
        return masked_again / (4 * count)

    assert remaskings(0.0) == 0
    one, two = remaskings(0.5), remaskings(1.0)
    assert 0.1 < one < 0.5
    assert two == pytest.approx(2 * one, rel=0.1)


@pytest.mark.parametrize("process_name", ["absorbing", "absorbing, cosine"])
@pytest.mark.parametrize("steps", [1, 4, 8, 20])
def test_remasking_leaves_as_many_pixels_masked_as_the_schedule_says(world, process_name, steps):
    """q(x_s | x_0) is kept however large the rate is for the steps."""
    process, palette, side = world.processes[process_name], world.palette(1), 128
    times, x_t = even_times(steps), torch.full((1, side, side), world.mask)
    shares = []

    def denoise(x_t, t):
        shares.append((x_t == world.mask).float().mean())
        return torch.zeros(1, 3, side, side)

    x_0 = run(SAMPLERS["remasking"].algorithm(process, palette, x_t, times, torch.Generator().manual_seed(0)), denoise)
    assert (x_0 < world.mask).all()
    assert x_0.unique().tolist() == [0, 1, 2]
    torch.testing.assert_close(torch.stack(shares), process.schedule.noise(times[:-1]), atol=0.015, rtol=0)


def test_stratified_hazards_jump_as_often_as_independent_ones_and_vary_less(world):
    def jumps(name):
        process, count, last = world.processes["uniform"], 4000, None
        palette, generator = world.palette(count), torch.Generator().manual_seed(0)
        total = torch.zeros(count, 2, 2)

        def denoise(x_t, t):
            nonlocal last, total
            total += 0 if last is None else x_t != last
            last = x_t
            return world.denoiser(process)(x_t, t)

        x_1 = process.prior(palette, 2, 2, generator)
        run(SAMPLERS[name].algorithm(process, palette, x_1, even_times(100), generator), denoise)
        return total

    independent, stratified = jumps("ancestral"), jumps("stratified-hazard")
    assert stratified.mean().item() == pytest.approx(independent.mean().item(), rel=0.1)
    assert stratified.var().item() < 0.6 * independent.var().item()


@pytest.mark.parametrize("name", [name for name, sampler in SAMPLERS.items() if sampler.mask is not False])
@pytest.mark.parametrize("grid", ["linear", "cosine"])
def test_every_masked_sampler_ends_within_its_steps_and_keeps_what_it_was_given(world, name, grid):
    """Started from partly drawn images, with one mask among them and with none."""
    process, palette = world.processes["absorbing"], world.palette(4)
    x_t = torch.tensor([[[3, 3], [3, 3]], [[0, 3], [3, 2]], [[3, 1], [1, 1]], [[2, 1], [0, 0]]])
    options = {"remasking": {"remasking_rate": 0.0}, "confidence": {"replanning": 1.0}}.get(name, {})
    times, asked = make_schedule(grid).noise(even_times(3, 0.8)), []
    sampler = SAMPLERS[name].algorithm(process, palette, x_t, times, torch.Generator().manual_seed(0), **options)
    x_0 = run(sampler, lambda x, t: (asked.append(t), world.denoise(x, t))[1])
    assert (x_0 < world.mask).all()
    assert torch.equal(x_0[x_t != world.mask], x_t[x_t != world.mask])
    assert len(asked) <= 3
    assert all(((t > 0) & (t <= 1)).all() for t in asked)


def test_entropy_bounded_sampling_stops_early_when_the_model_is_sure(world):
    process, palette = world.processes["absorbing"], world.palette(5)
    sure = torch.tensor([0.0, -50.0, -50.0]).view(1, 3, 1, 1).expand(5, 3, 2, 2)
    calls = []
    steps = SAMPLERS["entropy-bounded"].algorithm(process, palette, process.prior(palette, 2, 2), even_times(4))
    assert (run(steps, lambda x, t: (calls.append(1), sure)[1]) == 0).all()
    assert len(calls) == 1


def test_entropy_bounded_sampling_tells_the_time_at_which_so_many_pixels_are_masked(world):
    """Also after steps that unmasked more than the grid asks for, and from partly drawn images."""
    process, palette, seen = world.processes["absorbing"], world.palette(64), []
    x_t = process.prior(palette, 2, 2)
    x_t[:32, 0, 0] = 1
    steps = SAMPLERS["entropy-bounded"].algorithm(
        process, palette, x_t, even_times(8, 0.8), torch.Generator().manual_seed(0), entropy_bound=1.0
    )
    run(steps, lambda x, t: (seen.append(((x == world.mask).sum(dim=(1, 2)), t)), world.denoise(x, t))[1])
    start = (x_t == world.mask).sum(dim=(1, 2))
    assert len(seen) < 8
    for masked, t in seen:
        torch.testing.assert_close(process.schedule.noise(t), 0.8 * masked.clamp_min(1) / start)


def test_greedy_confidence_takes_the_surest_pixel_first(world):
    process, palette = world.processes["absorbing"], world.palette(1)
    margins = torch.tensor([[1.0, 9.0], [7.0, 5.0]])
    logits = torch.stack([margins, torch.zeros(2, 2), torch.zeros(2, 2)])[None]
    seen = []
    generator = torch.Generator().manual_seed(0)
    steps = SAMPLERS["confidence"].algorithm(
        process, palette, process.prior(palette, 2, 2), even_times(4), generator, choice_temperature=0.0
    )
    run(steps, lambda x, t: (seen.append((x == world.mask).flatten().tolist()), logits)[1])
    assert seen == [[True] * 4, [True, False, True, True], [True, False, False, True], [True, False, False, False]]


@pytest.mark.parametrize(("replanning", "expected"), [(0.0, [2, 1, 0, 0]), (1.0, [2, 0, 0, 0])])
def test_replanning_masks_what_the_model_has_come_to_doubt(world, replanning, expected):
    """The model wants entry 1 while all is masked, and entry 0 from then on. Pixel 0 was given."""
    process, palette = world.processes["absorbing"], world.palette(1)
    x_t = torch.tensor([[[2, 3], [3, 3]]])
    certainty = torch.tensor([[0.0, 9.0], [8.0, 7.0]])

    def denoise(x, t):
        wanted = 1 if (x == world.mask).sum() == 3 else 0
        return torch.stack([certainty if entry == wanted else torch.zeros(2, 2) for entry in range(3)])[None]

    steps = SAMPLERS["confidence"].algorithm(
        process,
        palette,
        x_t,
        even_times(3),
        torch.Generator().manual_seed(0),
        choice_temperature=0.0,
        replanning=replanning,
    )
    assert run(steps, denoise).flatten().tolist() == expected


@pytest.mark.parametrize("name", ["confidence", "entropy-bounded"])
@pytest.mark.parametrize("sharpening", [{}, {"temperature": 0.0}, {"temperature": 0.01}, {"top_p": 0.01}])
def test_the_order_is_the_models_own_however_sharply_one_draws(world, name, sharpening):
    process, palette = world.processes["absorbing"], world.palette(1)
    margins = torch.tensor([[6.0, 9.0], [8.0, 7.0]])
    logits = torch.stack([margins, torch.zeros(2, 2), torch.zeros(2, 2)])[None] * 0.5
    seen, options = [], {"confidence": {"choice_temperature": 0.0}, "entropy-bounded": {"entropy_bound": 0.0}}
    steps = SAMPLERS[name].algorithm(
        process, palette, process.prior(palette, 2, 2), even_times(4), torch.Generator().manual_seed(3), **options[name]
    )
    x_0 = run(
        steps, lambda x, t: (seen.append((x == world.mask).flatten().tolist()), Prediction([logits], **sharpening))[1]
    )
    assert (x_0 == 0).all()  # as the model is sure of, so that the drawing can't decide the order
    assert seen == [[True] * 4, [True, False, True, True], [True, False, False, True], [True, False, False, False]]


def test_a_sampler_that_does_not_fit_the_process_is_refused(world):
    with pytest.raises(InputError, match="first-hitting needs the absorbing process"):
        SAMPLERS["first-hitting"].check("first-hitting", world.processes["uniform"], {})
    with pytest.raises(InputError, match="needs a process without a mask"):
        SAMPLERS["stratified-hazard"].check("stratified-hazard", world.processes["absorbing"], {})
    with pytest.raises(InputError, match="unknown option of the sampler remasking 'eta'; choose from remasking_rate"):
        SAMPLERS["remasking"].check("remasking", world.processes["absorbing"], {"eta": 1})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ancestral", {"corrector_steps": 0.5}, "corrector_steps of the sampler ancestral is 0.5; it must be a whole number"),
        ("ancestral", {"corrector_steps": -1}, "corrector_steps of the sampler ancestral is -1; it must be from 0 to 1,000"),
        ("ancestral", {"corrector_size": 8.0}, "corrector_size of the sampler ancestral is 8.0; it must be above 0, and at most 1"),
        ("ancestral", {"corrector_size": 0.0}, "corrector_size of the sampler ancestral is 0.0; it must be above 0, and at most 1"),
        ("ancestral", {"corrector_size": float("nan")}, "corrector_size of the sampler ancestral is nan"),
        ("remasking", {"remasking_rate": 1001.0}, "remasking_rate of the sampler remasking is 1001.0; it must be from 0 to 1,000"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(world, name, options, message):
    with pytest.raises(InputError, match=message):
        SAMPLERS[name].check(name, world.processes["absorbing"], options)


def test_every_option_has_a_range_that_holds_its_default(world):
    for name, sampler in SAMPLERS.items():
        assert sampler.ranges.keys() == sampler.options.keys()
        process = world.processes["uniform" if sampler.mask is False else "absorbing"]
        sampler.check(name, process, {option: float(value) for option, value in sampler.options.items()})


def half_steps(process, palette, x_t, times, generator=None, *, pause=1.5, rounds=2):
    """A sampler as somebody writes it first: options, and no ranges yet."""


@pytest.mark.parametrize("options", [{"pause": -1e9}, {"pause": float("inf")}, {"rounds": 3}, {"rounds": -4.0}])
def test_an_option_without_a_range_may_be_any_number(world, options):
    Sampler(half_steps).check("half-steps", world.processes["absorbing"], options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pause": float("nan")}, "the option pause of the sampler half-steps is nan"),
        ({"rounds": 2.5}, "rounds of the sampler half-steps is 2.5; it must be a whole number"),
        ({"rounds": float("inf")}, "rounds of the sampler half-steps is inf; it must be a whole number"),
        ({"round": 2}, "unknown option of the sampler half-steps 'round'"),
    ],
)
def test_an_option_without_a_range_is_still_a_number_and_known(world, options, message):
    with pytest.raises(InputError, match=message):
        Sampler(half_steps).check("half-steps", world.processes["absorbing"], options)


def test_a_sampler_of_ones_own_can_be_asked_for_once_it_is_registered(monkeypatch):
    with pytest.raises(InputError, match="unknown sampler 'half-steps'"):
        Sampling(sampler="half-steps")
    monkeypatch.setitem(SAMPLER_OPTIONS, "half-steps", {})  # goes with the test, as the next one does
    monkeypatch.setitem(SAMPLERS, "half-steps", Sampler(half_steps))
    assert SAMPLER_OPTIONS["half-steps"] == {"pause": 1.5, "rounds": 2}
    assert Sampling(sampler="half-steps").sampler == "half-steps"


def test_each_ancestral_step_of_the_absorbing_process_unmasks_only(world):
    seen = []
    process, palette = world.processes["absorbing"], world.palette(8)
    steps = SAMPLERS["ancestral"].algorithm(process, palette, process.prior(palette, 2, 2), even_times(10))
    seen.append(run(steps, lambda x, t: (seen.append(x), world.denoise(x, t))[1]))
    for before, after in itertools.pairwise(seen):
        kept = before != world.mask
        assert torch.equal(before[kept], after[kept])
    assert (seen[-1] != world.mask).all()


def test_padded_entries_are_never_drawn(world):
    palettes = [Palette.from_hex(["000000", "ffffff"]), Palette.from_hex([f"{n:06x}" for n in range(0, 9000, 999)])]
    palette = PaletteBatch.from_palettes(palettes)
    logits = torch.zeros(2, 10, 4, 4).masked_fill(~palette.valid[:, :, None, None], -torch.inf)
    for process in world.processes.values():
        for name, sampler in SAMPLERS.items():
            if sampler.mask in (None, process.has_mask):
                x_1 = process.prior(palette, 4, 4)
                x_0 = run(sampler.algorithm(process, palette, x_1, even_times(5)), lambda x, t: logits)
                assert (x_0[0] < 2).all(), name
                assert x_0[1].max() > 2, name


def test_a_wish_is_not_heard_before_its_pixel_is_drawn(world):
    """The example of controls/wishes.py: two equal pixels, 4.6 nats asked of the second."""
    process, palette, wish = world.processes["absorbing"], world.palette(DRAWS), 4.6
    bias = torch.tensor([[0.0, 0.0], [0.0, wish], [-torch.inf, -torch.inf]]).view(1, 3, 1, 2)

    def denoise(x_t, t):
        other = x_t.flip(2)[:, None]
        return torch.where((other < world.mask) & (other != torch.arange(3).view(1, 3, 1, 1)), -100.0, 0.0) + bias

    x_1, generator = torch.full((DRAWS, 1, 2), world.mask), torch.Generator().manual_seed(0)
    x_0 = run(SAMPLERS["first-hitting"].algorithm(process, palette, x_1, even_times(2), generator), denoise)
    assert torch.equal(x_0[..., 0], x_0[..., 1])
    expected = (torch.tensor(wish).sigmoid().item() + 0.5) / 2
    assert (x_0[:, 0, 0] == 1).float().mean().item() == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize("process_name", ["absorbing", "uniform", "color-heat", "color-tree"])
def test_samplers_need_no_float64_where_the_device_has_none(world, monkeypatch, process_name):
    for module in ("draws", "color_heat", "samplers"):
        monkeypatch.setattr(f"tincture.diffusion.{module}.widest_float", lambda device: torch.float32)
    process, palette = world.processes[process_name], world.palette(3)
    logits = torch.randn(3, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(torch.Tensor, "double", lambda tensor: pytest.fail("float64 on the device"))
    for name, sampler in SAMPLERS.items():
        if sampler.mask in (None, process.has_mask):
            x_1 = process.prior(palette, 2, 2)
            x_0 = run(sampler.algorithm(process, palette, x_1, even_times(3)), lambda x, t: logits)
            assert (x_0 < 3).all(), name
