"""What every corruption process offers. Losses, bounds and samplers are written against it."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from .draws import Generators
from .schedules import Schedule


@runtime_checkable
class Process(Protocol):
    """A continuous-time Markov chain on each pixel: clean at t = 0, noise at t = 1.

    A state is an entry 0 … K-1, or the mask K where the process has one; K is
    ``palette.mask_index``. Color-tree has more states after the mask. Palettes come with every call
    because a process may depend on their sizes (uniform) or their colors (color-heat, color-tree).
    """

    schedule: Schedule
    """alpha(t)."""
    has_mask: bool
    """Whether a pixel holds either its clean entry or the mask, and nothing between."""

    def prior(self, palette: PaletteBatch, height: int, width: int, generator: Generators) -> Tensor:
        """Draw x_1, int64 ``[B, H, W]``."""
        ...

    def q_sample(self, x_0: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators) -> Tensor:
        """Draw x_t ~ q(x_t | x_0) for clean index maps int64 ``[B, H, W]`` at times ``[B]``."""
        ...

    def clock(self, t: Tensor, palette: PaletteBatch) -> Tensor:
        """How far pixels are corrupted at times ``[*, B]``, as the process counts it: ``[*, B]``.

        `renoise` and `posterior` read times from it, because a sampler can ask for all its times at
        once.
        """
        ...

    def renoise(self, x_s: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators) -> Tensor:
        """Draw x_t ~ q(x_t | x_s): go on corrupting from clock s to a later t, both ``[B]``."""
        ...

    def posterior(self, x_t: Tensor, p_0: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """p(x_s | x_t) = Σ q(x_s | x_t, x_0) p_0(x_0).

        Args:
            x_t: int64 ``[B, H, W]``.
            p_0: the denoiser's probabilities of clean entries, ``[B, K, H, W]``.
            s, t: the `clock` at two times, s the earlier one, ``[B]``.

        Returns:
            Probabilities of states, ``[B, S, H, W]``: S = K + 1 where the process has a mask, the
            number of nodes for color-tree, else K.
        """
        ...

    def negative_elbo(self, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """An unbiased estimate of the continuous-time negative ELBO, nats per image, ``[B]``.

        Args:
            logits: the denoiser's output for (x_t, t), ``[B, K, H, W]``.
            x_0, x_t: clean and corrupted index maps, int64 ``[B, H, W]``, with x_t from `q_sample`.
            t: times, uniform in (0, 1], ``[B]``.
        """
        ...
