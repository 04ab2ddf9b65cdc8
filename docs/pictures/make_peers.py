"""Draw docs/results/benchmarks.md's pictures: `python docs/pictures/make_peers.py [FOLDER]`.

peers.png shows the records in docs/results: bits per pixel over minutes of training, Fréchet distances over calls. peers-drawn.png, drawn
if there is a FOLDER, takes the weights that benchmarks/peers.py kept there for icons in palettes of their own. Its rows: held-out
icons, ours, the per-index model; both by remasking with 64 calls, seed 0.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tincture.benchmarks import peers
from tincture.benchmarks.peer_models.report import plot
from tincture.data.index_maps import load_index_maps
from tincture.pipelines.sheet import contact_sheet
from tincture.quantization.encoding import encode
from tincture.quantization.fit import fit_palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import read_image

CONFIG = Path(__file__).parents[2] / "configs" / "icons16.yaml"
COLUMNS, CALLS = 16, 64
ROWS = ("ours", "per-index")
RESULTS = Path(__file__).parents[1] / "results"


def records() -> list[dict[str, Any]]:
    """Those with Muon as ours is trained now, and what these lack from before the larger weight decay; those with AdamW; the fast machine's."""
    adamw = _first_of("adamw", "adamw-decay-0.01")
    named = [{**each, "peer": f"{each['peer']}, AdamW"} for each in adamw if each["peer"] != "real"]
    fast = [{**each, "palettes": "shared, on a quiet machine"} for each in _first_of("muon-quiet")]
    return [*_first_of("muon", "muon-decay-0.01"), *named, *fast]


def _first_of(*folders: str) -> list[dict[str, Any]]:
    """The records of the first folder, and from the next what it lacks."""
    found: list[dict[str, Any]] = []
    for folder in folders:
        known = {(each["palettes"], each["peer"]) for each in found}
        more = json.loads((RESULTS / folder / "peers.json").read_text())["records"]
        found += [each for each in more if (each["palettes"], each["peer"]) not in known]
    return found


def draw(folder: Path) -> None:
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


def save_small(path: Path, colors: int = 48) -> None:
    """Save a picture again with a palette of its own."""
    pixels = read_image(path)
    palette = fit_palette([pixels], colors)
    IndexedImage(encode(pixels, palette), palette).save(path)


if __name__ == "__main__":
    plot(Path(__file__).with_name("peers.png"), records())
    save_small(Path(__file__).with_name("peers.png"))
    if sys.argv[1:]:
        draw(Path(sys.argv[1]))
