import os
import signal
import threading

import pytest
import torch
from safetensors.torch import load_file

from tincture.common.signals import SignalWatch, StoppedBySignalError
from tincture.data.index_maps import load_index_maps
from tincture.models.options import DenoiserConfig, UNetConfig
from tincture.training.checkpoints import list_checkpoints
from tincture.training.feeds import WholeSet
from tincture.training.loop import train
from tincture.training.run_config import RunConfig, TrackConfig, TrainConfig

SMALL = UNetConfig(channels=(8, 32), blocks=(1, 1), head_channels=8, head_blocks=0)
MODEL = DenoiserConfig(token_channels=32, palette_depth=1, condition_channels=16, unet=SMALL)
BUDGET = TrainConfig(
    max_steps=6,
    batch_size=4,
    evaluate_every=100,
    checkpoint_every=100,
    preview_images=1,
    preview_steps=1,
    palette_prior_steps=1,
)


def test_the_first_signal_is_noted_and_the_second_does_what_it_did_before():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with SignalWatch() as watch:
            assert watch.received is None
            os.kill(os.getpid(), signal.SIGTERM)
            assert (watch.received, seen) == (signal.SIGTERM, [])
            os.kill(os.getpid(), signal.SIGTERM)
            assert seen == [signal.SIGTERM]
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(seen) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_signals_are_left_alone():
    handlers = []

    def run():
        with SignalWatch():
            handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_a_stopped_run_saves_its_step_and_goes_on_to_the_same_weights(few_pictures, tmp_path):
    training, heldout = load_index_maps(few_pictures)
    feed = WholeSet(training, heldout, BUDGET.batch_size, seed=0)
    config = RunConfig(data=few_pictures, model=MODEL, train=BUDGET, track=TrackConfig(wandb=False))
    train(config, feed, heldout, tmp_path / "whole")
    answers = iter([None, None, signal.SIGTERM, signal.SIGTERM])
    with pytest.raises(
        StoppedBySignalError, match="stopped by SIGTERM: step 3 is saved, go on with --resume"
    ) as stopped:
        train(config, feed, heldout, tmp_path / "cut", stop=lambda: next(answers))
    assert stopped.value.signal_number == signal.SIGTERM
    assert [path.name for path in list_checkpoints(tmp_path / "cut")] == ["step-00000003"]
    (tmp_path / "cut" / "checkpoints" / ".writing-step-00000009-half").mkdir()  # as a killed process leaves it
    train(config, feed, heldout, tmp_path / "cut", resume=True)
    assert not list((tmp_path / "cut" / "checkpoints").glob(".*"))
    whole, cut = (
        load_file(list_checkpoints(tmp_path / name)[-1] / "denoiser.safetensors") for name in ("whole", "cut")
    )
    assert all(torch.equal(whole[key], cut[key]) for key in whole)
