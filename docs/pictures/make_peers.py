"""Draw peers.png's companion, peers-drawn.png: real icons, and what peers draw in their palettes.

`python docs/pictures/make_peers.py FOLDER` takes the weights that benchmarks/peers.py kept in FOLDER for icons in palettes of their own.
Rows: held-out icons, ours, the per-index model; both by remasking with 64 calls, seed 0.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from safetensors.torch import load_file

from benchmarks import peers
from data.index_maps import load_index_maps
from pipelines.sheet import contact_sheet

CONFIG = Path(__file__).parents[2] / "configs" / "icons16.yaml"
COLUMNS, CALLS = 16, 64
ROWS = ("ours", "per-index")


def main(folder: Path) -> None:
    """Draw, lay out, save."""
    parser = peers.make_parser()
    config = parser.instantiate(parser.parse_args(["--config", str(CONFIG), "--output", str(folder)]))
    training, heldout = load_index_maps(peers.icons_in("own", config.data))
    rows = heldout.random_rows(COLUMNS, seed=0)
    images = peers.images_of(heldout.indices[rows], heldout, rows)
    for name in ROWS:
        peer = peers.start(name, config.model, config.train, training, 0, torch.device("cpu")).peer
        peer.network.load_state_dict(load_file(folder / "weights" / f"own-{name}-0.safetensors"))
        size = heldout.indices.shape[-1]
        drawing = peer.draw(peer.network, heldout.palettes[rows], size, CALLS, "remasking", seed=0)
        images += peers.images_of(drawing.indices, heldout, rows)
    contact_sheet(images, COLUMNS).save(Path(__file__).with_name("peers-drawn.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
