"""A picture, or a folder of them, as one file (docs/codec.md), and back.

::

    kind and checksum  ·  checksum of what it means  ·  payload
    D                     a picture by the network, range coded
    E                     a length, a folder by the network, range coded, and files as they are
    F                     a file as it is, behind its suffix and that one's length

Encoder and decoder are one function (`codec.arithmetic`): those that are named ``code_…`` are told
values by an encoder and none by a decoder.
"""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tincture.common.errors import InputError

from .arithmetic import SELDOM, Coder, Decoder, Encoder, MarginError, code_flag, code_number, code_one, code_values
from .index_maps import EFFORTS, IndexMap, code_index_maps
from .network import CodecNetwork
from .palettes import code_order, code_palettes, set_positions
from .pictures import MOST_PIXELS, Picture, StoredFile

SINGLE, FOLDER, STORED = 0xD, 0xE, 0xF
"""The first four bits of each kind of file, version 1; four times three of a checksum follow."""

CHECK, LENGTH = 2, 4
"""Bytes: the kind and a checksum of file and model; a length."""

CONTENT = {SINGLE: 1, FOLDER: 4, STORED: 4}
"""Bytes of the checksum of what a file means."""

MOST_FRAMES, MOST_PICTURES = 1 << 12, 1 << 20

Part = Picture | StoredFile


class DamagedError(InputError):
    """These bytes aren't what an encoder wrote."""


@dataclass
class Body:
    """Pictures as they are coded: their palettes are in the prior's order, if it knows them."""

    effort: int
    plans: list["Plan"]
    """Of each picture."""
    palettes: list[np.ndarray] = field(default_factory=list)
    """uint8 ``[K, 4]`` each."""
    frames: list[list[np.ndarray]] = field(default_factory=list)
    """The index maps of each picture; none of a stored file."""
    orders: list[np.ndarray | None] = field(default_factory=list)
    """Where each place of a picture's palette takes its entry from; none if it has no order."""
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What is known of a picture before its colors and pixels."""

    stored: int | None = None
    """How many bytes a file has that is kept as it is; none for a picture."""
    shape: tuple[int, int] = (1, 1)
    is_indexed: bool = False
    durations: tuple[int, ...] = (0,)
    loops: int | None = None
    palette: int = 0
    """Which of the file's palettes it has."""


def encode_pictures(
    network: CodecNetwork, pictures: Sequence[Part], effort: int, progress: bool = False
) -> list[bytes]:
    """A file for each picture; the network sees many at once.

    Args:
        network: none is needed where all files are kept as they are.
        pictures: those that can't be coded are kept as files.
        effort: of `EFFORTS`.
        progress: whether a bar shows it.
    """
    bodies = {row: _body([each], effort) for row, each in enumerate(pictures) if isinstance(each, Picture)}
    coders = [Encoder() for _ in bodies]
    made: dict[int, bytes] = {}
    try:
        _code(network, coders, list(bodies.values()), is_folder=False, progress=progress)
        for (row, _), coder in zip(bodies.items(), coders, strict=True):
            made[row] = _sealed(SINGLE, network.fingerprint, _digest([pictures[row]]), coder.finish())
    except MarginError:  # one in ever so many: the others are coded without it
        if len(bodies) > 1:
            made = {row: encode_pictures(network, [pictures[row]], effort)[0] for row in bodies}
    return [made[row] if row in made else _stored(as_file(each)) for row, each in enumerate(pictures)]


def encode_folder(network: CodecNetwork, pictures: Sequence[Part], effort: int, progress: bool = False) -> bytes:
    """One file for pictures with names. Those that have the same colors share a palette."""
    coder, body = Encoder(), _body(pictures, effort)
    try:
        _code(network, [coder], [body], is_folder=True, progress=progress)
    except MarginError:
        return encode_folder(network, [as_file(each) for each in pictures], effort)
    coded = coder.finish()
    tail = [each.content for each in pictures if isinstance(each, StoredFile)]
    return _sealed(
        FOLDER, network.fingerprint, _digest(pictures), len(coded).to_bytes(LENGTH, "big") + coded + b"".join(tail)
    )


def needs_network(content: bytes) -> bool:
    """Whether a file takes a model to decode; raises DamagedError if it is no such file."""
    if not content or content[0] >> 4 not in (SINGLE, FOLDER, STORED):
        raise DamagedError("it is not a .tnct file of this version")
    return content[0] >> 4 != STORED


def decode(network: CodecNetwork | None, contents: Sequence[bytes], progress: bool = False) -> list[list[Part]]:
    """The pictures of each file: one, or those of a folder. Single ones are decoded together.

    Raises:
        DamagedError: a file was cut or changed, or made with another model.
    """
    found: dict[int, list[Part]] = {}
    singles, payloads = [], []
    for row, content in enumerate(contents):
        if not needs_network(content):
            found[row] = [_read_stored(content)]
            continue
        payload = _unsealed(network.fingerprint, content)
        if content[0] >> 4 == SINGLE:
            singles.append(row)
            payloads.append(payload)
        else:
            found[row] = _read_folder(network, payload, progress)
    bodies = _read(network, payloads, is_folder=False, progress=progress)
    found |= {row: _parts(body, b"") for row, body in zip(singles, bodies, strict=True)}
    for row, content in enumerate(contents):
        if needs_network(content) and not _digest(found[row]).startswith(_meaning(content)):
            raise DamagedError("its content doesn't agree with its checksum: it is damaged, or of another model")
    return [found[row] for row in range(len(contents))]


def as_file(picture: Part) -> StoredFile:
    """A picture as an ordinary file in its name."""
    if isinstance(picture, StoredFile):
        return picture
    with TemporaryDirectory() as folder:
        path = picture.save(Path(folder, "picture"))
        return StoredFile(path.read_bytes(), path.suffix, "its probabilities can't be told apart", picture.name)


# Checks


def _sealed(kind: int, fingerprint: bytes, meaning: bytes, payload: bytes) -> bytes:
    """The file: kind, checksum of all that follows and of the model, and what follows."""
    rest = meaning[: CONTENT[kind]] + payload
    check = int.from_bytes(hashlib.sha256(bytes([kind]) + fingerprint + rest).digest()[:CHECK], "big")
    return (kind << 8 * CHECK - 4 | check >> 4).to_bytes(CHECK, "big") + rest


def _unsealed(fingerprint: bytes, content: bytes) -> bytes:
    """The payload; raises DamagedError if the first checksum differs."""
    kind, meaning = content[0] >> 4, _meaning(content)
    payload = content[CHECK + len(meaning) :]
    if len(meaning) < CONTENT[kind] or _sealed(kind, fingerprint, meaning, payload) != content:
        other = "" if kind == STORED else ", or was made with another model"
        raise DamagedError(f"it is damaged or cut off{other}")
    return payload


def _meaning(content: bytes) -> bytes:
    """The checksum of what a file means."""
    return content[CHECK:][: CONTENT[content[0] >> 4]]


def _digest(pictures: Sequence[Part]) -> bytes:
    """A checksum of what pictures mean."""
    digest = hashlib.sha256()
    for each in pictures:
        if isinstance(each, StoredFile):
            digest.update(f"{_name(each)} {len(each.content)} ".encode() + each.content)
            continue
        digest.update(f"{each.name} {each.shape} {each.is_indexed} {[*each.durations]} {each.loops} ".encode())
        for frame in each.frames:  # without an order, colors stand for indices
            digest.update((frame if each.is_indexed else each.colors[frame]).tobytes())
        digest.update(each.colors.tobytes() if each.is_indexed else b"")
    return digest.digest()


def _name(picture: Part) -> str:
    return picture.name + (picture.suffix if isinstance(picture, StoredFile) else "")


def _stored(file: StoredFile) -> bytes:
    suffix = file.suffix.encode()[:255]
    return _sealed(STORED, b"", hashlib.sha256(file.content).digest(), bytes([len(suffix)]) + suffix + file.content)


def _read_stored(content: bytes) -> StoredFile:
    payload = _unsealed(b"", content)
    suffix, file = payload[1 : 1 + payload[0]].decode(errors="replace"), payload[1 + payload[0] :]
    if "/" in suffix or "\\" in suffix or not hashlib.sha256(file).digest().startswith(_meaning(content)):
        raise DamagedError("it is damaged")
    return StoredFile(file, suffix)


# Pictures to bodies, and back


def _body(pictures: Sequence[Part], effort: int) -> Body:
    """Pictures as they are coded. One without an order takes a palette that another one has."""
    sets = [None if isinstance(each, StoredFile) else _in_set_order(each) for each in pictures]
    taken: list[np.ndarray] = []
    # Large palettes first: a picture without an order may take one with its colors and few more.
    for row in sorted((row for row, each in enumerate(sets) if each), key=lambda row: -len(sets[row][0])):
        colors, order, frames = sets[row]
        if not pictures[row].is_indexed:
            for other in taken:
                places = _places(colors, other) if len(other) <= 2 * len(colors) else None
                if places is not None:
                    colors, frames = other, [places[frame] for frame in frames]
                    break
        if not any(colors is other for other in taken):
            taken.append(colors)
        sets[row] = colors, order, frames
    # Those of a file are numbered as pictures meet them.
    met = list(dict.fromkeys(each[0].tobytes() for each in sets if each))
    plans = [
        Plan(stored=len(picture.content))
        if each is None
        else Plan(
            None, picture.shape, picture.is_indexed, (*picture.durations,), picture.loops, met.index(each[0].tobytes())
        )
        for picture, each in zip(pictures, sets, strict=True)
    ]
    return Body(
        effort,
        plans,
        [_colors(each) for each in met],
        [each[2] if each else [] for each in sets],
        [each[1] if each and picture.is_indexed else None for picture, each in zip(pictures, sets, strict=True)],
        [_name(each) for each in pictures],
    )


def _colors(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8).reshape(-1, 4)


def _places(colors: np.ndarray, other: np.ndarray) -> np.ndarray | None:
    """Where each of ``colors`` stands in ``other``, uint8 ``[K]``; none if one is missing."""
    same = (colors[:, None] == other).all(axis=2)
    return same.argmax(axis=1).astype(np.uint8) if same.any(axis=1).all() else None


def _in_set_order(picture: Picture) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Colors in the prior's order, where each entry of the picture's stands there, index maps."""
    positions = set_positions(picture.colors)
    if positions is None:
        positions = np.arange(len(picture.colors))
    places = positions.argsort()
    return picture.colors[positions], places, [places.astype(np.uint8)[frame] for frame in picture.frames]


def _parts(body: Body, tail: bytes) -> list[Part]:
    """The pictures of a body; files that are kept lie in ``tail``, one after the other."""
    parts: list[Part] = []
    for row, plan in enumerate(body.plans):
        name = body.names[row]
        if plan.stored is not None:
            content, tail = tail[: plan.stored], tail[plan.stored :]
            parts.append(StoredFile(content, "", name=name))
            continue
        colors, frames, order = body.palettes[plan.palette], body.frames[row], body.orders[row]
        if order is not None:
            colors, frames = colors[order], [order.argsort().astype(np.uint8)[frame] for frame in frames]
        parts.append(Picture(frames, colors, plan.is_indexed, plan.durations, plan.loops, name))
    return parts


# Bodies to bytes, and back


def _read(network: CodecNetwork, payloads: Sequence[bytes], is_folder: bool, progress: bool) -> list[Body]:
    try:
        return _code(network, [Decoder(payload) for payload in payloads], None, is_folder, progress)
    except MarginError:
        raise DamagedError(
            "this machine's probabilities differ too much from the encoder's, or it is damaged"
        ) from None
    except (AssertionError, ValueError, zlib.error) as error:
        raise DamagedError("it is damaged") from error


def _read_folder(network: CodecNetwork, payload: bytes, progress: bool) -> list[Part]:
    end = LENGTH + int.from_bytes(payload[:LENGTH], "big")
    (body,) = _read(network, [payload[LENGTH:end]], is_folder=True, progress=progress)
    return _parts(body, payload[end:])


def _code(
    network: CodecNetwork, coders: Sequence[Coder], bodies: Sequence[Body] | None, is_folder: bool, progress: bool
) -> list[Body]:
    """Write bodies, or read them: plans, palettes, pixels, orders, names.

    Several are coded together. Each has a coder of its own and one picture, unless there is one
    body.
    """
    given = [None] * len(coders) if bodies is None else bodies
    found = [_code_plans(coder, network.window, body, is_folder) for coder, body in zip(coders, given, strict=True)]

    # All palettes, of all bodies.
    counts = [1 + max((plan.palette for plan in body.plans if plan.stored is None), default=-1) for body in found]
    owners = [coder for coder, count in zip(coders, counts, strict=True) for _ in range(count)]
    told = None if bodies is None else [colors for body in bodies for colors in body.palettes]
    palettes = iter(code_palettes(owners, network.prior, network.sizes, told) if owners else ())
    for body, count in zip(found, counts, strict=True):
        body.palettes = [next(palettes) for _ in range(count)]

    # All pixels.
    for effort in dict.fromkeys(body.effort for body in found):
        maps, slots = [], []
        for coder, body, told_body in zip(coders, found, given, strict=True):
            if body.effort != effort:
                continue
            for row, plan in enumerate(body.plans):
                frames = [] if plan.stored is not None else [np.zeros(plan.shape, np.uint8)] * len(plan.durations)
                body.frames.append(frames)
                for number in range(len(frames)):
                    indices = None if told_body is None else told_body.frames[row][number]
                    maps.append(IndexMap(coder, plan.shape, body.palettes[plan.palette], indices))
                    slots.append((frames, number))
        for (frames, number), indices in zip(slots, code_index_maps(network, maps, effort, progress), strict=True):
            frames[number] = indices

    # What is known of pictures after their pixels.
    for coder, body, told_body in zip(coders, found, given, strict=True):
        for row, plan in enumerate(body.plans):
            order = None
            if plan.stored is None and plan.is_indexed and set_positions(body.palettes[plan.palette]) is not None:
                told_order = None if told_body is None else told_body.orders[row]
                order = code_order(coder, len(body.palettes[plan.palette]), body.frames[row], told_order)
            body.orders.append(order)
        body.names = [""]
        if is_folder:
            text = None if told_body is None else zlib.compress(json.dumps(told_body.names).encode(), 9)
            size = code_number(coder, None if text is None else len(text))
            read = code_values(coder, size, None if text is None else np.frombuffer(text, np.uint8))
            body.names = json.loads(zlib.decompress(read.tobytes()))
    return found


def _code_plans(coder: Coder, window: int, body: Body | None, is_folder: bool) -> Body:
    effort = code_one(coder, 4.0 ** np.arange(len(EFFORTS)), body and body.effort)
    count = code_number(coder, body and len(body.plans)) if is_folder else 1
    if count > MOST_PICTURES:
        raise DamagedError("it is damaged")
    plans: list[Plan] = []
    palettes = 0
    for row in range(count):
        plans.append(_code_plan(coder, window, palettes, body and body.plans[row]))
        palettes = max(palettes, plans[-1].palette + (plans[-1].stored is None))
    return Body(effort, plans)


def _code_plan(coder: Coder, window: int, palettes: int, plan: Plan | None) -> Plan:
    """``palettes`` are met before; a picture may have one of these or the next one."""
    if code_flag(coder, SELDOM, plan and plan.stored is not None):
        return Plan(stored=code_number(coder, plan and plan.stored))
    shape = (window, window)
    if code_flag(coder, 8, plan and plan.shape != shape):
        shape = (1 + code_number(coder, plan and plan.shape[0] - 1), 1 + code_number(coder, plan and plan.shape[1] - 1))
    is_indexed = code_flag(coder, 4, plan and plan.is_indexed)
    palette = code_one(coder, np.ones(palettes + 1), plan and plan.palette)
    durations, loops = (0,), None
    if code_flag(coder, SELDOM, plan and len(plan.durations) > 1):
        frames = 1 + code_number(coder, plan and len(plan.durations) - 1)
        if frames > MOST_FRAMES:
            raise DamagedError("it is damaged")
        durations = tuple(code_number(coder, plan and plan.durations[number]) for number in range(frames))
        loops = code_number(coder, plan and (0 if plan.loops is None else plan.loops + 1)) - 1
        loops = None if loops < 0 else loops
    if shape[0] * shape[1] > MOST_PIXELS:
        raise DamagedError("it is damaged")
    return Plan(None, shape, is_indexed, durations, loops, palette)
