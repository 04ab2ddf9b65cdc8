"""The pictures that quantizers and ditherers are measured on."""

import functools

import numpy as np
import skimage.data
from PIL import Image
from sklearn.datasets import load_sample_images

SIZE = (768, 512)
"""Width and height, pixels."""


def photographs() -> dict[str, np.ndarray]:
    """The color photographs of scikit-image and scikit-learn, uint8 ``[512, 768, 3]`` each."""
    found = dict(zip(("china", "flower"), load_sample_images().images, strict=True))
    names = ("astronaut", "coffee", "chelsea", "rocket", "retina", "hubble_deep_field")
    found |= {name: getattr(skimage.data, name)() for name in names}
    found["motorcycle"] = skimage.data.stereo_motorcycle()[0]
    resize = functools.partial(Image.Image.resize, size=SIZE, resample=Image.Resampling.LANCZOS)
    return {name: np.array(resize(Image.fromarray(pixels[..., :3]))) for name, pixels in found.items()}


def gradient() -> np.ndarray:
    """A picture that blends four colors, one in each corner, uint8 ``[512, 768, 3]``."""
    corners = np.array([[[250, 120, 60], [40, 60, 160]], [[255, 230, 150], [10, 10, 40]]], np.float32)
    down, right = np.linspace(0, 1, SIZE[1])[:, None, None], np.linspace(0, 1, SIZE[0])[None, :, None]
    top, bottom = (corners[row, 0] * (1 - right) + corners[row, 1] * right for row in (0, 1))
    return (top * (1 - down) + bottom * down).round().astype(np.uint8)


def with_alpha(rgb: np.ndarray) -> np.ndarray:
    """The picture with an opaque fourth channel."""
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
