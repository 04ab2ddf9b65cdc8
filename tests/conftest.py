import os

import numpy as np
import pytest

os.environ.setdefault("WANDB_MODE", "offline")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    """One cache of encoded data sets for all tests, not the user's own."""
    return tmp_path_factory.mktemp("cache")
