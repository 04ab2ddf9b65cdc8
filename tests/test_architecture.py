"""Imports between the rooms run downward only, as docs/architecture.md draws them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BELOW = {
    "quantization": set(),
    "data": {"quantization"},
    "models": {"quantization"},
    "diffusion": {"quantization"},
    "controls": {"quantization", "diffusion"},
    "pipelines": {"quantization", "models", "diffusion", "controls"},
    "evaluation": {"quantization", "data", "models", "diffusion", "controls", "pipelines"},
    "training": {"quantization", "data", "models", "diffusion", "controls", "pipelines", "evaluation"},
}


COMMANDS = {path.stem for path in ROOT.glob("*.py")} | {"benchmarks", "tests"}


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("room", BELOW)
def test_imports_run_downward(room):
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        upward = set(imported_rooms(path)) & (COMMANDS | set(BELOW)) - BELOW[room] - {room}
        assert not upward, f"{path.relative_to(ROOT)} imports {upward}"


def test_every_documented_room_exists():
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert all(f"{room}/" in text and (ROOT / room / "__init__.py").is_file() for room in BELOW)
