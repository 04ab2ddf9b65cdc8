import base64
import json
import socket
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

ROOT = Path(__file__).parent.parent.parent


def as_text(picture, kind="PNG"):
    """A Pillow image as base64."""
    file = BytesIO()
    picture.save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def images_of(answer):
    """The drawings that a tool gave back."""
    return [
        IndexedImage.from_pil(Image.open(BytesIO(base64.b64decode(each["png"]))))
        for each in json.loads(answer)["drawings"]
    ]


@pytest.fixture(scope="session")
def engine():
    from tincture.studio.engine import Engine

    return Engine(ROOT / "checkpoints" / "sprites")


@pytest.fixture(scope="session")
def reached():
    """The machines that this process asks for anything while the studio is served."""
    addresses, connect = [], socket.socket.connect

    def watched(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            addresses.append(address)
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", watched)
        yield addresses


@pytest.fixture(scope="session")
def served(engine, reached):
    """The address of the studio, which listens while the tests of a process run."""
    from tincture.studio.page import launch, make_page

    page = make_page(engine)
    _, address, _ = launch(page, "127.0.0.1", None, prevent_thread_lock=True)
    yield address.rstrip("/")
    page.close(verbose=False)
    for thread in threading.enumerate():
        if thread.name == "gradio":
            thread.join(5)


@pytest.fixture
def sprite(rng):
    """A sprite of 12×10 in six colors in no order, one transparent, and its file as text."""
    colors = np.concatenate([rng.integers(0, 256, (6, 3)), np.full((6, 1), 255)], axis=1).astype(np.uint8)
    colors[2] = 0
    image = IndexedImage(rng.permutation(np.arange(120, dtype=np.uint8) % 6).reshape(10, 12), Palette(colors))
    return image, base64.b64encode(image.to_png()).decode()


@pytest.fixture
def photograph(rng):
    """A smooth picture of 24×16 in more than 256 colors, as text."""
    corners = rng.integers(0, 256, (3, 3, 3)).astype(np.uint8)
    return as_text(Image.fromarray(corners).resize((24, 16), Image.Resampling.BICUBIC))
