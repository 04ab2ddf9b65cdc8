"""All commands under one name: ``tincture quantize …``, or ``python -m tincture quantize …``."""

import importlib
import sys

from tincture import __version__

COMMANDS = {
    "train": "train a model on a set of pictures",
    "sample": "draw images with a trained model in any palette",
    "palette": "draw palettes with a trained model",
    "quantize": "reduce pictures to a palette, fitted or given",
    "recolor": "move pictures to other colors, their annotations carried along",
    "compress": "write pictures as few bytes by a model, and read them back as they were",
    "app": "open the studio: draw in the browser; also called studio",
    "evaluate": "judge a trained model by its likelihood and by what it draws",
    "encode_dataset": "encode a data set once for all runs to come",
    "publish": "make a trained model small enough for a repository",
}
ALIASES = {"studio": "app"}


def main() -> None:
    """Call the command that the first word names with all that follows."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    name = ALIASES.get(word, word.replace("-", "_"))
    if name in COMMANDS:
        from tincture.common import cli

        sys.argv[:2] = [f"tincture {word}"]
        cli.run(importlib.import_module(f"tincture.{name}").main)
    elif word in ("--help", "-h"):
        listed = (f"  {command.replace('_', '-'):<16}{meaning}" for command, meaning in COMMANDS.items())
        print("usage: tincture COMMAND …\n", *listed, sep="\n")
    elif word == "--version":
        print(f"tincture {__version__}")
    else:
        print(f"error: there is no command {word!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
