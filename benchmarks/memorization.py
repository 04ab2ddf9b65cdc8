"""Does a model copy its training set? `python benchmarks/memorization.py --checkpoint runs/demo/model --output runs/copies.png`.

Prints how much samples agree with their nearest training images, beside the same figure for held-out images, which no
model can have copied: a share of samples above the held-out images' 99th percentile of much more than 1 % is copying.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

import cli
from data.config import DataConfig
from data.index_maps import IndexMaps, load_index_maps
from evaluation.memorization import NearestTraining, nearest_training
from pipelines.folder import load_pipeline
from pipelines.sheet import contact_sheet
from quantization.files import write_atomically
from quantization.indexed_image import IndexedImage

PAIRS = 16


def main(arguments: list[str]) -> None:
    """Draw, compare, print, and show the closest pairs."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder that train.py wrote")
    parser.add_argument(
        "--output", type=Path, required=True, help="PNG of the closest pairs: drawn above, trained below"
    )
    parser.add_argument("--num-images", type=int, default=256, help="how many images to draw")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn images")
    options = parser.parse_args(arguments)

    training, heldout = load_index_maps(DataConfig())
    images = load_pipeline(options.checkpoint)(options.num_images, seed=options.seed, heldout_palettes=True).images
    drawn = nearest_training(
        torch.stack([torch.from_numpy(image.indices.copy()) for image in images]), training.indices
    )
    reference = nearest_training(heldout.indices, training.indices)
    threshold = reference.agreement.quantile(0.99)
    for name, found in (("drawn", drawn), ("held-out", reference)):
        share = (found.agreement > threshold).float().mean()
        print(
            f"{name:9} {len(found.agreement):5} images  median agreement {found.agreement.median():.3f}  "
            f"99th percentile {found.agreement.quantile(0.99):.3f}  above {threshold:.3f}: {share:.1%}"
        )
    sheet = contact_sheet(closest_pairs(images, drawn, training), columns=PAIRS, scale=3)
    write_atomically(options.output, sheet.save)


def closest_pairs(images: list[IndexedImage], found: NearestTraining, training: IndexMaps) -> list[IndexedImage]:
    """The drawn images that agree most with a training image, then those training images."""
    closest = found.agreement.argsort(descending=True)[:PAIRS].tolist()
    partners = [int(found.row[number]) for number in closest]
    return [images[number] for number in closest] + [
        IndexedImage(training.indices[row].numpy(), training.palette(row)) for row in partners
    ]


if __name__ == "__main__":
    cli.run(main)
