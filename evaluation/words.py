"""Whether a drawing shows what its prompt names, as a linear probe on features of pictures sees it.

The probe learns from real training pictures which of the commonest things of the captions each one
shows. Then it names drawings, and real held-out pictures beside them: no drawing can be expected to
be recognized more often than these.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tincture.common.errors import InputError
from tincture.models.text import words_in

from .bootstrap import Measured
from .options import MIN_IMAGES

THINGS = 30
"""How many things are told apart."""

_NO_THINGS = (
    "black blue brown cyan dark gold golden gray green grey light magenta orange pink purple red silver teal violet "
    "white yellow big giant large little long new old small east left lower north right south upper west female male "
    "artefact dungeon effect icon item monster player ui add delete edit"
)
"""Colors, sizes, places, kinds of unlike things, and what to do: few of these can be recognized."""


def common_things(captions: Sequence[str], number: int = THINGS) -> dict[str, int]:
    """The words that most captions have, but for `_NO_THINGS`, and in how many they are.

    Raises:
        InputError: fewer than two are in enough captions.
    """
    counts = Counter(word for caption in captions for word in words_in(caption))
    counts -= Counter(dict.fromkeys(_NO_THINGS.split(), len(captions)))
    things = {word: count for word, count in counts.most_common(number) if count >= MIN_IMAGES}
    if len(things) < 2:
        raise InputError(
            f"the metric words tells things apart that at least {MIN_IMAGES} captions name each, and there are "
            f"{len(things)} of them: leave it out"
        )
    return things


def shown_things(captions: Sequence[str], things: Mapping[str, int]) -> Tensor:
    """The number of the thing that each picture shows, int64 ``[N]``; -1 for none.

    It is the rarest one in its caption: an "undead dragon" is a dragon.
    """
    numbers = {word: number for number, word in enumerate(things)}
    named = ([word for word in words_in(caption) if word in things] for caption in captions)
    return torch.tensor([numbers[min(words, key=things.__getitem__)] if words else -1 for words in named])


class Probe:
    """A linear classifier by ridge regression. All classes count alike, however rare they are.

    Args:
        features: of real pictures, float64 ``[N, D]``.
        shown: their classes, int64 ``[N]``.
        penalty: of the squared weights, for features with a variance of 1 and a mean over pictures.
            At the default, most of the held-out tiles of Crawl are recognized, of 0.01 to 100.
    """

    def __init__(self, features: Tensor, shown: Tensor, penalty: float = 0.1) -> None:
        self._mean, self._scale = features.mean(dim=0), features.std(dim=0) + 1e-9
        x, answers = (features - self._mean) / self._scale, F.one_hot(shown).double()
        # W = (Xᵀ D X + λ I)⁻¹ Xᵀ D Y, where D gives each class the same weight, 1 in all
        weights = (answers / answers.sum(dim=0).clamp_min(1)).sum(dim=1) / answers.shape[1]
        weighted = x * weights[:, None]
        gram = x.T @ weighted + penalty * torch.eye(x.shape[1], dtype=x.dtype)
        self._weights = torch.linalg.solve(gram, weighted.T @ answers)

    def recognized(self, features: Tensor, shown: Tensor) -> Measured:
        """The share of pictures, float64 ``[N, D]``, in which it sees what they are to show."""
        seen = ((features - self._mean) / self._scale @ self._weights).argmax(dim=1)
        hits = (seen == shown).double()
        return Measured(hits.mean().item(), (hits.std() / len(hits) ** 0.5).item())
