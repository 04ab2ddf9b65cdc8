"""What the commands share: one line for a user's mistake, an exit status, and quiet libraries."""

import logging
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser
from safetensors import SafetensorError

from quantization.errors import InputError
from quantization.files import is_disk_full


def run(main: Callable[[list[str]], None]) -> None:
    """Call ``main`` with the command line's arguments and end the process with the right status.

    0 when it returns, 2 after ``error: …`` for a user's mistake, 130 for Ctrl-C; any other exception is a bug and
    keeps its traceback.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for library in ("diffusers", "accelerate", "torch", "httpx", "wandb", "matplotlib"):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module="torch|diffusers")
    try:
        main(sys.argv[1:])
    except (InputError, ArgumentError) as error:
        fail(str(error))
    except (OSError, SafetensorError) as error:
        if not is_disk_full(error):
            raise
        fail(f"no space is left on the disk ({error}); what was written whole before is whole still")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def fail(message: str) -> None:
    """Print ``error: …`` as one line and exit with status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def plain_options(options: Namespace) -> dict[str, Any]:
    """The parsed options as values that JSON can hold, for the record beside a command's results."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    return {key: plain(value) for key, value in vars(options).items()}


def make_parser(description: str) -> ArgumentParser:
    """A parser that raises its errors, for `run` to print."""
    return ArgumentParser(description=description, exit_on_error=False, allow_abbrev=False)
