"""PaletteDiffusionPipeline: draw indexed images in given palettes; saved and loaded as one folder (diffusers)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor

from tincture.common.errors import SEED, InputError, Range, choose
from tincture.common.processes import gathered, own_batches
from tincture.controls.joint import JointPalettes
from tincture.controls.kept import Init
from tincture.controls.proportions import Proportions
from tincture.controls.views import SIDE, WHOLE, Canvas, View
from tincture.controls.wishes import Wish
from tincture.diffusion.draws import image_generators
from tincture.diffusion.prediction import Prediction
from tincture.diffusion.reuse import Reuse
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.models.denoiser import Denoiser
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

from .guidance import guidance_branches
from .guided_denoiser import GuidedDenoiser
from .joint_denoiser import JointDenoiser
from .palette_bank import PaletteBank

StepEnd = Callable[["PaletteDiffusionPipeline", int, Tensor, dict[str, Any]], dict[str, Any]]
"""diffusers' callback: (pipeline, step from 0, time, {"x_t": …, "images": …}) → those that it replaces, of "x_t"."""

OUTPUT_TYPES: dict[str, Callable[[list[IndexedImage]], Any]] = {
    "indexed": lambda images: images,
    "pil": lambda images: [image.to_pil() for image in images],
    "np": lambda images: np.stack([image.to_rgba() for image in images]),
    "pt": lambda images: torch.from_numpy(np.stack([image.indices for image in images])).long(),
}
"""`IndexedImage`; Pillow images of mode P; RGBA, uint8 ``[N, H, W, 4]``; index maps, int64 ``[N, H, W]``."""


@dataclass
class PaletteDiffusionOutput(BaseOutput):
    """What the pipeline drew, in the form asked for (see `OUTPUT_TYPES`)."""

    images: list[IndexedImage] | list[Image.Image] | np.ndarray | Tensor
    image_calls: int = 0
    """How many images the denoiser was asked about, over all steps: those in which nothing changed are not.
    An image that it sees in windows counts once each time."""


class PaletteDiffusionPipeline(DiffusionPipeline):
    """Denoiser, scheduler and the palettes of the data set.

    Args:
        denoiser: predicts clean entries.
        scheduler: the process of training, and how it is reversed where a call doesn't say.
        palette_bank: palettes to draw from when none is given.
        size: edge length of the images of the data set, pixels.
        label_names: the class of each label; empty for an unconditional model.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        scheduler: PaletteScheduler,
        palette_bank: PaletteBank,
        size: int = 16,
        label_names: tuple = (),
    ) -> None:
        super().__init__()
        denoiser.eval()  # as diffusers' own loading does: nothing is dropped while drawing
        self.register_modules(denoiser=denoiser, scheduler=scheduler, palette_bank=palette_bank)
        self.register_to_config(size=size, label_names=list(label_names))

    @torch.inference_mode()
    def __call__(
        self,
        num_images: int = 1,
        palette: Palette | Sequence[Palette] | None = None,
        class_label: str | None = None,
        guidance_scale: float = 1.0,
        negative_classes: Sequence[str] = (),
        negative_scale: float = 1.0,
        sampler: str | None = None,
        sampler_options: Mapping[str, float] | None = None,
        grid: str | None = None,
        steps: int = 64,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        generator: Sequence[torch.Generator] | None = None,
        height: int | None = None,
        width: int | None = None,
        batch_size: int = 64,
        heldout_palettes: bool = False,
        luminance: Tensor | None = None,
        logit_bias: Tensor | None = None,
        wishes: Sequence[Wish] = (),
        init: Init | None = None,
        canvas: Canvas = WHOLE,
        proportions: Proportions | None = None,
        joint: JointPalettes | None = None,
        output_type: str = "indexed",
        callback_on_step_end: StepEnd | None = None,
        split: bool = False,
    ) -> PaletteDiffusionOutput:
        """Draw images; image i depends on ``seed`` and i alone.

        Args:
            num_images: how many.
            palette: one for all images, or one for each; without it, each image draws one from the bank (among the
                palettes of ``class_label``, if that is given).
            class_label: one of ``label_names``; without it, any class.
            guidance_scale: how strongly to follow the class and the luminance: 1 as the model learned it, above 1 more so,
                0 not at all.
            negative_classes: of ``label_names``, to keep away from.
            negative_scale: how strongly, for each of them; 0 not at all (`guidance_branches` has the formula).
            sampler: a name in `SAMPLERS` that fits the model's process; the scheduler's own if left out.
            sampler_options: of that sampler; its defaults if left out.
            grid: the schedule whose even steps are taken: a name in `SCHEDULES`, or ``fitted``; the process's own if left out.
            steps: calls of the denoiser for each image, at most; each of ancestral's ``corrector_steps`` is one more, every time.
            temperature: below 1 favors likely entries, 0 takes the likeliest.
            top_p: draw among the fewest entries that together have this probability, in (0, 1].
            seed: of all random draws.
            generator: instead of ``seed``, a CPU generator for each image.
            height, width: in pixels; the data set's size if left out.
            batch_size: images drawn at once; it changes memory and speed, not the images.
            heldout_palettes: draw from the bank's held-out palettes instead of the training ones.
            luminance: how light each pixel shall be, float ``[num_images, H, W]`` as in `quantization.palettes.luminance`, for a
                model that was trained with such maps.
            logit_bias: added to the logits of every step, float ``[num_images, K, H, W]``, with K the size of the
                largest palette.
            wishes: asked of every pixel (`ColorWish`, `LightnessWish`); their biases add up.
            init: a picture to start from, with kept pixels or only partly corrupted.
            canvas: symmetry, seamless borders, and the size of the windows through which the network sees large pictures.
            proportions: which share of each image each entry shall have (`Proportions`).
            joint: instead of ``palette``, several palettes in which each drawing is shown (`JointPalettes`); the images
                are those of the first drawing in each palette, then those of the second, and so on.
            output_type: a name in `OUTPUT_TYPES`.
            callback_on_step_end: called after each step of each batch (see `StepEnd`); pixels still masked show the
                palette's first entry in its ``images``. In a mirrored picture, ``x_t`` is the part that is drawn.
            split: share the images among the processes of one launch; all must call this alike, and all get all images.

        Raises:
            InputError: an argument is out of range, or contradicts the model or another argument.
        """
        _check(num_images, seed, guidance_scale, negative_scale, steps, temperature, top_p, batch_size)
        convert = choose("output_type", output_type, OUTPUT_TYPES)
        scheduler = self._scheduler(sampler, sampler_options, grid)
        label = self._label(class_label)
        height, width = self._size("height", height), self._size("width", width)
        generators = image_generators(seed, 0, num_images) if generator is None else list(generator)
        if len(generators) != num_images:
            raise InputError(f"{len(generators)} generators for {num_images} images; give one for each")
        if joint is not None and palette is not None:
            raise InputError("palette and joint both say which palettes to draw in; give one of the two")
        palette = palette if joint is None else joint.base
        palettes = self._palettes(palette, generators, heldout_palettes, label)
        denoiser = self.denoiser if joint is None else self._joint_denoiser(joint)
        padded = max(len(p) for p in palettes)
        self._check_controls((num_images, padded, height, width), luminance, logit_bias, wishes, proportions)
        if init is not None:
            init.check(palettes, height, width)
        tie = canvas.tie(height, width)
        tie = None if tie is None else tie.to(self.denoiser.device)
        scheduler.set_timesteps(steps, self.denoiser.device, start=1.0 if init is None else init.strength)
        negatives = [self._label(name) for name in negative_classes]
        branches = guidance_branches(num_images, label, negatives, luminance, guidance_scale, negative_scale)

        images, image_calls = [], 0
        batches = own_batches(num_images, batch_size, split)
        with self.progress_bar(total=len(scheduler.timesteps) * len(batches)) as progress:
            for rows in batches:
                batch = PaletteBatch.from_palettes(palettes[rows], padded).to(self.denoiser.device)
                bias = _bias(batch, wishes, logit_bias, rows)
                denoise = GuidedDenoiser(
                    denoiser,
                    batch,
                    [branch.conditions[rows].to(self.denoiser.device) for branch in branches],
                    bias,
                    canvas,
                    tie,
                    generators[rows],
                    max(batch_size // (1 if joint is None else len(joint.palettes)), 1),
                )
                reuse = Reuse(denoise, self.denoiser.depends_on_time)
                size = (height, width) if tie is None else tie.size
                x_t = scheduler.prior(batch, *size, generators[rows])
                x_t, hold = _begin(x_t, scheduler, batch, generators[rows], init, rows, tie)
                x_t = scheduler.start(x_t, batch, generators[rows])
                for step, t in enumerate(scheduler.timesteps):
                    if not scheduler.finished:
                        logits = reuse(x_t, scheduler.times).unbind(0)
                        prediction = Prediction(logits, [branch.weight for branch in branches], temperature, top_p)
                        if proportions is not None:
                            drawn = x_t if scheduler.process.has_mask else torch.full_like(x_t, padded)
                            prediction = proportions.steer(prediction, drawn, rows, None if tie is None else tie.area)
                        x_t = hold(scheduler.step(prediction, t, x_t).prev_sample)
                        if callback_on_step_end is not None:
                            seen = _indexed(x_t.where(x_t < padded, 0), palettes[rows], tie)
                            x_t = callback_on_step_end(self, step, t, {"x_t": x_t, "images": seen}).get("x_t", x_t)
                    progress.update()
                images += _indexed(x_t, palettes[rows], tie)
                image_calls += reuse.image_calls
        images, image_calls = gathered(images, split), sum(gathered([image_calls], split))
        if joint is not None:
            images = [version for image in images for version in joint.show(image)]
        return PaletteDiffusionOutput(convert(images), image_calls * (1 if joint is None else len(joint.palettes)))

    def _scheduler(
        self, sampler: str | None, options: Mapping[str, float] | None, grid: str | None
    ) -> PaletteScheduler:
        """A scheduler for one call, since it keeps its place."""
        changes: dict[str, Any] = {"sampler": sampler, "sampler_options": {}} if sampler is not None else {}
        changes |= {"sampler_options": dict(options)} if options is not None else {}
        changes |= {"grid": grid} if grid is not None else {}
        scheduler = self.scheduler.but(**changes)
        if grid is not None and not scheduler.sampler.takes_grid:
            raise InputError(f"the sampler {scheduler.config.sampler} draws its own times; leave the grid out")
        return scheduler

    def _size(self, name: str, pixels: int | None) -> int:
        if pixels is None:
            return self.config.size
        SIDE.check(name, pixels)
        return pixels

    def _label(self, class_label: str | None) -> int | None:
        names = self.config.label_names
        if class_label is None:
            return None
        if not names:
            raise InputError("this model was trained without classes; leave --class-label out")
        return choose("class", class_label, {name: index for index, name in enumerate(names)})

    def _palettes(
        self,
        palette: Palette | Sequence[Palette] | None,
        generators: list[torch.Generator],
        heldout: bool,
        label: int | None,
    ) -> list[Palette]:
        if palette is None:
            palettes = [self.palette_bank.draw(generator, heldout, label) for generator in generators]
        elif isinstance(palette, Palette):
            palettes = [palette] * len(generators)
        else:
            palettes = list(palette)
        if len(palettes) != len(generators):
            raise InputError(f"{len(palettes)} palettes for {len(generators)} images; give one, or one for each")
        for p in palettes:
            self._check_palette(p)
        return palettes

    def _check_palette(self, palette: Palette) -> None:
        if len(palette) < 2:
            raise InputError("a palette to draw with has at least 2 entries, not 1")
        self.denoiser.check_palette(palette)

    def _joint_denoiser(self, joint: JointPalettes) -> JointDenoiser:
        for palette in joint.palettes:
            self._check_palette(palette)
        return JointDenoiser(self.denoiser, joint)

    def _check_controls(
        self,
        shape: tuple[int, int, int, int],
        luminance: Tensor | None,
        logit_bias: Tensor | None,
        wishes: Sequence[Wish],
        proportions: Proportions | None,
    ) -> None:
        """Raise InputError if a control doesn't fit images of that shape, ``(N, K, H, W)``, or the model."""
        images, entries, height, width = shape
        if luminance is not None and self.denoiser.luminance is None:
            raise InputError("this model was trained without luminance maps (model.luminance_dropout)")
        if luminance is not None and luminance.shape != (images, height, width):
            raise InputError(f"luminance has the shape {list(luminance.shape)}, not {[images, height, width]}")
        if logit_bias is not None and logit_bias.shape != shape:
            raise InputError(f"logit_bias has the shape {list(logit_bias.shape)}, not {list(shape)}")
        for wish in wishes:
            if wish.shape[0] not in (1, images) or wish.shape[1:] != (height, width):
                raise InputError(
                    f"a {type(wish).__name__} has the shape {list(wish.shape)}, not {[images, height, width]}"
                )
        if proportions is not None and not (
            len(proportions.shares) in (1, images) and proportions.shares.shape[1] == entries
        ):
            raise InputError(f"proportions have the shape {list(proportions.shares.shape)}, not {[images, entries]}")


def _bias(palette: PaletteBatch, wishes: Sequence[Wish], logit_bias: Tensor | None, images: slice) -> Tensor | None:
    biases = [wish.bias(palette, images) for wish in wishes]
    biases += [] if logit_bias is None else [logit_bias[images].to(palette.colors.device)]
    return sum(biases) if biases else None


def _begin(
    x_t: Tensor,
    scheduler: PaletteScheduler,
    palette: PaletteBatch,
    generators: Sequence[torch.Generator],
    init: Init | None,
    images: slice,
    tie: View | None,
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Where to start instead of at pure noise ``x_t``, and what puts the kept pixels back in after each step."""
    if init is None:
        return x_t, lambda x: x
    clean, kept = (value.to(x_t.device) for value in init.on_canvas(images, len(x_t), tie))
    if init.strength < 1:
        x_t = scheduler.add_noise(clean, scheduler.timesteps[0].expand(len(x_t)), palette, generators)
    # A process without a mask would corrupt kept pixels again, and remasking would mask them.
    return clean.where(kept, x_t), lambda x: clean.where(kept, x)


def _indexed(x: Tensor, palettes: list[Palette], tie: View | None) -> list[IndexedImage]:
    whole = x if tie is None else tie.show(x)
    index_maps = whole.cpu().numpy().astype(np.uint8)
    return [IndexedImage(indices, palette) for indices, palette in zip(index_maps, palettes, strict=True)]


_COUNT, _FACTOR = Range(1, 1_000_000), Range(0, 1e6)

RANGES = {
    "num_images": _COUNT,
    "seed": SEED,
    "guidance_scale": _FACTOR,
    "negative_scale": _FACTOR,
    "steps": _COUNT,
    "temperature": _FACTOR,
    "top_p": Range(0, 1, without_low=True),
    "batch_size": _COUNT,
}
"""What the numbers of a call may be."""


def _check(*numbers: float) -> None:
    """Raise InputError if one of the numbers of `RANGES` is out of range."""
    for (name, allowed), value in zip(RANGES.items(), numbers, strict=True):
        allowed.check(name, value)
