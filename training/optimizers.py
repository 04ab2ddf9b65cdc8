"""How weights change: optimizers by name, their learning rates, and the average of the weights."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .run_config import TrainConfig

MATRIX_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
"""Layers whose weights Muon takes; biases, norms and embeddings go to AdamW."""


GRAM_STEP = 64
"""Gram matrices are padded to a multiple of this, so that a network's are of few sizes."""


class Orthogonalizer:
    """Pushes all singular values of matrices towards 1, by Newton–Schulz iteration.

    Each iteration is x ← p(g) x with the Gram matrix g = x xᵀ and p(g) = a + b g + c g² (Jordan
    2024, https://kellerjordan.github.io/posts/muon, whose coefficients bring values between about
    0.7 and 1.2: as good as exactly 1). Polynomials of g commute, so the iteration can run on g
    alone, g ← p(g)² g, and x is multiplied once, by the product of all p(g): for a convolution's
    long matrix that is a third of the work.

    Matrices of one shape are stacked, and then Gram matrices of about one size. So a network's
    weights take a few commands, however many they are, and a GPU needn't wait for them.

    Args:
        like: weights ``[M, …]`` of the shapes and layouts to come, taken as matrices ``[M, N]``.
            The order of their columns doesn't matter, so each keeps the layout that it has.
        iterations: 5 bring a gradient's values near to 1.
    """

    def __init__(self, like: Sequence[Tensor], iterations: int = 5) -> None:
        self.iterations = iterations
        shapes: dict[tuple[int, int], list[int]] = {}
        for place, weight in enumerate(like):
            shapes.setdefault((len(weight), weight[0].numel()), []).append(place)
        sizes = {shape: -(-min(shape) // GRAM_STEP) * GRAM_STEP for shape in shapes}

        # Room for all that a call computes. It stays, so that views of it are made only once.
        counts = Counter()
        for shape, places in shapes.items():
            counts[sizes[shape]] += len(places)
        device = like[0].device
        self._grams = {size: torch.zeros(count, size, size, device=device) for size, count in counts.items()}
        self._products = {size: torch.zeros_like(grams) for size, grams in self._grams.items()}
        self._stacks, self._inputs, self._outputs = [], [like[0]] * len(like), [like[0]] * len(like)
        for shape, places in shapes.items():
            size, side = sizes[shape], min(shape)
            counts[size] -= len(places)
            here = slice(counts[size], counts[size] + len(places))
            x, y = torch.empty(2, len(places), *shape, device=device)  # [n, M, N]
            for part, rows in ((x, self._inputs), (y, self._outputs)):
                for place, row in zip(places, part, strict=True):
                    rows[place] = row.as_strided(like[place].shape, like[place].stride())
            is_tall = shape[0] > shape[1]
            gram, product = self._grams[size][here, :side, :side], self._products[size][here, :side, :side]
            self._stacks.append((x, x.mT, y, gram, product, is_tall))

    @torch.no_grad()
    def __call__(self, matrices: Sequence[Tensor]) -> list[Tensor]:
        """The same matrices with singular values near 1; valid until the next call."""
        torch._foreach_copy_(self._inputs, matrices)
        for x, transposed, _, gram, _, is_tall in self._stacks:
            torch.bmm(*((transposed, x) if is_tall else (x, transposed)), out=gram)
        for size, grams in self._grams.items():
            self._iterate(grams, self._products[size])
        for x, _, y, _, product, is_tall in self._stacks:
            torch.bmm(*((x, product) if is_tall else (product, x)), out=y)
        return self._outputs

    def _iterate(self, gram: Tensor, product: Tensor) -> None:
        """Write the product of all p(g), divided by the norm of x; all are ``[n, M, M]``."""
        a, b, c = 3.4445, -4.7750, 2.0315
        norm = gram.diagonal(dim1=1, dim2=2).sum(1)[:, None, None].clamp_min(1e-14)  # a gradient of zero stays zero
        gram = gram / norm
        total = norm.rsqrt() * torch.eye(gram.shape[1], device=gram.device)
        for iteration in range(self.iterations):
            p = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
            p.diagonal(dim1=1, dim2=2).add_(a)
            total = torch.bmm(p, total)
            if iteration < self.iterations - 1:
                gram = torch.bmm(torch.bmm(p, gram), p)
        product.copy_(total)


class Muon(torch.optim.Optimizer):
    """Momentum whose updates are orthogonalized (Jordan et al. 2024), for matrices and tensors.

    torch.optim.Muon takes matrices only, and iterates in bfloat16, which CPUs are slow at; most
    weights here are convolutions, and training on a CPU matters.

    Args:
        params: weights, ``[M, …]``; each is treated as a matrix ``[M, N]``.
        lr: the size of an update's singular values, before the factor √max(1, M/N).
        momentum: decay of the moving average of gradients, used as Nesterov does.
        weight_decay: per unit of learning rate.
    """

    def __init__(self, params: list[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._orthogonalizers: dict[tuple[int, ...], Orthogonalizer] = {}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Update all weights that have a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            gradients = [weight.grad for weight in weights]
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight]["momentum"] = torch.zeros_like(weight)
            averages = [self.state[weight]["momentum"] for weight in weights]
            torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
            nesterov = torch._foreach_lerp(gradients, averages, group["momentum"])
            which = tuple(map(id, weights))  # nearly always all, so one orthogonalizer serves the run
            if which not in self._orthogonalizers:
                self._orthogonalizers[which] = Orthogonalizer(weights)
            updates = self._orthogonalizers[which](nesterov)
            torch._foreach_mul_(updates, [max(1.0, len(each) ** 2 / each.numel()) ** 0.5 for each in updates])
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(weights, updates, alpha=-group["lr"])


def _adamw(parameters: list[Tensor], config: TrainConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        parameters,
        lr=config.learning_rate,
        betas=(0.9, config.beta2),
        weight_decay=config.weight_decay,
        fused=True,
    )


def adamw(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101) for all parameters."""
    return [_adamw(list(model.parameters()), config)]


def muon(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the weights of `MATRIX_LAYERS`, AdamW for the rest."""
    weights = [layer.weight for layer in model.modules() if isinstance(layer, MATRIX_LAYERS)]
    taken = {id(weight) for weight in weights}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    rate = config.learning_rate * config.muon_rate_factor
    return [Muon(weights, rate, weight_decay=config.weight_decay), _adamw(rest, config)]


OPTIMIZERS: dict[str, Callable[[nn.Module, TrainConfig], list[torch.optim.Optimizer]]] = {
    "adamw": adamw,
    "muon": muon,
}
"""Each makes a list, because Muon leaves some parameters to AdamW."""


def learning_rate_factor(fraction: float, warmup: float) -> float:
    """The learning rate as a part of its peak, when ``fraction`` of the budget has passed.

    It rises linearly over the first ``warmup`` of the budget, and falls as a cosine over all of it.
    """
    rise = min(1.0, fraction / warmup) if warmup > 0 else 1.0
    return rise * 0.5 * (1 + math.cos(math.pi * fraction))


def set_learning_rates(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Set all learning rates to ``factor`` times those that the optimizers were made with."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("peak_lr", group["lr"]) * factor


class ExponentialAverage(AveragedModel):
    """An exponential moving average of a model's weights, in one command.

    Args:
        model: whose weights are averaged.
        decay: of the average, after many steps. It starts low, so the first weights are soon
            forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take the weights of a step in. The first ones replace what was there."""
        count = self.n_averaged.item()  # on the CPU, wherever the weights are
        decay = min(self.decay, (1 + count) / (10 + count)) if count else 0.0
        torch._foreach_lerp_(list(self.module.parameters()), list(model.parameters()), 1 - decay)
        self.n_averaged += 1
