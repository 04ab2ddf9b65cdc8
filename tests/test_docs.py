"""The guides' commands draw their pictures, their Python lines work, their links lead somewhere."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from tincture import recolor, sample
from tincture.common.options import read_options
from tincture.tools.make_recipes import DRAW, FOLDER, RECIPES

ROOT = Path(__file__).parent.parent
GUIDES = [ROOT / "docs" / "drawing.md", ROOT / "docs" / "recoloring.md"]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("checkpoints/*/*.md")]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def named(pages):
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


def test_the_guides_have_the_commands_of_their_pictures():
    lines = [line for page in GUIDES for block in blocks(page, "sh") for line in block.splitlines()]
    drawn = {line.removeprefix("$DRAW ") for line in lines if line.startswith("$DRAW ")}
    recolored = {line.removeprefix("python ") for line in lines if line.startswith("python recolor.py ")}
    assert drawn | recolored == {command for recipe in RECIPES.values() for command in recipe.commands}
    assert f'DRAW="python sample.py --checkpoint checkpoints/icons16 {DRAW}"' in lines
    for command in drawn:
        words = [*shlex.split(f"--checkpoint x {DRAW}"), *shlex.split(command)]
        read_options(sample.Options, sample.make_parser().parse_args(words))
    for command in recolored:
        recolor.make_parser().parse_args(shlex.split(command)[1:])


def test_the_guides_show_every_picture_and_no_other():
    shown = {
        name for page in GUIDES for name in re.findall(r"pictures/recipes/([a-z-]+)\.(?:png|gif)", page.read_text())
    }
    assert shown == set(RECIPES) == {path.stem for path in FOLDER.iterdir()}
    assert all(path.stat().st_size < 300_000 for path in FOLDER.iterdir())


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


def test_there_are_at_most_nine_guides_and_the_readme_names_them_all():
    guides = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    assert len(guides) <= 9
    text = (ROOT / "README.md").read_text()
    assert all(f"(docs/{name})" in text for name in guides)
    assert len(text.splitlines()) <= 90
