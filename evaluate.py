"""Judge a trained model: `python evaluate.py --checkpoint runs/demo/model --output runs/demo/evaluation.json`."""

import time
from pathlib import Path

import torch
import yaml

import cli
from data.config import DataConfig
from data.index_maps import IndexMaps, load_index_maps
from evaluation.bootstrap import Measured
from evaluation.feature_metrics import MIN_IMAGES
from evaluation.features import EXTRACTORS, load_extractor
from evaluation.heldout import heldout_estimates
from evaluation.memorization import nearest_training
from evaluation.report import Scalars, image_scalars, named, table
from pipelines.folder import load_pipeline
from quantization.errors import InputError
from quantization.files import write_json
from quantization.indexed_image import IndexedImage

METRICS = ("bits-per-pixel", "images", "memorization")


def main(arguments: list[str]) -> None:
    """Parse, measure, write, report."""
    parser = cli.make_parser("Judge a trained model by its likelihood and by what it draws.")
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="folder that train.py wrote")
    add("--output", type=Path, required=True, help="JSON file")
    add("--overwrite", action="store_true", help="replace the file")
    add("--metrics", nargs="+", default=list(METRICS), choices=list(METRICS), help="what to measure")
    add("--split", default="heldout", choices=["heldout", "train"], help="the pictures to compare with")
    add("--num-samples", type=int, default=256, help="images to draw, each in the palette of one of those pictures")
    add("--times", type=int, default=8, help="corruptions of each picture for its bits per pixel")
    add("--extractor", default="efficientnet-lite0", choices=list(EXTRACTORS), help="the network of the features")
    add(
        "--sampler",
        type=str | None,
        default=None,
        help="how images are drawn; see sample.py",
    )
    add("--steps", type=int, default=64, help="calls of the network for each image")
    add("--temperature", type=float, default=1.0, help="below 1: likely entries are favored")
    add("--top-p", type=float, default=1.0, help="draw among the fewest entries that have this probability together")
    add("--seed", type=int, default=0, help="of the drawn images, corruptions and standard errors")
    options = parser.parse_args(arguments)
    if options.output.is_dir() or (options.output.exists() and not options.overwrite):
        raise InputError(f"{options.output} exists; name another file, or add --overwrite")
    if "images" in options.metrics and options.num_samples < MIN_IMAGES:
        raise InputError(f"--num-samples is {options.num_samples}; to be compared, at least {MIN_IMAGES} must be drawn")

    pipeline = load_pipeline(options.checkpoint)
    training, heldout = load_index_maps(data_config(options.checkpoint))
    reference = heldout if options.split == "heldout" else training
    scalars: Scalars = {}
    started = time.perf_counter()
    if "bits-per-pixel" in options.metrics:
        process = pipeline.scheduler.process
        bits = heldout_estimates(pipeline.denoiser, process, reference, options.times, seed=options.seed).result()
        scalars |= named(f"{options.split}/bits_per_pixel", Measured(bits.mean, bits.stderr))
    if {"images", "memorization"} & set(options.metrics):
        pictures = [
            IndexedImage(indices.numpy(), reference.palette(row)) for row, indices in enumerate(reference.indices)
        ]
        # In random order: the data set's own order keeps similar pictures together.
        order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(options.seed)).tolist()
        drawn = pipeline(
            num_images=options.num_samples,
            palette=[pictures[order[number % len(order)]].palette for number in range(options.num_samples)],
            sampler=options.sampler,
            steps=options.steps,
            temperature=options.temperature,
            top_p=options.top_p,
            seed=options.seed,
        ).images
    if "images" in options.metrics:
        scalars |= image_scalars(drawn, pictures, load_extractor(options.extractor), options.seed)
    if "memorization" in options.metrics:
        scalars |= memorization_scalars(drawn, training, heldout)

    seconds = round(time.perf_counter() - started, 2)
    write_json(options.output, {"options": cli.plain_options(options), "seconds": seconds, "metrics": scalars})
    print(table(scalars))
    print(f"written to {options.output}")


def data_config(checkpoint: Path) -> DataConfig:
    """The data set that a model was trained on.

    Raises:
        InputError: the folder holds no config of a run.
    """
    path = checkpoint / "config.yaml"
    if not path.is_file():
        raise InputError(f"there is no config.yaml in {checkpoint}: give the folder that train.py wrote")
    parser = cli.make_parser("")
    parser.add_class_arguments(DataConfig, "data")
    return parser.instantiate(parser.parse_object({"data": yaml.safe_load(path.read_text())["data"]})).data


def memorization_scalars(drawn: list[IndexedImage], training: IndexMaps, heldout: IndexMaps) -> Scalars:
    """How many drawn images agree more with a training picture than all but 1 % of the held-out pictures do."""
    images = torch.stack([torch.from_numpy(image.indices.copy()) for image in drawn])
    agreement = nearest_training(images, training.indices).agreement
    threshold = nearest_training(heldout.indices, training.indices).agreement.quantile(0.99)
    return {
        "memorization/median_agreement": agreement.median().item(),
        "memorization/heldout_99th_percentile": threshold.item(),
        "memorization/share_above": (agreement > threshold).double().mean().item(),
    }


if __name__ == "__main__":
    cli.run(main)
