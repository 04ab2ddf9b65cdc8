import numpy as np

from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.contact_sheet import contact_sheet, over_checkerboard
from tincture.quantization.pictures.indexed_image import IndexedImage

PALETTE = Palette.from_hex(["ff0000", "00000000", "0000ff"])


def test_a_sheet_shows_every_pixel_of_every_image_in_its_place():
    images = [IndexedImage(np.full((4, 4), index, np.uint8), PALETTE) for index in (0, 2, 0)]
    sheet = np.array(contact_sheet(images, columns=2, scale=3, gap=1))
    assert sheet.shape == (1 + 2 * 13, 1 + 2 * 13, 3)
    assert (sheet[1:13, 1:13] == (255, 0, 0)).all()
    assert (sheet[1:13, 14:26] == (0, 0, 255)).all()
    assert (sheet[14:26, 1:13] == (255, 0, 0)).all()
    assert (sheet[14:26, 14:26] == 255).all()


def test_transparency_shows_the_checkerboard_only():
    picture = over_checkerboard(IndexedImage(np.full((8, 8), 1, np.uint8), PALETTE))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 2
