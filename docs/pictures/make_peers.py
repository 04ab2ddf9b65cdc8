"""Draw peers.png's companion, peers-drawn.png: real icons, and what peers draw in their palettes.

`python docs/pictures/make_peers.py FOLDER` takes the weights that benchmarks/peers.py kept in FOLDER for icons in palettes of their own.
Rows: held-out icons, ours, the per-index model; both by remasking with 64 calls, seed 0.
"""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from jsonargparse import Namespace
from safetensors.torch import load_file

from benchmarks import peers
from data.index_maps import load_index_maps
from pipelines.sheet import contact_sheet
from quantization.indexed_image import IndexedImage

COLUMNS, CALLS = 16, 64
ROWS = ("ours", "per-index")


def main(folder: Path) -> None:
    """Draw, lay out, save."""
    config: Namespace = peers.make_parser().parse_args(["--config", "configs/icons16.yaml", "--output", "unused"])
    config = peers.make_parser().instantiate(config)
    training, heldout = load_index_maps(replace(config.data, palette="own", min_colors=16, max_colors=16))
    rows = peers.drawn_rows(heldout, COLUMNS)
    maps = [heldout.indices[rows]]
    for name in ROWS:
        each = peers.start(name, config.model, config.train, training, 0, torch.device("cpu"))
        each.peer.network.load_state_dict(load_file(folder / "weights" / f"own-{name}-0.safetensors"))
        drawing = each.peer.draw(
            each.peer.network, heldout.palettes[rows], heldout.indices.shape[-1], CALLS, "remasking", 0
        )
        maps.append(drawing.indices.to(torch.uint8))
    images = [
        IndexedImage(each.numpy(), heldout.palette(row))
        for row_maps in maps
        for each, row in zip(row_maps, rows, strict=True)
    ]
    contact_sheet(images, COLUMNS).save(Path(__file__).with_name("peers-drawn.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
