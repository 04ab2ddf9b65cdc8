"""What an evaluation can be asked for. No torch is needed to make or check it."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from tincture.common.errors import InputError, Range
from tincture.common.options import OneOf, With
from tincture.controls.options import COUNT, FACTOR
from tincture.diffusion.options import OrderName

ExtractorName = Literal["efficientnet-lite0", "efficientnet-lite0-224", "inception"]
"""The names in `features.EXTRACTORS`."""

MIN_IMAGES = 20
"""Fewer images have no useful fifth neighbor, and no standard error worth stating."""

METRICS = ("bits-per-pixel", "exact-bits-per-pixel", "images", "memorization", "words")
DEFAULT_METRICS = ("bits-per-pixel", "images", "memorization")
"""What every model has. Exact bits need a process with a mask, and a call for each pixel. Words
need a model that knows some."""


@dataclass(frozen=True)
class Measuring:
    """What is measured, and on how much.

    Args:
        metrics: what to measure.
        split: the pictures to compare with.
        num_samples: images to draw, each in the palette and at the size of one of those pictures.
        palettes: names or files of palettes in which as many are drawn besides, to be compared with
            those pictures moved to the same palettes.
        transparent: add a transparent entry to each of these palettes that has none.
        guidance_scale: how strongly what the metric words draws follows its captions; if left out,
            the model's own way.
        times: corruptions of each picture for its bits per pixel.
        orders: orders of its pixels for each picture's exact bits per pixel.
        order_kinds: of what kinds these orders are, in turn; only random ones have the bound as
            their mean.
        exact_images: pictures whose exact bits per pixel are measured.
        extractor: the network of the features.

    Raises:
        InputError: too few images are to be drawn for the metric images, or an option needs a
            metric that isn't asked for.
    """

    metrics: Annotated[list[str], OneOf(METRICS)] = field(default_factory=lambda: list(DEFAULT_METRICS))
    split: Literal["heldout", "train"] = "heldout"
    num_samples: Annotated[int, COUNT] = 256
    palettes: list[str] = field(default_factory=list)
    transparent: Annotated[bool, With("palettes")] = False
    guidance_scale: Annotated[float | None, FACTOR] = None
    times: Annotated[int, COUNT] = 8
    orders: Annotated[int, COUNT] = 4
    order_kinds: Annotated[list[str], OneOf(get_args(OrderName))] = field(default_factory=lambda: ["random"])
    exact_images: Annotated[int, Range(2, COUNT.high)] = 32
    extractor: Annotated[str, OneOf(get_args(ExtractorName))] = "efficientnet-lite0"

    def __post_init__(self) -> None:
        if "images" in self.metrics and self.num_samples < MIN_IMAGES:
            raise InputError(
                f"--num-samples is {self.num_samples}; to be compared, at least {MIN_IMAGES} must be drawn"
            )
        if self.palettes and "images" not in self.metrics:
            raise InputError("--palettes are for the metric images: add it to --metrics, or leave them out")
        if self.guidance_scale is not None and "words" not in self.metrics:
            raise InputError("--guidance-scale is for the metric words: add it to --metrics, or leave it out")
