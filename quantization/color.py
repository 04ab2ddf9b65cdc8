"""Color spaces: sRGB, linear light and OKLab, for NumPy's arrays and for torch's tensors alike.

OKLab: Björn Ottosson 2020, "A perceptual color space for image processing". Euclidean distances in
it are about as large as differences look; black and white are 1 apart.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")
"""Torch takes seconds to import, so it is used through the methods of tensors only."""

# Ottosson's matrices of 2021-01-25: linear sRGB → cone responses, and their cube roots → Lab.
LINEAR_TO_LMS = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
LMS_TO_OKLAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
OKLAB_TO_LMS = (
    (1.0, 0.3963377774, 0.2158037573),
    (1.0, -0.1055613458, -0.0638541728),
    (1.0, -0.0894841775, -1.2914855480),
)
LMS_TO_LINEAR = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)


def _apply(matrix: tuple[tuple[float, ...], ...], colors: Array) -> Array:
    """The matrix times each color, ``[..., 3]``."""
    if isinstance(colors, np.ndarray):
        # Summed from left to right, as torch does: a BLAS product would round otherwise.
        return (colors[..., None, :] * np.array(matrix, colors.dtype)).sum(-1)
    return colors @ _transposed(matrix, colors.dtype, colors.device)


@lru_cache
def _transposed(matrix: tuple[tuple[float, ...], ...], dtype: "torch.dtype", device: "torch.device") -> "Tensor":
    import torch  # is there already, if a tensor is

    # Made where it shall be. A compiled network would keep a literal on the CPU, and a network that
    # reads from there gets no CUDA graph.
    with torch.inference_mode(False):  # who draws first may train afterwards
        numbers = [torch.full((), number, dtype=dtype, device=device) for row in matrix for number in row]
        return torch.stack(numbers).view(3, 3).T


def _where(condition: Array, yes: Array, no: Array) -> Array:
    return np.where(condition, yes, no) if isinstance(yes, np.ndarray) else yes.where(condition, no)


def srgb_to_linear(srgb: Array) -> Array:
    """Undo the sRGB transfer curve (IEC 61966-2-1); any shape, floats in [0, 1]."""
    return _where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055).clip(0) ** 2.4)


def linear_to_srgb(linear: Array) -> Array:
    """Apply the sRGB transfer curve (IEC 61966-2-1); any shape, floats in [0, 1]."""
    return _where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clip(0.0031308) ** (1 / 2.4) - 0.055)


def linear_to_oklab(linear: Array) -> Array:
    """Linear sRGB to OKLab, both ``[..., 3]``. Lightness is 0 to 1, a and b are within ±0.33."""
    lms = _apply(LINEAR_TO_LMS, linear)
    roots = abs(lms) ** (1 / 3)
    return _apply(LMS_TO_OKLAB, _where(lms < 0, -roots, roots))


def oklab_to_linear(oklab: Array) -> Array:
    """OKLab to linear sRGB, both ``[..., 3]``; colors that sRGB can't show leave [0, 1]."""
    roots = _apply(OKLAB_TO_LMS, oklab)
    return _apply(LMS_TO_LINEAR, roots * roots * roots)


def srgb_to_oklab(srgb: Array) -> Array:
    """SRGB to OKLab, both ``[..., 3]``: floats in [0, 1], or bytes."""
    is_bytes = srgb.dtype.itemsize == 1
    return linear_to_oklab(srgb_to_linear(srgb / 255 if is_bytes else srgb))


def oklab_to_srgb(oklab: Array) -> Array:
    """OKLab to sRGB floats, both ``[..., 3]``, clipped to [0, 1]."""
    return linear_to_srgb(oklab_to_linear(oklab).clip(0, 1))
