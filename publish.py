"""Make a trained model small enough for a repository.

::

    python publish.py --checkpoint runs/reference --output checkpoints/icons16 --sampler remasking

This writes the pipeline with weights in half precision, and the config of its run, by which
``evaluate.py`` finds the data. Evaluate what was written here, not what it was made from.
"""

from pathlib import Path

from tincture.common import cli
from tincture.common.errors import InputError
from tincture.common.files import files_in, write_atomically
from tincture.common.output_folder import claimed
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.training.run_config import CONFIG_FILE
from tincture.training.tracking import METRICS_FILE


def main(arguments: list[str]) -> None:
    """Load, and save smaller."""
    parser = cli.make_parser("Make a trained model small enough for a repository: weights in half precision.")
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="folder that train.py wrote")
    add("--output", type=Path, required=True, help="folder for the smaller one")
    add("--overwrite", action="store_true", help="replace a smaller one there")
    add("--sampler", type=str | None, default=None, help="how it draws where nobody says; as before if left out")
    options = parser.parse_args(arguments)
    pipeline = PaletteDiffusionPipeline.from_pretrained(options.checkpoint)
    if options.sampler is not None:
        scheduler = pipeline.scheduler.with_changes(sampler=options.sampler, sampler_options={})
        pipeline.register_modules(scheduler=scheduler)
    config = options.checkpoint / CONFIG_FILE
    if not config.is_file():
        raise InputError(f"there is no {CONFIG_FILE} in {options.checkpoint}: give the folder that train.py wrote")
    if options.output.resolve() == options.checkpoint.resolve() or (options.output / METRICS_FILE).exists():
        raise InputError(f"{options.output} is a training run, whose weights would be lost; name another folder")
    with claimed(options.output, options.overwrite, _published_files):
        pipeline.save_pretrained(options.output, half=True)
        text = config.read_text()
        write_atomically(options.output / CONFIG_FILE, lambda path: path.write_text(text))
    size = sum(file.stat().st_size for file in options.output.rglob("*") if file.is_file())
    print(f"{options.output}: {size / 1e6:.1f} MB")


def _published_files(folder: Path) -> list[str]:
    return files_in(folder) if (folder / CONFIG_FILE).is_file() else []  # what is no part of a model stays


if __name__ == "__main__":
    cli.run(main)
