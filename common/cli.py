"""What all commands do alike: one line for a user's mistake, an exit status, and config files."""

import json
import logging
import os
import re
import sys
import time
import warnings
from argparse import Action, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, DefaultHelpFormatter, get_loader
from safetensors import SafetensorError
from tqdm import tqdm

from tincture import __version__

from .environment import describe_environment
from .errors import InputError, did_you_mean
from .files import is_disk_full, is_memory_full, is_process_lost
from .processes import is_first_process

# A thread of torch's that waits gives its core away soon. By default it keeps it for long, and two
# commands on one machine stall each other. OpenMP reads this when torch is loaded, so a command
# imports this module first.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

LONGEST_MESSAGE = 1000
"""Characters of an error, which may quote a whole file."""

LAUNCHERS_PATIENCE = 5.0
"""Seconds in which torchrun ends the other processes, once one has failed."""

UNKNOWN_OPTION = re.compile(r"^unrecognized arguments: (--[^\s=]+)")
UNKNOWN_KEY = re.compile(r"(?:Group '(\S+)' does not accept o|O)ption '(\S+)'(?: is not accepted)?$")

CONFIGS = Path(__file__).parent.parent / "configs"
"""The configs that come with the package."""

load_yaml = get_loader("yaml")  # jsonargparse's: plain values only, and 1e-3 is a number


def run(main: Callable[[list[str]], None]) -> None:
    """Call ``main`` with the command line's arguments and end the process with the right status.

    The status is 0 when it returns and 130 after Ctrl-C. It is 2 after ``error: …``, for a user's
    mistake, a file that can't be opened, or a machine that is full. Any other exception is a bug
    and keeps its traceback.

    Of several processes that a launcher started, the first one speaks for all, unless only others
    fail. Those that merely lost it wait until the launcher ends them.
    """
    is_first = is_first_process()
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
    if isinstance(error, OSError | SafetensorError | MemoryError | RuntimeError):
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
    for bar in tuple(tqdm._instances):  # a bar that is half drawn would share the line
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


class HelpFormatter(DefaultHelpFormatter):
    """Names a type as a person would: Path, not <class 'Path'>."""

    def _expand_help(self, action: Action) -> str:
        return re.sub(r"<class '([\w.]+)'>", r"\1", super()._expand_help(action))


class Parser(ArgumentParser):
    """A parser that knows which option was meant."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise ArgumentError."""
        options = list(self._option_string_actions)
        keys = [option.lstrip("-") for option in options]
        hint = "".join(did_you_mean(each, options) for each in UNKNOWN_OPTION.findall(message))
        hint += "".join(did_you_mean(".".join(filter(None, each)), keys) for each in UNKNOWN_KEY.findall(message))
        super().error(message if hint in message else message + hint, ex)  # its own errors come here once more


def make_parser(description: str) -> Parser:
    """A parser that raises its errors, for `run` to print, and knows ``--version``."""
    return Parser(
        description=description,
        exit_on_error=False,
        allow_abbrev=False,
        version=__version__,
        formatter_class=HelpFormatter,
    )


def read_config(path: Path, parser: ArgumentParser) -> dict[str, Any]:
    """What a config file sets: plain values of ``parser``'s options.

    In the place of a group of options, jsonargparse would also take the name of a class, by the key
    ``class_path`` or as text, and import its module. A file doesn't choose what is imported, so
    both are refused.

    Raises:
        InputError: it can't be read, isn't text, isn't a YAML mapping, or names a class.
    """
    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"the config {path} can't be read: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"the config {path} holds no names with values")
    groups = {action.dest.rpartition(".")[0] for action in parser._actions}

    def check(values: dict[str, Any], prefix: str) -> None:
        for key, value in values.items():
            name = f"{prefix}{key}"
            if name.rsplit(".", maxsplit=1)[-1] in ("class_path", "init_args"):
                raise InputError(f"the config {path} sets {name}, but a config names no classes")
            if isinstance(value, dict):
                check(value, f"{name}.")
            elif name in groups:
                raise InputError(f"the config {path}: {name} holds names with values, not {value!r}")

    check(values, "")
    return values


class ConfigFile(ActionConfigFile):
    """The option that names a config file, or one of ours by its name: ``--config icons16``.

    A config can't say where a command writes and what it replaces.
    """

    def __call__(self, parser: ArgumentParser, cfg: Namespace, values: str, option_string: str | None = None) -> None:
        """Read the file, then set what it says as jsonargparse does."""
        ours = CONFIGS / f"{values}.yaml"
        content = self.read(ours if ours.is_file() and not Path(values).is_file() else Path(values), parser)
        taken = {"config", "output", "overwrite", "resume"} & set(content)
        if taken:
            raise InputError(f"the config {values} sets {', '.join(sorted(taken))}: only the command line does")
        super().__call__(parser, cfg, yaml.safe_dump(content), option_string)

    def read(self, path: Path, parser: ArgumentParser) -> dict[str, Any]:
        """What the file sets; see `read_config`."""
        return read_config(path, parser)
