"""Frames become index maps: encode or dither them, smooth, sort, and measure."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tincture.common.errors import InputError, choose
from tincture.common.kernels import kernel

from .dither import dither
from .encoding import encode
from .fidelity import EYE_BLUR, Fidelity, fidelity
from .histogram import OPAQUE_ALPHA, as_rgba
from .palettes.order import reorder, sorting
from .palettes.palette import MAX_ENTRIES, Palette
from .pictures.indexed_image import IndexedImage


class Conversion(NamedTuple):
    """Frames in palettes."""

    indices: list[np.ndarray]
    """uint8 ``[H, W]`` each."""
    palettes: list[Palette]
    """Of each frame, one for all of them or each its own."""
    fidelity: Fidelity

    @property
    def palette(self) -> Palette:
        """Of the first frame, and so of all that share one."""
        return self.palettes[0]


def convert(
    frames: Sequence[np.ndarray],
    palette: Palette | Sequence[Palette],
    *,
    space: str = "oklab",
    method: str = "none",
    strength: float = 1.0,
    dither_space: str = "linear",
    exact: bool = False,
    smoother: str | None = None,
    order: str | None = None,
    own: IndexedImage | None = None,
) -> Conversion:
    """Draw frames with a palette, or each with its own.

    In one palette, what stands still doesn't flicker: a pixel that has its color of the frame
    before, or of the first one, to which an animation returns, keeps the entry that it had there.

    Args:
        frames: sRGB, uint8 ``[H, W, 3]`` or ``[H, W, 4]`` each.
        palette: of all frames, or one for each; its order is kept unless ``order`` is given.
        space: a name in `SPACES`, where distances are measured without dithering.
        method: of dithering, a name in `DITHERERS`.
        strength: of dithering, 0 to 1.
        dither_space: a name in `DITHER_SPACES`, where entries mix.
        exact: whether dithering keeps the mean color as near as the palette can mix, as `dither`
            does.
        smoother: a name in `SMOOTHERS`; transparent pixels stay so and no others become so.
        order: a name in `ORDERS`, by which the palette is sorted in the end.
        own: the frame as its file holds it. In the same palette it keeps its indices.

    Raises:
        InputError: a name is unknown, or as for `encode`.
    """
    frames = [as_rgba(frame) for frame in frames]
    palettes = [palette] * len(frames) if isinstance(palette, Palette) else list(palette)
    kept = own.indices_in(palettes[0]) if own is not None and len(frames) == 1 else None
    if kept is not None:
        indices = [kept]
    elif method == "none":
        indices = [encode(*each, space) for each in zip(frames, palettes, strict=True)]
    else:
        indices = []
        for each in zip(frames, palettes, strict=True):
            kept = _standing(frames, palettes, indices)
            drawn = dither(*each, method, strength, dither_space, exact=exact, kept=kept)
            indices.append(np.where(kept < 0, drawn, kept).astype(np.uint8))
    if smoother is not None:
        smooth = choose("smoother", smoother, SMOOTHERS)
        pairs = zip(indices, palettes, strict=True)
        indices = [smooth(index_map, transparent=each.transparent) for index_map, each in pairs]
    if order is not None:
        images = [IndexedImage(*each) for each in zip(indices, palettes, strict=True)]
        images = [reorder(image, sorting(image.palette, order)) for image in images]
        indices, palettes = [image.indices for image in images], [image.palette for image in images]
    blur = 0.0 if method == "none" or strength == 0 else EYE_BLUR
    return Conversion(indices, palettes, fidelity(frames, indices, palettes, blur))


def _standing(frames: Sequence[np.ndarray], palettes: Sequence[Palette], indices: Sequence[np.ndarray]) -> np.ndarray:
    """What the next frame keeps of the index maps before it, int16 ``[H, W]``; -1 is nothing."""
    number = len(indices)
    kept = np.full(frames[number].shape[:2], -1, np.int16)
    for earlier in {0, number - 1} if number else ():
        if frames[earlier].shape == frames[number].shape and palettes[earlier] == palettes[number]:
            kept = np.where((frames[earlier] == frames[number]).all(axis=-1), indices[earlier], kept)
    return kept


def has_place_for_transparency(palette: Palette, frames: Sequence[np.ndarray]) -> bool:
    """Whether the palette has a transparent entry or a place for one, or no frame needs it."""
    return len(palette) < MAX_ENTRIES or not _lacks_transparency(palette, frames)


def with_place_for_transparency(palette: Palette, frames: Sequence[np.ndarray]) -> Palette:
    """The palette as it is or, where a frame needs it, with a transparent entry after its last one.

    Raises:
        InputError: all 256 places are taken by opaque entries.
    """
    if not _lacks_transparency(palette, frames):
        return palette
    if len(palette) == MAX_ENTRIES:
        raise InputError("the picture has transparent pixels, but the palette's 256 entries leave no place for them")
    return palette.with_transparency()


def _lacks_transparency(palette: Palette, frames: Sequence[np.ndarray]) -> bool:
    least = 1 if palette.is_soft else OPAQUE_ALPHA
    return palette.transparent is None and any((as_rgba(frame)[..., 3] < least).any() for frame in frames)


def remove_isolated(indices: np.ndarray, transparent: int | None = None) -> np.ndarray:
    """Remove speckle: a pixel that no neighbor equals takes its eight neighbors' commonest index.

    Args:
        indices: uint8 ``[H, W]``.
        transparent: an index that is neither changed nor spread.

    Returns:
        Indices, uint8 ``[H, W]``; a new array.
    """
    return _filter(indices, -1 if transparent is None else transparent, True)


def mode_filter(indices: np.ndarray, transparent: int | None = None) -> np.ndarray:
    """Smooth ragged edges: a pixel takes its neighbors' commonest index if that outnumbers its own.

    Arguments and result are those of `remove_isolated`.
    """
    return _filter(indices, -1 if transparent is None else transparent, False)


SMOOTHERS: dict[str, Callable[..., np.ndarray]] = {"isolated": remove_isolated, "mode": mode_filter}
"""Functions of an index map, uint8 ``[H, W]``, and its ``transparent`` index, to a smoother map."""


@kernel
def _filter(indices: np.ndarray, skip: int, only_isolated: bool) -> np.ndarray:
    out = indices.copy()
    counts = np.zeros(256, np.int32)
    for y in range(indices.shape[0]):
        for x in range(indices.shape[1]):
            if indices[y, x] == skip:
                continue
            best = _commonest(indices, y, x, skip, counts)
            own = counts[indices[y, x]]
            if best >= 0 and (own == 0 if only_isolated else counts[best] > own + 1):
                out[y, x] = best
    return out


@kernel
def _commonest(indices: np.ndarray, y: int, x: int, skip: int, counts: np.ndarray) -> int:
    """The commonest index around a pixel, of equal ones its own, or -1; fills in ``counts``."""
    top, bottom = max(y - 1, 0), min(y + 2, indices.shape[0])
    left, right = max(x - 1, 0), min(x + 2, indices.shape[1])
    best, own = -1, indices[y, x]
    counts[:] = 0
    for i in range(top, bottom):
        for j in range(left, right):
            k = indices[i, j]
            if (i != y or j != x) and k != skip:
                counts[k] += 1
    for i in range(top, bottom):
        for j in range(left, right):
            k = indices[i, j]
            if counts[k] > 0 and (best < 0 or counts[k] > counts[best] or (counts[k] == counts[best] and k == own)):
                best = k
    return best
