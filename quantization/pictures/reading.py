"""Reading pictures of any kind as sRGB RGBA, with one clear error for each that can't be read.

A picture with an ICC profile (ICC.1:2010) is converted by Little CMS, which is part of Pillow.
"""

import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from tincture.common.errors import InputError

from .gif import first_frame

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is read, whatever a file's name says. Pillow would pass an EPS to Ghostscript, which runs
the program in it."""

_GRAY_SCALES = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grays of 2 and 4 bits by. It forgets the gray that is transparent."""

DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise on broken data."""

_ON_ITS_SIDE = range(5, 9)
"""EXIF's orientations that make width and height change places."""

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
"""Pillow's mode for a profile's color space; others don't occur in pictures."""
_SAME = 2
"""A profile that moves no color by more than this, of 255, is sRGB; using it would only round."""


def open_image(path: Path | str, content: bytes | None = None) -> Image.Image:
    """Open and decode a picture in its own mode, turned upright by its EXIF orientation.

    Args:
        path: the file.
        content: the file's bytes, if they were read already; ``path`` is only a name then.

    Raises:
        InputError: the file is missing, can't be read, is no picture, is cut off, or is so large
            that it may be a decompression bomb.
    """
    path = Path(path)
    if content is None and path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{path} is a device or a pipe, not a file")  # reading it might never end
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow thinks of odd tags
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path if content is None else BytesIO(content), formats=FORMATS) as image:
                raw_mode = image.tile[0][3] if image.tile else None
                image.load()
                correct_transparency(image, raw_mode)
                if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
                    raise InputError(f"{path} has 32 bits for each value, of unknown white; save it with 8 or 16")
                if image.format == "GIF":
                    return _as_browsers_show(image, path.read_bytes() if content is None else content)
                return ImageOps.exif_transpose(_with_usual_grays(image) if image.format == "TIFF" else image)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"no such image: {path}") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; name the images in it") from None
    except UnidentifiedImageError:
        if _premultiplied_grays_are_new():
            return open_image(path, content)
        raise InputError(f"{path} is not an image that can be read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{path} has too many pixels (over {Image.MAX_IMAGE_PIXELS:,})") from None
    except DECODER_ERRORS as error:
        if getattr(error, "errno", None) is not None:  # an error of the system; Pillow's have no number
            raise InputError(f"{path} can't be read: {error.strerror}") from None
        raise InputError(f"{path} is broken or cut off: {error}") from None


def upright(path: Path) -> tuple[int, tuple[int, int]]:
    """How a picture is turned when it is opened: its EXIF orientation, 1 for none; its size then.

    Raises:
        InputError: as for `open_image`.
    """
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as image:
            warnings.simplefilter("ignore")
            orientation, size = image.getexif().get(ExifTags.Base.Orientation, 1), image.size
            if orientation in _ON_ITS_SIDE and image.format != "TIFF":  # Pillow has turned that size already
                size = size[::-1]
    except (*DECODER_ERRORS, Image.DecompressionBombError):
        orientation, size = 1, open_image(path).size
    return (orientation if orientation in range(1, 9) else 1), size


def orientation_beside(path: Path, picture: Path) -> int:
    """The EXIF orientation by which a picture's mask, or the like, has to be turned with it.

    It is the mask's own if it has one. If only ``picture`` has one, the mask's size says whether it
    belongs to the picture as it is stored or to the upright one.

    Raises:
        InputError: as for `open_image`; or both sizes are the same, which doesn't say it.
    """
    (own, own_size), (orientation, size) = upright(path), upright(picture)
    if own != 1 or orientation == 1:
        return own
    stored = size[::-1] if orientation in _ON_ITS_SIDE else size
    if own_size == size == stored:
        raise InputError(
            f"{picture} is turned by its EXIF orientation, and {path} could belong to it before or after that: save "
            "the picture upright, without that tag"
        )
    return orientation if own_size == stored else 1


def open_beside(path: Path, picture: Path) -> Image.Image:
    """Open a picture's mask, or the like, turned as `orientation_beside` says, with its errors."""
    image, orientation = open_image(path), orientation_beside(path, picture)
    if upright(path)[0] == 1:
        image.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(image)


def correct_transparency(image: Image.Image, raw_mode: str | None) -> None:
    """Bring the transparent value of a decoded PNG to 8 bits, as Pillow has brought its pixels."""
    clear = image.info.get("transparency")
    if clear is None:
        return
    if raw_mode in _GRAY_SCALES:
        image.info["transparency"] = clear * _GRAY_SCALES[raw_mode]
    elif raw_mode == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in clear)


def _premultiplied_grays_are_new() -> bool:
    """Tell Pillow of TIFFs whose gray is multiplied by its alpha, and whether it knew none before.

    From version 13 on it does.
    """
    from PIL import TiffImagePlugin  # not above: few pictures are TIFFs

    known = len(TiffImagePlugin.OPEN_INFO)
    for order in (TiffImagePlugin.II, TiffImagePlugin.MM):
        TiffImagePlugin.OPEN_INFO.setdefault((order, 1, (1,), 1, (8, 8), (1,)), ("La", "La"))
    return len(TiffImagePlugin.OPEN_INFO) > known


def _with_usual_grays(image: Image.Image) -> Image.Image:
    """The grays of a TIFF as other pictures have them, where Pillow leaves them as they are stored.

    These are 16 bits of which 0 is white, 12 bits, and gray that is multiplied by its alpha.
    """
    if image.mode == "La":
        return image.convert("LA")
    if not image.mode.startswith("I;16"):
        return image
    from PIL import TiffImagePlugin  # not above: few pictures are TIFFs

    values = np.asarray(image).astype(np.uint32)
    (bits,) = image.tag_v2[TiffImagePlugin.BITSPERSAMPLE]
    values = values * 0xFFFF // (2**bits - 1)
    is_white_zero = image.tag_v2[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] == 0
    usual = Image.fromarray((0xFFFF - values if is_white_zero else values).astype(np.uint16))
    usual.info, usual.format = image.info, image.format
    return usual


def _as_browsers_show(image: Image.Image, content: bytes) -> Image.Image:
    """The first frame of a GIF as Pillow decoded it or, if it covers only a part, on nothing."""
    try:
        frame = first_frame(content)
    except ValueError:  # what Pillow forgives
        return image.copy()
    decoded = np.asarray(image.convert("RGBA"))
    is_same = (frame == decoded).all(axis=-1) | ((frame[..., 3] == 0) & (decoded[..., 3] == 0))
    return image.copy() if is_same.all() else Image.fromarray(frame)


def to_rgba(image: Image.Image) -> np.ndarray:
    """The pixels of a picture of any mode and ICC profile as sRGB RGBA, uint8 ``[H, W, 4]``."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):  # 16-bit gray, which Pillow would clip instead of scaling
        values = np.asarray(image).astype(np.uint32)
        alpha = np.where(values == image.info.get("transparency", -1), 0, 255).astype(np.uint8)
        image = Image.fromarray(np.stack([(values >> 8).clip(0, 255).astype(np.uint8), alpha], axis=-1), mode="LA")
    return np.array(to_srgb(image, profile).convert("RGBA"))


def read_image(path: Path | str, content: bytes | None = None) -> np.ndarray:
    """Read a picture as sRGB RGBA, uint8 ``[H, W, 4]``; all else is as for `open_image`."""
    return to_rgba(open_image(path, content))


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert a picture from its profile's colors to sRGB with the perceptual intent; alpha stays.

    Args:
        image: of any mode with 8 bits a channel.
        profile: an ICC profile. If there is none, or if it is broken, fits another kind of picture,
            or is the same as sRGB, the picture comes back as it is.
    """
    if not profile:
        return image
    from PIL import ImageCms  # not above: many pictures have no profile

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
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


def _fits(image_mode: str, mode: str) -> bool:
    """Whether a picture can have a profile for ``mode``; a gray one may have one for RGB."""
    if "CMYK" in (image_mode, mode) or "LAB" in (image_mode, mode):
        return image_mode == mode
    return mode == "RGB" or image_mode in ("1", "L", "LA")


def _keeps_colors(transform: "ImageCmsTransform", mode: str) -> bool:
    """Whether the transform does nothing, judged by a lattice of colors or by all grays."""
    from PIL import ImageCms

    if mode not in ("RGB", "L"):
        return False
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    probe = Image.fromarray(lattice if mode == "RGB" else np.arange(256, dtype=np.uint8)[None])
    moved = np.asarray(ImageCms.applyTransform(probe, transform)).astype(int)
    return bool(np.abs(moved - np.asarray(probe.convert("RGB"))).max() <= _SAME)
