"""The guides' commands draw their pictures and parse, their Python lines work, their links lead
somewhere.
"""

import argparse
import ast
import importlib
import re
import shlex
import sys
from pathlib import Path
from string import Template

import jsonargparse
import pytest

from tincture import recolor, sample
from tincture.common.options import read_options
from tincture.tools.make_recipes import FOLDER, RECIPES, SHORT

ROOT = Path(__file__).parent.parent
GUIDES = [ROOT / "docs" / "drawing.md", ROOT / "docs" / "recoloring.md"]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("checkpoints/*/*.md")]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def named(pages):
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


def test_the_guides_have_the_commands_of_their_pictures():
    lines = [line for page in GUIDES for block in blocks(page, "sh") for line in block.splitlines()]
    drawn = {line for line in lines if line.startswith("$")}
    recolored = {line for line in lines if line.startswith("python recolor.py ")}
    assert drawn | recolored == {command for recipe in RECIPES.values() for command in recipe.commands}
    assert {f'{variable}="{words}"' for variable, words in SHORT.items()} <= {*lines}
    for command in drawn:
        words = shlex.split(Template(command).substitute(SHORT))[2:]
        read_options(sample.Options, sample.make_parser().parse_args(words))
    for command in recolored:
        recolor.make_parser().parse_args(shlex.split(command)[2:])


def test_the_guides_show_every_picture_and_no_other():
    shown = {
        name for page in GUIDES for name in re.findall(r"pictures/recipes/([a-z-]+)\.(?:png|gif)", page.read_text())
    }
    assert shown == set(RECIPES) == {path.stem for path in FOLDER.iterdir()}
    assert all(path.stat().st_size < 300_000 for path in FOLDER.iterdir())


class ParsedError(Exception):
    """A command has parsed its arguments and would now begin to work."""


def commands(page):
    """The page's commands in Python: what runs, and its arguments. One with an ellipsis is no
    whole command.
    """
    text = page.read_text().replace("\\\n", " ")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    inline = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    # What the shell would put for $common, and the first turn of its loops.
    shell = "\n".join(lines)
    variables = dict(re.findall(r"for (\w+) in (\S+)", shell) + re.findall(r'(\w+)="([^"]*)"', shell))
    for line in [*lines, *(" ".join(each.split()) for each in inline)]:
        filled = line
        while set(found := re.findall(r"\$(\w+)", filled)) & set(variables):
            filled = re.sub(r"\$(\w+)", lambda name: variables.get(name[1], name[0]), filled)
            assert set(found) <= set(variables), line
        for program, arguments in re.findall(r"\bpython (-m (?:benchmarks|tools)\S+|\S+\.py)([^;&#]*)", filled):
            if "…" not in arguments and not re.match(r'\w+="', line):
                yield program, shlex.split(arguments)


@named([page for page in PAGES if any(commands(page))])
def test_commands_parse(page, monkeypatch):
    def parsed_then_stopped(parse):
        def parse_and_stop(*arguments, **options):
            parse(*arguments, **options)
            raise ParsedError

        return parse_and_stop

    parses = {kind: kind.parse_args for kind in (argparse.ArgumentParser, jsonargparse.ArgumentParser)}
    monkeypatch.chdir(ROOT)
    for program, arguments in commands(page):
        name = program.removeprefix("-m ").removesuffix(".py")
        assert (ROOT / name.replace(".", "/")).with_suffix(".py").is_file(), program
        try:
            command = importlib.import_module(f"tincture.{name}")
        except ModuleNotFoundError:
            assert name.startswith("benchmarks.")  # which may need what requirements-benchmarks.txt lists
            continue
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", [program, *arguments])
            for kind, parse in parses.items():
                patch.setattr(kind, "parse_args", parsed_then_stopped(parse))
            with pytest.raises(ParsedError):
                command.main(*[arguments] * bool(command.main.__code__.co_argcount))


def test_the_architecture_names_every_room_and_no_other():
    text = (ROOT / "docs" / "architecture.md").read_text()
    folders = {path.parent.name for path in ROOT.glob("*/*.py")}
    (picture,) = re.findall(r"```\n(train\.py.*?)```", text, re.DOTALL)
    drawn = set(re.findall(r"(?:^|(?<= ))(\w+)/(?=\s)", picture, re.MULTILINE))
    assert folders - {"tests"} <= drawn
    subfolders = {path.name for path in (ROOT / "quantization").iterdir() if any(path.glob("*.py"))}
    assert drawn - subfolders <= {path.name for path in ROOT.iterdir()}
    assert subfolders <= drawn
    assert set(re.findall(r"\w+\.py", picture)) <= {path.name for path in ROOT.glob("*.py")}


def test_each_way_through_the_house_passes_five_files_that_have_what_it_names():
    text = (ROOT / "docs" / "architecture.md").read_text()
    ways = text.partition("## Follow it through")[2].partition("\n## ")[0]
    stations = re.findall(r"^(\d)\. \*\*([\w/]+)\.py\*\*:((?:.|\n +)*)", ways, re.MULTILINE)
    assert [number for number, _, _ in stations] == list("12345") * 3
    for _, file, said in stations:
        module = importlib.import_module("tincture." + file.replace("/", "."))
        for name in re.findall(r"`([A-Za-z]\w*(?:\.\w+)?)`", said)[:1]:
            first, *rest = name.split(".")
            assert all(hasattr(getattr(module, first), each) for each in rest), name


@named(PAGES)
def test_what_a_page_names_exists(page):
    text = page.read_text()
    for name in re.findall(r"(?<![\w/.-])(?:[\w-]+/)+[\w-]+\.(?:py|yaml)\b", text):
        assert (ROOT / name).is_file(), name
    for room, module, name in re.findall(r"`(\w+)\.(\w+)\.(\w+)`", text):
        if (ROOT / room / "__init__.py").is_file() and room != "data":  # data.… is a config's
            assert hasattr(importlib.import_module(f"tincture.{room}.{module}"), name), f"{room}.{module}.{name}"


def test_each_formula_stands_beside_its_function():
    text = (ROOT / "docs" / "diffusion.md").read_text()
    files = (ROOT / "diffusion").glob("*.py")
    modules = [importlib.import_module(f"tincture.diffusion.{path.stem}") for path in files if path.stem != "__init__"]
    names = re.findall(r"^ {4}\S.*? {2,}([A-Za-z_]+(?:\.\w+)?)$", text, re.MULTILINE)
    assert len(names) > 8
    for name in [*names, *re.findall(r"`([A-Z]\w+(?:\.\w+)?|\w+_(?:bits_per_pixel|knots))`", text)]:
        if name != "Reuse":  # of pipelines/
            first, *rest = name.split(".")
            (found,) = {getattr(module, first) for module in modules if hasattr(module, first)}
            assert all(hasattr(found, each) for each in rest), name


def test_what_is_registered_has_the_registry_that_contributing_names():
    rows = [row for row in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if row.startswith("| a")]
    named_registries = 0
    for row in rows:
        for names, file in re.findall(r"((?:`[A-Z]+`(?: and )?)+) \(([^)]+)\)", row):
            module = file.replace("\\", "").removesuffix("/").removesuffix(".py").removesuffix("/__init__")
            registries = importlib.import_module("tincture." + module.replace("/", "."))
            for name in re.findall(r"\w+", names.replace(" and ", " ")):
                assert getattr(registries, name), row
                named_registries += 1
    assert named_registries >= 10


@named([page for page in PAGES if blocks(page, "python")])
def test_what_is_called_python_is_and_imports_what_there_is(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "tincture":
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@named(PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s#]+)", page.read_text()):
        assert "://" in link or (page.parent / link).exists(), link


@named(sorted((ROOT / "docs").glob("*.md")))
def test_a_guide_is_short(page):
    assert len(page.read_text().splitlines()) <= 200


def test_there_are_at_most_twelve_guides_and_the_readme_names_them_all():
    guides = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    assert len(guides) <= 12
    text = (ROOT / "README.md").read_text()
    assert all(f"(docs/{name})" in text for name in guides)
    assert len(text.splitlines()) <= 90
