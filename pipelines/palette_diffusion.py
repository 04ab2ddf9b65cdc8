"""PaletteDiffusionPipeline: draw indexed images in given palettes; saved and loaded as one folder (diffusers)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor

from diffusion.draws import image_generators
from diffusion.logits import guide, sharpen
from diffusion.process import Process
from diffusion.samplers import SAMPLERS
from models.denoiser import Denoiser
from quantization.errors import InputError, choose
from quantization.indexed_image import IndexedImage
from quantization.palette import Palette, PaletteBatch

from .palette_bank import PaletteBank


@dataclass
class PaletteDiffusionOutput(BaseOutput):
    """What the pipeline drew: `IndexedImage`, or Pillow images of mode P."""

    images: list[IndexedImage] | list[Image.Image]


class PaletteDiffusionPipeline(DiffusionPipeline):
    """Denoiser, process and the palettes of the data set.

    Args:
        denoiser: predicts clean entries.
        process: how pixels were corrupted in training.
        palette_bank: palettes to draw from when none is given.
        size: edge length of the images of the data set, pixels.
        label_names: the class of each label; empty for an unconditional model.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        process: Process,
        palette_bank: PaletteBank,
        size: int = 16,
        label_names: tuple = (),
    ) -> None:
        super().__init__()
        self.register_modules(denoiser=denoiser, process=process, palette_bank=palette_bank)
        self.register_to_config(size=size, label_names=list(label_names))

    @torch.inference_mode()
    def __call__(
        self,
        num_images: int = 1,
        palette: Palette | Sequence[Palette] | None = None,
        class_label: str | None = None,
        guidance_scale: float = 1.0,
        sampler: str = "ancestral",
        steps: int = 64,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        height: int | None = None,
        width: int | None = None,
        batch_size: int = 64,
        heldout_palettes: bool = False,
        logit_bias: Tensor | None = None,
        on_step: Callable[[int, list[IndexedImage]], None] | None = None,
        output_type: str = "indexed",
    ) -> PaletteDiffusionOutput:
        """Draw images; image i depends on ``seed`` and i alone.

        Args:
            num_images: how many.
            palette: one for all images, or one for each; without it, each image draws one from the bank (among the
                palettes of ``class_label``, if that is given).
            class_label: one of ``label_names``; without it, any class.
            guidance_scale: how strongly to follow the class: 1 as the model learned it, above 1 more so, 0 not at all.
            sampler: a name in `SAMPLERS`.
            steps: calls of the denoiser for each image.
            temperature: below 1 favors likely entries, 0 takes the likeliest.
            top_p: draw among the fewest entries that together have this probability, in (0, 1].
            seed: of all random draws.
            height, width: in pixels; the data set's size if left out.
            batch_size: images drawn at once; it changes memory and speed, not the images.
            heldout_palettes: draw from the bank's held-out palettes instead of the training ones.
            logit_bias: added to the logits of every step, float ``[num_images, K, H, W]``, with K the size of the
                largest palette.
            on_step: called after each step of each batch with its number and the images so far; pixels still
                masked show the palette's first entry.
            output_type: ``indexed`` or ``pil``.

        Raises:
            InputError: an argument is out of range, or contradicts the model or another argument.
        """
        _check(num_images, seed, guidance_scale, steps, temperature, top_p, batch_size, output_type)
        draw = choose("sampler", sampler, SAMPLERS)
        label = self._label(class_label)
        height = self.config.size if height is None else height
        width = self.config.size if width is None else width
        for name, value in (("height", height), ("width", width)):
            if value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1 pixel")
        generators = image_generators(seed, 0, num_images)
        palettes = self._palettes(palette, generators, heldout_palettes, label)
        padded = max(len(p) for p in palettes)
        if logit_bias is not None and logit_bias.shape != (num_images, padded, height, width):
            raise InputError(
                f"logit_bias has the shape {list(logit_bias.shape)}, not {[num_images, padded, height, width]}"
            )
        images: list[IndexedImage] = []
        with self.progress_bar(total=steps * -(-num_images // batch_size)) as progress:
            for first in range(0, num_images, batch_size):
                rows = slice(first, min(first + batch_size, num_images))
                batch = PaletteBatch.from_palettes(palettes[rows], padded).to(self.denoiser.device)
                bias = None if logit_bias is None else logit_bias[rows].to(self.denoiser.device)

                def after_step(step: int, x_t: Tensor, rows: slice = rows) -> None:
                    progress.update()
                    if on_step is not None:
                        on_step(step, _indexed(x_t.where(x_t < padded, 0), palettes[rows]))

                x_0 = draw(
                    self._denoise(batch, label, guidance_scale, temperature, top_p, bias),
                    self.process,
                    batch,
                    height,
                    width,
                    steps,
                    generators[rows],
                    after_step,
                )
                images += _indexed(x_0, palettes[rows])
        return PaletteDiffusionOutput([image.to_pil() for image in images] if output_type == "pil" else images)

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
            if len(p) < 2:
                raise InputError("a palette to draw with has at least 2 entries, not 1")
            self.denoiser.check_palette(p)
        return palettes

    def _denoise(
        self,
        palette: PaletteBatch,
        label: int | None,
        guidance_scale: float,
        temperature: float,
        top_p: float,
        logit_bias: Tensor | None,
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """Bind palettes, class and controls to the denoiser, for a sampler to call with (x_t, t)."""
        labels = None if label is None else torch.full((len(palette.colors),), label, device=self.denoiser.device)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            logits = self.denoiser(x_t, t, palette, labels).float()
            if labels is not None and guidance_scale != 1:
                logits = guide(logits, self.denoiser(x_t, t, palette).float(), guidance_scale)
            if logit_bias is not None:
                logits = logits + logit_bias
            return sharpen(logits, temperature, top_p)

        return denoise


def _indexed(x: Tensor, palettes: list[Palette]) -> list[IndexedImage]:
    index_maps = x.cpu().numpy().astype(np.uint8)
    return [IndexedImage(indices, palette) for indices, palette in zip(index_maps, palettes, strict=True)]


def _check(
    num_images: int,
    seed: int,
    guidance_scale: float,
    steps: int,
    temperature: float,
    top_p: float,
    batch_size: int,
    output_type: str,
) -> None:
    for name, value in (("num_images", num_images), ("steps", steps), ("batch_size", batch_size)):
        if value < 1:
            raise InputError(f"{name} is {value}; it must be at least 1")
    for name, value in (("seed", seed), ("guidance_scale", guidance_scale), ("temperature", temperature)):
        if not 0 <= value < float("inf"):
            raise InputError(f"{name} is {value}; it must be 0 or more")
    if not 0 < top_p <= 1:
        raise InputError(f"top_p is {top_p}; it must be above 0 and at most 1")
    if output_type not in ("indexed", "pil"):
        raise InputError(f"output_type is {output_type!r}; choose from indexed, pil")
