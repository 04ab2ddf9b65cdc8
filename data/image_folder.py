"""Any folder of pictures, brought to one size. Subfolders, where there are some, give labels."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tincture.common.errors import InputError
from tincture.quantization.pictures.reading import IMAGE_SUFFIXES, read_image

from .sources import OTHER_LABEL, LabelledImage, Source, is_heldout, name_hash

LONGEST = 16
"""How many times as long as wide a picture may be before it is resized."""


def fit_to_size(pixels: np.ndarray, size: int, resize: str) -> np.ndarray:
    """Bring RGBA pixels to ``size × size``.

    Args:
        pixels: uint8 ``[H, W, 4]``.
        size: edge length in pixels.
        resize: ``area`` scales the shorter side to ``size`` by averaging and crops the center;
            ``nearest`` does so without mixing colors (for pixel art); ``crop`` cuts the center out
            unscaled and pads what is missing with transparency.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    if resize == "crop":
        canvas = np.zeros((max(size, height), max(size, width), 4), np.uint8)
        top, left = (canvas.shape[0] - height) // 2, (canvas.shape[1] - width) // 2
        canvas[top : top + height, left : left + width] = pixels
        pixels = canvas
    else:
        pixels = _shortened(pixels)
        height, width = pixels.shape[:2]
        scale = size / min(height, width)
        target = max(size, round(width * scale)), max(size, round(height * scale))
        # Pillow resizes RGBA with premultiplied alpha, so transparent pixels lend no color to their
        # neighbors.
        method = {"area": Image.Resampling.BOX, "nearest": Image.Resampling.NEAREST}[resize]
        pixels = np.array(Image.fromarray(pixels).resize(target, method))
    top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
    return pixels[top : top + size, left : left + size]


def _shortened(pixels: np.ndarray) -> np.ndarray:
    """The middle of a strip, at most `LONGEST` times as long as wide.

    Scaled whole, a picture of 65,535 × 1 pixels would fill the memory.
    """
    height, width = pixels.shape[:2]
    length = LONGEST * min(height, width)
    top, left = max(0, height - length) // 2, max(0, width - length) // 2
    return pixels[top : top + length, left : left + length]


def pictures_below(folder: Path) -> list[Path]:
    """All pictures in ``folder`` and its subfolders, sorted.

    Names that begin with a dot are left out, of files and of folders: programs keep copies there.

    Raises:
        InputError: there are no pictures.
    """
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    if not files:
        raise InputError(f"no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {folder}")
    return files


def image_folder(path: Path, size: int, resize: str, heldout_fraction: float) -> Source:
    """The pictures below ``path``; in the place of a broken one stands its InputError.

    A picture's label is the first folder of its path below ``path``. The hash of that path, without
    the suffix, decides on its side of the split. Pictures with the same pixels stand on the side of
    the first.

    Raises:
        InputError: ``path`` is not a folder, or holds no pictures.
    """
    if not path.is_dir():
        raise InputError(f"no such folder of images: {path}")
    files = pictures_below(path)
    digest = hashlib.blake2b(f"{size} {resize}".encode(), digest_size=16)
    for file in files:
        digest.update(str(file.relative_to(path)).encode(errors="surrogateescape"))
        digest.update(hashlib.blake2b(file.read_bytes()).digest())

    def images() -> Iterator[LabelledImage | InputError]:
        sides: dict[bytes, bool] = {}
        for file in files:
            relative = file.relative_to(path)
            label = relative.parts[0] if len(relative.parts) > 1 else OTHER_LABEL
            try:
                pixels = fit_to_size(read_image(file), size, resize)
            except InputError as error:
                yield error
                continue
            name = relative.with_suffix("").as_posix()
            content = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
            heldout = sides.setdefault(content, is_heldout(name_hash(name), heldout_fraction))
            yield LabelledImage(name, pixels, label, heldout)

    return Source(digest.hexdigest(), len(files), images())
