"""What only sample.py asks: options that name files, and how these become `Controls`."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image

from tincture.common.errors import SHARE, InputError
from tincture.common.options import OneOf
from tincture.quantization.dither import DITHERERS
from tincture.quantization.encoding import differs, encode
from tincture.quantization.fit import choose_colors, fit_palette
from tincture.quantization.palettes.files import is_picture, named_palettes, read_palette
from tincture.quantization.palettes.luminance import luminance_of_pixels
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import open_beside, open_image, read_image, to_rgba

from .joint import JointPalettes
from .kept import STRENGTHS, Init
from .options import BANK, COUNT, Controls, Guidance, Sampling
from .proportions import Proportions
from .views import SIDE, Canvas
from .wishes import FIDELITIES, ColorWish, LightnessWish, Wish

logger = logging.getLogger(__name__)

Margins = tuple[int, int, int, int]
"""Pixels at the left, top, right and bottom."""

DEFAULT_COLORS = 16
GREY_SPREAD = 32
"""Between a grey's channels, at most, of 255; a mask with other colors is a picture with holes."""
LUMINANCE_FIDELITY = 1000.0
"""For a model that can't be told it: the lightness is known to 1 / sqrt(2 · 1000) = 0.02."""


@dataclass(frozen=True)
class Style:
    """The picture whose proportions of colors are wanted.

    Args:
        style: a picture whose colors are used in the same proportions; transparency is left to the
            model where the picture has none.
        style_strength: 0 for any proportions, 1 for those of --style.
    """

    style: Path
    style_strength: Annotated[float, SHARE] = 1.0

    def read(self, palette: Palette) -> Proportions:
        """The picture's proportions in the palette that is drawn with."""
        return Proportions.of(IndexedImage(read_indices(self.style, palette), palette), self.style_strength)


@dataclass(frozen=True)
class Strip:
    """Palettes on the way from one to another.

    Args:
        palette_to: the same drawing in palettes from --palette to this one.
        strip: palettes from --palette to --palette-to, both included.
    """

    palette_to: str
    strip: int = 6


@dataclass(frozen=True)
class Colors:
    """Colors.

    Args:
        palette: a file (.hex, .gpl, .pal, …); a picture; colors with commas between them; train or
            heldout, for each image the palette of another picture of the model's data set; if left
            out, the palette of --init-image, --target or --style where there is one, else train; or
            a name.
        transparent: add a transparent entry after the palette's last, if it has none.
        colors: entries to choose from a picture given as --palette: 2 to 256, or auto for as many
            as the picture needs; if left out, 16 where it has over 256 colors, else all of its
            colors.
        palettes: the same drawing in each of these palettes (as for --palette), entries matched.
    """

    palette: Annotated[str | None, ", ".join(named_palettes())] = field(
        default=None, metadata={"flags": ["--palette", "--palette-from"]}
    )
    transparent: bool = False
    colors: str | None = None
    palettes: list[str] | None = field(default=None, metadata={"metavar": "PALETTE"})
    strip: Strip | None = None
    style: Style | None = None

    def names(self) -> list[str]:
        """All that is named as a palette: files, pictures, names."""
        names = [self.palette, *(self.palettes or []), None if self.strip is None else self.strip.palette_to]
        return [name for name in names if name]

    def read(self, name: str) -> Palette | JointPalettes | str:
        """What is drawn in: the palette ``name``, train, heldout, or several palettes at once.

        Raises:
            InputError: a palette can't be read, or the options contradict each other.
        """
        if self.palettes is not None:
            return JointPalettes.matched([self._read_one(each) for each in self.palettes])
        if name in BANK:
            if self.colors is not None or self.transparent:
                raise InputError(f"--colors and --transparent need a palette of yours, not --palette {name}")
            return name
        palette = self._read_one(name)
        if self.strip is None:
            return palette
        end = self._read_one(self.strip.palette_to, is_end=True)
        return JointPalettes.strip(palette, end, self.strip.strip)

    def _read_one(self, name: str, is_end: bool = False) -> Palette:
        if name in BANK:
            raise InputError(f"a drawing in several palettes takes palettes of yours, not {name}")
        if is_picture(name) and (self.colors is not None or not _has_few_colors(Path(name))):
            picture = [read_image(Path(name))]
            palette = fit_palette(picture, choose_colors(picture) if self.colors == "auto" else self._count())
        elif self.colors is not None and not is_end:
            raise InputError(f"--colors chooses from a picture, and --palette {name} is none")
        else:
            palette = read_palette(name)
        return palette.with_transparency() if self.transparent else palette

    def _count(self) -> int:
        if self.colors is None:
            return DEFAULT_COLORS
        if not (self.colors.isdecimal() and 2 <= int(self.colors) <= MAX_ENTRIES):
            raise InputError(f"--colors is {self.colors!r}; it must be a number from 2 to {MAX_ENTRIES}, or auto")
        return int(self.colors)


@dataclass(frozen=True)
class Start:
    """The picture to start from.

    Args:
        init_image: a picture to start from, at its own size; colors that aren't in the palette go
            to the nearest entry. Needs --mask, --outpaint or --strength.
        mask: a picture of the init image's size: white (128 or lighter) is drawn anew, black is
            kept bit for bit. In one with transparent holes, these alone are drawn anew.
        outpaint: so many pixels more on each side of the init image, which is kept (but for
            --mask).
        strength: the noise level to which the init image is corrupted before it is drawn again,
            above 0, at most 1, where nothing is left but what is kept; 1 if left out. Small values
            give small variations, but not with the sampler remasking, which draws again what was
            left.
    """

    init_image: Path
    mask: Path | None = None
    outpaint: str | None = field(default=None, metadata={"metavar": "LEFT,TOP,RIGHT,BOTTOM"})
    strength: Annotated[float | None, STRENGTHS] = None

    def __post_init__(self) -> None:
        if self.mask is None and self.outpaint is None and self.strength is None:
            raise InputError("--init-image needs --mask, --outpaint or --strength: nothing else would be left of it")
        if self.outpaint is not None and self.strength not in (None, 1.0):
            raise InputError("--outpaint and --strength contradict each other: the new margins hold nothing to vary")

    def read(self, palette: Palette) -> Init:
        """The picture in the palette that is drawn with, and what is kept of it."""
        indices = read_indices(self.init_image, palette)
        keep = None if self.mask is None else ~read_mask(self.mask, self.init_image, *indices.shape)
        if self.outpaint is not None:
            margins = read_margins(self.outpaint)
            keep = with_margins(np.ones(indices.shape, bool) if keep is None else keep, margins, False)
            indices = with_margins(indices, margins, 0)
        strength = 1.0 if self.strength is None else self.strength
        return Init(torch.tensor(indices), None if keep is None else torch.from_numpy(keep), strength)


@dataclass(frozen=True)
class Target:
    """The picture whose colors are wanted.

    Args:
        target: a picture whose colors the drawing shall be near, at its own size or --width and
            --height.
        fidelity: how near: the weight of the squared OKLab distance in nats; 0 for not at all, inf
            for the nearest entries; at the default, a color is known to 1 / sqrt(2 · 300) = 0.04.
    """

    target: Path
    fidelity: Annotated[float, FIDELITIES] = 300.0


@dataclass(frozen=True)
class Grey:
    """The picture whose lightness is wanted.

    Args:
        luminance: a grey picture to color, at its own size or --width and --height; told to the
            model if it was trained for that (--guidance-scale says how strongly), and asked for by
            --luminance-fidelity.
        luminance_fidelity: how near the lightness shall be: the weight of its squared OKLab
            difference in nats; if left out, 0 for a model that is told the luminance, else 1000.
    """

    luminance: Path
    luminance_fidelity: Annotated[float | None, FIDELITIES] = None


@dataclass(frozen=True)
class Mean:
    """The mean of drawings.

    Args:
        dither: don't draw, but dither the mean of --dither-draws drawings to a palette of yours.
        dither_draws: drawings of which --dither shows the mean, for each image.
    """

    dither: Annotated[str, OneOf(DITHERERS)]
    dither_draws: Annotated[int, COUNT] = 16


@dataclass(frozen=True)
class Pictures:
    """Pictures that the drawing starts from, or shall be like."""

    start: Start | None = None
    target: Target | None = None
    grey: Grey | None = None
    mean: Mean | None = None


@dataclass(frozen=True)
class Size:
    """Size.

    Args:
        width: pixels; the model's own size if left out.
        height: pixels; the model's own size if left out.
    """

    width: Annotated[int | None, SIDE] = None
    height: Annotated[int | None, SIDE] = None


@dataclass(frozen=True)
class Drawing:
    """Everything that the command can ask of a drawing.

    Raises:
        InputError: two options contradict each other.
    """

    colors: Colors
    guidance: Guidance
    sampling: Sampling
    size: Size
    pictures: Pictures
    canvas: Canvas

    def __post_init__(self) -> None:
        colors, pictures = self.colors, self.pictures
        if colors.palettes is not None and (colors.palette is not None or colors.strip is not None):
            raise InputError("--palettes names all palettes: leave --palette and --palette-to out")
        if pictures.mean is not None and (colors.palettes is not None or colors.strip is not None):
            raise InputError("--dither needs one palette: leave --palettes and --palette-to out")
        if colors.palettes is None and self.palette_name in BANK:
            one = {"--init-image": pictures.start, "--style": colors.style}
            for flag, asked in {**one, "--palette-to": colors.strip, "--dither": pictures.mean}.items():
                if asked is not None:
                    raise InputError(
                        f"{flag} needs a palette of yours, not {self.palette_name}: name one with --palette"
                    )
        if pictures.start is not None and self.size != Size():
            raise InputError("--width and --height can't be given with --init-image, which has its own size")
        if pictures.mean is not None and pictures.mean.dither != "none" and self.canvas.mirror is not None:
            raise InputError(
                "--dither's patterns aren't symmetric, as --mirror asks: take --dither none, or leave one out"
            )

    @property
    def palette_name(self) -> str:
        """The palette that is drawn with, if it is one: that of a picture where none is named."""
        if self.colors.palette is not None:
            return self.colors.palette
        pictures, style = self.pictures, self.colors.style
        if pictures.start is not None:
            return str(pictures.start.init_image)
        if pictures.target is not None:
            return str(pictures.target.target)
        return "train" if style is None else str(style.style)

    def read_palettes(self) -> Palette | JointPalettes | str:
        """What is drawn in, as the pipeline takes it."""
        return self.colors.read(self.palette_name)

    def read_controls(
        self, palettes: Palette | JointPalettes | str, size: int, is_told: bool
    ) -> tuple[Controls, int | None, int | None]:
        """Read the pictures that the options name.

        Args:
            palettes: what is drawn in.
            size: edge length of the model's own pictures, pixels.
            is_told: whether the model was trained with luminance maps.

        Returns:
            The controls, and the height and the width of the drawings where pictures or options say
            them.

        Raises:
            InputError: a file can't be read, or sizes contradict each other.
        """
        pictures, height, width = self.pictures, self.size.height, self.size.width
        palette = palettes.base if isinstance(palettes, JointPalettes) else palettes
        # The first picture says how large the drawing is, unless options do; the others must fit.
        settled_by = None
        init = None
        if pictures.start is not None:
            init, settled_by = pictures.start.read(palette), pictures.start.init_image
            height, width = init.indices.shape[1:]
        wishes: list[Wish] = []
        if pictures.target is not None:
            pixels = read_target(pictures.target.target, height, width, settled_by)
            settled_by = settled_by or (pictures.target.target if self.size == Size() else None)
            height, width = pixels.shape[:2]
            wishes.append(ColorWish(torch.from_numpy(pixels), pictures.target.fidelity))
        luminance = None
        if pictures.grey is not None:
            pixels = read_target(pictures.grey.luminance, height, width, settled_by)
            height, width = pixels.shape[:2]
            luminance = luminance_of_pixels(torch.from_numpy(pixels))
            fidelity = pictures.grey.luminance_fidelity
            if fidelity is None:
                fidelity = 0.0 if is_told else LUMINANCE_FIDELITY
            wishes.append(LightnessWish(luminance, fidelity))
        proportions = None if self.colors.style is None else self.colors.style.read(palette)
        window = self.canvas.window
        if window is None and any((pictures.start, pictures.target, pictures.grey)):
            window = size
        canvas = replace(self.canvas, window=window)
        return Controls(init, wishes, luminance if is_told else None, proportions, canvas), height, width


def read_target(path: Path, height: int | None, width: int | None, picture: Path | None) -> np.ndarray:
    """A picture's RGBA pixels, uint8 ``[H, W, 4]``, at the size of the drawing.

    Raises:
        InputError: the file is no picture, or has another size than the ``picture`` that the
            drawing has its size from, if there is one.
    """
    pixels = read_image(path) if picture is None else to_rgba(open_beside(path, picture))
    if picture is not None and pixels.shape[:2] != (height, width):
        raise InputError(
            f"{path} is {pixels.shape[1]}×{pixels.shape[0]} pixels; the picture to draw is {width}×{height}"
        )
    return resized(pixels, height, width)


def resized(pixels: np.ndarray, height: int | None, width: int | None) -> np.ndarray:
    """RGBA pixels, uint8 ``[H, W, 4]``, at ``height × width``, by averaging areas.

    One side alone keeps the shape.

    Raises:
        InputError: a side is out of range.
    """
    own_height, own_width = pixels.shape[:2]
    if height is None:
        height = own_height if width is None else max(round(own_height * width / own_width), 1)
    if width is None:
        width = max(round(own_width * height / own_height), 1)
    for name, side in (("--width", width), ("--height", height)):
        SIDE.check(name, side)
    if (height, width) == (own_height, own_width):
        return pixels
    # Pillow resizes RGBA with premultiplied alpha, so transparent pixels lend no color to others.
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))


def read_mask(path: Path, picture: Path, height: int, width: int) -> np.ndarray:
    """Which pixels of a picture are drawn anew, bool ``[height, width]``.

    Where a mask has holes (alpha below 128), these are drawn anew, as in editors. In any other mask
    it is what is light.

    Raises:
        InputError: the file is no picture, has another size, leaves nothing to draw, or has holes
            in black and white, which could mean either.
    """
    rgba = to_rgba(open_beside(path, picture))
    if rgba.shape[:2] != (height, width):
        raise InputError(f"the mask {path} is {rgba.shape[1]}×{rgba.shape[0]} pixels; the image is {width}×{height}")
    grey = np.array(Image.fromarray(rgba[..., :3]).convert("L"))
    is_light, is_hole = grey >= 128, rgba[..., 3] < 128
    if is_hole.any():
        solid = rgba[~is_hole, :3].astype(int)
        is_grey = (solid.max(axis=-1, initial=0) - solid.min(axis=-1, initial=255) <= GREY_SPREAD).all()
        if is_grey and len(set(is_light[~is_hole])) > 1:
            raise InputError(
                f"the mask {path} has holes and is black and white around them: fill the holes, "
                "or make all around them black"
            )
        logger.info("%s has holes: these are drawn anew, and the rest is kept", path)
        return is_hole
    if not is_light.any():
        raise InputError(f"the mask {path} has no white pixel: there is nothing to draw")
    return is_light


def read_margins(text: str) -> Margins:
    """``LEFT,TOP,RIGHT,BOTTOM`` in pixels.

    Raises:
        InputError: these aren't four numbers of 0 or more, or all are 0.
    """
    words = [word.strip() for word in text.split(",")]
    is_short = all(word.isdecimal() and len(word) <= len(str(SIDE.high)) for word in words)
    if len(words) != 4 or not is_short or not 0 < max(map(int, words)) <= SIDE.high:
        raise InputError(
            f"--outpaint takes LEFT,TOP,RIGHT,BOTTOM in pixels, at most {SIDE.high:,} each, not all of them 0, not {text!r}"
        )
    return tuple(map(int, words))


def with_margins(values: np.ndarray, margins: Margins, fill: bool | int) -> np.ndarray:
    """A map, ``[H, W]``, with so many pixels of ``fill`` around it."""
    left, top, right, bottom = margins
    return np.pad(values, ((top, bottom), (left, right)), constant_values=fill)


def read_indices(path: Path, palette: Palette) -> np.ndarray:
    """A picture's index map in ``palette``, uint8 ``[H, W]``.

    An indexed picture of which the entries stand at the same places keeps its indices, bit for bit.
    Others are encoded, and the log says how many pixels are no entries.

    Raises:
        InputError: the file is no picture, or the palette lacks an opaque entry for opaque pixels.
    """
    image = open_image(path)
    if image.mode == "P":
        indexed = IndexedImage.from_pil(image)
        if (indices := indexed.indices_in(palette)) is not None:
            return indices
    rgba = to_rgba(image)
    indices = encode(rgba, palette)
    if (changed := differs(rgba, indices, palette)).any():
        message = "%s: %d of %d pixels are not in the palette; they take the nearest entry"
        logger.info(message, path, changed.sum(), changed.size)
    return indices


def _has_few_colors(path: Path) -> bool:
    try:
        read_palette(path)
    except InputError:
        return False
    return True
