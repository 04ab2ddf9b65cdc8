import shutil

import pytest
import torch
from safetensors.torch import load_file

from tincture import publish, sample
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline


def weights(folder):
    return load_file(next((folder / "denoiser").glob("*.safetensors")))


def test_a_published_model_is_the_same_but_for_rounding_and_draws(run, checkpoint, tmp_path):
    output = tmp_path / "small"
    status, out, _ = run(publish, "--checkpoint", checkpoint, "--output", output, "--sampler", "remasking")
    assert status == 0
    assert "MB" in out
    before, after = weights(checkpoint), weights(output)
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        assert tensor.dtype == torch.float16
        torch.testing.assert_close(tensor.float(), before[name].float(), rtol=1e-3, atol=1e-6)
    pipeline = PaletteDiffusionPipeline.from_pretrained(output)
    assert pipeline.scheduler.config.sampler == "remasking"
    assert (output / "config.yaml").read_text() == (checkpoint / "config.yaml").read_text()
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


@pytest.mark.parametrize("fault", ["taken", "no config", "sampler"])
def test_a_mistake_is_one_line_and_writes_nothing(run, checkpoint, tmp_path, fault):
    model, output, more = tmp_path / "model", tmp_path / "small", []
    shutil.copytree(checkpoint, model)
    if fault == "taken":
        output.mkdir()
        (output / "mine.txt").write_text("keep me")
    elif fault == "no config":
        (model / "config.yaml").unlink()
    else:
        more = ["--sampler", "random"]
    status, out, err = run(publish, "--checkpoint", model, "--output", output, *more)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and len(err.splitlines()) == 1
    assert [path.name for path in output.glob("*")] == (["mine.txt"] if fault == "taken" else [])
