"""Pictures as a codec sees them: index maps and one palette, or a file that is kept as it is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from tincture.common.files import write_atomically
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette
from tincture.quantization.pictures.animation import read_animation
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import write_png
from tincture.quantization.pictures.reading import open_image, to_rgba

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
        name: where it stood in its folder, with its suffix; empty for a single picture.
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
        """Write a PNG, or a GIF of several frames, beside what has that suffix; returns its path."""
        if len(self.frames) > 1:
            path = Path(f"{path}.gif")
            palettes = [Palette(self.colors)] * len(self.frames)
            write_gif(path, list(self.frames), palettes, list(self.durations), self.loops)
            return path
        path = Path(f"{path}.png")
        if self.is_indexed:
            image = Image.fromarray(self.frames[0], mode="P")
            image.putpalette(self.colors[:, :3].tobytes(), "RGB")
            if (self.colors[:, 3] < 255).any():
                image.info["transparency"] = self.colors[:, 3].tobytes()
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

    def stored(reason: str) -> StoredFile:
        return StoredFile(path.read_bytes(), path.suffix, reason, name)

    if image.mode not in _EIGHT_BITS:
        return stored("its values have more than 8 bits")
    if image.info.get("icc_profile"):
        return stored("its colors are those of an ICC profile")
    if image.height * image.width > MOST_PIXELS:
        return stored(f"it has more than {MOST_PIXELS:,} pixels")
    if len(animation.frames) > 1:
        found = _by_colors(animation.frames)
        if found is None:
            return stored(f"its frames have more than {MAX_ENTRIES} colors")
        if path.suffix.lower() != ".gif" or (found[1][:, 3] == 0).sum() > 1:
            return stored("it is an animation that GIF can't hold")
        return Picture(*found, False, animation.durations, animation.loops, name)
    if image.mode == "P":
        return Picture([np.asarray(image)], _entries(image), is_indexed=True, name=name)
    found = _by_colors([to_rgba(image)])
    return stored(f"it has more than {MAX_ENTRIES} colors") if found is None else Picture(*found, name=name)


def _by_colors(frames: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray] | None:
    """Index maps of RGBA frames and the colors in them; none if there are too many."""
    keys = [np.ascontiguousarray(frame).view(np.uint32)[..., 0] for frame in frames]
    colors = np.unique(np.concatenate([key.ravel() for key in keys]))
    if len(colors) > MAX_ENTRIES:
        return None
    return [np.searchsorted(colors, key).astype(np.uint8) for key in keys], colors[:, None].view(np.uint8)


def _entries(image: Image.Image) -> np.ndarray:
    """The palette of an image of mode P as its file holds it, uint8 ``[K, 4]``."""
    entries = np.frombuffer(bytes(image.getpalette("RGBA")), np.uint8).reshape(-1, 4)
    # Some programs write a palette that ends before the largest index. The rest is black.
    colors = np.full((max(len(entries), int(np.asarray(image).max()) + 1), 4), (0, 0, 0, 255), np.uint8)
    colors[: len(entries)] = entries
    transparency = image.info.get("transparency", b"")
    if isinstance(transparency, int):
        colors[transparency : transparency + 1, 3] = 0
    else:
        alpha = np.frombuffer(transparency, np.uint8)[: len(colors)]
        colors[: len(alpha), 3] = alpha
    return colors
