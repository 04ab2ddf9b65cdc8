"""Recoloring with a model: by the role of entries in their palettes, or by what it finds likely.

Like `quantization.recolor`, both give all pixels of one color one color of the other palette, so
shapes stay as they are.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tincture.common.errors import InputError
from tincture.common.processes import processes
from tincture.controls.options import Canvas
from tincture.controls.views import View
from tincture.diffusion.draws import Streams
from tincture.diffusion.schedules import Schedule, linear
from tincture.models.denoiser import NO_CONDITIONS, Denoiser, PaletteDenoiser
from tincture.quantization.encoding import differs
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.recolor import (
    GENTLE,
    color_costs,
    made_solid_for,
    match_palettes,
    recolor,
    softness_costs,
)
from tincture.quantization.spaces import SPACES

from .asking import GuidedDenoiser
from .palette_diffusion import PaletteDiffusionPipeline

FIDELITY = 100.0
"""What a squared OKLab distance of 1 costs a pixel, in nats: a color may differ by 0.07 or so.

A Gaussian of that standard deviation, 1 / sqrt(2 · 100), says the same.
"""
EDGES = 30.0
"""What an edge between colors at an OKLab distance of 1 is worth, in nats."""
SWEEPS = 3


def role_costs(denoiser: Denoiser) -> Callable[[Palette, Palette], np.ndarray]:
    """Costs for `match_palettes`: squared distances of the palette encoder's tokens.

    A token knows the other entries of its palette ("the darkest", "the only red"). Each feature is
    divided by its standard deviation, and the costs are scaled to have the mean of `color_costs`,
    so that prices mean the same.

    Raises:
        InputError: the denoiser has no palette encoder.
    """
    if not isinstance(denoiser, PaletteDenoiser):
        raise InputError("this model has no palette encoder, so entries have no roles; recolor by areas or reversibly")

    @torch.inference_mode()
    def costs(source: Palette, target: Palette) -> np.ndarray:
        tokens = [
            denoiser.palette_encoder(PaletteBatch.from_palettes([palette]).to(denoiser.device))[0].cpu().double()
            for palette in (source, target)
        ]
        deviation = torch.cat(tokens).std(dim=0, correction=0).clamp_min(1e-6)
        distances = torch.cdist(tokens[0] / deviation, tokens[1] / deviation).square().numpy()
        return distances * (color_costs(source, target).mean() / max(distances.mean(), 1e-12))

    return costs


def recolor_by_role(denoiser: Denoiser, image: IndexedImage, target: Palette, distinct: float = GENTLE) -> IndexedImage:
    """Give each color the one that plays its part in ``target``, weighted by areas.

    Arguments are as for `recolor`.

    Raises:
        InputError: the denoiser has no palette encoder, or ``target`` no opaque entry.
    """
    image = made_solid_for(target, image)
    weights = np.bincount(image.indices.ravel(), minlength=len(image.palette)).astype(np.float64)
    mapping = match_palettes(image.palette, target, weights, distinct, costs=role_costs(denoiser))
    return IndexedImage(mapping.astype(np.uint8)[image.indices], target)


@torch.inference_mode()
def redraw_colors(
    denoiser: Denoiser,
    image: IndexedImage,
    target: Palette,
    *,
    fidelity: float = FIDELITY,
    edges: float = EDGES,
    sweeps: int = SWEEPS,
    window: int | None = None,
    schedule: Schedule | None = None,
) -> IndexedImage:
    """Give each color the one that the denoiser expects there, given all others.

    A tie (`controls.views`) shows a canvas of one pixel for each color as the whole picture: to
    mask one of them is to mask all pixels of a color, and the answer about it is the mean over
    them. From the recoloring by areas on, colors take turns, the largest first: each is masked, and
    takes the entry k with the least ::

        area · (-log p(k | the others) + fidelity · d²) + edges · Σ_s contrast(s) · [s has k]

    summed over neighbors s of another color, which is coordinate descent on the picture's
    pseudo-likelihood (Besag 1975) with a prior about colors and one about edges. Likelihood alone
    would flatten pictures: those of few colors are likely.

    Args:
        denoiser: of the absorbing process.
        image: with its own palette.
        target: the result has this palette as it is.
        fidelity: of the squared distance in OKLab between colors, lightness brought in line
            (`color_costs`), in nats.
        edges: what a pair of neighbors that become alike costs, in nats for an OKLab distance of 1
            between them before.
        sweeps: how often each color has its turn, at most.
        window: pixels that the network sees at once; none for the whole picture.
        schedule: of the denoiser's process, which says at what time the masked share is the noise;
            linear if left out.

    Raises:
        InputError: ``target`` has no opaque entry.
    """
    image = made_solid_for(target, image)
    start = recolor(image, target, reversible=False)
    if not differs(image.to_rgba(), start.indices, target).any():
        return start  # all of its colors are in the palette
    # The picture as regions of one color each, which the mapping moves as wholes.
    colors, region = np.unique(image.to_rgba().reshape(-1, 4), axis=0, return_inverse=True)
    first = np.unique(region.ravel(), return_index=True)[1]
    mapping = torch.from_numpy(start.indices.ravel()[first].astype(np.int64))
    visible = colors[:, 3] > 0
    if not visible.any():
        return start
    height, width = image.indices.shape
    region = region.reshape(height, width)
    areas, contrast = np.bincount(region.ravel()) / region.size, _contrast(colors, region)
    # The network sees the canvas of one pixel a color as the whole picture.
    tie = View(torch.from_numpy(region)[None, None], torch.ones(1, height, width), (1, len(colors)))
    batch = PaletteBatch.from_palettes([target]).to(denoiser.device)
    streams = Streams.of(0, [0], denoiser.device)  # of the windows' places
    ask = GuidedDenoiser(
        denoiser, batch, [NO_CONDITIONS], None, Canvas(window=window), tie.to(denoiser.device), streams, 64
    )
    # Visible colors take turns, the largest first; what is seen stays seen.
    source = Palette(colors[visible])
    costs = fidelity * (color_costs(source, target) + softness_costs(source, target))
    costs[:, target.colors[:, 3] == 0] = np.inf
    costs_of = dict(zip(np.flatnonzero(visible).tolist(), costs, strict=True))
    order = sorted(costs_of, key=lambda color: -areas[color])
    row = torch.zeros(1, dtype=torch.long, device=denoiser.device)
    schedule = linear() if schedule is None else schedule
    for _ in range(sweeps):
        before = mapping.clone()
        for color in order:
            x_t = mapping.clone()
            x_t[color] = batch.mask_index
            t = schedule.time(torch.tensor([areas[color]], dtype=torch.float32)).to(denoiser.device)
            logits = ask(x_t.view(1, 1, -1).to(denoiser.device), t, row)[0, 0, :, 0, color]
            surprise = -logits.cpu().double().log_softmax(dim=0).numpy()
            merged = np.bincount(mapping.numpy(), contrast[color], minlength=len(target))
            total = areas[color] * (surprise + costs_of[color]) + edges * merged
            mapping[color] = int(total.argmin())
        if torch.equal(before, mapping):
            break
    return IndexedImage(mapping.numpy().astype(np.uint8)[region], target)


def _contrast(colors: np.ndarray, region: np.ndarray) -> np.ndarray:
    """How much each two colors stand out from each other, ``[R, R]``.

    This is their distance in OKLab, times the pairs of neighbors that have them, over the pixels.
    """
    pairs = np.zeros((len(colors), len(colors)))
    for first, second in ((region[1:], region[:-1]), (region[:, 1:], region[:, :-1])):
        np.add.at(pairs, (first.ravel(), second.ravel()), 1)
    oklab = SPACES["oklab"].from_bytes(colors)
    distance = np.linalg.norm(oklab[:, None] - oklab, axis=2)
    visible = colors[:, 3] > 0
    return (pairs + pairs.T) * distance * (visible & visible[:, None]) / region.size


def load_ways(
    checkpoint: Path | str, distinct: float = GENTLE
) -> dict[str, Callable[[IndexedImage, Palette], IndexedImage]]:
    """`ways_of` the model in the folder ``checkpoint``."""
    pipeline = PaletteDiffusionPipeline.from_pretrained(checkpoint)
    pipeline.denoiser.to(processes().device)
    return ways_of(pipeline, distinct)


def ways_of(
    pipeline: PaletteDiffusionPipeline, distinct: float = GENTLE
) -> dict[str, Callable[[IndexedImage, Palette], IndexedImage]]:
    """Each way to recolor with a model: a function from an image and a palette to the image in it.

    Args:
        pipeline: the model.
        distinct: of `recolor_by_role`.
    """
    denoiser, process = pipeline.denoiser, pipeline.scheduler.process

    def by_model(image: IndexedImage, target: Palette) -> IndexedImage:
        if not process.has_mask:
            raise InputError(
                "recoloring by the model needs the absorbing process; this model was trained with another one"
            )
        return redraw_colors(denoiser, image, target, window=pipeline.config.size, schedule=process.schedule)

    return {"role": partial(recolor_by_role, denoiser, distinct=distinct), "model": by_model}
