import numpy as np

from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.swatch import swatch


def test_every_square_shows_its_entry():
    palette = read_palette("endesga-32")
    picture = np.array(swatch(palette, square=20, columns=6))
    assert picture.shape == (6 * 20, 6 * 20, 3)
    for k, color in enumerate(palette.colors):
        square = picture[k // 6 * 20 :, k % 6 * 20 :][:20, :20]
        assert (square == color[:3]).all()


def test_labels_leave_most_of_a_square_in_its_color():
    palette = read_palette("pico-8")
    picture = np.array(swatch(palette))
    share = [
        (picture[k // 8 * 64 :, k % 8 * 64 :][:64, :64] == palette.colors[k, :3]).all(-1).mean() for k in range(16)
    ]
    assert 0.7 < min(share) <= max(share) < 1


def test_transparency_shows_checks():
    picture = np.array(swatch(read_palette("pico-8").with_transparency(), square=16, columns=17))
    assert set(np.unique(picture[:, 256:])) == {204, 255}
