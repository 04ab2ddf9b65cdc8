"""Make a trained model small enough for a repository, with a card, and without your folders' names.

::

    python publish.py --checkpoint runs/reference --output checkpoints/icons16 --sampler remasking

This writes what would be uploaded, and uploads nothing: the pipeline with weights in half
precision, a model card, and the config of its run, by which ``evaluate.py`` finds the data. Paths
of this machine are left out of it. Evaluate what was written here, not what it was made from.
"""

import json
import logging
import re
from argparse import ArgumentError
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tincture.common import cli
from tincture.common.errors import InputError, Range, choose
from tincture.common.files import files_in, read_json, write_atomically
from tincture.common.output_folder import claimed
from tincture.controls.options import FACTOR
from tincture.diffusion.options import SAMPLER_OPTIONS
from tincture.pipelines.folders import model_in
from tincture.training.run_config import CONFIG_FILE, METRICS_FILE, saved_config, saved_values

if TYPE_CHECKING:
    from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline

CARD, EVALUATION = "README.md", "evaluation.json"

PRIOR_FIGURES = ("palettes/bytes", "palettes/bytes_stderr")
"""Of a held-out palette as a set."""

UNKNOWN = "of unknown authors"
"""Of pictures of which nobody said who made them."""

logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> None:
    """Load, and save smaller."""
    parser = cli.make_parser(
        "Make a trained model small enough for a repository: weights in half precision, and a card."
    )
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="folder that train.py wrote, or one of its checkpoints")
    add("--output", type=Path, required=True, help="folder for the smaller one; nothing is uploaded")
    add("--overwrite", action="store_true", help="replace a smaller one there, but for a card")
    add("--sampler", type=str | None, default=None, help="how it draws where nobody says; as before if left out")
    add("--temperature", type=float | None, default=None, help="with which it draws where nobody says")
    add(
        "--guidance-scale",
        type=float | None,
        default=None,
        help="how strongly it follows words and classes where nobody says",
    )
    add("--license", type=str | None, default=None, help="of the weights, as hubs call it (cc-by-4.0); in the card")
    add(
        "--palette-prior-steps",
        type=int | None,
        default=None,
        help="fit its prior over palettes anew in so many steps; if left out, as in training where it has none",
    )
    add(
        "--evaluation",
        type=Path | None,
        default=None,
        help=f"evaluate.py's file; {EVALUATION} beside the run if left out",
    )
    options = parser.parse_args(arguments)
    if options.license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", options.license):
        raise InputError(
            f"--license is {options.license!r}; hubs call licenses cc-by-4.0, mit, apache-2.0, other and so on"
        )
    if options.palette_prior_steps is not None:
        Range(1, 10**9).check("--palette-prior-steps", options.palette_prior_steps)
    own = {name: options[name] for name in ("temperature", "guidance_scale") if options[name] is not None}
    for name, value in own.items():
        FACTOR.check(f"--{name.replace('_', '-')}", value)
    if options.sampler is not None:
        choose("sampler", options.sampler, SAMPLER_OPTIONS)
    model_in(options.checkpoint)
    config = public_config(options.checkpoint)
    figures = measured_figures(options.checkpoint, options.evaluation)
    if options.output.resolve() == options.checkpoint.resolve() or (options.output / METRICS_FILE).exists():
        raise InputError(f"{options.output} is a training run, whose weights would be lost; name another folder")

    from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline  # torch and diffusers take seconds

    pipeline = PaletteDiffusionPipeline.from_pretrained(options.checkpoint)
    if options.sampler is not None:
        scheduler = pipeline.scheduler.with_changes(sampler=options.sampler, sampler_options={})
        pipeline.register_modules(scheduler=scheduler)
    pipeline.register_to_config(**own)
    with claimed(options.output, options.overwrite, _published_files):
        figures |= prior_figures(pipeline, config["data"], options.palette_prior_steps)
        pipeline.save_pretrained(options.output, half=True)
        text = yaml.safe_dump(config, sort_keys=False)
        write_atomically(options.output / CONFIG_FILE, lambda path: path.write_text(text))
        has_card = (options.output / CARD).exists()
        if not has_card:
            told = config["data"], credits_of(options.checkpoint), figures, options.license, config.get("started_from")
            card = model_card(options.output.resolve().name, pipeline, *told)
            write_atomically(options.output / CARD, lambda path: path.write_text(card, encoding="utf-8"))
    for name in files_in(options.output):
        print(f"{(options.output / name).stat().st_size:>12,} bytes  {name}")
    size = sum((options.output / name).stat().st_size for name in files_in(options.output))
    print(f"{options.output}: {size / 1e6:.1f} MB" + (f"; {CARD} is the one that was there" if has_card else ""))


def prior_figures(pipeline: "PaletteDiffusionPipeline", data: Mapping[str, Any], steps: int | None) -> dict[str, float]:
    """How many bytes held-out palettes take by the prior of a pipeline, which gets one here.

    It is fitted if there is none and pictures have palettes of their own, or if ``steps`` are
    given.
    """
    from tincture.training.palette_prior import STEPS, fit_palette_prior, heldout_palette_bytes  # torch takes seconds

    if steps is not None or (pipeline.palette_prior is None and data.get("palette", "own") == "own"):
        told = len(pipeline.config.label_names), pipeline.denoiser.text
        prior = fit_palette_prior(pipeline.palette_bank, *told, steps or STEPS)
        pipeline.register_modules(palette_prior=prior)
    if pipeline.palette_prior is None:
        return {}
    return dict(zip(PRIOR_FIGURES, heldout_palette_bytes(pipeline.palette_prior, pipeline.palette_bank), strict=True))


def public_config(checkpoint: Path) -> dict[str, Any]:
    """A run's config, without what is this machine's: paths, and where it was tracked.

    Raises:
        InputError: the folder has no config of a run, or a broken one.
    """
    config = saved_values(checkpoint, cli.make_parser(""))
    data = config["data"]
    config.pop("track", None)
    data.pop("cache_dir", None)
    if not is_hub_name(data):
        data["path"] = None
    if data.get("sources"):
        data["sources"] = [str(each).partition("=")[0] for each in data["sources"]]
    data["palette"] = _last_part(data.get("palette", "own"))
    if isinstance(model := config.get("model"), dict) and model.get("text"):
        model["text"] = _last_part(model["text"])
    return config


def _last_part(path: object) -> str:
    return re.split(r"[/\\]", str(path))[-1]


def _is_icons(data: Mapping[str, Any]) -> bool:
    return not data.get("sources") and data.get("source", "icons") == "icons"


def _origin(data: Mapping[str, Any]) -> str:
    """What pictures a model has learned from."""
    if data.get("sources"):
        return f"several sets ({', '.join(data['sources'])})"
    if _is_icons(data):
        return "the icons Fugue and Silk"
    return f"the set {data['path']}" if is_hub_name(data) else "a set of pictures"


def credits_of(checkpoint: Path) -> dict[str, int]:
    """Who made the pictures of a run's data set, under which license, and how many; most first.

    Empty where nobody says so, the data aren't at hand, or they have a page of their own on the
    hub.
    """
    from tincture.data.index_maps import load_index_maps  # torch takes seconds

    try:
        data, _ = saved_config(checkpoint)
        sides = () if is_hub_name({"source": data.source, "path": data.path}) else load_index_maps(data)
    except (InputError, ArgumentError) as error:
        logger.warning("the data can't be read, so add to the card whom to credit for pictures: %s", error)
        sides = ()
    counts = Counter(credit or UNKNOWN for side in sides for credit in side.credits)
    return dict(counts.most_common()) if {*counts} - {UNKNOWN} else {}


def is_hub_name(data: Mapping[str, Any]) -> bool:
    """Whether the data are a set that anybody finds under the same name."""
    name = data.get("path") or ""
    is_name = data.get("source") == "datasets" and re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name)
    return bool(is_name) and not Path(name).exists()


def measured_figures(checkpoint: Path, evaluation: Path | None) -> dict[str, float]:
    """What evaluate.py measured or, if it hasn't, training's last held-out figures, or nothing.

    Raises:
        InputError: ``evaluation`` isn't evaluate.py's.
    """
    found = evaluation or checkpoint / EVALUATION
    if evaluation is not None or found.is_file():
        record = read_json(found)
        metrics = record.get("metrics") if isinstance(record, dict) else None
        if not isinstance(metrics, dict):
            raise InputError(f"{found} holds no metrics: give a file that evaluate.py wrote")
    else:
        path = checkpoint / METRICS_FILE
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
        held = [{name: each for name, each in line.items() if name.startswith("heldout/")} for line in lines]
        metrics = next(filter(None, reversed(held)), {})
    return {name: float("nan") if each is None else float(each) for name, each in metrics.items()}


def model_card(
    name: str,
    pipeline: "PaletteDiffusionPipeline",
    data: Mapping[str, Any],
    credits: Mapping[str, int],
    figures: dict[str, float],
    licence: str | None,
    started_from: str | None = None,
) -> str:
    """The text of a model card, with the header that hubs read."""
    from tincture.evaluation.report import table

    size = data.get("size", pipeline.config.size)
    sizes = " or ".join(f"{each}×{each}" for each in (size if isinstance(size, list | tuple) else [size]))
    origin = _origin(data)
    licence = licence or ("cc-by-3.0" if _is_icons(data) else None)
    header: dict[str, Any] = {"license": licence} if licence else {}
    has_words = pipeline.denoiser.text is not None
    task = "text-to-image" if has_words else "unconditional-image-generation"
    header |= {"library_name": "diffusers", "pipeline_tag": task}
    header["tags"] = ["tincture", "discrete-diffusion", "pixel-art", "palette"]
    if is_hub_name(data):
        header["datasets"] = [data["path"]]
    heldout = int(pipeline.palette_bank.heldout.sum())
    learned = len(pipeline.palette_bank.heldout) - heldout
    of_stream = "The first pictures of the stream: " if data.get("streaming") else ""
    counts = f"{of_stream}{learned:,} to learn from and {heldout:,} held out."
    terms = f"The weights' license is {licence}." if licence else "No license was named; ask who publishes them."
    classes = f" It knows {len(pipeline.config.label_names)} classes." if pipeline.config.label_names else ""
    classes += " It draws what words say." if has_words else ""
    weights = sum(weight.numel() for weight in pipeline.denoiser.parameters())
    if prior := pipeline.palette_prior:
        numbers = sum(weight.numel() for weight in prior.parameters())
        classes += f" Its prior ({numbers:,} weights), fitted to the palettes it learned from, draws palettes, too."
    began = f" Its training began with the weights of {started_from}." if started_from else ""
    authors = "".join(f"- {credit} ({number:,})\n" for credit, number in credits.items())
    credited = (
        f"\nCredit whose pictures these are, so many of each, where you show what was drawn with it:\n\n{authors}"
        if credits
        else ""
    )
    measured = (
        f"""## Figures

Measured on held-out pictures, before the weights were stored in half precision; ± is a standard
error.

```
{table(figures)}
```
"""
        if figures
        else ""
    )
    return f"""---
{yaml.safe_dump(header, sort_keys=False)}---

# {name}

A discrete diffusion model of {sizes} pictures, whose pixels are entries of a palette. It was
made with Tincture ({weights:,} weights, {pipeline.scheduler.config.process} process).{classes}{began}

```python
from tincture import PaletteDiffusionPipeline

images = PaletteDiffusionPipeline.from_pretrained("{name}")(16).images
```

## Data

{origin[0].upper()}{origin[1:]}.
{counts} Their palettes are part of the model. {terms}
{credited}
{measured}"""


def _published_files(folder: Path) -> list[str]:
    return files_in(folder) if (folder / CONFIG_FILE).is_file() else []  # what is no part of a model stays


if __name__ == "__main__":
    cli.run(main)
