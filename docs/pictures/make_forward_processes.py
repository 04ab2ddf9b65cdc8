"""Draw forward-processes.png: one icon as each process corrupts it. `python docs/pictures/make_forward_processes.py`.

Rows: absorbing (masked pixels are grey), uniform, color-heat. Columns: t = 0, 0.1 … 1.
"""

from pathlib import Path

import numpy as np
import torch

from tincture.data.config import DataConfig
from tincture.data.index_maps import load_index_maps
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.pipelines.sheet import contact_sheet
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

ICON = 0
TIMES = torch.linspace(0, 1, 11)
MASK_COLOR = np.array([[128, 128, 128, 255]], np.uint8)
PROCESSES = {"absorbing": {}, "uniform": {}, "color-heat": {"width": 0.2, "leap": 0.1}}


def main() -> None:
    """Corrupt, lay out, save."""
    _, heldout = load_index_maps(DataConfig(palette="own", min_colors=16, max_colors=16))
    palette = heldout.palette(ICON)
    shown = Palette(np.concatenate([palette.colors, MASK_COLOR]))
    batch = PaletteBatch.from_palettes([palette] * len(TIMES))
    x_0 = heldout.indices[ICON].long().expand(len(TIMES), -1, -1)
    images = []
    for name, options in PROCESSES.items():
        process = PaletteScheduler(name, options).process
        x_t = process.q_sample(x_0, TIMES, batch, torch.Generator().manual_seed(0))
        images += [IndexedImage(x.numpy().astype(np.uint8), shown) for x in x_t]
    contact_sheet(images, columns=len(TIMES), scale=5).save(Path(__file__).with_name("forward-processes.png"))


if __name__ == "__main__":
    main()
