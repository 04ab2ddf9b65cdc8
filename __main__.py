"""All commands under one name: ``tincture quantize …``, or ``python -m tincture quantize …``."""

import importlib
import sys

COMMANDS = {
    "train": "train a model on a set of pictures",
    "sample": "draw images with a trained model in any palette",
    "quantize": "reduce pictures to a palette, fitted or given",
    "recolor": "move pictures to other colors, their annotations carried along",
    "evaluate": "judge a trained model by its likelihood and by what it draws",
    "encode_dataset": "encode a data set once for all runs to come",
    "publish": "make a trained model small enough for a repository",
}


def main() -> None:
    """Call the command that the first word names with all that follows."""
    name = sys.argv[1].replace("-", "_") if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        from tincture.common import cli

        sys.argv[:2] = [f"tincture {sys.argv[1]}"]
        cli.run(importlib.import_module(f"tincture.{name}").main)
        return
    usage = "usage: tincture COMMAND …\n\n" + "\n".join(
        f"  {command.replace('_', '-'):<16}{meaning}" for command, meaning in COMMANDS.items()
    )
    if name in ("--help", "-h", "__help"):
        print(usage)
        return
    print(f"error: there is no command {sys.argv[1]!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
