"""Words: a vocabulary with a vector for each, and what the words of a caption tell the network.

A caption counts as a set of words: neither their order nor a word said twice makes a difference.
Vectors are static, so no language model is needed to draw. What a word means to pictures is learned
from its vector; so a word that no caption has does what its neighbors do.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tincture.common.errors import InputError

from .options import Pooling

logger = logging.getLogger(__name__)

MAX_WORDS = 16
"""Words of a caption that count; what follows them is left out."""

PADDING = -1
"""In place of a word's row: no word."""

LEARNED, LEARNED_CHANNELS = "learned", 64
"""Instead of a table's name: vectors of that many numbers, which training begins at random."""

UNIT = 32
"""What a table stores for 1: its vectors are whole numbers of a byte, with a variance near 1."""

_SILENT = "a an and at by for from in into is it its of on or the to with"
SILENT = frozenset(_SILENT.split())
"""Words that say nothing about a set of words; all single letters don't, either."""


class Vocabulary:
    """Words, each with the number of its row.

    A word that isn't there is looked up as what it is a form of, then as two words in one.

    Args:
        words: in small letters.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._rows = {word: row for row, word in enumerate(words)}

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, word: str) -> list[int]:
        """The rows that stand for a word: one, two of a compound, or none."""
        forms = (word, *stems(word))
        halves = ((form[:cut], form[cut:]) for form in forms for cut in range(3, len(form) - 2))
        for parts in (*((form,) for form in forms), *halves):  # "fireball" is "fire" and "ball"
            if all(part in self._rows for part in parts):
                return [self._rows[part] for part in parts]
        return []

    def known_in(self, text: str) -> str:
        """The words of a text that it knows: of a caption, a prompt that is understood whole."""
        return " ".join(filter(self.find, words_in(text)))

    def spelled_alike(self, word: str) -> str | None:
        """The word that a misspelled one of five letters or more is nearest to, if any is near."""
        alike = (known for known in self._rows if known[0] == word[0] and abs(len(known) - len(word)) <= 1)
        return next(iter(get_close_matches(word, alike, n=1, cutoff=0.8)), None) if len(word) >= 5 else None

    @cache  # noqa: B019  # a network has one vocabulary; the log says a thing once
    def understand(self, prompt: str) -> tuple[int, ...]:
        """The rows of a prompt's words, misspelled ones too. The log says what isn't known.

        Raises:
            InputError: it is empty, or none of its words is known.
        """
        if not words_in(prompt):
            raise InputError(f"the prompt {prompt!r} says nothing: name what to draw, or leave it out")
        text = prompt.lower()
        for word in self.read(prompt)[1]:
            if (meant := self.spelled_alike(word)) is not None:
                text = re.sub(rf"\b{word}\b", meant, text)
                logger.warning("%r is taken for %r", word, meant)
            else:
                logger.warning("the model doesn't know %r; it is left out", word)
        rows = self.read(text)[0]
        if rows[0] == PADDING:
            raise InputError(f"the model knows no word of the prompt {prompt!r}: name what to draw in English words")
        return rows

    def encode(self, texts: Sequence[str]) -> Tensor:
        """The rows of the words of each text, int64 ``[B, MAX_WORDS]``, without unknown ones."""
        return torch.tensor([self.read(text)[0] for text in texts])

    @cache  # noqa: B019  # captions are read once, and not in each step
    def read(self, text: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """The rows of a text's words, `PADDING` after the last, and the words that have none."""
        found = {word: self.find(word) for word in words_in(text)}
        rows = list(dict.fromkeys(row for rows in found.values() for row in rows))[:MAX_WORDS]
        unknown = (word for word, rows in found.items() if not rows)
        return (*rows, *[PADDING] * (MAX_WORDS - len(rows))), tuple(unknown)


def words_in(text: str) -> list[str]:
    """The different words of a text that say something, in small letters."""
    words = dict.fromkeys(re.findall(r"[^\W\d_]{2,}", text.lower()))
    return [word for word in words if word not in SILENT]


ENDINGS = (
    *(("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", "")),
    *(("ied", "y"), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e")),
)


def stems(word: str) -> Iterator[str]:
    """What an English word may be a form of: "knives" of "knife", "glowing" of "glow"."""
    for ending, instead in ENDINGS:
        base = word.removesuffix(ending)
        if base != word and len(base + instead) >= 3:
            yield base + instead
            if ending in ("ed", "ing") and not instead and base[-1:] == base[-2:-1]:
                yield base[:-1]  # "spotted" of "spot"


class Table(NamedTuple):
    """Words and their vectors, as a file and a network hold them."""

    letters: Tensor
    """The words, a line each, uint8 ``[N]``."""
    vectors: Tensor
    """int8 ``[V, D]`` in parts of `UNIT`; or float, to begin to learn from."""

    @classmethod
    def of(cls, words: Sequence[str], vectors: Tensor) -> Self:
        """The table of V words and their vectors, ``[V, D]``."""
        return cls(torch.frombuffer(bytearray("\n".join(words).encode()), dtype=torch.uint8), vectors)

    @classmethod
    def read(cls, name: str) -> Self:
        """Read a table that lies here, by its name, or any other file of one.

        Raises:
            InputError: it can't be read, or is no table.
        """
        path = Path(__file__).with_name(f"{name}.safetensors") if name in TABLES else Path(name).expanduser()
        try:
            table = cls(**load_file(path))
            table.words()
        except (OSError, SafetensorError, TypeError, ValueError) as error:
            raise InputError(
                f"model.text is {name!r}, which is none of {', '.join((*TABLES, LEARNED))} and no table of words "
                f"that tools/make_vocabulary.py wrote: {str(error).splitlines()[0]}"
            ) from None
        return table

    def save(self, path: Path, credit: str) -> None:
        """Write a file that `read` reads; ``credit`` says where the vectors come from."""
        save_file(self._asdict(), path, {"credit": credit})

    def words(self) -> list[str]:
        """The words; raises ValueError if they aren't as many as the vectors."""
        words = bytes(self.letters.tolist()).decode().split("\n")
        if self.vectors.ndim != 2 or len(words) != len(self.vectors):
            raise ValueError(f"{len(words):,} words, and vectors {list(self.vectors.shape)}")
        return words


TABLES = ("minilm",)
"""The tables that lie beside this file."""


def table_for(name: str, captions: Iterable[str], start: Table | None = None) -> Table:
    """The table of that name, and the words of ``captions`` that it lacks.

    These get random vectors, so that what only your pictures have can be learned and asked for too.
    A network that begins with another's weights has that one's table, ``start``, in its place.

    Raises:
        InputError: as `Table.read`; or there is no word.
    """
    base = start
    if base is None and name != LEARNED:
        base = Table.read(name)
    words = [] if base is None else base.words()
    known = Vocabulary(words)
    said = {word for caption in set(captions) for word in words_in(caption)}
    if not said and start is None:
        raise InputError("model.text is set, but no picture has a caption: leave it out, or take data that have words")
    new = {word for word in said if not known.find(word)}
    words += sorted(word for word in new if new.isdisjoint(stems(word)))
    channels = LEARNED_CHANNELS if base is None else base.vectors.shape[1]
    vectors = torch.randn(len(words), channels, generator=torch.Generator().manual_seed(0))
    if base is not None:
        added = vectors[len(base.vectors) :]
        vectors = torch.cat([base.vectors, added if base.vectors.is_floating_point() else as_bytes(added)])
    return Table.of(words, vectors)


def as_bytes(vectors: Tensor) -> Tensor:
    """Vectors as a table holds them, int8; what is above 4 is cut."""
    return (vectors * UNIT).round().clamp(-127, 127).to(torch.int8)


class Context(NamedTuple):
    """What the network is told in words."""

    tokens: Tensor
    """What palette entries look at, ``[B, L, C]``."""
    valid: Tensor
    """Which of these there are, bool ``[B, L]``."""
    summary: Tensor
    """One vector for each image, ``[B, D]``; zero where no word is told."""


class TextEncoder(nn.Module):
    """From the rows of words to tokens, and to one vector for each image.

    Args:
        channels: features of a token.
        condition_channels: size of the vector.
        pooling: attention leaves each word its token, and learns how much each counts; mean makes
            one token of all.
        words: rows of the table.
        letters: bytes of their spelling.
        vector_channels: numbers of a word's vector.
        learned: whether vectors are learned.
    """

    def __init__(
        self,
        channels: int,
        condition_channels: int,
        pooling: Pooling,
        words: int,
        letters: int,
        vector_channels: int,
        learned: bool,
    ) -> None:
        super().__init__()
        self.register_buffer("letters", torch.zeros(letters, dtype=torch.uint8))
        if learned:
            self.vectors = nn.Parameter(torch.zeros(words, vector_channels))
        else:
            self.register_buffer("vectors", torch.zeros(words, vector_channels, dtype=torch.int8))
        self.project = nn.Linear(vector_channels, channels)
        self.norm = nn.LayerNorm(channels)
        self.weigh = nn.Linear(channels, 1) if pooling == "attention" else None
        self.to_condition = nn.Sequential(  # without a bias: no word adds nothing
            nn.Linear(channels, condition_channels, bias=False),
            nn.SiLU(),
            nn.Linear(condition_channels, condition_channels, bias=False),
        )

    @staticmethod
    def shape(table: Table) -> dict[str, int | bool]:
        """The last four arguments for an encoder that holds ``table``."""
        words, channels = table.vectors.shape
        learned = table.vectors.is_floating_point()
        return {"words": words, "letters": len(table.letters), "vector_channels": channels, "learned": learned}

    @property
    def table(self) -> Table:
        """The words and the vectors that it holds."""
        return Table(self.letters, self.vectors.detach())

    @torch.no_grad()
    def hold(self, table: Table) -> None:
        """Take the words and the vectors of a table of its shape."""
        self.letters.copy_(table.letters)
        self.vectors.copy_(table.vectors)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words that it knows; raises InputError if a damaged file has too few of them."""
        try:
            return Vocabulary(self.table.words())
        except ValueError as error:
            raise InputError(f"the model's vocabulary is damaged: {error}") from None

    @torch.no_grad()
    def likeness(self, prompts: Tensor, captions: Tensor) -> Tensor:
        """How far captions, int64 ``[N, L]``, say what prompts say, ``[P, L]``: float ``[P, N]``.

        For each word of a prompt the nearest word of the caption counts, by the cosine of both.
        """
        vectors, scores = F.normalize(self.vectors.float(), dim=1), []
        for prompt in prompts:
            near = vectors @ vectors[prompt[prompt != PADDING]].T  # [V, words of the prompt]
            said = near[captions.clamp(0, len(vectors) - 1)].masked_fill((captions == PADDING)[..., None], -1)
            scores.append(said.amax(dim=1).mean(dim=1))
        return torch.stack(scores)

    def vectors_of(self, words: Tensor) -> Tensor:
        """The vectors of these rows, ``[B, L, D]`` in the encoder's dtype; zero for `PADDING`."""
        vectors = F.embedding(words.clamp_min(0), self.vectors).to(self.project.weight.dtype)
        vectors = vectors * (words != PADDING)[..., None]
        return vectors if self.vectors.is_floating_point() else vectors / UNIT

    def forward(self, words: Tensor) -> Context:
        """What the words of these rows say, int64 ``[B, L]``; `PADDING` is no word."""
        valid, vectors = words != PADDING, self.vectors_of(words)
        tokens = self.norm(self.project(vectors))  # [B, L, C]
        scores = torch.zeros_like(tokens[..., 0]) if self.weigh is None else self.weigh(tokens)[..., 0]
        weights = scores.masked_fill(~valid, torch.finfo(scores.dtype).min).softmax(dim=1) * valid  # [B, L]
        pooled = (weights[..., None] * tokens).sum(dim=1)
        summary = self.to_condition(pooled)
        if self.weigh is None:
            return Context(pooled[:, None], valid.any(dim=1, keepdim=True), summary)
        return Context(tokens, valid, summary)
