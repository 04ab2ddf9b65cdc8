"""What a drawing can be asked for, in typed groups: `Sampling`, `Guidance`, `Canvas`, `Controls`.

The first three are also flags of the commands that draw (`common.options`), which need no torch to
be made and checked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, get_args

from tincture.common.errors import SEED, InputError, Range
from tincture.common.options import OneOf, With, check_options
from tincture.diffusion.options import SAMPLER_OPTIONS, ScheduleName
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette

if TYPE_CHECKING:
    from torch import Tensor

    from tincture.quantization.palettes.batch import PaletteBatch

    from .kept import Init
    from .proportions import Proportions
    from .wishes import Wish

BANK = ("train", "heldout")
"""The palettes that a model brings, by the side of the split of its data set."""

DRAWN = "drawn"
"""Those that its prior draws."""

COUNT, FACTOR = Range(1, 1_000_000), Range(0, 1e6)

STRENGTHS = Range(0, 1, without_low=True)
"""Noise levels to which a picture is corrupted before it is drawn again."""

FIDELITIES = Range(0, float("inf"))
"""How much a wish counts, in nats."""

AXES = {"x": (False, True), "y": (True, False), "both": (True, True)}
"""Name → whether it is meant of the vertical axis (over rows), and of the horizontal one."""

SIDE = Range(1, 1 << 16)
"""Pixels of a side of a picture to draw."""

_OPTIONS_OF_SAMPLERS = "; ".join(
    f"{name}: " + ", ".join(f"{option} (default {value:g})" for option, value in options.items())
    for name, options in SAMPLER_OPTIONS.items()
    if options
)


@dataclass(frozen=True)
class Sampling:
    """How images are drawn.

    Args:
        steps: calls of the network for each image, at most; each of ancestral's corrector_steps is
            one more, every time.
        seed: image i depends on this and i alone.
        sampler: how the process is reversed; if left out, the model's own way.
        sampler_options: options of the sampler.
        grid: the schedule whose even steps are taken; fitted means that each step carries as many
            bits; if left out, the model's own.
        temperature: below 1, likely entries are favored; 0 takes the likeliest; if left out, the
            model's own.
        top_p: draw among the fewest entries that have this probability together.
        batch_size: images drawn at once; it changes speed and memory only.

    Raises:
        InputError: a number is out of range, or a name is unknown.
    """

    steps: Annotated[int, COUNT] = 64
    seed: Annotated[int, SEED] = 0
    sampler: Annotated[str | None, OneOf(SAMPLER_OPTIONS)] = None
    sampler_options: Annotated[Mapping[str, float], _OPTIONS_OF_SAMPLERS] = field(
        default_factory=dict, metadata={"metavar": "NAME=NUMBER"}
    )
    grid: Annotated[str | None, OneOf((*get_args(ScheduleName), "fitted"))] = None
    temperature: Annotated[float | None, FACTOR] = None
    top_p: Annotated[float, Range(0, 1, without_low=True)] = 1.0
    batch_size: Annotated[int, COUNT] = 64

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Guidance:
    """Words and classes.

    Args:
        class_label: draw images of this class only.
        guidance_scale: how strongly to follow the words, the class and the luminance: 1 as learned,
            above 1 more so, 0 not at all; if left out, words and classes the model's own way.
        negative_classes: classes to keep away from.
        negative_scale: how strongly, for each of them and of the negative prompts: 0 not at all;
            above 1, drawings may look like nothing at all.
        prompt: what to draw, in words whose order doesn't matter; of several prompts, images are
            drawn in turn.
        negative_prompts: what to keep away from, in words.
        guidance_from: the noise level at which guidance begins. Above it the network is only asked
            about what is to be drawn, as learned: a call instead of two or more.

    Raises:
        InputError: a number is out of range.
    """

    class_label: str | None = None
    guidance_scale: Annotated[float | None, FACTOR, With("prompt", "class_label", "luminance")] = None
    negative_classes: Sequence[str] = field(
        default=(), metadata={"flags": ["--negative-class"], "metavar": "NAME[,NAME]"}
    )
    negative_scale: Annotated[float, FACTOR, With("negative_classes", "negative_prompts")] = 1.0
    prompt: list[str] | None = field(default=None, metadata={"metavar": "WORDS"})
    negative_prompts: Sequence[str] = field(
        default=(), metadata={"flags": ["--negative-prompt"], "metavar": "WORDS[,WORDS]"}
    )
    guidance_from: Annotated[
        float, Range(0, 1), With("prompt", "class_label", "luminance", "negative_classes", "negative_prompts")
    ] = 1.0

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class DrawnPalette:
    """A palette that the model draws for each image, of its class and its prompt.

    Args:
        colors: entries, the transparent one too; if left out, as many as a palette that the model
            has learned from.
        transparent: whether one is transparent; if left out, as in such a palette.
        kept: opaque colors that it has.
        temperature: below 1, likely colors are favored; 0 takes the likeliest.

    Raises:
        InputError: a number is out of range, or colors to keep aren't opaque, or repeat.
    """

    colors: Annotated[int | None, Range(1, MAX_ENTRIES)] = None
    transparent: bool | None = None
    kept: Palette | None = None
    temperature: Annotated[float, FACTOR] = 1.0

    def __post_init__(self) -> None:
        check_options(self)
        if self.kept is not None:
            kept = self.kept.to_hex()
            if (self.kept.colors[:, 3] < 255).any() or len({*kept}) < len(kept):
                raise InputError(f"colors to keep are opaque, and each is named once, unlike {','.join(kept)}")


@dataclass(frozen=True)
class Canvas:
    """Symmetry, borders, and how much the network sees at once.

    Args:
        mirror: be symmetric along these axes; along x, the left and the right half mirror each
            other.
        tile: repeat without a seam along these axes. The network sees the picture moved around by a
            random distance, another one at each step, with a part of its neighbors.
        window: the network sees pieces of at most so many pixels, which overlap by half and move at
            each step; 0 for the whole picture at once. If left out, the commands take the model's
            own size where a picture is given, and the whole picture elsewhere.

    Raises:
        InputError: a name or a number isn't allowed.
    """

    mirror: Annotated[str | None, OneOf(AXES)] = None
    tile: Annotated[str | None, OneOf(AXES)] = None
    window: Annotated[int | None, Range(0, SIDE.high)] = None

    def __post_init__(self) -> None:
        check_options(self)
        if self.window == 1:
            raise InputError("window is 1; it must be at least 2 pixels, or 0 for the whole picture")


WHOLE = Canvas()
"""The whole picture, seen at once as it is."""


@dataclass(frozen=True, eq=False)
class Controls:
    """What is asked of the pixels of N images of one size.

    Args:
        init: a picture to start from, with kept pixels or only partly corrupted.
        wishes: asked of every pixel (`ColorWish`, `LightnessWish`); they add up.
        luminance: how light each pixel shall be, for a model that was trained with such maps; float
            ``[H, W]`` for all images or ``[N, H, W]``, as in `quantization.palettes.luminance`.
        proportions: which share of each image each entry shall have.
        canvas: symmetry, seamless borders, and the size of the windows through which the network
            sees large pictures.
        logit_bias: added to the logits at every step, float ``[N, K, H, W]``, with K the size of
            the largest palette.
    """

    init: "Init | None" = None
    wishes: "Sequence[Wish]" = ()
    luminance: "Tensor | None" = None
    proportions: "Proportions | None" = None
    canvas: Canvas = WHOLE
    logit_bias: "Tensor | None" = None

    def check(self, palettes: Sequence[Palette], height: int, width: int) -> None:
        """Raise InputError if one of them doesn't fit images of that size, in these palettes."""
        images, entries = len(palettes), max(map(len, palettes))
        size = [images, height, width]
        shapes = [(f"a {type(wish).__name__}", list(wish.shape)) for wish in self.wishes]
        if self.luminance is not None:
            shapes.append(("luminance", [1] * (3 - self.luminance.ndim) + list(self.luminance.shape)))
        for name, shape in shapes:
            if shape not in (size, [1, height, width]):
                raise InputError(f"{name} has the shape {shape}, not {size}")
        if self.logit_bias is not None and self.logit_bias.shape != (images, entries, height, width):
            raise InputError(
                f"logit_bias has the shape {list(self.logit_bias.shape)}, not {[images, entries, height, width]}"
            )
        if self.proportions is not None:
            shape = list(self.proportions.shares.shape)
            if shape not in ([images, entries], [1, entries]):
                raise InputError(f"proportions have the shape {shape}, not {[images, entries]}")
        if self.init is not None:
            self.init.check(palettes, height, width)

    def bias(self, palette: "PaletteBatch", images: slice) -> "Tensor | None":
        """What wishes and ``logit_bias`` add to the logits of some images, ``[B, K, H, W]``."""
        biases = [wish.bias(palette, images) for wish in self.wishes]
        biases += [] if self.logit_bias is None else [self.logit_bias[images].to(palette.colors.device)]
        return sum(biases) if biases else None
