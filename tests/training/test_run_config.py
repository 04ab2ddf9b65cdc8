from pathlib import Path

import pytest

from tincture.common import cli
from tincture.common.errors import InputError
from tincture.training import run_config
from tincture.training.run_config import RunConfig, add_run_options, check_config

ROOT = Path(__file__).parent.parent.parent


def read(*words):
    parser = cli.make_parser("")
    add_run_options(parser)
    return RunConfig.of(parser.instantiate(parser.parse_args([str(word) for word in words])))


def test_runs_of_earlier_versions_are_read_unless_they_were_sharded(tmp_path):
    """FSDP is gone; the config of checkpoints/icons16 says ``shard: false``."""
    old = ROOT / "checkpoints" / "icons16" / "config.yaml"
    assert "shard: false" in old.read_text()
    config = read("--config", old)
    check_config(config)
    assert config.train.ema_decay == 0.999
    (tmp_path / "sharded.yaml").write_text("train: {shard: true}")
    with pytest.raises(InputError, match=r"sharded\.yaml sets train\.shard, which is gone"):
        read("--config", tmp_path / "sharded.yaml")


def test_a_color_tree_needs_a_network_that_sees_colors():
    tree = ("--train.max_steps", 1, "--process.kind", "color-tree", "--process.blur", 0.5)
    config = read(*tree)
    check_config(config)
    assert config.process.scheduler_options["process_options"] == {"blur": 0.5}
    with pytest.raises(InputError, match=r"color-tree is for model\.kind palette"):
        check_config(read(*tree, "--model.kind", "index"))


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_that_ships_can_be_run(path):
    check_config(read("--config", path, "--data.path", "pictures"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seed", "-1", "seed is -1; it must be from 0 to"),
        ("train.max_steps", "0", r"train\.max_steps is 0; it must be from 1 to"),
        ("train.max_minutes", ".nan", r"train\.max_minutes is nan; it must be above 0, and at most"),
        ("train.beta2", "1", r"train\.beta2 is 1(\.0)?; it must be from 0 to 0\.999999"),
        ("data.size", "0", r"data\.size is 0; it must be from 1 to"),
    ],
)
def test_numbers_out_of_range_are_called_as_the_config_calls_them(name, value, message):
    with pytest.raises(InputError, match=message):
        check_config(read("--train.max_steps=1", f"--{name}={value}"))


def test_a_step_that_memory_can_not_hold_is_refused(monkeypatch):
    monkeypatch.setattr(run_config, "physical_memory", lambda: 2**30)
    options = ["--train.max_steps=1", "--data.size=1024", "--data.max_colors=16"]
    check_config(read(*options, "--train.batch_size=15"))
    with pytest.raises(
        InputError, match=r"285,212,672 predictions of a step take 1 GiB, and this machine has 1: lower"
    ):
        check_config(read(*options, "--train.batch_size=17"))


def test_words_of_a_run_are_options_and_must_sometimes_be_hidden():
    config = read("--train.max_steps=1", "--model.text", "minilm", "--model.text_pooling", "mean")
    check_config(config)
    assert (config.model.text, config.model.text_pooling, config.model.text_dropout) == ("minilm", "mean", 0.1)
    with pytest.raises(InputError, match="text_dropout is 0, so training would never hide"):
        check_config(read("--train.max_steps=1", "--model.text", "minilm", "--model.text_dropout", "0"))
