"""Pictures as a codec sees them: index maps and one palette, or a file that is kept as it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from tincture.common.files import write_atomically
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette
from tincture.quantization.pictures.animation import read_animation
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import entries_of, pillow_of, write_png
from tincture.quantization.pictures.reading import open_image

MOST_PIXELS = 1 << 16
"""Of a picture that the network is asked about. It sees larger ones too, but takes minutes."""

_EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture or animation.

    Args:
        frames: index maps of one size, uint8 ``[H, W]`` each.
        colors: sRGB RGBA, uint8 ``[K, 4]``, 1 ≤ K ≤ 256; unlike in a `Palette`, several entries may
            be transparent.
        is_indexed: whether the file was indexed: then the order of the colors is part of it.
        durations: milliseconds for which each frame is shown; 0 for a still picture.
        loops: how often an animation is repeated; 0 for ever, none for once.
        name: where it stood in its folder, without a suffix unless another one has its name; empty
            for a single picture.
    """

    frames: Sequence[np.ndarray]
    colors: np.ndarray
    is_indexed: bool = False
    durations: Sequence[int] = (0,)
    loops: int | None = None
    name: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.frames[0].shape

    def save(self, path: Path) -> Path:
        """Write a PNG, or a GIF of several frames; returns ``path`` with its suffix."""
        if len(self.frames) > 1:
            path = Path(f"{path}.gif")
            palettes = [Palette(self.colors)] * len(self.frames)
            write_gif(path, list(self.frames), palettes, list(self.durations), self.loops)
            return path
        path = Path(f"{path}.png")
        if self.is_indexed:
            image = pillow_of(self.frames[0], self.colors)
        else:
            has_alpha = (self.colors[:, 3] < 255).any()
            image = Image.fromarray(self.colors[self.frames[0]][..., : 4 if has_alpha else 3].copy())
        write_png(image, path)
        return path


@dataclass(frozen=True)
class StoredFile:
    """A file that is kept as it is, since the codec has no better way."""

    content: bytes
    suffix: str
    """With its dot."""
    reason: str = ""
    """Why, for people."""
    name: str = ""
    """As of `Picture`."""

    def save(self, path: Path) -> Path:
        """Write the file, with its suffix behind ``path``; returns its path."""
        path = Path(f"{path}{self.suffix}")
        write_atomically(path, lambda temporary: temporary.write_bytes(self.content))
        return path


def read_picture(path: Path, name: str = "") -> Picture | StoredFile:
    """Read a picture or an animation; a `StoredFile` if the codec can't hold all that it shows.

    Raises:
        InputError: it is no picture, or a broken one.
    """
    image = open_image(path)
    animation = read_animation(path)
    found, is_indexed = None, len(animation.frames) == 1 and image.mode == "P"
    if image.mode not in _EIGHT_BITS:
        reason = "its values have more than 8 bits"
    elif image.info.get("icc_profile"):
        reason = "its colors are those of an ICC profile"
    elif image.height * image.width > MOST_PIXELS:
        reason = f"it has more than {MOST_PIXELS:,} pixels"
    else:
        reason = f"it has more than {MAX_ENTRIES} colors"
        found = ([np.asarray(image)], entries_of(image)) if is_indexed else _by_colors(animation.frames)
    if found is not None and len(animation.frames) > 1:
        is_gif = path.suffix.lower() == ".gif" and (found[1][:, 3] == 0).sum() <= 1
        found, reason = (found, "") if is_gif else (None, "it is an animation that GIF can't hold")
    if found is None:
        return StoredFile(path.read_bytes(), path.suffix, reason, name)
    return Picture(*found, is_indexed, tuple(animation.durations), animation.loops, name)


def without_order(picture: Picture) -> Picture:
    """The same colors at each pixel, in a palette without order and without unused entries."""
    frames, colors = _by_colors([picture.colors[frame] for frame in picture.frames])
    return replace(picture, frames=frames, colors=colors, is_indexed=False)


def _by_colors(frames: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray] | None:
    """Index maps of RGBA frames and the colors in them; none if there are too many."""
    keys = [np.ascontiguousarray(frame).view(np.uint32)[..., 0] for frame in frames]
    colors = np.unique(np.concatenate([key.ravel() for key in keys]))
    if len(colors) > MAX_ENTRIES:
        return None
    return [np.searchsorted(colors, key).astype(np.uint8) for key in keys], colors[:, None].view(np.uint8)
