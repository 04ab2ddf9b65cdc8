"""Typed options: one dataclass makes a command's flags, their ``--help``, and a call's arguments.

A field's type, its default and its line under ``Args:`` stand once, for all of these. Its type may
also say which values are allowed, and without which other options the field does nothing::

    @dataclass(frozen=True)
    class Fitting:
        method: Annotated[str | None, OneOf(QUANTIZERS)] = None
        colors: Annotated[int, Range(2, 256)] = 16
        rounds: Annotated[int, Range(1, 100), With("method")] = 3
        sheet: Sheet | None = None

`add_options` makes ``--method``, ``--colors``, ``--rounds`` and the flags of ``Sheet``;
`read_options` makes a ``Fitting`` of what was parsed, and `words_of` goes the other way. An
optional group, as ``Sheet`` is here, has one field without a default: its flag turns the group on,
and without it the group's other flags do nothing. sample.py is the example to follow.
"""

import re
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from .errors import InputError, Range, choose

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

Group = TypeVar("Group")


class OneOf(NamedTuple):
    """The names that a field may have, in the order of ``--help``."""

    names: Iterable[str]

    def check(self, name: str, value: str) -> None:
        """Raise InputError unless ``value``, which the message calls ``name``, is one of them."""
        choose(name, value, {each: each for each in self.names})


class With(tuple):
    """The fields without any of which this one does nothing."""

    def __new__(cls, *names: str) -> "With":
        """Take one name or several."""
        return super().__new__(cls, names)


@dataclass(frozen=True)
class Option:
    """A field of a typed group as a flag."""

    name: str
    flags: Sequence[str]
    kind: Any
    """Its type without ``None`` and annotations."""
    default: Any
    """What is parsed where the flag is left out."""
    is_required: bool
    allowed: Range | OneOf | None
    needs: Sequence[str]
    help: str
    metavar: str | None
    section: str | None = None

    @property
    def key(self) -> str:
        """The name of its parsed value."""
        return self.flags[0].removeprefix("--").replace("-", "_")

    def add_to(self, place: Any) -> None:
        """Make the flag in a parser or a section of it."""
        more = {"required": True} if self.is_required else {"default": self.default}
        more |= {"metavar": self.metavar} if self.metavar else {}
        kind = get_origin(self.kind) or self.kind
        if kind is bool:
            more = {"action": "store_true"}
        elif kind in (list, Mapping):
            more |= {"nargs": "+", "type": str if kind is Mapping else get_args(self.kind)[0]}
        elif isinstance(self.allowed, Range) and self.allowed.high == float("inf"):
            more |= {"type": _Number()}
        else:
            more |= {"type": str if kind is Sequence else _AnyOf(self.kind) if _is_union(self.kind) else self.kind}
        place.add_argument(*self.flags, help=self.help, **more)

    def value_of(self, parsed: Any) -> Any:
        """The field's value; raises InputError for one that isn't allowed."""
        kind = get_origin(self.kind)
        if kind is Sequence:
            return () if parsed is None else tuple(word.strip() for word in parsed.split(","))
        if kind is Mapping:
            return dict(_pair(self.flags[0], word) for word in parsed)
        if self.allowed is not None and parsed is not None:
            for each in parsed if kind is list else [parsed]:
                self.allowed.check(self.flags[0], each)
        return parsed

    def words_for(self, value: Any) -> list[str]:
        """How a person writes that the field has this value, which isn't the default."""
        kind = get_origin(self.kind) or self.kind
        if kind is bool:
            return [self.flags[0]]
        if kind is Sequence:
            return [self.flags[0], ",".join(map(str, value))]
        if kind is Mapping:
            return [self.flags[0], *(f"{name}={number:g}" for name, number in value.items())]
        return [self.flags[0], *(str(each).removesuffix(".0") for each in (value if kind is list else [value]))]


def add_options(
    parser: "ArgumentParser", group: type, first: Collection[str] = (), only: Collection[str] | None = None
) -> None:
    """Make the flags of a typed group; ``batch_size`` becomes ``--batch-size``.

    A ``bool`` is a switch, a ``list`` several words, a ``Sequence`` names with commas between them,
    and a ``Mapping`` several words NAME=NUMBER. Each group inside this one is a section of
    ``--help``, titled by the first line of its docstring. An optional group belongs to the section
    that it stands in.

    Args:
        parser: where to add them.
        group: a dataclass. The metadata of a field may have ``flags``, where they aren't called
            like the field, and ``metavar``.
        first: names of fields that stand before all sections.
        only: names of the fields to be flags; all of them if left out.
    """
    sections: dict[str | None, Any] = {None: parser}
    for option in _options(group):
        if only is not None and option.name not in only:
            continue
        if option.name not in first and option.section not in sections:
            sections[option.section] = parser.add_argument_group(option.section)
        option.add_to(parser if option.name in first else sections[option.section])


def read_options(group: type[Group], parsed: "Namespace") -> Group:
    """Make a typed group of what was parsed; a flag that the parser lacks counts as left out.

    Raises:
        InputError: a value isn't allowed, or an option was given that does nothing.
    """
    options = {option.name: option for option in _options(group)}
    words = {name: getattr(parsed, option.key, option.default) for name, option in options.items()}
    given = {name for name, option in options.items() if words[name] != option.default}
    for name in [name for name in options if name in given]:
        needs = options[name].needs
        if needs and not given.intersection(needs):
            needed = " or ".join(options[need].flags[0] for need in needs)
            raise InputError(f"{options[name].flags[0]} does nothing without {needed}: add that, or leave it out")

    def build(group: type) -> Any:
        values = {}
        for field, inner, leader in _fields(group):
            if inner is None:
                values[field.name] = options[field.name].value_of(words[field.name])
            elif leader is None or leader in given:
                values[field.name] = build(inner)
        return group(**values)

    return build(group)


def words_of(group: object) -> list[str]:
    """The words of a command line by which `read_options` makes this group again."""
    options = {option.name: option for option in _options(type(group))}
    words: list[str] = []
    for field, inner, _ in _fields(type(group)):
        value = getattr(group, field.name)
        if inner is not None:
            words += [] if value is None else words_of(value)
        elif value not in (options[field.name].default, None, (), [], {}):
            words += options[field.name].words_for(value)
    return words


def check_options(group: object, prefix: str = "") -> None:
    """Raise InputError if a field of a group, or of a group in it, has a value that isn't allowed.

    The message calls it as YAML does: ``train.shift``, which begins with ``prefix``.
    """
    for name, hint in get_type_hints(type(group), include_extras=True).items():
        value = getattr(group, name)
        if is_dataclass(value):
            check_options(value, f"{prefix}{name}.")
        elif get_origin(hint) is Annotated and value is not None:
            for note in get_args(hint)[1:]:
                for each in (
                    (value if isinstance(value, list | tuple) else [value]) if isinstance(note, Range | OneOf) else []
                ):
                    note.check(f"{prefix}{name}", each)


@cache
def _options(group: type, section: str | None = None, leader: str | None = None) -> list[Option]:
    """The flags of a group and of the groups inside; ``leader`` is the field that turns it on."""
    lines = _lines_of(group.__doc__)
    hints = get_type_hints(group, include_extras=True)
    options = []
    for field, inner, inner_leader in _fields(group):
        if inner is None:
            option = _option(field, hints[field.name], lines[field.name], is_optional=leader is not None)
            needs = option.needs or [name for name in (leader,) if name not in (None, field.name)]
            options.append(replace(option, section=section, needs=needs))
        elif inner_leader is not None:
            options += _options(inner, section, inner_leader)
        else:
            options += _options(inner, inner.__doc__.partition("\n")[0].rstrip("."))
    return options


def _lines_of(docstring: str) -> dict[str, str]:
    """What stands under ``Args:`` about each field, in one line."""
    about = re.search(r"^ *Args:\n(.*?)(?:\n\n|\Z)", docstring, re.DOTALL | re.MULTILINE)
    found = re.split(r"^ {8}(\w+): ", about[1] if about else "", flags=re.MULTILINE)[1:]
    return {name: " ".join(text.split()).rstrip(".") for name, text in zip(found[::2], found[1::2], strict=True)}


def _fields(group: type) -> list[tuple[Field, type | None, str | None]]:
    """A group's fields, which groups these are, if any, and which field turns each of those on."""
    hints = get_type_hints(group)
    found = []
    for field in fields(group):
        inner = _without_none(hints[field.name])
        is_group, is_optional = is_dataclass(inner), inner is not hints[field.name]
        leads = [each.name for each in fields(inner) if _has_no_default(each)] if is_group and is_optional else [None]
        found.append((field, inner if is_group else None, leads[0]))
    return found


def _option(field: Field, hint: Any, line: str, is_optional: bool) -> Option:
    """A field as a flag; ``is_optional`` says that its group is."""
    hint, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    kind = _without_none(hint)
    allowed = next((note for note in notes if isinstance(note, Range | OneOf)), None)
    said = [note for note in notes if isinstance(note, str)]
    line = ": ".join([f"{line}. One of", ", ".join(allowed.names)] if isinstance(allowed, OneOf) else [line, *said])
    if _has_no_default(field):
        default = False if kind is bool else None
    else:
        default = field.default_factory() if field.default is MISSING else field.default
        default = {Sequence: None, Mapping: []}.get(get_origin(kind), default)  # as it is typed
    return Option(
        name=field.name,
        flags=field.metadata.get("flags", [f"--{field.name.replace('_', '-')}"]),
        kind=kind,
        default=default,
        is_required=_has_no_default(field) and not is_optional,
        allowed=allowed,
        needs=[name for note in notes if isinstance(note, With) for name in note],
        help=line,
        metavar=field.metadata.get("metavar"),
    )


def _has_no_default(field: Field) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _without_none(hint: Any) -> Any:
    if not isinstance(hint, types.UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if kind is not types.NoneType]
    return kinds[0] if len(kinds) == 1 else hint


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (types.UnionType, Union)


class _AnyOf:
    """The type of a value of several types: the first that can be made of the word."""

    def __init__(self, union: Any) -> None:
        self.kinds = [kind for kind in get_args(union) if kind is not types.NoneType]

    def __call__(self, text: Any) -> Any:
        for kind in self.kinds:
            if get_origin(kind) is Literal:
                if text in get_args(kind):
                    return text
                continue
            with suppress(ValueError):
                return kind(text)
        raise ValueError(text)

    def __repr__(self) -> str:  # what ``--help`` shows
        names = [get_args(kind) if get_origin(kind) is Literal else [kind.__name__] for kind in self.kinds]
        return " or ".join(name for several in names for name in several)


class _Number:
    """The type of a number or infinity, which jsonargparse's own float doesn't take."""

    def __call__(self, text: str | float | None) -> float | None:
        return None if text is None else float(text)

    def __repr__(self) -> str:  # what ``--help`` shows
        return "float"


def _pair(flag: str, word: str) -> tuple[str, float]:
    name, _, value = word.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise InputError(f"{flag} takes NAME=NUMBER, not {word!r}") from None
