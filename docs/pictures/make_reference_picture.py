"""Join the sheets of `make sample` into icons16-reference.png, the README's picture: `python docs/pictures/make_reference_picture.py`."""

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
SHEETS = [ROOT / "runs" / "sample" / name / "sheet.png" for name in ("heldout", "pico-8")]
GAP = 12


def main() -> None:
    """One sheet below the other on white."""
    sheets = [Image.open(path).convert("RGB") for path in SHEETS]
    height = sum(sheet.height for sheet in sheets) + GAP * (len(sheets) - 1)
    joined = Image.new("RGB", (max(sheet.width for sheet in sheets), height), "white")
    top = 0
    for sheet in sheets:
        joined.paste(sheet, (0, top))
        top += sheet.height + GAP
    joined.save(Path(__file__).with_name("icons16-reference.png"), optimize=True)


if __name__ == "__main__":
    main()
