"""Joint palettes: one drawing in several palettes, and strips from one palette to another.

The drawing is one index map in the largest palette. Each of its entries is matched with an entry of
every other palette.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.recolor import match_palettes
from tincture.quantization.spaces import SPACES


@dataclass(frozen=True, eq=False)
class JointPalettes:
    """Palettes in which the same drawing is shown.

    Args:
        palettes: at least one.
        entries: for each palette, which of its entries shows each of the drawing's K; int64
            ``[K]``.
        first: the palette that the drawing itself is in; its ``entries`` are 0 to K - 1.
    """

    palettes: tuple[Palette, ...]
    entries: tuple[np.ndarray, ...]
    first: int

    @classmethod
    def matched(cls, palettes: Sequence[Palette]) -> "JointPalettes":
        """Match the largest palette's entries with those of each other palette.

        Two palettes of the same size are matched one-to-one.

        Raises:
            InputError: there is no palette, or one has no opaque entry.
        """
        if not palettes:
            raise InputError("name at least one palette to draw in")
        first = int(np.argmax([len(palette) for palette in palettes]))
        base = palettes[first]
        entries = tuple(match_palettes(base, palette, np.ones(len(base))) for palette in palettes)
        return cls(tuple(palettes), entries, first)

    @classmethod
    def strip(cls, start: Palette, end: Palette, steps: int) -> "JointPalettes":
        """From one palette to another in ``steps`` palettes, both included, evenly in OKLab.

        The palettes between them have the order of the larger one.

        Raises:
            InputError: there are fewer than 2 steps.
        """
        if steps < 2:
            raise InputError(f"a strip has {steps} steps; it must have at least 2")
        ends = cls.matched([start, end])
        base, far, to_far = ends.base, ends.palettes[1 - ends.first], ends.entries[1 - ends.first]
        goals = far.colors[to_far]  # [K, 4]
        between = [_between(base.colors, goals, step / (steps - 1)) for step in range(1, steps - 1)]
        # From the larger palette on, all but the far end have its entries.
        palettes = [base, *between, far]
        entries = [*[np.arange(len(base))] * (steps - 1), to_far]
        if ends.first == 0:
            return cls(tuple(palettes), tuple(entries), 0)
        return cls(tuple(reversed(palettes)), tuple(reversed(entries)), steps - 1)

    @property
    def base(self) -> Palette:
        """The palette that the drawing itself is in."""
        return self.palettes[self.first]

    def show(self, image: IndexedImage) -> list[IndexedImage]:
        """A drawing in each of the palettes."""
        return [
            IndexedImage(entries.astype(np.uint8)[image.indices], palette)
            for entries, palette in zip(self.entries, self.palettes, strict=True)
        ]


def _between(start: np.ndarray, end: np.ndarray, share: float) -> Palette:
    """Colors, uint8 ``[K, 4]``, at this share of the way from ``start`` to ``end``."""
    # A transparent color has the hue of the color that it becomes.
    oklab = SPACES["oklab"]
    first = oklab.from_bytes(np.where(start[:, 3:] == 0, end, start))
    last = oklab.from_bytes(np.where(end[:, 3:] == 0, start, end))
    colors = oklab.to_bytes((1 - share) * first + share * last)
    alpha = ((1 - share) * start[:, 3:] + share * end[:, 3:]).round().astype(np.uint8)
    return Palette(np.concatenate([colors[:, :3], alpha], axis=1))
