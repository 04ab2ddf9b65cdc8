"""Range coding with whole-number tables: what an encoder and a decoder do alike, written once.

Both have one method, `code`. An encoder is given symbols and returns them; a decoder is given none
and returns those that it read. So a format is one function, which is told a coder. The coding
itself is constriction's (Bamler 2022, arXiv 2201.01741).
"""

from typing import Protocol

import numpy as np
from constriction import stream

_TABLES = stream.model.Categorical(perfect=False)
"""Whole-number weights, ``[n, K]``, become shares of 2**24, none of them 0."""

WORD, STATE = 32, 64
"""Bits of what constriction writes at a time, and of its state."""

EIGHTHS = np.array([16777216, 15384775, 14107901, 12937002, 11863283, 10878679, 9975792, 9147842])
"""2**24 / 2**(n/8) for n = 0 to 7, rounded."""

SELDOM = 64
"""What is seldom so is so many times less likely than what is usual."""

_AT_ONCE = 4096

_LIKELY_ZERO = np.array([1 << 18, *(max(256 >> place, 1) for place in range(1, 256))], dtype=np.float64)


class Coder(Protocol):
    """An encoder or a decoder."""

    def code(self, weights: np.ndarray, symbols: np.ndarray | None = None) -> np.ndarray:
        """Write n symbols, or read and return them, int64 ``[n]``.

        Args:
            weights: how likely each value is, whole numbers from 1 to 2**32 as float64 ``[n, K]``.
            symbols: each in 0 … K - 1, ``[n]``; for an encoder only.
        """


class Encoder:
    """See `Coder`."""

    def __init__(self) -> None:
        self._encoder = stream.queue.RangeEncoder()

    def code(self, weights: np.ndarray, symbols: np.ndarray | None = None) -> np.ndarray:
        """See `Coder.code`."""
        if len(symbols) and weights.shape[1] > 1:
            self._encoder.encode(np.ascontiguousarray(symbols, np.int32), _TABLES, weights)
        return np.asarray(symbols, np.int64)

    def finish(self) -> bytes:
        """The shortest string of bytes that means what was coded; zeros are thought behind it."""
        words, (below, width) = self._encoder.pos()
        written = self._encoder.get_compressed()
        # What was coded is an interval of numbers behind the point, of which `words` are settled.
        prefix = int.from_bytes(written[:words].astype(">u4").tobytes(), "big") << STATE
        within = int.from_bytes(written.astype(">u4").tobytes(), "big") << STATE + WORD * (words - len(written))
        low = prefix + below
        low -= (low > within) << STATE  # the state has run over, and a carry was written already
        bits = STATE + WORD * words
        for size in range(max(bits - 2 * STATE, 0) // 8, bits // 8 + 1):
            unit = 1 << bits - 8 * size
            shortest = -(-low // unit)
            if shortest * unit < low + width:
                return shortest.to_bytes(size, "big").rstrip(b"\0")
        raise AssertionError("an interval of the range coder holds no number")


class Decoder:
    """See `Coder`; what is read behind the end is zero.

    Args:
        content: what `Encoder.finish` gave.
    """

    def __init__(self, content: bytes) -> None:
        whole = content + bytes(-len(content) % (WORD // 8))
        self._decoder = stream.queue.RangeDecoder(np.frombuffer(whole, ">u4").astype(np.uint32))

    def code(self, weights: np.ndarray, symbols: np.ndarray | None = None) -> np.ndarray:
        """See `Coder.code`."""
        if len(weights) == 0 or weights.shape[1] == 1:
            return np.zeros(len(weights), np.int64)
        return self._decoder.decode(_TABLES, weights).astype(np.int64)


class Tape:
    """An encoder that only remembers, and knows how many bits it would take (`Coder`)."""

    def __init__(self) -> None:
        self.bits = 0.0
        self._coded: list[tuple[np.ndarray, np.ndarray]] = []

    def code(self, weights: np.ndarray, symbols: np.ndarray | None = None) -> np.ndarray:
        """See `Coder.code`."""
        self._coded.append((weights, symbols))
        shares = weights[np.arange(len(symbols)), symbols] / weights.sum(axis=1)
        self.bits -= np.log2(shares).sum()
        return np.asarray(symbols, np.int64)

    def replay(self, coder: Coder) -> None:
        """Tell ``coder`` all that this was told."""
        for weights, symbols in self._coded:
            coder.code(weights, symbols)


def code_one(coder: Coder, weights: np.ndarray, symbol: int | None = None) -> int:
    """One symbol with the weights ``[K]``."""
    return int(coder.code(weights[None].astype(np.float64), None if symbol is None else np.array([symbol]))[0])


def code_flag(coder: Coder, odds: int, flag: bool | None = None) -> bool:
    """Yes or no; no is ``odds`` times as likely."""
    return bool(code_one(coder, np.array([odds, 1]), flag))


def code_number(coder: Coder, number: int | None = None) -> int:
    """A number from 0 to 2**31 - 1; a small one takes fewer bits (Elias 1975, the gamma code)."""
    bits = code_one(coder, 2.0 ** np.arange(32, 0, -1), None if number is None else (number + 1).bit_length() - 1)
    given = None if number is None else np.array([(number + 1) >> place & 1 for place in range(bits)])
    read = coder.code(np.ones((bits, 2)), given)
    return (1 << bits) - 1 + sum(int(bit) << place for place, bit in enumerate(read))


def code_values(coder: Coder, count: int, values: np.ndarray | None = None) -> np.ndarray:
    """So many bytes, uint8 ``[count]``, each value as likely as any other."""
    given = None if values is None else values.ravel()
    parts = [slice(first, first + _AT_ONCE) for first in range(0, count, _AT_ONCE)]
    coded = [
        coder.code(np.ones((min(part.stop, count) - part.start, 256)), None if given is None else given[part])
        for part in parts
    ]
    return np.concatenate([np.zeros(0, np.uint8), *coded]).astype(np.uint8)


# Logits of a network


MARGIN = 1e-7
"""How far each logit of an encoder keeps from where rounding changes, in bits."""

STEP = 8
"""Logits are rounded to so many parts of a bit."""


class MarginError(Exception):
    """A network's logits are so near to where rounding changes that another machine may differ."""


def code_by_logits(coder: Coder, logits: np.ndarray, symbols: np.ndarray | None = None) -> np.ndarray:
    """Symbols by a network's logits, which another machine computes a little differently.

    Logits become whole numbers of eighths of a bit, by a shift that the encoder chooses and codes:
    one with which none of them is near where rounding changes.

    Args:
        logits: float64 ``[n, K]``, in nats; minus infinity where a value is impossible.
        symbols: as for `Coder.code`.

    Raises:
        MarginError: no shift keeps them away, or the decoder's are nearer than an encoder's can be.
    """
    is_possible = np.isfinite(logits)
    eighths = np.where(is_possible, logits, logits.max(axis=1, keepdims=True)) * (STEP / np.log(2.0))
    shift = code_one(coder, _LIKELY_ZERO, None if symbols is None else _shift(eighths))
    if _nearest_edge(eighths, shift) < MARGIN * STEP / 2:
        raise MarginError
    levels = np.floor(eighths + shift / 256).astype(np.int64)
    below = levels.max(axis=1, keepdims=True) - levels
    weights = np.where(is_possible, np.maximum(EIGHTHS[below % STEP] >> np.minimum(below // STEP, 62), 1), 1)
    return coder.code(np.ascontiguousarray(weights, np.float64), symbols)  # constriction reads memory


def _shift(eighths: np.ndarray) -> int:
    for shift in range(256):
        if _nearest_edge(eighths, shift) >= MARGIN * STEP:
            return shift
    raise MarginError


def _nearest_edge(eighths: np.ndarray, shift: int) -> float:
    moved = eighths + shift / 256
    return float(np.abs(moved - np.rint(moved)).min(initial=1.0))
