"""The canvas on which an animation's frames are drawn, one after the other, as browsers do it."""

from enum import Enum

import numpy as np
from PIL import Image


class Disposal(Enum):
    """What becomes of a frame's area after the frame was shown."""

    KEEP = "stays"
    CLEAR = "turns transparent"
    RESTORE = "is again what it was before the frame"


class Canvas:
    """Pixels, sRGB RGBA, uint8 ``[H, W, 4]``, transparent at first."""

    def __init__(self, height: int, width: int) -> None:
        self.pixels = np.zeros((height, width, 4), np.uint8)

    def show(self, frame: np.ndarray, left: int, top: int, disposal: Disposal, *, is_over: bool = True) -> np.ndarray:
        """Draw a frame, and dispose of it for the next one.

        Args:
            frame: sRGB RGBA, uint8 ``[h, w, 4]``; what lies outside of the canvas isn't shown.
            left, top: where its first pixel stands.
            disposal: what becomes of its area afterwards.
            is_over: whether it is laid over what its area shows; else it replaces that.

        Returns:
            What the canvas shows, ``[H, W, 4]``.
        """
        before = self.pixels.copy()
        area = self.pixels[top : top + frame.shape[0], left : left + frame.shape[1]]
        frame = frame[: area.shape[0], : area.shape[1]]
        if is_over and area.size:
            frame = np.asarray(Image.alpha_composite(Image.fromarray(area), Image.fromarray(frame)))
        area[:] = frame
        shown = self.pixels.copy()
        if disposal is Disposal.CLEAR:
            area[:] = 0
        elif disposal is Disposal.RESTORE:
            self.pixels = before
        return shown
