"""Joint palettes: one drawing in several palettes, entry for entry; strips from one palette to another."""

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
        entries: for each palette, its entry that stands for each of the drawing's K entries, int64 ``[K]``.
        first: the palette that the drawing itself is in: its ``entries`` are 0 to K - 1.
    """

    palettes: tuple[Palette, ...]
    entries: tuple[np.ndarray, ...]
    first: int

    @classmethod
    def matched(cls, palettes: Sequence[Palette]) -> "JointPalettes":
        """Match the largest palette's entries with those of each other one; one-to-one where there are as many.

        Raises:
            InputError: there is no palette, or one has no opaque entry.
        """
        if not palettes:
            raise InputError("name at least one palette to draw in")
        first = int(np.argmax([len(palette) for palette in palettes]))
        base = palettes[first]
        weights = np.ones(len(base))
        entries = tuple(match_palettes(base, palette, weights) for palette in palettes)
        return cls(tuple(palettes), entries, first)

    @classmethod
    def strip(cls, start: Palette, end: Palette, steps: int) -> "JointPalettes":
        """From one palette to another in ``steps`` palettes, both ends included, in even steps in OKLab.

        The palettes between the ends have the order of the larger one.

        Raises:
            InputError: there are fewer than 2 steps.
        """
        if steps < 2:
            raise InputError(f"a strip has {steps} steps; it must have at least 2")
        ends = cls.matched([start, end])
        base, far = ends.palettes[ends.first], ends.palettes[1 - ends.first]
        there = far.colors[ends.entries[1 - ends.first]]  # [K, 4]
        between = [_between(base.colors, there, step / (steps - 1)) for step in range(1, steps - 1)]
        ordered = [base, *between, far]
        same = np.arange(len(base))
        entries = [*[same] * (steps - 1), ends.entries[1 - ends.first]]
        if ends.first == 0:
            return cls(tuple(ordered), tuple(entries), 0)
        return cls(tuple(reversed(ordered)), tuple(reversed(entries)), steps - 1)

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
    """Colors, uint8 ``[K, 4]``, so far on the way to others. A transparent color has the hue of what it becomes."""
    oklab = SPACES["oklab"]
    first = oklab.from_bytes(np.where(start[:, 3:] == 0, end, start))
    last = oklab.from_bytes(np.where(end[:, 3:] == 0, start, end))
    colors = oklab.to_bytes((1 - share) * first + share * last)
    alpha = ((1 - share) * start[:, 3:] + share * end[:, 3:]).round().astype(np.uint8)
    return Palette(np.concatenate([colors[:, :3], alpha], axis=1))
