import numpy as np
import torch

from tincture.quantization.fit import learned
from tincture.quantization.fit.kmeans import kmeans
from tincture.quantization.fit.learned import LearnedPalette, fit_learned
from tincture.quantization.nearest import nearest


def test_no_center_dies_and_the_error_is_near_that_of_kmeans(rng):
    means = rng.random((12, 3))
    points = (means[rng.integers(0, 12, 3000)] + 0.05 * rng.standard_normal((3000, 3))).astype(np.float32)
    weights = rng.integers(1, 4, 3000)
    trained, best = fit_learned(points, weights, 16), kmeans(points, weights, 16)
    labels, distances = nearest(points, trained)
    assert len(np.unique(labels)) == 16
    assert weights @ distances < 1.1 * (weights @ nearest(points, best)[1])


def test_fixed_centers_do_not_move(rng, monkeypatch):
    monkeypatch.setattr(learned, "STEPS", 40)
    points, fixed = rng.random((200, 3), np.float32), rng.random((2, 3), np.float32)
    assert np.array_equal(fit_learned(points, np.ones(200), 3, fixed=fixed)[:2], fixed)


def test_the_layer_gives_exact_colors_and_gradients_to_pixels_and_colors(rng):
    palette = LearnedPalette(torch.from_numpy(rng.random((4, 3), np.float32)), temperature=0.1)
    pixels = torch.from_numpy(rng.random((2, 5, 3), np.float32)).requires_grad_()
    colors, indices = palette(pixels)
    torch.testing.assert_close(colors, palette.centers[indices])
    assert torch.equal(indices, torch.cdist(pixels, palette.centers[None]).argmin(-1))
    colors.square().sum().backward()
    assert pixels.grad.abs().min() > 0
    assert palette.centers.grad.abs().min() > 0


def test_the_soft_error_tends_to_the_squared_error(rng):
    pixels = torch.from_numpy(rng.random((50, 3), np.float32))
    palette = LearnedPalette(torch.from_numpy(rng.random((6, 3), np.float32)), temperature=1e-5)
    hard = torch.cdist(pixels, palette.centers).square().amin(-1).mean()
    torch.testing.assert_close(palette.error(pixels) + pixels.square().sum(-1).mean(), hard, atol=1e-4, rtol=0)
