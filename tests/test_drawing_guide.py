"""docs/drawing.md holds the commands and the pictures of tools/make_recipes.py, and its Python lines are Python."""

import re
import shlex
from pathlib import Path

from tincture import recolor, sample
from tincture.controls.idle_options import check_idle_options
from tincture.tools.make_recipes import DRAW, FOLDER, RECIPES

PAGE = Path(__file__).parent.parent / "docs" / "drawing.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_has_the_commands_of_its_pictures():
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    drawn = {line.removeprefix("$DRAW ") for line in lines if line.startswith("$DRAW ")}
    recolored = {line.removeprefix("python ") for line in lines if line.startswith("python recolor.py ")}
    assert drawn | recolored == {command for recipe in RECIPES.values() for command in recipe.commands}
    assert f'DRAW="python sample.py --checkpoint checkpoints/icons16 {DRAW}"\n' in PAGE.read_text()
    for command in drawn:
        parser = sample.make_parser()
        options = parser.parse_args([*shlex.split(f"--checkpoint x {DRAW}"), *shlex.split(command)])
        check_idle_options(options, parser.get_defaults())
    for command in recolored:
        recolor.make_parser().parse_args(shlex.split(command)[1:])


def test_the_page_shows_every_picture_and_no_other():
    shown = set(re.findall(r"pictures/recipes/([a-z-]+)\.(?:png|gif)", PAGE.read_text()))
    assert shown == set(RECIPES) == {path.stem for path in FOLDER.iterdir()}
    assert all(path.stat().st_size < 300_000 for path in FOLDER.iterdir())


def test_what_is_called_python_compiles():
    assert len(blocks("python")) > 15
    for block in blocks("python"):
        compile(block, "drawing.md", "exec")
