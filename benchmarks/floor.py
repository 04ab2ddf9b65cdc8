"""How much does it help drawings to be in the palettes of the images that they are compared with? `python -m benchmarks.floor`.

`evaluate.py` draws in the reference images' palettes, since colors can be compared only so; the real images of its floor have
palettes of their own. Prints the feature metrics of drawings in either kind of palette, and of those real images, all against the
held-out images (docs/evaluation.md, "Is the floor a floor?").
"""

from pathlib import Path

from tincture.common import cli
from tincture.controls.options import Sampling
from tincture.data.index_maps import load_index_maps
from tincture.data.sources import DataConfig
from tincture.evaluation.feature_metrics import METRICS, compare_features
from tincture.evaluation.features import EXTRACTORS, load_extractor
from tincture.evaluation.report import rgba_of
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline


def main(arguments: list[str]) -> None:
    """Draw, measure, print."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    add = parser.add_argument
    add("--checkpoint", type=Path, default=Path("checkpoints/icons16"), help="a model of the built-in icons")
    add("--num-samples", type=int, default=467, help="images of each kind")
    add("--steps", type=int, default=64, help="calls of the network for each drawn image")
    add("--extractor", default="efficientnet-lite0", choices=list(EXTRACTORS), help="the network of the features")
    add("--seed", type=int, default=0, help="of drawings, of the choice of images and of standard errors")
    parser.add_class_arguments(DataConfig, "data")
    options = parser.parse_args(arguments)
    training, heldout = load_index_maps(parser.instantiate(options).data)
    pipeline, extractor = (
        PaletteDiffusionPipeline.from_pretrained(options.checkpoint),
        load_extractor(options.extractor),
    )
    real = {
        name: side.pictures(side.random_rows(options.num_samples, options.seed))
        for name, side in (("held-out", heldout), ("training", training))
    }
    sets = {"real training images": real["training"]}
    for name, images in real.items():
        palettes = [image.palette for image in images]
        sets[f"drawn in {name} palettes"] = pipeline(
            num_images=len(palettes), palette=palettes, sampling=Sampling(options.steps, options.seed)
        ).images
    reference = extractor(rgba_of(heldout.pictures(heldout.random_rows(len(heldout), options.seed))))
    print(f"| {' | '.join(['', 'images', *METRICS])} |")
    print("| --- " * (2 + len(METRICS)) + "|")
    for name, images in sets.items():
        measured = compare_features(extractor(rgba_of(images)), reference, seed=options.seed)
        cells = [f"{each.value:.2f} ± {each.stderr:.2f}" for each in (getattr(measured, metric) for metric in METRICS)]
        print(f"| {' | '.join([name, str(len(images)), *cells])} |", flush=True)


if __name__ == "__main__":
    cli.run(main)
