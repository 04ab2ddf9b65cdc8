"""What is minimized in training: the negative ELBO, or D3PM's hybrid of it with a cross-entropy."""

from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from .likelihood import to_bits
from .process import Process
from .surprisal import surprisal


def cross_entropy(process: Process, logits: Tensor, x_0: Tensor, x_t: Tensor, palette: PaletteBatch) -> Tensor:
    """-log p(x_0 | x_t) at the pixels whose clean entry isn't known from x_t, nats per image, ``[B]``.

    With a mask that is the masked pixels, else all of them. Shapes as for `Process.negative_elbo`.
    """
    nats = surprisal(logits, x_0)
    if process.has_mask:
        nats = nats * (x_t == palette.mask_index)
    return nats.flatten(1).sum(dim=1)


def hybrid_loss(
    process: Process, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, palette: PaletteBatch, weight: float
) -> tuple[Tensor, Tensor]:
    """The negative ELBO plus ``weight`` times the cross-entropy (Austin et al. 2021, arXiv 2107.03006, eq. 5).

    Returns:
        The loss and the negative ELBO alone, both in bits per pixel, ``[B]``.
    """
    bound = to_bits(process.negative_elbo(logits, x_0, x_t, t, palette), x_0)
    if weight == 0:
        return bound, bound
    return bound + weight * to_bits(cross_entropy(process, logits, x_0, x_t, palette), x_0), bound
