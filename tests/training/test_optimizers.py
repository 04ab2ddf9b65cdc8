import pytest
import torch

from tincture.models.denoiser import DenoiserConfig, build_denoiser
from tincture.training.optimizers import OPTIMIZERS, Muon, orthogonalize
from tincture.training.run_config import TrainConfig


@pytest.mark.parametrize("shape", [(8, 8), (5, 20), (20, 5)])
def test_orthogonalizing_keeps_singular_vectors_and_evens_out_singular_values(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    in_its_own_basis = u.mT @ orthogonalize(matrix) @ v.mT
    values = in_its_own_basis.diagonal()
    assert values.min() > 0.6
    assert values.max() < 1.3
    assert (in_its_own_basis - values.diag()).abs().max() < 1e-3


@pytest.mark.parametrize("shape", [(16, 16), (12, 300), (300, 12)])
def test_orthogonalizing_equals_the_plain_iteration(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x = matrix.double() / matrix.norm()
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonalize(matrix), x.float(), atol=1e-4, rtol=1e-3)


def test_orthogonalizing_zero_gives_zero():
    assert torch.equal(orthogonalize(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_muon_steps_as_its_reference_does():
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(6, 2, 3, 3))
    expected, average = weight.detach().clone(), torch.zeros(6, 18)
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5)
    for _ in range(3):
        weight.grad = torch.randn_like(weight)
        gradient = weight.grad.reshape(6, 18)
        average = 0.9 * average + 0.1 * gradient
        update = orthogonalize(0.1 * gradient + 0.9 * average)
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * update.reshape(6, 2, 3, 3)
        optimizer.step()
    torch.testing.assert_close(weight.detach(), expected)


def test_memory_layout_changes_nothing():
    torch.manual_seed(0)
    plain = torch.nn.Parameter(torch.randn(6, 4, 3, 3))
    channels_last = torch.nn.Parameter(plain.detach().clone().to(memory_format=torch.channels_last))
    gradient = torch.randn_like(plain)
    for weight in (plain, channels_last):
        weight.grad = gradient.clone().to(memory_format=torch.preserve_format)
        Muon([weight], lr=0.1).step()
    torch.testing.assert_close(plain, channels_last, check_stride=False)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_parameter_is_optimized_exactly_once(name):
    model = build_denoiser(DenoiserConfig(), num_classes=3, num_entries=16)
    groups = [group for optimizer in OPTIMIZERS[name](model, TrainConfig()) for group in optimizer.param_groups]
    taken = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(taken) == sorted(id(parameter) for parameter in model.parameters())
