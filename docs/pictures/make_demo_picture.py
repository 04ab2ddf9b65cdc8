"""Join the three sheets of `make demo` into icons16-demo.png, the README's picture: `python docs/pictures/make_demo_picture.py`."""

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent.parent
SHEETS = [ROOT / "runs" / "demo" / "samples" / name / "sheet.png" for name in ("heldout", "pico-8", "picture")]
GAP = 12


def join(sheets: list[Image.Image]) -> Image.Image:
    """The sheets side by side on white."""
    width = sum(sheet.width for sheet in sheets) + GAP * (len(sheets) - 1)
    joined = Image.new("RGB", (width, max(sheet.height for sheet in sheets)), "white")
    left = 0
    for sheet in sheets:
        joined.paste(sheet, (left, 0))
        left += sheet.width + GAP
    return joined


if __name__ == "__main__":
    join([Image.open(path) for path in SHEETS]).save(Path(__file__).with_name("icons16-demo.png"), optimize=True)
