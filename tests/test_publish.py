import json
import math
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from datasets import Dataset
from safetensors.torch import load_file

from tincture import evaluate, publish, sample
from tincture.common.errors import InputError
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline


def weights(folder):
    return load_file(next((folder / "denoiser").glob("*.safetensors")))


def test_a_published_model_is_the_same_but_for_rounding_and_draws(run, checkpoint, tmp_path):
    output = tmp_path / "small"
    status, out, _ = run(
        publish, "--checkpoint", checkpoint, "--output", output, *("--sampler", "remasking", "--temperature", "0.5")
    )
    assert status == 0
    assert "MB" in out
    before, after = weights(checkpoint), weights(output)
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        assert tensor.dtype == torch.float16
        torch.testing.assert_close(tensor.float(), before[name].float(), rtol=1e-3, atol=1e-6)
    pipeline = PaletteDiffusionPipeline.from_pretrained(output)
    assert pipeline.scheduler.config.sampler == "remasking"
    assert (pipeline.config.temperature, pipeline.config.guidance_scale) == (0.5, 1.0)
    config, public = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (checkpoint, output))
    del config["data"]["cache_dir"], config["track"]
    assert public == config
    assert all(f"  {path.relative_to(output)}\n" in out for path in output.rglob("*") if path.is_file())
    header, text = (output / "README.md").read_text().split("---\n")[1:]
    assert yaml.safe_load(header)["license"] == "cc-by-3.0"
    assert "## Figures" in text
    assert "- Fugue icons by Yusuke Kamiyamane, CC BY 3.0 (3,568)\n- Silk icons by Mark James" in text
    drawn = ("--output", tmp_path / "drawn", "--num-images", 1, "--steps", 2)
    assert run(sample, "--checkpoint", output, *drawn)[0] == 0


def test_a_training_run_is_not_replaced_by_a_published_model(run, checkpoint, tmp_path):
    other = tmp_path / "run"
    shutil.copytree(checkpoint, other)
    for output in (other, checkpoint):
        status, _, err = run(publish, "--checkpoint", checkpoint, "--output", output, "--overwrite")
        assert (status, "is a training run, whose weights would be lost" in err) == (2, True)
    small = tmp_path / "small"
    assert run(publish, "--checkpoint", checkpoint, "--output", small)[0] == 0
    (small / "README.md").write_text("a model card")
    assert run(publish, "--checkpoint", checkpoint, "--output", small, "--overwrite")[0] == 0
    assert (small / "README.md").read_text() == "a model card"
    assert run(publish, "--checkpoint", small, "--output", small, "--overwrite")[0] == 2


@pytest.mark.parametrize("fault", ["taken", "no config", "sampler", "temperature", "license", "evaluation"])
def test_a_mistake_is_one_line_and_writes_nothing(run, checkpoint, tmp_path, fault):
    model, output, more = tmp_path / "model", tmp_path / "small", []
    shutil.copytree(checkpoint, model)
    if fault == "taken":
        output.mkdir()
        (output / "mine.txt").write_text("keep me")
    elif fault == "no config":
        (model / "config.yaml").unlink()
    else:
        more = {
            "sampler": ["--sampler", "random"],
            "temperature": ["--temperature", "-1"],
            "license": ["--license", "my own"],
            "evaluation": ["--evaluation", "x"],
        }
        more = more[fault]
    status, out, err = run(publish, "--checkpoint", model, "--output", output, *more)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and len(err.splitlines()) == 1
    assert [path.name for path in output.glob("*")] == (["mine.txt"] if fault == "taken" else [])


@pytest.mark.parametrize(
    ("data", "path", "palette"),
    [
        ({"source": "folder", "path": "/home/ada/secret/sprites", "palette": "/home/ada/mine.hex"}, None, "mine.hex"),
        ({"source": "folder", "path": "sprites", "palette": "own"}, None, "own"),
        ({"source": "folder", "path": "~/sprites"}, None, "own"),
        ({"source": "datasets", "path": "user/sprites", "palette": "pico-8"}, "user/sprites", "pico-8"),
        ({"source": "datasets", "path": "here/sprites"}, None, "own"),
        ({"source": "datasets", "path": "/mnt/ada/*.parquet", "palette": "..\\ada\\x.gpl"}, None, "x.gpl"),
        ({"source": "datasets", "path": "C:\\Users\\ada\\sprites"}, None, "own"),
        ({"source": "datasets", "path": "../ada"}, None, "own"),
        ({"sources": ["icons", "crawl=/home/ada/crawl", "folder=here/sprites"]}, None, "own"),
    ],
)
def test_a_published_config_names_no_folder_of_the_machine(tmp_path, monkeypatch, data, path, palette):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here" / "sprites").mkdir(parents=True)
    values = {"data": data | {"size": 8, "cache_dir": "/home/ada/cache"}, "track": {"project": "secret"}, "seed": 1}
    values["model"] = {"text": "/home/ada/words.safetensors"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    public = publish.public_config(tmp_path)
    assert (public["data"]["path"], public["data"]["palette"]) == (path, palette)
    assert (public["seed"], public["data"]["size"], public["model"]["text"]) == (1, 8, "words.safetensors")
    assert not any(private in str(public) for private in ("ada", "secret", "here"))


def test_nothing_that_is_published_holds_a_path_of_the_machine(run, checkpoint, tmp_path):
    private = tmp_path / "private"
    shutil.copytree(checkpoint, private)
    config = yaml.safe_load((private / "config.yaml").read_text())
    config["data"] |= {"source": "folder", "path": str(tmp_path / "sprites"), "cache_dir": str(tmp_path / "cache")}
    (private / "config.yaml").write_text(yaml.safe_dump(config))
    record = {"metrics": {"heldout/bits_per_pixel": 1.5}, "options": {"checkpoint": str(private)}}
    (private / "evaluation.json").write_text(json.dumps(record))
    output = tmp_path / "public"
    assert run(publish, "--checkpoint", private, "--output", output, "--license", "cc0-1.0")[0] == 0
    for path in (path for path in output.rglob("*") if path.is_file()):
        assert str(tmp_path).encode() not in path.read_bytes(), path
        assert b"private" not in path.read_bytes(), path
    config, _ = evaluate.saved_config(output, "elsewhere")
    assert (config.source, config.path) == ("folder", "elsewhere")


@pytest.mark.parametrize(
    ("evaluation", "metrics", "figures"),
    [
        ({"metrics": {"a": 1.5, "a_stderr": None}}, [{"heldout/b": 2}], {"a": 1.5, "a_stderr": math.nan}),
        (None, [{"heldout/b": 3}, {"heldout/b": 2, "step": 9}, {"train/b": 1}], {"heldout/b": 2}),
        (None, [{"train/b": 1}], {}),
        (None, None, {}),
    ],
)
def test_figures_are_those_of_the_evaluation_or_the_last_of_training(tmp_path, evaluation, metrics, figures):
    if evaluation is not None:
        (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    if metrics is not None:
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    assert publish.measured_figures(tmp_path, None) == pytest.approx(figures, nan_ok=True)


def test_whom_to_credit_is_read_from_the_pictures(picture_sets, tmp_path, caplog):
    table = Dataset.from_parquet(str(picture_sets / "parquet" / "train-0.parquet"), cache_dir=str(tmp_path / "hub"))
    for name, credits in (("credited", [*["Ada, CC0"] * 10, *["Bob, MIT"] * 12, *[None] * 8]), ("silent", [""] * 30)):
        table.add_column("credit", credits).to_parquet(tmp_path / name / "train.parquet")
    counts = {}
    for name in ("credited", "silent", "gone"):
        data = {"source": "datasets", "path": str(tmp_path / name), "size": 8, "min_colors": 4, "max_colors": 4}
        config = {"data": data | {"cache_dir": str(tmp_path / "cache")}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        counts[name] = list(publish.credits_of(tmp_path).items())
    of_two = [("Bob, MIT", 12), ("Ada, CC0", 10), ("of unknown authors", 8)]
    assert counts == {"credited": of_two, "silent": [], "gone": []}
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert "so add to the card whom to credit" in caplog.text


@pytest.mark.parametrize("content", ["[]", "{}", '{"metrics": 3}', "no JSON"])
def test_a_file_that_evaluate_did_not_write_is_refused(tmp_path, content):
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(InputError, match=r"mine\.json"):
        publish.measured_figures(tmp_path, tmp_path / "mine.json")


@pytest.mark.parametrize(
    ("data", "licence", "expected"),
    [
        ({"source": "icons"}, None, {"license": "cc-by-3.0"}),
        ({"source": "folder", "path": None}, "cc0-1.0", {"license": "cc0-1.0"}),
        ({"source": "folder", "path": None, "size": [16, 32]}, None, {}),
        ({"source": "datasets", "path": None}, None, {}),
        ({"source": "datasets", "path": "user/set"}, "mit", {"license": "mit", "datasets": ["user/set"]}),
        ({"source": "datasets", "path": "user/set", "streaming": True}, None, {"datasets": ["user/set"]}),
    ],
)
def test_a_card_says_what_hubs_read(data, licence, expected):
    pipeline = PaletteDiffusionPipeline.from_pretrained(Path(publish.__file__).parent / "checkpoints" / "icons16")
    figures = {"heldout/b": 1.25, "heldout/b_stderr": math.nan}
    card = publish.model_card("mine", pipeline, data, {"Ada, CC0": 4103, "Bob, MIT": 1}, figures, licence)
    header = yaml.safe_load(card.split("---\n")[1])
    common = {"library_name", "pipeline_tag", "tags"}
    assert {name: value for name, value in header.items() if name not in common} == expected
    assert common <= set(header)
    assert "4,104 to learn from and 467 held out" in card
    assert "\n\n- Ada, CC0 (4,103)\n- Bob, MIT (1)\n\n## Figures\n" in card
    assert "1.25 ± ?" in card
    assert ("model of 16×16 or 32×32 pictures" if "size" in data else "model of 16×16 pictures") in card
    assert ("No license was named" in card) == ("license" not in expected)
