"""PaletteDiffusionPipeline: draw indexed images in given palettes; one folder, saved and loaded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor

from tincture.common.errors import InputError, choose, did_you_mean
from tincture.common.files import physical_memory
from tincture.common.processes import gathered, own_batches
from tincture.controls.joint import JointPalettes
from tincture.controls.kept import Init
from tincture.controls.options import BANK, COUNT, DRAWN, SIDE, Controls, DrawnPalette, Guidance, Sampling
from tincture.controls.views import View, symmetry_view
from tincture.diffusion.color_tree import ColorTreeProcess
from tincture.diffusion.draws import Streams, seed_from
from tincture.diffusion.guidance import Prediction, Told
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.models.denoiser import Denoiser
from tincture.models.palette_prior import PalettePrior
from tincture.models.palette_sets import CODING_ORDER, Known
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.order import sorting
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.palettes.tree import at_pixels, color_tree
from tincture.quantization.pictures.indexed_image import IndexedImage

from .asking import Branch, GuidedDenoiser, JointDenoiser, LateGuidance, guidance_branches
from .folders import PALETTE_PRIOR
from .palette_bank import PaletteBank
from .saving import FolderPipeline

PaletteLike = Palette | DrawnPalette | str | Path
"""What one palette may be given as."""

StepEnd = Callable[["PaletteDiffusionPipeline", int, Tensor, dict[str, Any]], dict[str, Any]]
"""diffusers' callback: (pipeline, step from 0, t, {"x_t", "images"}) → {} or a new {"x_t"}."""

OUTPUT_TYPES: dict[str, Callable[[list[IndexedImage]], Any]] = {
    "indexed": lambda images: images,
    "pil": lambda images: [image.to_pil() for image in images],
    "np": lambda images: np.stack([image.to_rgba() for image in images]),
    "pt": lambda images: torch.from_numpy(np.stack([image.indices for image in images])).long(),
}
"""`IndexedImage`; Pillow images of mode P; RGBA, uint8 ``[N, H, W, 4]``; index maps, int64
``[N, H, W]``."""


BYTES = 36
"""For each pixel and each entry of its palette: logits, and the probabilities of an exact draw."""


@dataclass
class PaletteDiffusionOutput(BaseOutput):
    """What the pipeline drew, in the form asked for (see `OUTPUT_TYPES`)."""

    images: list[IndexedImage] | list[Image.Image] | np.ndarray | Tensor
    image_calls: int = 0
    """How many images the denoiser was asked about, over all steps. A CPU isn't asked about an
    image in which nothing changed; an image that it sees in windows counts once each time."""


class PaletteDiffusionPipeline(FolderPipeline):
    """Denoiser, scheduler and the palettes of the data set.

    Args:
        denoiser: predicts clean entries.
        scheduler: the process of training, and how it is reversed where a call doesn't say.
        palette_bank: palettes to draw from when none is given.
        size: edge length of the images of the data set, pixels.
        label_names: the class of each label; empty for an unconditional model.
        palette_prior: what draws palettes, if the model has it.
        temperature, guidance_scale: with which it draws where a call doesn't say; the latter for
            words and classes.
    """

    _optional_components = [PALETTE_PRIOR]  # noqa: RUF012  # as diffusers has it

    def __init__(
        self,
        denoiser: Denoiser,
        scheduler: PaletteScheduler,
        palette_bank: PaletteBank,
        size: int = 16,
        label_names: list[str] | tuple[str, ...] = (),
        palette_prior: PalettePrior | None = None,
        temperature: float = 1.0,
        guidance_scale: float = 1.0,
    ) -> None:
        super().__init__()
        denoiser.eval()  # as diffusers' own loading does: nothing is dropped while drawing
        parts = {"scheduler": scheduler, "palette_bank": palette_bank, "palette_prior": palette_prior}
        self.register_modules(denoiser=denoiser, **parts)
        own = {"temperature": temperature, "guidance_scale": guidance_scale}
        self.register_to_config(size=size, label_names=list(label_names), **own)

    @torch.inference_mode()
    def __call__(
        self,
        num_images: int | str | Sequence[str] = 1,
        palette: PaletteLike | Sequence[PaletteLike] | JointPalettes = "train",
        sampling: Sampling = Sampling(),
        guidance: Guidance = Guidance(),
        controls: Controls = Controls(),
        height: int | None = None,
        width: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | Streams | None = None,
        output_type: str = "indexed",
        callback_on_step_end: StepEnd | None = None,
        distributed: bool = False,
        *,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        return_dict: bool = True,
    ) -> PaletteDiffusionOutput | tuple:
        """Draw images; image i depends on the seed and i alone.

        Args:
            num_images: how many; or prompts, each of which is drawn once, as diffusers' pipelines
                take them.
            palette: one for all images, or one for each, as it is or as `read_palette` takes it (a
                name, a file, colors), or ``"train"`` or ``"heldout"`` to draw it for each image
                from that side of the bank (of pictures of the class, and most like the prompt), or
                ``"drawn"`` or a `DrawnPalette` for new ones (`draw_palettes`); or several in which
                each drawing is shown (`JointPalettes`): then the images are those of the first
                drawing in each palette, then those of the second, and so on.
            sampling: how the process is reversed, from which seed.
            guidance: words and classes to draw and to keep away from.
            controls: what pixels shall be like.
            height, width: in pixels; the data set's size if left out.
            generator: instead of the seed, one generator, which gives the seed; or one for each
                image, which gives that image's; or the `Streams` of all images.
            output_type: a name in `OUTPUT_TYPES`.
            callback_on_step_end: called after each step of each batch (see `StepEnd`). Pixels that
                aren't drawn yet show the middle one of the entries that they may become in its
                ``images``. In a mirrored picture, ``x_t`` is the part that is drawn.
            distributed: share the images among the processes of one launch; all must call this
                alike, and all get all images.
            prompt, negative_prompt, guidance_scale, num_inference_steps, return_dict: diffusers'
                names for what ``guidance`` says, for the steps of ``sampling``, and whether an
                output comes back or a tuple of its images.

        Raises:
            InputError: an argument is out of range, or contradicts the model or another argument.
        """
        # Which images, in which palettes.
        if isinstance(num_images, str | Sequence):
            prompt = [num_images] if isinstance(num_images, str) else num_images
            num_images = len(prompt)
        COUNT.check("num_images", num_images)
        sampling = self._completed(sampling, num_inference_steps)
        guidance = _with_words(guidance, prompt, negative_prompt)
        guidance = guidance if guidance_scale is None else replace(guidance, guidance_scale=guidance_scale)
        convert = choose("output_type", output_type, OUTPUT_TYPES)
        height, width = self._side("height", height), self._side("width", width)
        device = self.denoiser.device
        streams = _streams(generator, sampling.seed, num_images, device)
        joint = palette if isinstance(palette, JointPalettes) else None
        palettes = self._palettes(palette, streams, guidance)
        padded = max(map(len, palettes))

        # What is asked of them, and of the network.
        self._check_memory(min(num_images, sampling.batch_size), padded, height, width)
        controls.check(palettes, height, width)
        phases = self._phases(num_images, guidance, controls.luminance)
        denoiser = self.denoiser if joint is None else JointDenoiser(self.denoiser, joint)
        scheduler = self._scheduler(sampling)
        start = 1.0 if controls.init is None else controls.init.strength
        scheduler.set_timesteps(sampling.steps, device, start)
        tie = tie.to(device) if (tie := symmetry_view(controls.canvas, height, width)) else None
        drawn_size, area = ((height, width), None) if tie is None else (tie.size, tie.area)

        images, image_calls = [], 0
        batches = own_batches(num_images, sampling.batch_size, distributed)
        with self.progress_bar(total=len(scheduler.timesteps) * len(batches)) as progress:
            for rows in batches:
                # Start at noise, or at the picture to start from.
                batch, draw = PaletteBatch.from_palettes(palettes[rows], padded).to(device), streams[rows]
                x_t = scheduler.prior(batch, *drawn_size, draw)
                x_t, hold = _begin(x_t, scheduler, batch, draw, controls.init, rows, tie)
                x_t = scheduler.start(x_t, batch, draw)
                ask = LateGuidance(
                    partial(
                        GuidedDenoiser,
                        denoiser,
                        batch,
                        bias=controls.bias(batch, rows),
                        canvas=controls.canvas,
                        tie=tie,
                        streams=draw,
                        batch_size=max(sampling.batch_size // (1 if joint is None else len(joint.palettes)), 1),
                    ),
                    [[branch.of_images(rows, device) for branch in branches] for branches in phases],
                    scheduler.process.schedule.noise(scheduler.timesteps) > guidance.guidance_from,
                    self.denoiser.depends_on_time,
                )
                for step, t in enumerate(scheduler.timesteps):
                    if not scheduler.finished:
                        # Ask the network under the conditions of each branch.
                        logits, weights = ask(x_t, scheduler.times, step)
                        prediction = Prediction(logits, weights, sampling.temperature, sampling.top_p)
                        if controls.proportions is not None:
                            drawn = x_t if scheduler.process.has_mask else torch.full_like(x_t, padded)
                            prediction = controls.proportions.steer(prediction, drawn, rows, area)
                        # Step, and hold what is kept.
                        x_t = hold(scheduler.step(prediction, t, x_t).prev_sample)
                        if callback_on_step_end is not None:
                            seen = _indexed(at_pixels(color_tree(batch).middle, x_t).view_as(x_t), palettes[rows], tie)
                            x_t = callback_on_step_end(self, step, t, {"x_t": x_t, "images": seen}).get("x_t", x_t)
                    progress.update()
                images += _indexed(x_t, palettes[rows], tie)
                image_calls += ask.image_calls

        # What every process drew, in every palette.
        images, image_calls = gathered(images, distributed), sum(gathered([image_calls], distributed))
        if joint is not None:
            images = [version for image in images for version in joint.show(image)]
            image_calls *= len(joint.palettes)
        output = PaletteDiffusionOutput(convert(images), image_calls)
        return output if return_dict else (output.images,)

    def _completed(self, sampling: Sampling, steps: int | None) -> Sampling:
        own = {} if sampling.temperature is not None else {"temperature": self.config.temperature}
        return replace(sampling, steps=sampling.steps if steps is None else steps, **own)

    def _scheduler(self, sampling: Sampling) -> PaletteScheduler:
        """A scheduler for one call, since it keeps its place."""
        changes: dict[str, Any] = {}
        if sampling.sampler is not None:
            changes = {"sampler": sampling.sampler, "sampler_options": {}}
        if sampling.sampler_options:
            changes["sampler_options"] = dict(sampling.sampler_options)
        if sampling.grid is not None:
            changes["grid"] = sampling.grid
        scheduler = self.scheduler.with_changes(**changes)
        if sampling.grid is not None and not scheduler.sampler.takes_grid:
            raise InputError(f"the sampler {scheduler.config.sampler} draws its own times; leave the grid out")
        return scheduler

    def _phases(self, num_images: int, guidance: Guidance, luminance: Tensor | None) -> list[list[Branch]]:
        """Under which conditions the network is asked before guidance begins, and from then on."""
        if luminance is not None:
            if self.denoiser.luminance is None:
                raise InputError("this model was trained without luminance maps (model.luminance_dropout)")
            luminance = luminance.expand(num_images, -1, -1)
        told = Told(self._label(guidance.class_label), self._words(guidance.prompt), luminance is not None)
        negatives = [Told(self._label(name)) for name in guidance.negative_classes]
        negatives += [Told(words=self._words(prompt)) for prompt in guidance.negative_prompts]
        scale = guidance.guidance_scale
        if scale is None:
            scale = self.config.guidance_scale if told.words is not None or told.label is not None else 1.0
        return [
            guidance_branches(num_images, told, [], luminance, 1.0, 0.0),
            guidance_branches(num_images, told, negatives, luminance, scale, guidance.negative_scale),
        ]

    def _side(self, name: str, pixels: int | None) -> int:
        if pixels is None:
            return self.config.size
        SIDE.check(name, pixels)
        return pixels

    def _check_memory(self, images: int, entries: int, height: int, width: int) -> None:
        """Raise InputError if a batch of so many images can't be drawn on this device."""
        device, gigabyte = self.denoiser.device, 2**30
        on_gpu = device.type == "cuda"
        there = torch.cuda.get_device_properties(device).total_memory if on_gpu else physical_memory()
        needed = images * height * width * entries * BYTES
        if needed > there:
            fewer = " or draw fewer images at once (--batch-size)" if images > 1 else ""
            raise InputError(
                f"{images} pictures of {width}×{height} pixels in {entries} colors take {needed / gigabyte:,.0f} GiB, and there are "
                f"{there / gigabyte:,.0f}: lower the width and the height,{fewer or ' or the number of colors'}"
            )

    def _label(self, name: str | None) -> int | None:
        if name is None:
            return None
        names = self.config.label_names
        if not names:
            raise InputError("this model was trained without classes; leave --class-label out")
        return choose("class", name, {each: index for index, each in enumerate(names)})

    def _words(self, prompts: str | Sequence[str] | None) -> tuple[tuple[int, ...], ...] | None:
        """The rows of the words of each prompt."""
        if prompts is None:
            return None
        prompts = [prompts] if isinstance(prompts, str) else prompts
        if self.denoiser.text is None:
            named = ", which knows classes: see --class-label" if self.config.label_names else ""
            said = ", ".join(map(repr, prompts))
            raise InputError(f"this model was trained without words{named}; leave the prompt {said} out")
        rows = tuple(map(self.denoiser.text.vocabulary.understand, prompts))
        if not rows:
            raise InputError("there is no prompt in the list of prompts: name what to draw, or leave it out")
        return rows

    def _palettes(
        self,
        palette: PaletteLike | Sequence[PaletteLike] | JointPalettes,
        streams: Streams,
        guidance: Guidance,
    ) -> list[Palette]:
        """The palette that each image is drawn in."""
        if isinstance(palette, JointPalettes):
            if isinstance(self.scheduler.process, ColorTreeProcess):
                raise InputError("a color-tree model draws in one palette at a time, since each has another tree")
            palettes = [palette.base] * len(streams)
        else:
            given = [palette] * len(streams) if isinstance(palette, PaletteLike) else palette
            if len(given) != len(streams):
                raise InputError(f"{len(given)} palettes for {len(streams)} images; give one, or one for each")
            palettes = list(given)
            for name in dict.fromkeys(each for each in given if not isinstance(each, Palette)):
                rows = [row for row, each in enumerate(given) if each == name]
                of_name = self._named_palettes(name, streams, rows, guidance)
                for row, each in zip(rows, of_name, strict=True):
                    palettes[row] = each
        for each in [*palettes, *(palette.palettes if isinstance(palette, JointPalettes) else [])]:
            if len(each) < 2:
                raise InputError("a palette to draw with has at least 2 entries, not 1")
            self.denoiser.check_palette(each)
        return palettes

    def _named_palettes(
        self, name: str | Path | DrawnPalette, streams: Streams, rows: list[int], guidance: Guidance
    ) -> list[Palette]:
        """The palette of each of the images ``rows``, for which a person gave that name."""
        own = streams[torch.tensor(rows, device=streams.device)]  # the other images draw no number for this
        if name == DRAWN or isinstance(name, DrawnPalette):
            asked = DrawnPalette() if name == DRAWN else name
            return self.draw_palettes(asked, own, guidance, rows)
        if name in BANK:
            return self._bank_palettes(name, own, guidance, rows)
        if isinstance(name, str) and (meant := did_you_mean(name, (*BANK, DRAWN))):
            raise InputError(f"no palette {name!r}{meant}")
        return [read_palette(name)] * len(rows)

    def _bank_palettes(self, side: str, streams: Streams, guidance: Guidance, images: Sequence[int]) -> list[Palette]:
        """Palettes of one side of the bank for the images of these numbers, which these draw."""
        words, likeness = self._words(guidance.prompt), None
        if words is not None and self.palette_bank.config.caption_words:
            captions = self.palette_bank.words.to(self.denoiser.device).long()
            likeness = self.denoiser.text.likeness(torch.tensor(words).to(captions), captions).cpu()
        prompts = torch.tensor(images) % len(words or [0])
        return self.palette_bank.draw(streams, side == BANK[1], self._label(guidance.class_label), likeness, prompts)

    @torch.inference_mode()
    def draw_palettes(
        self,
        asked: DrawnPalette,
        streams: Streams,
        guidance: Guidance = Guidance(),
        images: Sequence[int] | None = None,
    ) -> list[Palette]:
        """Draw new palettes, dark entries first and the transparent one before them.

        Args:
            asked: what they shall be like.
            streams: one for each palette, of which each takes two numbers.
            guidance: its class and its prompts, which palettes have in turn, if the prior knows
                them.
            images: the number of each; from 0 if left out.

        Raises:
            InputError: the model has no prior over palettes, or none of them can be like that.
        """
        prior, rows = self.palette_prior, range(len(streams)) if images is None else images
        if prior is None:
            raise InputError("this model draws no palettes: publish.py fits what does; or give another --palette")
        # Another palette says how large it is; a seed of its own draws it, whatever the batch.
        like = self._bank_palettes(BANK[0], streams, guidance, rows)
        own = Streams((streams().cpu().double() * 2**53).long())
        kept = None if asked.kept is None else torch.from_numpy(asked.kept.colors[:, CODING_ORDER]).long()
        has = [each.transparent is not None if asked.transparent is None else asked.transparent for each in like]
        least = [(0 if kept is None else len(kept)) + each for each in has]
        sizes = [asked.colors or max(len(each), low, 1) for each, low in zip(like, least, strict=True)]
        # What they are told.
        label, words = self._label(guidance.class_label), self._words(guidance.prompt)
        told: dict[str, Tensor] = {}
        if label is not None and prior.config.num_classes:
            told["labels"] = torch.full((len(like),), label)
        if words is not None and prior.config.word_channels:
            text = self.denoiser.text
            vectors = text.vectors_of(torch.tensor(words, device=text.letters.device)).cpu()
            told["words"] = vectors[torch.tensor(rows) % len(words)]
        keep = None if kept is None else kept.expand(len(like), -1, -1)
        known = Known(torch.tensor(sizes), torch.tensor(has), keep, **told)
        drawn = prior.draw(known, own, asked.temperature)
        return [Palette(each.colors[sorting(each, "luminance")]) for each in drawn]


def _with_words(guidance: Guidance, prompt: str | Sequence[str] | None, negative_prompt: str | None) -> Guidance:
    if prompt is not None:
        guidance = replace(guidance, prompt=[prompt] if isinstance(prompt, str) else list(prompt))
    return guidance if negative_prompt is None else replace(guidance, negative_prompts=[negative_prompt])


def _streams(
    given: torch.Generator | Sequence[torch.Generator] | Streams | None,
    seed: int,
    num_images: int,
    device: torch.device,
) -> Streams:
    """One for each image."""
    if given is None or isinstance(given, torch.Generator):
        return Streams.of(seed if given is None else seed_from(given), range(num_images), device)
    if len(given) != num_images:
        raise InputError(f"{len(given)} generators for {num_images} images; give one for all, or one for each")
    if isinstance(given, Streams):
        return given
    return Streams(torch.tensor([seed_from(generator) for generator in given], device=device))


def _begin(
    x_t: Tensor,
    scheduler: PaletteScheduler,
    palette: PaletteBatch,
    streams: Streams,
    init: Init | None,
    images: slice,
    tie: View | None,
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Where to start instead of at noise, ``x_t``, and what puts kept pixels back after a step."""
    if init is None:
        return x_t, lambda x: x
    clean, kept = (value.to(x_t.device) for value in init.on_canvas(images, len(x_t), tie))
    if init.strength < 1:
        x_t = scheduler.add_noise(clean, scheduler.timesteps[0].expand(len(x_t)), palette, streams)
    # A process without a mask would corrupt kept pixels again, and remasking would mask them.
    return clean.where(kept, x_t), lambda x: clean.where(kept, x)


def _indexed(x: Tensor, palettes: list[Palette], tie: View | None) -> list[IndexedImage]:
    whole = x if tie is None else tie.show(x)
    index_maps = whole.cpu().numpy().astype(np.uint8)
    return [IndexedImage(indices, palette) for indices, palette in zip(index_maps, palettes, strict=True)]
