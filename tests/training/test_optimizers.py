import pytest
import torch

from tincture.benchmarks.meters import dispatched
from tincture.models.denoiser import build_denoiser
from tincture.models.options import DenoiserConfig
from tincture.training.optimizers import OPTIMIZERS, ExponentialAverage, Muon, Orthogonalizer
from tincture.training.run_config import TrainConfig


def orthogonalized(matrix):
    return Orthogonalizer([matrix])([matrix])[0]


@pytest.mark.parametrize("shape", [(8, 8), (5, 20), (20, 5)])
def test_orthogonalizing_keeps_singular_vectors_and_evens_out_singular_values(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    in_its_own_basis = u.mT @ orthogonalized(matrix) @ v.mT
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
    torch.testing.assert_close(orthogonalized(matrix), x.float(), atol=1e-4, rtol=1e-3)


def test_orthogonalizing_zero_gives_zero():
    assert torch.equal(orthogonalized(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_muon_steps_as_its_reference_does():
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(6, 2, 3, 3))
    expected, average = weight.detach().clone(), torch.zeros(6, 18)
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5)
    for _ in range(3):
        weight.grad = torch.randn_like(weight)
        gradient = weight.grad.reshape(6, 18)
        average = 0.9 * average + 0.1 * gradient
        update = orthogonalized(0.1 * gradient + 0.9 * average)
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


def test_a_networks_weights_are_updated_and_averaged_in_a_few_operations():
    model = build_denoiser(DenoiserConfig(), num_classes=3, num_entries=16).to(memory_format=torch.channels_last)
    optimizers = OPTIMIZERS["muon"](model, TrainConfig())
    average = ExponentialAverage(model, 0.9)
    assert len(list(model.parameters())) > 100
    for _ in range(2):  # the first step makes the optimizers' state
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        count = dispatched(lambda: [*(each.step() for each in optimizers), average.update_parameters(model)])
    assert count <= 150


def test_weights_of_many_shapes_are_orthogonalized_as_each_alone():
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 20), (20, 8), (70, 3, 3, 3), (8, 20), (70, 3, 3, 3), (1, 5)]
    matrices = [torch.randn(shape, generator=generator) for shape in shapes]
    together = Orthogonalizer(matrices)(matrices)
    for matrix, update in zip(matrices, together, strict=True):
        assert update.shape == matrix.shape
        torch.testing.assert_close(update, orthogonalized(matrix))


def test_an_average_forgets_the_first_weights_and_then_moves_by_its_decay():
    model = torch.nn.Linear(1, 1, bias=False)
    average = ExponentialAverage(model, decay=0.15)
    expected = None
    for count, value in enumerate([5.0, 1.0, 2.0, 4.0]):
        torch.nn.init.constant_(model.weight, value)
        average.update_parameters(model)
        now = min(0.15, (1 + count) / (10 + count))
        expected = value if expected is None else now * expected + (1 - now) * value
        assert average.module.weight.item() == pytest.approx(expected)
