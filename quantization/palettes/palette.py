"""A palette: ordered sRGB colors with alpha."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tincture.common.errors import InputError

MAX_ENTRIES = 256


@dataclass(frozen=True, eq=False)
class Palette:
    """Ordered colors that can't be changed. At most one is transparent (alpha 0).

    Order and duplicates are kept.

    Args:
        colors: sRGB RGBA, uint8 ``[K, 4]``, 1 ≤ K ≤ 256 (drawing needs at least 2).

    Raises:
        InputError: the shape, the type, or the number of entries or of transparent ones is wrong.
    """

    colors: np.ndarray

    def __post_init__(self) -> None:
        colors = np.array(self.colors)
        if colors.dtype != np.uint8 or colors.ndim != 2 or colors.shape[1] != 4:
            raise InputError(f"a palette is uint8 [K, 4], not {colors.dtype} {list(colors.shape)}")
        if not 1 <= len(colors) <= MAX_ENTRIES:
            raise InputError(f"a palette has 1 to {MAX_ENTRIES} entries, not {len(colors)}")
        if (colors[:, 3] == 0).sum() > 1:
            raise InputError("a palette has at most one transparent entry (alpha 0); merge them")
        colors.flags.writeable = False
        object.__setattr__(self, "colors", colors)

    @classmethod
    def from_hex(cls, colors: Iterable[str]) -> "Palette":
        """Make a palette of ``RRGGBB`` or ``RRGGBBAA`` strings, each with or without a ``#``.

        Half as many digits mean each one twice, as in CSS: ``f80`` is ``ff8800``.
        """
        rows = []
        for text in colors:
            digits = text.strip().removeprefix("#")
            if len(digits) in (3, 4):
                digits = "".join(2 * digit for digit in digits)
            try:
                row = bytes.fromhex(digits)
            except ValueError:
                row = b""
            if len(row) not in (3, 4) or len(digits) != 2 * len(row):
                raise InputError(f"{text.strip()!r} is not a color: write RRGGBB, RRGGBBAA or RGB")
            rows.append(tuple(row) + (255,) * (4 - len(row)))
        return cls(np.array(rows, dtype=np.uint8).reshape(-1, 4))

    def to_hex(self) -> list[str]:
        """``RRGGBB`` for each opaque entry, ``RRGGBBAA`` for the others."""
        return [bytes(row[:3] if row[3] == 255 else row).hex() for row in self.colors]

    @property
    def transparent(self) -> int | None:
        """The position of the transparent entry, if there is one."""
        found = np.flatnonzero(self.colors[:, 3] == 0)
        return int(found[0]) if len(found) else None

    @property
    def is_soft(self) -> bool:
        """Whether an entry is neither opaque nor transparent."""
        alpha = self.colors[:, 3]
        return bool(((alpha > 0) & (alpha < 255)).any())

    def with_transparency(self) -> "Palette":
        """This palette, with a transparent entry after the last one if it has none.

        Raises:
            InputError: all 256 places are taken by other entries.
        """
        if self.transparent is not None:
            return self
        return Palette(np.concatenate([self.colors, np.zeros((1, 4), np.uint8)]))

    def __len__(self) -> int:
        return len(self.colors)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Palette) and np.array_equal(self.colors, other.colors)

    def __hash__(self) -> int:
        return hash(self.colors.tobytes())
