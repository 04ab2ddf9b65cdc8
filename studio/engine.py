"""The model of the studio, loaded once, and how it draws so that a page can watch and stop it."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from torch import Tensor

from tincture.common.errors import choose
from tincture.controls.command import Drawing
from tincture.controls.options import BANK, DRAWN, Sampling
from tincture.data.palette_changes import with_transparency_for
from tincture.pipelines.drawing import draw_asked
from tincture.pipelines.folders import model_in
from tincture.pipelines.model_recoloring import ways_of
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.recolor import recolor_solid


class StoppedError(Exception):
    """Somebody has stopped the drawing."""


class Step(NamedTuple):
    """What stands after a call of the network."""

    images: list[IndexedImage]
    share: float
    """Of the calls, above 0; 1 in the end."""


class Engine:
    """A model that draws one request after the other.

    Args:
        checkpoint: the folder of a model, as sample.py takes it.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.pipeline = PaletteDiffusionPipeline.from_pretrained(model_in(checkpoint))
        self.pipeline.set_progress_bar_config(disable=True)
        self.ways = {"areas": partial(recolor_solid, reversible=False), "reversible": recolor_solid}
        self.ways |= ways_of(self.pipeline)
        self._turn = threading.Lock()

    @property
    def name(self) -> str:
        """How a command in this folder names the checkpoint."""
        here = Path.cwd()
        path = self.checkpoint.absolute()
        return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)

    @property
    def size(self) -> int:
        """Edge length of its own pictures, pixels."""
        return self.pipeline.config.size

    @property
    def knows_words(self) -> bool:
        """Whether it takes prompts."""
        return self.pipeline.denoiser.text is not None

    @property
    def own_palettes(self) -> dict[str, str]:
        """What it can be asked for instead of a palette: sample.py's name, and what it means."""
        drawn = {DRAWN: "New ones, drawn by the model"} if self.pipeline.palette_prior is not None else {}
        return {BANK[0]: "Any that fit the words", **drawn}

    @property
    def classes(self) -> list[str]:
        """That it knows."""
        return list(self.pipeline.config.label_names)

    def steps(self, asked: Drawing, number: int, stop: threading.Event) -> Iterator[Step]:
        """Draw ``number`` images and show them after each call; a slow watcher misses some.

        Raises:
            InputError: as `draw_asked`.
            StoppedError: ``stop`` was set.
        """
        palettes = asked.read_palettes()
        found: SimpleQueue[Step | BaseException] = SimpleQueue()

        def keep(_: Any, step: int, __: Tensor, state: dict[str, Any]) -> dict[str, Any]:
            if stop.is_set():
                raise StoppedError
            found.put(Step(state["images"], (step + 1) / (asked.sampling.steps + 1)))
            return {}

        def work() -> None:
            try:
                with self._turn:
                    found.put(Step(draw_asked(self.pipeline, asked, palettes, number, keep), 1.0))
            except BaseException as error:
                found.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            while True:
                step = found.get()
                while not found.empty():
                    step = found.get()
                if isinstance(step, BaseException):
                    raise step
                yield step
                if step.share == 1:
                    return
        finally:  # also where nobody watches any more
            stop.set()
            thread.join()

    def warm_up(self) -> None:
        """Draw something small, so that the first drawing doesn't wait for what is made once."""
        self.pipeline(1, sampling=Sampling(steps=1))

    def draw(self, asked: Drawing, number: int) -> list[IndexedImage]:
        """Draw ``number`` images; errors as for `steps`."""
        *_, last = self.steps(asked, number, threading.Event())
        return last.images

    def recolored(self, image: IndexedImage, target: Palette, way: str) -> IndexedImage:
        """Move an image to another palette, with a transparent entry if the image needs one.

        Raises:
            InputError: there is no such way, or the palette has no place for what is needed.
        """
        move = choose("way to recolor", way, self.ways)
        with self._turn:
            return move(image, with_transparency_for(image, target))
