from pathlib import Path

import pytest
import yaml

from tincture.benchmarks import study
from tincture.benchmarks.study import Trial, as_word, parsed_config, words
from tincture.common.errors import InputError

CONFIG = Path("configs/icons16.yaml")
TRIALS = yaml.safe_load(Path("benchmarks/study.yaml").read_text())


@pytest.mark.parametrize("value", ["cpu", None, True, 0.25, 6.0, 10**6, 1e-5, [32, 64, 128], [True, False]])
def test_a_value_is_a_word_of_yaml(value):
    assert yaml.safe_load(as_word(value)) == value


def test_every_trial_is_a_config_that_says_what_the_trial_says():
    for name, changes in TRIALS.items():
        config = parsed_config(["--config", str(CONFIG), *words(Trial(name, changes, 3), 6.0)])
        assert (config.seed, config.train.max_minutes, config.train.clock) == (3, 6.0, "cpu")
        for key, value in changes.items():
            found = config
            for part in key.split("."):
                found = getattr(found, part)
            assert (list(found) if isinstance(found, tuple) else found) == value, (name, key)


def test_a_finished_trial_is_taken_over_if_it_is_the_same_and_refused_if_not(tmp_path, monkeypatch):
    trial = Trial("wide", {"model.unet.channels": [96, 192]}, 0)
    ran = []

    def run(command, **_):
        ran.append(command)
        folder = Path(command[command.index("--output") + 1])
        folder.mkdir(parents=True)
        config = parsed_config(command[command.index("--overwrite") + 1 :])
        (folder / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
        (folder / "model_index.json").touch()
        return type("Finished", (), {"returncode": 0})

    monkeypatch.setattr(study.subprocess, "run", run)
    for _ in range(2):
        study.train(trial, CONFIG, tmp_path, 6.0)
    assert len(ran) == 1
    for other in (Trial("wide", {"model.unet.channels": [80, 160]}, 0), Trial("wide", {}, 0)):
        with pytest.raises(InputError, match="was trained with another config"):
            study.train(other, CONFIG, tmp_path, 6.0)
    with pytest.raises(InputError, match="was trained with another config"):
        study.train(trial, CONFIG, tmp_path, 7.0)
