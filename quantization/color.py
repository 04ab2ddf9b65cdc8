"""Color spaces: sRGB, linear light and OKLab (Björn Ottosson 2020, "A perceptual color space for image processing")."""

import torch
from torch import Tensor

# Ottosson's matrices, in the version of 2021-01-25: linear sRGB → cone responses, and their cube roots → Lab.
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


def _apply(matrix: tuple[tuple[float, ...], ...], colors: Tensor) -> Tensor:
    return colors @ torch.tensor(matrix, dtype=colors.dtype, device=colors.device).T


def srgb_to_linear(srgb: Tensor) -> Tensor:
    """Undo the sRGB transfer curve (IEC 61966-2-1); any shape, floats in [0, 1]."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055).clamp_min(0) ** 2.4)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Apply the sRGB transfer curve (IEC 61966-2-1); any shape, floats in [0, 1]."""
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)


def linear_to_oklab(linear: Tensor) -> Tensor:
    """Linear sRGB to OKLab, both ``[..., 3]``. Lightness lies in [0, 1], a and b within ±0.33 for sRGB colors."""
    lms = _apply(LINEAR_TO_LMS, linear)
    return _apply(LMS_TO_OKLAB, lms.sign() * lms.abs() ** (1 / 3))


def oklab_to_linear(oklab: Tensor) -> Tensor:
    """OKLab to linear sRGB, both ``[..., 3]``; colors outside the sRGB gamut leave [0, 1]."""
    return _apply(LMS_TO_LINEAR, _apply(OKLAB_TO_LMS, oklab) ** 3)


def srgb_to_oklab(srgb: Tensor) -> Tensor:
    """SRGB to OKLab, both ``[..., 3]``: floats in [0, 1], or uint8 in [0, 255]."""
    if srgb.dtype == torch.uint8:
        srgb = srgb.float() / 255
    return linear_to_oklab(srgb_to_linear(srgb))


def oklab_to_srgb(oklab: Tensor) -> Tensor:
    """OKLab to sRGB floats, both ``[..., 3]``; colors outside the sRGB gamut are clipped to [0, 1]."""
    return linear_to_srgb(oklab_to_linear(oklab).clamp(0, 1))
