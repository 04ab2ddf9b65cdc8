"""What evaluate.py asks of a model: its likelihood, what its drawings show, and what they copy."""

from collections.abc import Mapping
from pathlib import Path

import torch

from tincture.common.errors import InputError
from tincture.common.files import write_atomically
from tincture.common.processes import is_first_process
from tincture.controls.options import Sampling
from tincture.data.index_maps import IndexMaps
from tincture.diffusion.draws import Streams
from tincture.diffusion.likelihood import mean_and_stderr
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.encoding import encode
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.contact_sheet import contact_sheet
from tincture.quantization.pictures.indexed_image import IndexedImage

from .bootstrap import Measured
from .copies import closest_pairs, nearest_of_their_size, places_by_size
from .features import FeatureExtractor
from .figures import plot_agreement, plot_bits_over_time
from .heldout import exact_estimates, heldout_estimates
from .options import MIN_IMAGES, Measuring
from .report import Scalars, copy_scalars, features_of, named
from .words import Probe, shown_things


def check_metrics(
    measuring: Measuring, pipeline: PaletteDiffusionPipeline, training: IndexMaps, heldout: IndexMaps
) -> None:
    """Raise InputError for a metric that the model or its data don't have."""
    if "images" in measuring.metrics and min(len(training), len(heldout)) < MIN_IMAGES:
        raise InputError(
            f"the metric images compares with at least {MIN_IMAGES} pictures on each side of the split, and there are "
            f"{len(training)} for training and {len(heldout)} held out: leave it out with --metrics bits-per-pixel memorization"
        )
    if "words" in measuring.metrics and pipeline.denoiser.text is None:
        raise InputError("the metric words is for models that know words; this one was trained without: leave it out")


def draw(
    pipeline: PaletteDiffusionPipeline,
    like: list[IndexedImage],
    palettes: list[Palette],
    sampling: Sampling,
    prompts: list[str] | None = None,
    guidance_scale: float | None = None,
) -> list[IndexedImage]:
    """Draw an image in each palette, of each prompt, as large as the picture that it is ``like``.

    All processes share this work, and all get all images. Image i depends on the seed and i alone.
    """
    streams = Streams.of(sampling.seed, range(len(like)), pipeline.denoiser.device)
    drawn: dict[int, IndexedImage] = {}
    for (height, width), places in places_by_size(like).items():
        own, size = [palettes[place] for place in places], {"height": height, "width": width}
        of_size = {"generator": streams[torch.tensor(places)], "distributed": True, **size}
        if prompts is not None:
            of_size |= {"prompt": [prompts[place] for place in places], "guidance_scale": guidance_scale}
        images = pipeline(len(places), own, sampling, **of_size).images
        drawn |= zip(places, images, strict=True)
    return [drawn[place] for place in range(len(like))]


def moved_to(pictures: list[IndexedImage], palettes: list[Palette]) -> list[IndexedImage]:
    """Each picture in its palette, every pixel at the nearest entry."""
    return [
        IndexedImage(encode(picture.to_rgba(), palette), palette)
        for picture, palette in zip(pictures, palettes, strict=True)
    ]


def draw_captions(
    pipeline: PaletteDiffusionPipeline,
    reference: IndexMaps,
    things: Mapping[str, int],
    measuring: Measuring,
    sampling: Sampling,
) -> tuple[IndexMaps, dict[str, list[IndexedImage]]]:
    """Draw the captions of pictures that show one of the ``things``, in these pictures' palettes.

    Returns:
        The pictures; and drawings by name, with their captions as prompts and without.
    """
    rows = reference.random_rows(len(reference), sampling.seed)
    rows = rows[shown_things(reference.captions, things)[rows] >= 0][: measuring.num_samples]
    if len(rows) == 0:
        raise InputError(f"the metric words finds none of {', '.join(things)} in captions of that split: leave it out")
    asked = reference.subset(rows)
    like = asked.pictures(torch.arange(len(asked)))
    known = list(map(pipeline.denoiser.text.vocabulary.known_in, asked.captions))
    where = pipeline, like, [picture.palette for picture in like], sampling
    prompted = draw(*where, known, measuring.guidance_scale)
    return asked, {"recognized": prompted, "recognized_unprompted": draw(*where)}


def recognition(
    training: IndexMaps,
    asked: IndexMaps,
    drawn: Mapping[str, list[IndexedImage]],
    things: Mapping[str, int],
    extractor: FeatureExtractor,
) -> Scalars:
    """How often a probe sees the things of captions, in pictures that show them and in drawings."""
    learned, shown = (shown_things(side.captions, things) for side in (training, asked))
    rows = torch.nonzero(learned >= 0)[:, 0]
    probe = Probe(features_of(training.pictures(rows), extractor), learned[rows])
    real = asked.pictures(torch.arange(len(asked)))
    scalars: Scalars = {}
    for name, images in {**drawn, "recognized_real": real}.items():
        scalars |= named(f"words/{name}", probe.recognized(features_of(images, extractor), shown))
    return scalars


def likelihood(
    pipeline: PaletteDiffusionPipeline, reference: IndexMaps, measuring: Measuring, seed: int, plots: Path | None
) -> tuple[Scalars, dict[str, int], list[Path]]:
    """Bits per pixel of ``reference``, the bound and the exact figure as asked for.

    Returns:
        The scalars, on how many draws they were measured, and the figures that were drawn.
    """
    process = pipeline.scheduler.process
    scalars: Scalars = {}
    samples: dict[str, int] = {}
    figures: list[Path] = []
    if "exact-bits-per-pixel" in measuring.metrics:  # first, because it may not fit the process
        rows = reference.random_rows(measuring.exact_images, seed)
        measured = pipeline.denoiser, process, reference.subset(rows), measuring.orders
        exact = exact_estimates(*measured, seed=seed, distributed=True, kinds=measuring.order_kinds)
        scalars |= named(f"{measuring.split}/exact_bits_per_pixel", Measured(*mean_and_stderr(exact.mean)))
        scalars |= named(f"{measuring.split}/exact_bits_per_pixel_mixture", Measured(*mean_and_stderr(exact.mixture)))
        samples |= {"exact_images": len(rows), "exact_orders": measuring.orders}
    if {"bits-per-pixel", "words"} & set(measuring.metrics):
        measured = pipeline.denoiser, process, reference, measuring.times
        estimates = heldout_estimates(*measured, seed=seed, distributed=True)
        scalars |= named(f"{measuring.split}/bits_per_pixel", Measured(*estimates.result()))
        samples |= {"bits_per_pixel_times": measuring.times}
        if "words" in measuring.metrics:  # the same corruptions, so that the difference is exact
            told = heldout_estimates(*measured, told="caption", seed=seed, distributed=True)
            saved = (estimates.bits - told.bits).mean(dim=0)
            scalars |= named("words/bits_saved", Measured(*mean_and_stderr(saved)))
        if plots is not None and is_first_process():
            figures.append(plots / "bits-over-time.png")
            plot_bits_over_time(figures[-1], estimates)
    return scalars, samples, figures


def memorization(
    drawn: list[IndexedImage],
    training: IndexMaps,
    heldout: IndexMaps,
    max_shift: int,
    mirrored: bool,
    seed: int,
    plots: Path | None,
) -> tuple[Scalars, list[Path]]:
    """How near drawn images are to training pictures, moved by up to ``max_shift`` pixels.

    Returns:
        The scalars, and the figures that were drawn if there is a folder for them.
    """
    ways = {"max_shift": max_shift, "mirrored": mirrored}
    nearest = nearest_of_their_size(drawn, training, **ways)
    control = nearest_of_their_size(heldout.pictures(torch.arange(len(heldout))), training, **ways)
    scalars = copy_scalars(nearest, control, seed)
    if plots is None:
        return scalars, []
    figures = [plots / "agreement.png", plots / "closest-pairs.png"]
    threshold = scalars.get("memorization/heldout_99th_percentile")
    plot_agreement(figures[0], nearest.agreement, control.agreement, threshold)
    closest = closest_pairs(drawn, nearest, training)
    write_atomically(figures[1], contact_sheet(closest, columns=len(closest) // 2).save)
    return scalars, figures
