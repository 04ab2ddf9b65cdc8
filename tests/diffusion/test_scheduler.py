from itertools import pairwise

import pytest
import torch

from tincture.common.errors import InputError
from tincture.diffusion.samplers import SAMPLERS, even_times, run
from tincture.diffusion.scheduler import PaletteScheduler, sampler_names


def draw(scheduler, world, count=5, steps=6):
    """The loop in PaletteScheduler's docstring: the index maps, and the times of the calls."""
    generator, palette, called = torch.Generator().manual_seed(3), world.palette(count), []
    scheduler.set_timesteps(steps)
    x_t = scheduler.start(scheduler.prior(palette, 2, 2, generator), palette, generator)
    for t in scheduler.timesteps:
        called.append((t.item(), scheduler.times))
        x_t = scheduler.step(world.denoiser(scheduler.process)(x_t, scheduler.times), t, x_t).prev_sample
        if scheduler.finished:
            break
    return x_t, called


@pytest.mark.parametrize("process", ["absorbing", "uniform", "color-heat"])
def test_its_loop_draws_what_the_sampler_alone_draws(world, process):
    for name in sampler_names(PaletteScheduler(process).process):
        scheduler = PaletteScheduler(process, sampler=name)
        x_0, called = draw(scheduler, world)
        generator, palette = torch.Generator().manual_seed(3), world.palette(5)
        x_1 = scheduler.process.prior(palette, 2, 2, generator)
        steps = SAMPLERS[name].algorithm(scheduler.process, palette, x_1, even_times(6), generator)
        assert torch.equal(run(steps, world.denoiser(scheduler.process)), x_0)
        assert len(called) <= 6


@pytest.mark.parametrize("grid", ["linear", "cosine", "polynomial", "fitted"])
def test_even_steps_of_the_grid_are_times_of_the_process(world, grid):
    knots = [0, 0.5, 0.8, 1]
    scheduler = PaletteScheduler("absorbing", schedule="cosine", fitted_knots=knots, grid=grid)
    scheduler.set_timesteps(3)
    noise = scheduler.process.schedule.noise(scheduler.timesteps)
    expected = {"linear": [1, 2 / 3, 1 / 3], "fitted": [1, 0.8, 0.5], "polynomial": [1, 4 / 9, 1 / 9]}
    if grid == "cosine":
        torch.testing.assert_close(scheduler.timesteps, torch.tensor([1, 2 / 3, 1 / 3]))
    else:
        torch.testing.assert_close(noise, torch.tensor(expected[grid]))


def test_correctors_are_timesteps_too(world):
    scheduler = PaletteScheduler("uniform", sampler_options={"corrector_steps": 2})
    x_0, called = draw(scheduler, world, steps=4)
    assert len(called) == len(scheduler) == 12
    assert (x_0 < 3).all()


def test_a_start_below_one_begins_where_add_noise_leaves_off(world):
    scheduler, generator, palette = PaletteScheduler(), torch.Generator().manual_seed(0), world.palette(4000)
    scheduler.set_timesteps(8, start=0.3)
    assert scheduler.timesteps[0].item() == pytest.approx(0.3)
    clean = world.states[torch.full((4000,), 7)]
    x_t = scheduler.add_noise(clean, torch.full((4000,), 0.3), palette, generator)
    assert (x_t == world.mask).float().mean().item() == pytest.approx(0.3, abs=0.02)
    x_t = scheduler.start(x_t, palette, generator)
    for t in scheduler.timesteps:
        x_t = scheduler.step(world.denoise(x_t, scheduler.times), t, x_t).prev_sample
    assert 0.7 < (x_t == clean).float().mean() < 1


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_steps_that_float32_cannot_tell_apart_are_one(world, schedule):
    """Near t = 1 a cosine is flat. Between two times of no alpha the process has no step."""
    scheduler, palette = PaletteScheduler("uniform", schedule=schedule, grid="cosine"), world.palette(1)
    scheduler.set_timesteps(6000)
    times = torch.cat([scheduler.timesteps, torch.zeros(1)])
    assert (times[0], times[-1]) == (1, 0)
    assert 5990 < len(scheduler) < 6000
    assert (scheduler.process.schedule.noise(times).diff() < 0).all()
    x_t, p_0 = torch.tensor([[[0, 1], [2, 0]]]), torch.full((1, 3, 2, 2), 1 / 3)
    for t, s in pairwise(scheduler.process.clock(times[:4, None], palette)):
        assert scheduler.process.posterior(x_t, p_0, s, t, palette).isfinite().all()


def test_it_is_saved_and_loaded(tmp_path):
    scheduler = PaletteScheduler("color-heat", {"width": 0.3, "leap": 0.2}, "cosine", [0, 0.4, 1], "stratified-hazard")
    scheduler.save_pretrained(tmp_path)
    loaded = PaletteScheduler.from_pretrained(tmp_path)
    assert (loaded.process.width, loaded.process.leap) == (0.3, 0.2)
    assert loaded.config.sampler == "stratified-hazard"
    assert loaded.config.fitted_knots == [0, 0.4, 1]


def test_a_changed_scheduler_keeps_the_rest(tmp_path):
    scheduler = PaletteScheduler("color-heat", {"width": 0.3, "leap": 0.2}, schedule="cosine")
    changed = scheduler.with_changes(fitted_knots=[0, 0.4, 1])
    for each in (changed, changed.with_changes(sampler="stratified-hazard", grid="fitted")):
        each.save_pretrained(tmp_path)
        loaded = PaletteScheduler.from_pretrained(tmp_path)
        assert (loaded.config.process, loaded.config.schedule) == ("color-heat", "cosine")
        assert loaded.process.width == 0.3
        assert loaded.config.fitted_knots == [0, 0.4, 1]


def test_misuse_is_refused(world):
    scheduler = PaletteScheduler()
    with pytest.raises(RuntimeError, match="call start"):
        scheduler.step(torch.zeros(1, 3, 2, 2), 1.0, torch.zeros(1, 2, 2))
    with pytest.raises(InputError, match="steps is 0"):
        scheduler.set_timesteps(0)
    with pytest.raises(InputError, match=r"start from is 1\.5"):
        scheduler.set_timesteps(4, start=1.5)
    with pytest.raises(InputError, match="unknown process 'magic'; choose from absorbing, uniform, color-heat"):
        PaletteScheduler("magic")
