"""Controls on held-out icons: inpainting, colorization, palettizing with a prior, seams of tiles.

`python -m benchmarks.controls --checkpoint checkpoints/icons16 --output runs/controls.json` prints
the tables of docs/results/controls.md. It needs requirements-benchmarks.txt. A model of another
process than absorbing draws by ancestral sampling.

A color is OKLab around mid gray times alpha, and alpha. So transparency is at least 1 from what is
opaque. An error is the mean distance over the pixels that were asked for, then over images. A draw
from a posterior is not its best guess: "median of 16" takes for each pixel the entry that is
nearest to 16 draws.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from tqdm import tqdm

from tincture.benchmarks.tables import heading, mean_of, row, with_error
from tincture.common import cli
from tincture.common.errors import choose
from tincture.common.files import write_json
from tincture.controls.kept import Init
from tincture.controls.options import Canvas, Controls, Sampling
from tincture.controls.wishes import ColorWish, LightnessWish
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.data.sources import DataConfig
from tincture.diffusion.draws import categorical
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.dither import dither
from tincture.quantization.encoding import encode
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.luminance import luminance_of_indices, round_to_levels
from tincture.quantization.palettes.palette import Palette

CALLS = 16
"""Of the network, for each drawing."""
MEDIAN_DRAWS = 16
DRAWN = Sampling(CALLS, sampler="first-hitting")
CONFIDENT = Sampling(CALLS, sampler="confidence")
GREEDY = replace(CONFIDENT, sampler_options={"choice_temperature": 0.0}, temperature=0.0)
COLORFUL = ("endesga-64", "resurrect-64")
LEVELS = 8
FIDELITY = 6.0 * (LEVELS - 1) ** 2
"""Rounding to L levels errs by 1 / (L - 1) / sqrt(12); as a Gaussian's variance, that is 1 / 2F."""
NOISE = 0.06


class Truth(NamedTuple):
    """Pictures to be found again."""

    indices: Tensor
    """int64 ``[N, H, W]``."""
    palettes: list[Palette]
    where: Tensor
    """The pixels that count, bool ``[N, H, W]``."""

    @property
    def batch(self) -> PaletteBatch:
        """The palettes, padded."""
        return PaletteBatch.from_palettes(self.palettes)


Ways = dict[str, Callable[[], Tensor]]
"""Name → what answers with index maps, int64 ``[N, H, W]``."""


def seen_colors(palette: PaletteBatch) -> Tensor:
    """OKLab around mid grey times alpha, and alpha, float ``[B, K, 4]``."""
    alpha = palette.colors[..., 3:] / 255
    return torch.cat([(palette.oklab() - torch.tensor([0.5, 0, 0])) * alpha, alpha], dim=2)


def of_pixels(colors: Tensor, indices: Tensor) -> Tensor:
    """Colors of entries, ``[B, K, C]``, at index maps ``[B, H, W]`` → ``[B, H, W, C]``."""
    return colors.gather(1, indices.flatten(1)[..., None].expand(-1, -1, colors.shape[2])).unflatten(
        1, indices.shape[1:]
    )


def judge(drawn: Tensor, truth: Truth) -> dict[str, list[float]]:
    """The mean error and the share of exact pixels of each image."""
    colors = seen_colors(truth.batch)
    distance = (of_pixels(colors, drawn) - of_pixels(colors, truth.indices)).norm(dim=-1)
    exact = (distance == 0).float()
    count = truth.where.flatten(1).sum(dim=1)
    each = {"error": distance, "exact": exact}
    return {name: ((v * truth.where).flatten(1).sum(dim=1) / count).tolist() for name, v in each.items()}


def medians(draws: Tensor, palettes: PaletteBatch) -> Tensor:
    """For each pixel the entry nearest to all ``draws``, ``[D, N, H, W]`` → ``[N, H, W]``."""
    colors = seen_colors(palettes)
    distances = torch.cdist(colors, colors).masked_fill(~palettes.valid[:, :, None], torch.inf)  # [N, K, K]
    entries = torch.nn.functional.one_hot(draws, colors.shape[1]).float().mean(dim=0)  # [N, H, W, K]
    expected = torch.einsum("njk,nhwk->njhw", distances.where(distances.isfinite(), 1e6), entries)
    return expected.argmin(dim=1)


Drawer = Callable[[Sampling, Controls], Tensor]
"""Draws with a model in the palettes of a task, int64 ``[N, H, W]``."""


def drawer(pipeline: PaletteDiffusionPipeline, palettes: list[Palette]) -> tuple[Drawer, Drawer]:
    """What draws one image in each palette, and what takes `medians` of several drawings."""

    def draw(sampling: Sampling, controls: Controls) -> Tensor:
        if not pipeline.scheduler.process.has_mask:
            sampling = replace(sampling, sampler="ancestral", sampler_options={})
        return pipeline(len(palettes), palettes, sampling, controls=controls, output_type="pt").images

    def median(sampling: Sampling, controls: Controls) -> Tensor:
        draws = torch.stack([draw(replace(sampling, seed=seed), controls) for seed in range(MEDIAN_DRAWS)])
        return medians(draws, PaletteBatch.from_palettes(palettes))

    return draw, median


def each_image(one: Callable[[np.ndarray, Palette], np.ndarray], pictures: np.ndarray, truth: Truth) -> Tensor:
    """What a baseline makes of each picture."""
    answers = [one(picture, palette) for picture, palette in zip(pictures, truth.palettes, strict=True)]
    return torch.from_numpy(np.stack(answers)).long()


def rgba_of(truth: Truth) -> np.ndarray:
    """The pictures themselves, uint8 ``[N, H, W, 4]``."""
    pairs = zip(truth.indices.numpy(), truth.palettes, strict=True)
    return np.stack([palette.colors[indices] for indices, palette in pairs])


def inpaint_ways(pipeline: PaletteDiffusionPipeline, heldout: IndexMaps) -> tuple[Truth, Ways]:
    """A hidden center of half the edge length."""
    import cv2  # no other task needs it

    size = heldout.indices.shape[1]
    hidden = torch.zeros(size, size, dtype=torch.bool)
    hidden[size // 4 : size - size // 4, size // 4 : size - size // 4] = True
    palettes = [heldout.palette(n) for n in range(len(heldout))]
    truth = Truth(heldout.indices.long(), palettes, hidden.expand(len(heldout), -1, -1))
    pictures = rgba_of(truth)
    near = distance_transform_edt(hidden.numpy(), return_distances=False, return_indices=True)

    def by_opencv(method: int) -> Tensor:
        def one(rgba: np.ndarray, palette: Palette) -> np.ndarray:
            alpha = rgba[..., 3:] / 255
            on_white = (rgba[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
            mask = hidden.numpy().astype(np.uint8)
            rgb = cv2.inpaint(on_white, mask, 3, method)
            filled = cv2.inpaint(np.ascontiguousarray(rgba[..., 3]), mask, 3, method)
            return encode(np.concatenate([rgb, filled[..., None]], axis=2), palette)

        return each_image(one, pictures, truth)

    draw, median = drawer(pipeline, palettes)
    controls = Controls(Init(truth.indices, ~hidden))
    return truth, {
        "nearest kept pixel": lambda: truth.indices[:, near[0], near[1]],
        "OpenCV, Telea": lambda: by_opencv(cv2.INPAINT_TELEA),
        "OpenCV, Navier-Stokes": lambda: by_opencv(cv2.INPAINT_NS),
        "one draw": lambda: draw(DRAWN, controls),
        "surest first, likeliest entries": lambda: draw(GREEDY, controls),
        f"median of {MEDIAN_DRAWS} draws": lambda: median(DRAWN, controls),
    }


def grey_icons(heldout: IndexMaps) -> tuple[Truth, Tensor]:
    """Icons in palettes of 64 colors, and their lightness in `LEVELS` levels."""
    owns = Truth(heldout.indices.long(), [heldout.palette(n) for n in range(len(heldout))], torch.empty(0))
    named = [read_palette(name).with_transparency() for name in COLORFUL]
    palettes = [named[n % len(named)] for n in range(len(heldout))]
    pairs = zip(rgba_of(owns), palettes, strict=True)
    indices = torch.from_numpy(np.stack([encode(rgba, palette) for rgba, palette in pairs])).long()
    clear = torch.tensor([palette.transparent for palette in palettes])[:, None, None]
    truth = Truth(indices, palettes, indices != clear)
    rows = truth.where.flatten(1).any(dim=1)
    assert rows.all(), "an icon without an opaque pixel"
    return truth, round_to_levels(luminance_of_indices(indices, truth.batch), torch.full((len(indices),), LEVELS))


def colorize_ways(pipeline: PaletteDiffusionPipeline, heldout: IndexMaps) -> tuple[Truth, Ways]:
    """Icons in palettes of 64 colors, by their lightness in 8 levels."""
    truth, luminance = grey_icons(heldout)
    palettes = truth.palettes

    def nearest() -> Tensor:
        return LightnessWish(luminance, float("inf")).bias(truth.batch, slice(None)).argmax(dim=1)

    def arbitrary() -> Tensor:
        bias = LightnessWish(luminance, FIDELITY).bias(truth.batch, slice(None))
        return categorical(bias.softmax(dim=1), torch.Generator().manual_seed(0))

    draw, median = drawer(pipeline, palettes)
    wish = Controls(wishes=[LightnessWish(luminance, FIDELITY)])
    ways: Ways = {
        "nearest lightness": nearest,
        "any entry of about that lightness": arbitrary,
        f"bias (F = {FIDELITY:.0f}), one draw": lambda: draw(DRAWN, wish),
        "bias, surest first, likeliest entries": lambda: draw(GREEDY, wish),
        f"bias, median of {MEDIAN_DRAWS} draws": lambda: median(DRAWN, wish),
    }
    if pipeline.denoiser.luminance is not None:
        told, both = Controls(luminance=luminance), replace(wish, luminance=luminance)
        ways |= {
            "condition, one draw": lambda: draw(DRAWN, told),
            "condition, surest first, likeliest entries": lambda: draw(GREEDY, told),
            f"condition, median of {MEDIAN_DRAWS} draws": lambda: median(DRAWN, told),
            "both, one draw": lambda: draw(DRAWN, both),
            "both, surest first, likeliest entries": lambda: draw(GREEDY, both),
            f"both, median of {MEDIAN_DRAWS} draws": lambda: median(DRAWN, both),
        }
    return truth, ways


def degraded(rgba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture at half its size and back, its colors noised, uint8 ``[H, W, 4]``."""
    height, width = rgba.shape[:2]
    small = Image.fromarray(rgba).resize((width // 2, height // 2), Image.Resampling.BOX)
    large = np.array(small.resize((width, height), Image.Resampling.NEAREST))
    noisy = large[..., :3] / 255 + NOISE * rng.standard_normal((height, width, 3))
    return np.concatenate([(noisy.clip(0, 1) * 255).round(), large[..., 3:]], axis=2).astype(np.uint8)


def palettize_ways(
    pipeline: PaletteDiffusionPipeline, heldout: IndexMaps, on_white: bool = False
) -> tuple[Truth, Ways]:
    """Icons at half their size and noised, to be found in their own palettes.

    Their silhouettes stay sharp, and what is transparent doesn't count; or all icons are put on
    opaque white first, which takes the transparent entry's place in the palette, and every pixel
    counts.
    """
    palettes = [heldout.palette(n) for n in range(len(heldout))]
    if on_white:
        palettes = [Palette(np.where(p.colors[:, 3:] == 0, np.uint8(255), p.colors)) for p in palettes]
    truth = Truth(heldout.indices.long(), palettes, torch.empty(0))
    pictures, rng = rgba_of(truth), np.random.default_rng(0)
    targets = np.stack([degraded(rgba, rng) for rgba in pictures])
    targets[..., 3] = pictures[..., 3]
    truth = truth._replace(where=torch.from_numpy(pictures[..., 3] > 0))

    draw, median = drawer(pipeline, palettes)

    def near(fidelity: float) -> Controls:
        return Controls(wishes=[ColorWish(torch.from_numpy(targets), fidelity)])

    def one_draw(fidelity: float, temperature: float = 1.0) -> Callable[[], Tensor]:
        return lambda: draw(replace(CONFIDENT, temperature=temperature), near(fidelity))

    return truth, {
        "nearest entry": lambda: each_image(encode, targets, truth),
        "Floyd-Steinberg": lambda: each_image(lambda t, p: dither(t, p, "floyd-steinberg"), targets, truth),
        "blue noise": lambda: each_image(lambda t, p: dither(t, p, "blue-noise"), targets, truth),
        **{f"F = {f}, one draw (confidence)": one_draw(f) for f in (30, 100, 300, 1000)},
        "F = 300, likeliest entries": one_draw(300, temperature=0.0),
        f"F = 300, median of {MEDIAN_DRAWS} draws": lambda: median(CONFIDENT, near(300)),
        f"F = 100, median of {MEDIAN_DRAWS} draws": lambda: median(CONFIDENT, near(100)),
    }


TASKS: dict[str, Callable[[PaletteDiffusionPipeline, IndexMaps], tuple[Truth, Ways]]] = {
    "inpaint": inpaint_ways,
    "colorize": colorize_ways,
    "palettize": palettize_ways,
    "palettize-on-white": partial(palettize_ways, on_white=True),
}


def find_again(
    task: str, pipeline: PaletteDiffusionPipeline, heldout: IndexMaps, chosen: list[str] | None
) -> list[dict]:
    """Print a row for each way of a task, compared with the first; its records."""
    truth, ways = TASKS[task](pipeline, heldout)
    ways = {name: way for name, way in ways.items() if chosen is None or name in (next(iter(ways)), *chosen)}
    print("\n" + heading(f"{task}: {len(heldout)} icons", "OKLab error", "less than the first", "exact pixels"))
    records, first = [], None
    for name, answer in tqdm(ways.items(), desc=task, leave=False):
        each = judge(answer(), truth)
        first = first or each["error"]
        each["gain"] = [reference - error for reference, error in zip(first, each["error"], strict=True)]
        record = {"task": task, "way": name} | {key: mean_of(values) for key, values in each.items()}
        records.append(record)
        exact = with_error(*(100 * value for value in record["exact"]), 1)
        print(row(name, with_error(*record["error"], 4), with_error(*record["gain"], 4), f"{exact} %"), flush=True)
    return records


def seams(pipeline: PaletteDiffusionPipeline, tiles: int) -> list[dict]:
    """Print how much colors change over the seam of tiles, and inside of them."""
    print("\n" + heading(f"seams: {tiles} tiles", "over the seam", "inside", "seam less inside"))
    records = []
    for name, canvas in {"drawn without tiling": Canvas(), "tile both": Canvas(tile="both")}.items():
        images = pipeline(tiles, "heldout", DRAWN, controls=Controls(canvas=canvas), output_type="pt")
        palettes = pipeline(tiles, "heldout", Sampling(1)).images  # drawn first, so the same
        colors = of_pixels(seen_colors(PaletteBatch.from_palettes([p.palette for p in palettes])), images.images)
        across, inside = [], []
        for axis in (1, 2):
            changes = (colors - colors.roll(1, axis)).norm(dim=-1)  # at place 0: over the seam
            across.append(changes.select(axis, 0).mean(dim=1))
            inside.append(changes.narrow(axis, 1, changes.shape[axis] - 1).flatten(1).mean(dim=1))
        over, within = torch.stack(across).mean(dim=0), torch.stack(inside).mean(dim=0)
        cells = [mean_of(values.tolist()) for values in (over, within, over - within)]
        figures = dict(zip(("seam", "inside", "difference"), cells, strict=True))
        records.append({"task": "seams", "way": name} | figures)
        print(row(name, *(with_error(*cell, 4) for cell in cells)), flush=True)
    return records


def main(arguments: list[str]) -> None:
    """Measure each task and print its table."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="folder that train.py wrote")
    add("--output", type=Path, required=True, help="JSON of the figures")
    add("--num-images", type=int, default=467, help="held-out icons, in random order; all 467 if left out")
    add("--tiles", type=int, default=200, help="tiles whose seams are measured")
    add("--tasks", type=list[str], default=[*TASKS, "seams"], help="what to measure")
    add("--ways", type=list[str] | None, default=None, help="rows besides each task's first; all if left out")
    options = parser.parse_args(arguments)
    for task in options.tasks:
        choose("task", task, TASKS | {"seams": seams})
    pipeline = PaletteDiffusionPipeline.from_pretrained(options.checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    _, heldout = load_index_maps(DataConfig(palette="own", min_colors=16, max_colors=16))
    heldout = heldout.subset(heldout.random_rows(options.num_images, seed=0))
    records = []
    for task in options.tasks:
        records += (
            seams(pipeline, options.tiles) if task == "seams" else find_again(task, pipeline, heldout, options.ways)
        )
        write_json(options.output, {"options": cli.plain_options(options), "records": records})


if __name__ == "__main__":
    cli.run(main)
