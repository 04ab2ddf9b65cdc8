from dataclasses import replace

import pytest
import torch

from tincture.data.index_maps import load_index_maps
from tincture.tests.training.tiny_runs import TINY
from tincture.training.run_config import RunConfig, TrackConfig, TrainConfig


@pytest.fixture
def config(few_pictures):
    return RunConfig(
        data=few_pictures,
        model=TINY,
        train=TrainConfig(
            max_steps=8,
            batch_size=8,
            evaluate_every=4,
            checkpoint_every=4,
            preview_images=2,
            preview_steps=2,
            palette_prior_steps=1,
        ),
        track=TrackConfig(wandb=False),
    )


@pytest.fixture(scope="module")
def sides(few_pictures):
    return load_index_maps(few_pictures)


@pytest.fixture(scope="module")
def mixed(sides):
    """Both sides with pictures of 8×8 and of 5×5."""
    return [replace(side, sizes=torch.tensor([8, 8, 5]).repeat(20)[: len(side)]) for side in sides]
