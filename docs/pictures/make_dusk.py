"""Paint dusk.png, the picture from which `make demo` takes a palette: `python docs/pictures/make_dusk.py`."""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 120, 180
SKY = np.array([(24, 20, 60), (76, 40, 110), (180, 62, 110), (244, 132, 84), (255, 214, 130)], float)
SUN, HILLS, WATER = (255, 244, 200), ((40, 52, 74), (22, 34, 52), (12, 20, 34)), (52, 116, 132)


def paint() -> np.ndarray:
    """A sky from night to sunset, a sun, three ranges of hills and a lake, uint8 ``[H, W, 3]``."""
    y, x = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    place = np.clip(y / 0.7, 0, 1) * (len(SKY) - 1)
    below = np.minimum(place.astype(int), len(SKY) - 2)
    picture = SKY[below] + (SKY[below + 1] - SKY[below]) * (place - below)[..., None]
    picture[(x - 0.62) ** 2 * 2.25 + (y - 0.52) ** 2 < 0.006] = SUN
    for number, color in enumerate(HILLS):
        ridge = 0.6 + 0.1 * number - 0.06 * np.sin(x * (5 + 3 * number) + number) - 0.02 * np.sin(31 * x + 2 * number)
        picture[y > ridge] = color
    lake = y > 0.9 + 0.02 * np.sin(7 * x)
    picture[lake] = np.array(WATER) + 60 * (np.sin(90 * y + 4 * np.sin(9 * x)) > 0.7)[lake][:, None]
    return np.clip(picture, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    Image.fromarray(paint()).save(Path(__file__).with_name("dusk.png"), optimize=True)
