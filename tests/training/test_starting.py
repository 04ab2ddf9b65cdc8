"""A run that begins with a model: its weights, its classes, its words."""

import json
import re
from dataclasses import replace

import pytest
import torch
import yaml

from tincture import publish, train
from tincture.common.errors import InputError
from tincture.data.index_maps import load_index_maps
from tincture.models.text import LEARNED
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.tests.training.tiny_runs import TINY, weights
from tincture.training import loop
from tincture.training.checkpoints import list_checkpoints
from tincture.training.feeds import WholeSet
from tincture.training.run import Run
from tincture.training.run_config import RunConfig, TrackConfig, TrainConfig

NOTED = "it 0123456789abcdef"


@pytest.fixture(scope="module")
def config(few_pictures):
    often = TrainConfig(
        max_steps=4, batch_size=8, evaluate_every=2, checkpoint_every=2, preview_images=2, preview_steps=2
    )
    model = replace(TINY, text=LEARNED)
    return RunConfig(data=few_pictures, model=model, train=often, track=TrackConfig(wandb=False))


def sides(config, words, *label_names):
    """The few pictures, with these words and classes."""
    return [
        replace(side, captions=[words] * len(side), label_names=[*label_names], labels=side.labels % len(label_names))
        for side in load_index_maps(config.data)
    ]


def run(config, pictures, output, **options):
    pool, heldout = pictures
    return loop.train(config, WholeSet(pool, heldout, config.train.batch_size, config.seed), heldout, output, **options)


@pytest.fixture(scope="module")
def start(config, tmp_path_factory):
    """The folder of a model, with its held-out bits per pixel."""
    folder = tmp_path_factory.mktemp("start") / "model"
    return folder, run(config, sides(config, "a red door", "door", "window"), folder)


def begun(config, start, pictures):
    """A run that begins with the model, before its first step."""
    pool, heldout = pictures
    feed = WholeSet(pool, heldout, config.train.batch_size, config.seed)
    return Run(
        replace(config, started_from=NOTED), feed, heldout, start[0], PaletteDiffusionPipeline.from_pretrained(start[0])
    )


def test_a_run_that_begins_with_a_model_measures_at_first_what_that_one_did(config, start):
    pictures = sides(config, "a blue wyvern", "window", "tree", "door")
    at_first = begun(config, start, pictures).evaluate(4 * config.train.heldout_times)
    assert at_first.result().mean == pytest.approx(start[1].mean, abs=1e-6)
    published = start[0].with_name("half")
    publish.main(["--checkpoint", str(start[0]), "--output", str(published)])
    half = begun(config, (published,), pictures).evaluate(4 * config.train.heldout_times)
    assert half.result().mean == pytest.approx(start[1].mean, abs=0.01)


def test_classes_and_words_keep_what_they_meant_and_new_ones_are_added(config, start):
    old = PaletteDiffusionPipeline.from_pretrained(start[0]).denoiser
    new = begun(config, start, sides(config, "a blue door", "window", "tree", "door"))
    assert new.label_names == ["door", "window", "tree"]
    before, after = old.condition.classes.weight, new.denoiser.condition.classes.weight
    assert torch.equal(after, before[[0, 1, 2, 2]])  # the new class begins as no label does
    assert torch.equal(new.heldout.labels, torch.tensor([1, 2, 0])[load_index_maps(config.data)[1].labels % 3])
    for word in ("red", "door"):
        (was,), (row,) = old.text.vocabulary.find(word), new.denoiser.text.vocabulary.find(word)
        assert torch.equal(new.denoiser.text.vectors[row], old.text.vectors[was])
    assert old.text.vocabulary.find("blue") == []
    assert len(new.denoiser.text.vocabulary.find("blue")) == 1


def test_pictures_of_one_class_have_no_label_for_a_model_that_knows_classes(config, start):
    new = begun(config, start, sides(config, "", "other"))
    assert new.label_names == ["door", "window"]
    assert (new.heldout.labels == 2).all()


def test_a_run_that_began_with_a_model_resumes_without_it_and_ends_with_the_same_weights(config, start, tmp_path):
    config, pictures = replace(config, started_from=NOTED), sides(config, "a blue wyvern", "window", "tree")
    options = {"start": PaletteDiffusionPipeline.from_pretrained(start[0])}
    run(config, pictures, tmp_path / "whole", **options)
    for stop in (1, 3):
        asked = iter([None] * (stop - 1) + [15])
        output = tmp_path / f"cut-{stop}"
        with pytest.raises(loop.StoppedBySignalError):
            run(config, pictures, output, stop=lambda asked=asked: next(asked, 15), **options)
        latest = list_checkpoints(output)[-1]
        assert latest.name == f"step-{stop:08d}"
        own = PaletteDiffusionPipeline.from_pretrained(latest)
        run(config, pictures, output, resume=True, start=own)
        whole, resumed = weights(tmp_path / "whole"), weights(output)
        assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert [path.name for path in list_checkpoints(tmp_path / "whole")][-2:] == ["step-00000002", "step-00000004"]


def test_an_index_model_begins_with_one_of_as_many_entries_only(config, tmp_path):
    def of(palette):
        return replace(config, data=replace(config.data, palette=palette), model=replace(TINY, kind="index"))

    few = of("pico-8")
    few = replace(few, train=replace(few.train, max_steps=1))
    start = tmp_path / "start", run(few, load_index_maps(few.data), tmp_path / "start")
    many = of("endesga-32")
    with pytest.raises(InputError, match="knows 16 indices, and these data have palettes of 32 entries"):
        begun(many, start, load_index_maps(many.data))


def test_the_command_takes_the_network_from_the_model_and_notes_no_path(start, few_pictures_options, tmp_path):
    brief = ["--train.preview_images=1", "--train.preview_steps=1", "--train.batch_size=4", "--track.wandb=false"]
    words = [*few_pictures_options, *brief, f"--output={tmp_path / 'run'}"]
    train.main([*words, f"--init-from={start[0]}", "--train.max_steps=1", "--model.unet.dropout=0.3"])
    noted = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert re.fullmatch("model [0-9a-f]{16}", noted["started_from"])
    assert (noted["model"]["token_channels"], noted["model"]["unet"]["dropout"]) == (32, 0.3)
    assert str(start[0].parent) not in (tmp_path / "run" / "config.yaml").read_text()
    measured = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in measured] == [0, 1]
    assert all(0 <= line["memorization/share_from_0.9"] <= 1 for line in measured)
    train.main(["--resume", f"--output={tmp_path / 'run'}", "--train.max_steps=2"])
    assert list_checkpoints(tmp_path / "run")[-1].name == "step-00000002"
    public = publish.public_config(tmp_path / "run")
    assert public["started_from"] == noted["started_from"]
    with pytest.raises(InputError, match=r"started_from is model .* a run has the network and the process of"):
        train.main(["--resume", f"--output={tmp_path / 'run'}", f"--init-from={tmp_path / 'run'}"])
