"""Draw samplers.png: the same palettes and seeds by different samplers. `python docs/pictures/make_samplers.py CHECKPOINT`.

Rows, of an absorbing model: ancestral with 256 calls, then with 16 calls ancestral, confidence (cosine grid), remasking (rate 16).
"""

import sys
from pathlib import Path

from tincture.controls.options import Sampling
from tincture.pipelines.saving import load_pipeline
from tincture.pipelines.sheet import contact_sheet

COLUMNS, SEED = 16, 2
ROWS = (
    Sampling(256, SEED, "ancestral"),
    Sampling(16, SEED, "ancestral"),
    Sampling(16, SEED, "confidence", grid="cosine"),
    Sampling(16, SEED, "remasking", {"remasking_rate": 16.0}),
)


def main(checkpoint: Path) -> None:
    """Draw, lay out, save."""
    pipeline = load_pipeline(checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    images = [image for row in ROWS for image in pipeline(COLUMNS, "heldout", row).images]
    contact_sheet(images, COLUMNS, scale=3).save(Path(__file__).with_name("samplers.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
