"""Everything that can be asked of a drawing, asked of a pipeline by sample.py and the studio."""

from collections.abc import Sequence
from dataclasses import replace

from tincture.controls.command import Drawing
from tincture.controls.joint import JointPalettes
from tincture.controls.reading import read_controls
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

from .palette_diffusion import PaletteDiffusionPipeline, StepEnd
from .posterior_mean import dithered_means


def draw_asked(
    pipeline: PaletteDiffusionPipeline,
    asked: Drawing,
    palettes: Sequence[Palette | str] | JointPalettes,
    num_images: int,
    callback_on_step_end: StepEnd | None = None,
    distributed: bool = False,
) -> list[IndexedImage]:
    """Draw ``num_images`` images with everything that ``asked`` says.

    Args:
        pipeline: the model.
        asked: the options; the pictures that they name are read.
        palettes: what ``asked.read_palettes()`` gave.
        num_images: how many; several palettes at once give each of them in every palette.
        callback_on_step_end, distributed: as for the pipeline.

    Raises:
        InputError: a picture can't be read, or the options contradict the model or each other.
    """
    mean = asked.pictures.mean
    is_told = pipeline.denoiser.luminance is not None
    controls, height, width = read_controls(asked, palettes, pipeline.config.size, is_told)
    draws = 1 if mean is None else mean.dither_draws
    number, guidance = num_images * draws, asked.guidance
    if guidance.prompt is not None:  # all draws of a mean have one prompt
        guidance = replace(guidance, prompt=[prompt for prompt in guidance.prompt for _ in range(draws)])
    images = pipeline(
        number,
        palettes if isinstance(palettes, JointPalettes) else in_turn(palettes, number, len(guidance.prompt or [""])),
        asked.sampling,
        guidance,
        controls,
        height,
        width,
        callback_on_step_end=callback_on_step_end,
        distributed=distributed,
    ).images
    if mean is not None:
        keep = None if controls.init is None else controls.init.keep[0].numpy()
        images = dithered_means(images, draws, mean.dither, keep)
    return images


def in_turn(palettes: Sequence[Palette | str], images: int, prompts: int = 1) -> list[Palette | str]:
    """One for each image: the first for each prompt, then the second for each, and so on."""
    return [palettes[image // prompts % len(palettes)] for image in range(images)]
