import numpy as np
import pytest
import torch
from PIL import Image

from tincture.evaluation.figures import plot_agreement, plot_bits_over_time, plot_scalars
from tincture.evaluation.heldout import Estimates

pytest.importorskip("matplotlib")
BLUE, GRAY = (0x1F, 0x77, 0xB4), (0xD3, 0xD3, 0xD3)


def pixels_of(path, color):
    with Image.open(path) as image:
        return (np.array(image.convert("RGB")) == color).all(axis=-1).sum()


def test_a_metric_has_a_bar_and_its_floor_another(tmp_path):
    scalars = {"a/x": 2.0, "a/x_stderr": 0.1, "a/x_floor": 1.0, "a/x_floor_stderr": 0.1, "count": 5.0}
    plot_scalars(tmp_path / "both.png", scalars)
    plot_scalars(tmp_path / "one.png", {"a/x": 2.0, "a/x_stderr": 0.1})
    assert pixels_of(tmp_path / "both.png", BLUE) == pytest.approx(2 * pixels_of(tmp_path / "both.png", GRAY), rel=0.1)
    assert pixels_of(tmp_path / "one.png", GRAY) < 20  # edges of letters


def test_bits_over_time_may_leave_bins_empty(tmp_path):
    times = torch.tensor([[0.05, 0.06, 1.0]])
    plot_bits_over_time(tmp_path / "bits.png", Estimates(times, 3 * times))
    assert pixels_of(tmp_path / "bits.png", BLUE) > 0


def test_agreement_shows_shares_so_that_sets_of_two_sizes_compare(tmp_path):
    few, many = torch.full((10,), 0.3), torch.full((1000,), 0.7)
    plot_agreement(tmp_path / "agreement.png", few, many, 0.9)
    with Image.open(tmp_path / "agreement.png") as image:
        picture = np.array(image.convert("RGB")).astype(int)
    few_bar = (abs(picture - [0x8F, 0xBB, 0xD9]).sum(axis=-1) < 9).sum(axis=0).max()
    many_bar = (abs(picture - [0xBF, 0xBF, 0xBF]).sum(axis=-1) < 9).sum(axis=0).max()
    assert abs(few_bar - many_bar) < 12  # the legend's patch stands above one of them
    assert few_bar > 100
