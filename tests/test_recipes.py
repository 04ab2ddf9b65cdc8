"""docs/recipes.md holds the commands and the pictures of docs/pictures/make_recipes.py, and its Python lines are Python."""

import re
import shlex
from pathlib import Path

import augment
import sample
from docs.pictures.make_recipes import DRAW, FOLDER, RECIPES

PAGE = Path(__file__).parent.parent / "docs" / "recipes.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_has_the_commands_of_its_pictures():
    drawn = {
        line.removeprefix("$DRAW ")
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("$DRAW ")
    }
    recolored = {
        line.removeprefix("python ") for block in blocks("sh") for line in block.splitlines() if "augment" in line
    }
    assert drawn | recolored == {command for recipe in RECIPES.values() for command in recipe.commands}
    assert f' {DRAW}"\n' in PAGE.read_text()
    for command in drawn:
        sample.make_parser().parse_args([*shlex.split(f"--checkpoint x {DRAW}"), *shlex.split(command)])
    for command in recolored:
        augment.make_parser().parse_args(shlex.split(command)[1:])


def test_the_page_shows_every_picture_and_no_other():
    shown = set(re.findall(r"pictures/recipes/([a-z-]+)\.(?:png|gif)", PAGE.read_text()))
    assert shown == set(RECIPES) == {path.stem for path in FOLDER.iterdir()}
    assert all(path.stat().st_size < 300_000 for path in FOLDER.iterdir())


def test_what_is_called_python_compiles():
    assert len(blocks("python")) > 15
    for block in blocks("python"):
        compile(block, "recipes.md", "exec")
