"""Imports between the rooms run downward only, as docs/architecture.md draws them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BELOW = {
    "common": set(),
    "quantization": {"common"},
    "data": {"common", "quantization"},
    "models": {"common", "quantization"},
    "diffusion": {"common", "quantization"},
    "controls": {"common", "quantization", "diffusion"},
    "pipelines": {"common", "quantization", "models", "diffusion", "controls"},
    "codec": {"common", "quantization", "models", "diffusion", "pipelines"},
    "evaluation": {"common", "quantization", "data", "models", "diffusion", "controls", "pipelines"},
    "studio": {"common", "quantization", "data", "models", "diffusion", "controls", "pipelines"},
    "training": {"common", "quantization", "data", "models", "diffusion", "controls", "pipelines", "evaluation"},
}


COMMANDS = {path.stem for path in ROOT.glob("*.py")} | {"benchmarks", "tests", "tools"}


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("tincture") for alias in node.names), f"{path} says import tincture"
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            package, *rooms = node.module.split(".")
            if package == "tincture":
                yield from rooms[:1] or (alias.name for alias in node.names)


@pytest.mark.parametrize("room", BELOW)
def test_imports_run_downward(room):
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        upward = set(imported_rooms(path)) & (COMMANDS | set(BELOW)) - BELOW[room] - {room}
        assert not upward, f"{path.relative_to(ROOT)} imports {upward}"


def test_the_network_knows_of_pictures_only_their_palettes_and_colors():
    for path in (ROOT / "models").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("tincture.quantization"):
                assert node.module.startswith(("tincture.quantization.palettes.", "tincture.quantization.color")), path


def test_every_documented_room_exists():
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert all(f"{room}/" in text and (ROOT / room / "__init__.py").is_file() for room in BELOW)
