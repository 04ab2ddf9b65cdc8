import importlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

import pytest
from jsonargparse import ArgumentError

from tincture import __version__, quantize, sample
from tincture.__main__ import COMMANDS
from tincture.common.cli import make_parser
from tincture.common.errors import InputError, Range
from tincture.common.options import OneOf, With, add_options, check_options, read_options, words_of
from tincture.controls.options import Sampling
from tincture.data.versions import Recoloring
from tincture.diffusion.options import SAMPLER_OPTIONS, ScheduleName
from tincture.diffusion.samplers import SAMPLERS
from tincture.diffusion.scheduler import PROCESSES
from tincture.diffusion.schedules import SCHEDULES
from tincture.evaluation.features import EXTRACTORS
from tincture.evaluation.options import ExtractorName
from tincture.models.options import Normalization
from tincture.models.unet import NORMALIZATIONS
from tincture.training.optimizers import OPTIMIZERS
from tincture.training.run_config import ProcessConfig, TrainConfig

NAMED_BEFORE_THEY_ARE_IMPORTED = {
    "samplers": (SAMPLER_OPTIONS, {name: sampler.options for name, sampler in SAMPLERS.items()}),
    "schedules": (get_args(ScheduleName), tuple(SCHEDULES)),
    "processes": (get_args(get_type_hints(ProcessConfig)["kind"]), tuple(PROCESSES)),
    "optimizers": (get_args(get_type_hints(TrainConfig)["optimizer"]), tuple(OPTIMIZERS)),
    "normalizations": (get_args(Normalization), tuple(NORMALIZATIONS)),
    "extractors": (get_args(ExtractorName), tuple(EXTRACTORS)),
}


@pytest.mark.parametrize(
    ("named", "registered"), NAMED_BEFORE_THEY_ARE_IMPORTED.values(), ids=NAMED_BEFORE_THEY_ARE_IMPORTED
)
def test_options_name_all_that_is_registered_and_nothing_else(named, registered):
    assert named == registered


@dataclass(frozen=True)
class Frame:
    """A frame.

    Args:
        frame: the picture of it.
        frame_width: in pixels.
    """

    frame: Path
    frame_width: int = 2


@dataclass(frozen=True)
class Brush:
    """What one paints with.

    Args:
        brush: the kind
            of it.
        brush_size: in pixels, up
            to all of them.
        dry: without water.
        pigments: of the paint.
        parts: how much of each.
        frame: around the picture.
    """

    brush: Annotated[str | None, OneOf(("round", "flat"))] = None
    brush_size: Annotated[float, Range(0, float("inf")), With("brush", "pigments")] = 1.0
    dry: bool = False
    pigments: Sequence[str] = field(default=(), metadata={"flags": ("--pigment", "--paint"), "metavar": "NAME[,NAME]"})
    parts: Mapping[str, float] = field(default_factory=dict)
    frame: Frame | None = None

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Painting:
    """A painting.

    Args:
        output: where it hangs.
        brush: of the painter.
        titles: of the painting.
        layers: of paint.
    """

    output: Path
    brush: Brush
    titles: list[str] | None = None
    layers: Annotated[list[str], OneOf(("ground", "glaze"))] = field(default_factory=lambda: ["ground"])


def read(words, group=Painting):
    parser = make_parser("")
    add_options(parser, group, first=["dry"])
    return read_options(group, parser.parse_args(words.split()))


def test_flags_make_what_a_call_makes():
    assert read("--output wall") == Painting(Path("wall"), Brush())
    words = "--brush flat --brush-size inf --dry --paint umber, --parts umber=2 chalk=0.5 --titles a b --frame oak.png --layers glaze"
    brush = Brush("flat", float("inf"), True, ("umber", ""), {"umber": 2.0, "chalk": 0.5}, Frame(Path("oak.png")))
    assert read(f"--output wall {words}") == Painting(Path("wall"), brush, ["a", "b"], ["glaze"])


def test_what_is_parsed_is_a_flat_record_of_what_was_asked():
    parser = make_parser("")
    add_options(parser, Painting)
    record = vars(parser.parse_args(["--output", "wall", "--pigment", "umber,chalk"]))
    assert record["pigment"] == "umber,chalk"
    assert (record["brush_size"], record["parts"], record["frame"]) == (1.0, [], None)


def test_flags_that_the_parser_lacks_count_as_left_out():
    parser = make_parser("")
    add_options(parser, Brush, only=["dry"])
    assert read_options(Brush, parser.parse_args(["--dry"])) == Brush(dry=True)


def test_help_has_the_line_of_every_field_in_its_section():
    parser = make_parser("")
    add_options(parser, Painting, first=["dry"])
    before, _, after = " ".join(parser.format_help().split()).partition("What one paints with:")
    assert "--dry without water" in before
    assert "the kind of it. One of: round, flat" in after
    assert "in pixels, up to all of them" in after
    assert "--frame FRAME the picture of it" in after


@pytest.mark.parametrize("group", [Painting, sample.Options, quantize.Options, Recoloring, Sampling])
def test_help_names_every_type_as_a_person_would(group):
    parser = make_parser("")
    add_options(parser, group)
    text = parser.format_help()
    assert "<" not in text
    assert not re.search(r"0x[0-9a-f]{6}", text)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_its_version(name, capsys):
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"tincture.{name}").main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.split()[-1] == __version__


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--brush fan", "unknown --brush 'fan'; choose from round, flat"),
        ("--brush flat --brush-size -1", "--brush-size is -1.0; it must be from 0 to inf"),
        ("--brush-size 3", "--brush-size does nothing without --brush or --pigment: add that, or leave it out"),
        ("--frame-width 3", "--frame-width does nothing without --frame: add that, or leave it out"),
        ("--layers ground varnish", "unknown --layers 'varnish'; choose from ground, glaze"),
        ("--parts umber", "--parts takes NAME=NUMBER, not 'umber'"),
    ],
)
def test_mistakes_are_told_by_flags(words, message):
    with pytest.raises(InputError, match=message):
        read(f"--output wall {words}")


@pytest.mark.parametrize(("words", "message"), [("", "output"), ("--output a --brush-size much", "--brush-size")])
def test_what_cannot_be_parsed_is_an_error_of_the_parser(words, message):
    with pytest.raises(ArgumentError, match=message):
        read(words)


def test_a_call_is_checked_by_names():
    with pytest.raises(InputError, match="brush_size is nan; it must be from 0 to inf"):
        Brush("flat", float("nan"))
    with pytest.raises(InputError, match="unknown brush 'fan'"):
        Brush("fan")


@pytest.mark.parametrize(
    ("command", "group", "words"),
    [
        (sample, sample.Options, "--checkpoint a --output b"),
        (sample, sample.Options, "--checkpoint a --output b --num-images 3 --palette pico-8 000,f00 --transparent"),
        (sample, sample.Options, "--checkpoint a --output b --prompt 'red dragon' sword --negative-prompt 'a b,c'"),
        (sample, sample.Options, "--checkpoint a --output b --sampler remasking --sampler-options remasking_rate=8"),
        (sample, sample.Options, "--checkpoint a --output b --init-image c --mask d --strength 0.25 --mirror x"),
        (sample, sample.Options, "--checkpoint a --output b --target c --fidelity inf --dither bayer4 --width 16"),
        (sample, sample.Options, "--checkpoint a --output b --sprite-sheet --shape-padding 2 --seed 9"),
        (quantize, quantize.Options, "x.png --output b --colors auto --max-error 0.0125 --keep-colors f00,0f0"),
    ],
)
def test_a_group_written_as_words_is_read_as_the_same_group(command, group, words):
    given = shlex.split(words)
    asked = read_options(group, command.make_parser().parse_args(given))
    written = [*given[: given[0] == "x.png"], *words_of(asked)]
    if group is quantize.Options:
        written += ["--output", "b"]
    assert read_options(group, command.make_parser().parse_args(written)) == asked
    assert len(written) <= len(given)
