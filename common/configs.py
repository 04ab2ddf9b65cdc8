"""Config files: typed YAML, any key of which the command line may override."""

import re
from argparse import Action, Namespace
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter, get_loader

from .cli import nearest_option
from .errors import InputError, did_you_mean

UNKNOWN_KEY = re.compile(r"(?:Group '(\S+)' does not accept o|O)ption '(\S+)'(?: is not accepted)?$")

CONFIGS = Path(__file__).parent.parent / "configs"
"""The configs that come with the package."""

load_yaml = get_loader("yaml")  # jsonargparse's: plain values only, and 1e-3 is a number


class ConfigHelp(DefaultHelpFormatter):
    """Names a type as a person would: Path, not <class 'Path'>."""

    def _expand_help(self, action: Action) -> str:
        return re.sub(r"<class '([\w.]+)'>", r"\1", super()._expand_help(action))


class ConfigParser(ArgumentParser):
    """A parser that raises its errors, for `cli.run` to print, and knows ``--version``."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise ArgumentError, which says which option was meant."""
        keys = [option.lstrip("-") for option in self._option_string_actions]
        hint = nearest_option(message, self)
        hint += "".join(did_you_mean(".".join(filter(None, each)), keys) for each in UNKNOWN_KEY.findall(message))
        super().error(message if hint in message else message + hint, ex)  # its own errors come here once more


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
        taken = {"config", "output", "overwrite", "resume", "init_from"} & set(content)
        if taken:
            raise InputError(f"the config {values} sets {', '.join(sorted(taken))}: only the command line does")
        super().__call__(parser, cfg, yaml.safe_dump(content), option_string)

    def read(self, path: Path, parser: ArgumentParser) -> dict[str, Any]:
        """What the file sets; see `read_config`."""
        return read_config(path, parser)
