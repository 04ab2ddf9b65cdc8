"""What all commands do alike: one line for a user's mistake, an exit status, and flags."""

import atexit
import gc
import json
import logging
import os
import re
import sys
import time
import warnings
from argparse import Action, ArgumentError, ArgumentParser, HelpFormatter, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tincture import __version__

from .environment import describe_environment
from .errors import InputError, did_you_mean
from .files import is_disk_full, is_memory_full, is_process_lost
from .processes import is_first_process

if TYPE_CHECKING:
    from .configs import ConfigParser

# A thread of torch's that waits gives its core away soon. By default it keeps it for long, and two
# commands on one machine stall each other. OpenMP reads this when torch is loaded, so a command
# imports this module first.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

# NumPy takes a tenth of a second to start its threads, which only multiply matrices: there is
# nothing to multiply where pictures are reduced.
if "quantize" in {Path(word).stem for word in sys.argv[:2]}:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

LONGEST_MESSAGE = 1000
"""Characters of an error, which may quote a whole file."""

LAUNCHERS_PATIENCE = 5.0
"""Seconds in which torchrun ends the other processes, once one has failed."""

_ALLOCATIONS = 10_000
"""Between two looks of the garbage collector, which slow the loading of libraries."""

# When a process ends, Python would look through all that is loaded once more: 0.02 s with NumPy.
atexit.register(gc.freeze)

UNKNOWN_OPTION = re.compile(r"^unrecognized arguments: (--[^\s=]+)")


def run(main: Callable[[list[str]], None]) -> None:
    """Call ``main`` with the command line's arguments and end the process with the right status.

    The status is 0 when it returns and 130 after Ctrl-C. It is 2 after ``error: …``, for a user's
    mistake, a file that can't be opened, or a machine that is full. Any other exception is a bug
    and keeps its traceback.

    Of several processes that a launcher started, the first one speaks for all, unless only others
    fail. Those that merely lost it wait until the launcher ends them.
    """
    is_first = is_first_process()
    gc.set_threshold(_ALLOCATIONS)
    logging.basicConfig(level=logging.INFO if is_first else logging.WARNING, format="%(message)s", stream=sys.stderr)
    for library in ("diffusers", "accelerate", "torch", "httpx", "wandb", "matplotlib"):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module="torch|diffusers")
    try:
        main(sys.argv[1:])
    except Exception as error:
        message = message_of(error)
        if not is_first or is_process_lost(error):
            time.sleep(LAUNCHERS_PATIENCE)
        if message is None:
            raise
        fail(message)
    except KeyboardInterrupt:
        if is_first:
            print("interrupted; what was done before is whole", file=sys.stderr)
        sys.exit(130)


def message_of(error: Exception) -> str | None:
    """What to print about an error; None if it is a bug."""
    if isinstance(error, InputError | ArgumentError):
        return str(error)
    is_of_weights = type(error).__name__ == "SafetensorError"  # its library isn't loaded for this
    if is_of_weights or isinstance(error, OSError | MemoryError | RuntimeError):
        if is_disk_full(error):
            return f"no space is left on the disk ({error}); what was written whole before is whole still"
        if is_memory_full(error):
            return f"there isn't enough memory ({error}); ask for smaller pictures, batches or networks"
        if is_process_lost(error):
            return f"another process of this launch has ended, or can't be reached any more ({error})"
        if isinstance(error, OSError) and error.filename is not None:
            return f"{error.strerror}: {error.filename}"
    return None


def fail(message: str) -> NoReturn:
    """Print ``error: …`` as one line of plain text, and exit with status 2."""
    if "tqdm" in sys.modules:
        for bar in tuple(sys.modules["tqdm"].tqdm._instances):  # a bar that is half drawn would share the line
            bar.close()
    line = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(message.split())
    )
    line = f"error: {line if len(line) <= LONGEST_MESSAGE else line[:LONGEST_MESSAGE] + ' …'}"
    print(line, file=sys.stderr, flush=True)
    if "TORCHELASTIC_ERROR_FILE" in os.environ:  # torchrun repeats it where it says which process failed
        told = {"message": line, "extraInfo": {"py_callstack": line, "timestamp": str(int(time.time()))}}
        Path(os.environ["TORCHELASTIC_ERROR_FILE"]).write_text(json.dumps({"message": told}))
        os._exit(2)  # others wait for this process, whose threads may abort if Python goes first
    sys.exit(2)


def describe_run(options: Namespace) -> dict[str, Any]:
    """What the record beside a command's results begins with: its options, and what it ran with."""
    return {"options": plain_options(options), "environment": describe_environment()}


def plain_options(options: Namespace) -> dict[str, Any]:
    """The parsed options as values that JSON can hold."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    return {key: plain(value) for key, value in vars(options).items()}


class FlagHelp(HelpFormatter):
    """Says after each flag what its value is if it is left out."""

    def _get_help_string(self, action: Action) -> str:
        has_default = action.option_strings and action.default not in (None, False, []) and action.nargs != 0
        return f"{action.help} (default: {action.default})" if has_default else action.help


class FlagParser(ArgumentParser):
    """A parser of flags that raises its errors, for `run` to print, and knows ``--version``."""

    def __init__(self, description: str) -> None:
        super().__init__(description=description, allow_abbrev=False, formatter_class=FlagHelp)
        self.add_argument("--version", action="version", version=f"%(prog)s {__version__}")

    def error(self, message: str) -> NoReturn:
        """Raise InputError."""
        raise InputError(message + nearest_option(message, self))


def nearest_option(message: str, parser: ArgumentParser) -> str:
    """A question in parentheses if a parser's error is about an option that is spelled wrongly."""
    options = list(parser._option_string_actions)
    return "".join(did_you_mean(each, options) for each in UNKNOWN_OPTION.findall(message))


def make_parser(description: str) -> "ConfigParser":
    """A parser of options that may also stand in a config file; a `FlagParser` begins sooner."""
    from .configs import ConfigHelp, ConfigParser

    return ConfigParser(
        description=description,
        exit_on_error=False,
        allow_abbrev=False,
        version=__version__,
        formatter_class=ConfigHelp,
    )
