"""Pictures with an ICC profile of their own (ICC.1:2010), converted to sRGB by Little CMS, which is in Pillow."""

import io

import numpy as np
from PIL import Image, ImageCms

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
"""A profile's color space → Pillow's mode for it; others don't occur in pictures."""
_SAME = 2
"""Profiles that move no color by more than this in 255 are sRGB: going through them would only round."""


def _keeps_colors(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the transform does nothing, judged by a lattice of colors or by all greys."""
    if mode not in ("RGB", "L"):
        return False
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    probe = Image.fromarray(lattice if mode == "RGB" else np.arange(256, dtype=np.uint8)[None])
    moved = np.asarray(ImageCms.applyTransform(probe, transform)).astype(int)
    return bool(np.abs(moved - np.asarray(probe.convert("RGB"))).max() <= _SAME)


def _fits(image_mode: str, mode: str) -> bool:
    """Whether a picture of this mode can have a profile for that mode; a grey one may have one for RGB."""
    if "CMYK" in (image_mode, mode) or "LAB" in (image_mode, mode):
        return image_mode == mode
    return mode == "RGB" or image_mode in ("1", "L", "LA")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert a picture from its profile's colors to sRGB with the perceptual intent; alpha stays.

    Args:
        image: of any mode with 8 bits a channel.
        profile: an ICC profile. Where there is none, or one that is broken, of another kind than the picture, or the
            same as sRGB, the picture comes back as it is.
    """
    if not profile:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(source.profile.xcolor_space.strip())
        if mode is None or not _fits(image.mode, mode):
            return image
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if _keeps_colors(transform, mode):
            return image
        if image.mode == mode and mode in ("CMYK", "LAB"):
            return ImageCms.applyTransform(image, transform)
        with_alpha = image.convert("RGBA")  # resolves palettes and transparent values first
        converted = ImageCms.applyTransform(with_alpha.convert(mode), transform)
        converted.putalpha(with_alpha.getchannel("A"))
    except (OSError, ImageCms.PyCMSError):
        return image
    return converted
