"""Wrong configs: each is one line of error and status 2, soon, in little memory; none runs code.

All cases go through one process of their own, whose memory is limited, because importing takes
longer than all of them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
MEMORY = 8 << 30
"""Bytes of address space; the imports alone take 3 GiB of it."""
SECONDS = 20
"""For a case, on a machine that may be busy."""

SMALL = """
data: {source: folder, path: pictures, size: 8, min_colors: 2, max_colors: 2, heldout_fraction: 0.3, cache_dir: cache}
model: {token_channels: 32, palette_depth: 1, condition_channels: 16,
        unet: {channels: [8, 32], blocks: [1, 1], head_channels: 8, head_blocks: 0}}
train: {max_steps: 1, batch_size: 4, preview_images: 1, preview_steps: 1}
track: {wandb: false}
"""
TOUCH = "[touch ran]"


SYNTAX = {
    "a call": f"!!python/object/apply:os.system {TOUCH}",
    "a call inside": f"data: {{path: !!python/object/apply:os.system {TOUCH}}}",
    "a new object": f"data: !!python/object/new:subprocess.Popen [{TOUCH}]",
    "a name": "seed: !!python/name:os.system",
    "a module": "seed: !!python/module:antigravity",
    "a set": "data: !!set {a, b}",
    "bytes": "data: !!binary aGVsbG8=",
    "a list": "- 1\n- 2",
    "a number": "3",
    "nothing": "",
    "null": "null",
    "zeros and ones": b"\x00\x01\xff\xfe" * 100,
    "Latin-1": b"data: {path: \xe9}",
    "UTF-16": "seed: 1".encode("utf-16"),
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
    "two documents": "seed: 1\n---\nseed: 2",
    "an open brace": "data: {",
    "a number as a key": "1: 2",
    "a list as a key": "[1, 2]: 2",
    "an unknown key": "nonsense: 1",
    "a dunder": "__class__: 1",
}
CLASSES = {
    "class_path": f"data: {{class_path: subprocess.Popen, init_args: {{args: {TOUCH}}}}}",
    "class_path at the top": f"class_path: subprocess.Popen\ninit_args: {{args: {TOUCH}}}",
    "class_path inside": f"model: {{unet: {{class_path: subprocess.Popen, init_args: {{args: {TOUCH}}}}}}}",
    "class_path of a file here": "data: {class_path: evil.Evil}",
    "class_path of another config": "model: {class_path: training.run_config.TrainConfig}",
    "a class as text": "data: evil.Evil",
    "another file": "data: /etc/passwd",
    "a config in a config": "config: other.yaml",
    "an output folder": "output: /tmp\noverwrite: true",
}
SIZES = {
    "channels": "model: {unet: {channels: [1000000000, 8]}}",
    "channels beyond integers": "model: {unet: {channels: [80000000000000000000000, 8]}}",
    "wide and deep": "model: {unet: {channels: [8192, 8192], blocks: [64, 64], attention: [true, true]}}",
    "negative channels": "model: {unet: {channels: [-8, 8]}}",
    "blocks": "model: {unet: {blocks: [1, 1000000000]}}",
    "negative blocks": "model: {unet: {blocks: [-1, 1]}}",
    "levels": f"model: {{unet: {{channels: {[8] * 200}, blocks: {[0] * 200}, attention: {str([False] * 200).lower()}}}}}",
    "a patch": "model: {unet: {patch_size: 1000000000}}",
    "no attention head": "model: {unet: {attention: [true, true], attention_head_channels: 0}}",
    "head blocks": "model: {unet: {head_blocks: 1000000000}}",
    "tokens": "model: {token_channels: 1000000000}",
    "no tokens": "model: {token_channels: 0}",
    "depth": "model: {palette_depth: 1000000000}",
    "conditions": "model: {condition_channels: 1}",
    "dropout": "model: {unet: {dropout: 2}}",
    "class dropout": "model: {class_dropout: .nan}",
    "size": "data: {size: 100000}",
    "a size beyond integers": "data: {size: 1000000000000000000000000}",
    "size zero": "data: {size: 0}",
    "batch": "train: {batch_size: 1000000000000}",
    "a batch of large pictures": "data: {size: 4096}\ntrain: {batch_size: 1000000}",
    "no batch": "train: {batch_size: 0}",
    "previews": "train: {preview_images: 1000000000000}",
    "preview steps": "train: {preview_steps: 1000000000000}",
    "times": "train: {heldout_times: 1000000000000}",
    "seed": "seed: 100000000000000000000000000000",
    "a seed that is no number": "seed: .nan",
    "learning rate": "train: {learning_rate: .nan}",
    "an endless learning rate": "train: {learning_rate: .inf}",
    "minutes": "train: {max_minutes: .nan}",
    "average": "train: {ema_decay: 5}",
    "beta2": "train: {beta2: 1.0}",
    "decay": "train: {weight_decay: .nan}",
    "clipping": "train: {clip_norm: -1}",
    "shift": "train: {shift: 100000000}",
    "jitter": "train: {palette_jitter: .nan}",
    "foreign palettes": "train: {foreign_palettes: 7}",
    "kernel": "process: {kind: color-heat, width: .nan}",
    "held out": "data: {heldout_fraction: .nan}",
    "colors": "data: {max_colors: 1000000000}",
    "a device as a folder": "data: {source: folder, path: /dev/zero}",
    "a device as a palette": "data: {palette: /dev/zero}",
    "a long name": "data: {source: folder, path: " + "a" * 5000 + "}",
    "a cache in a file": "data: {cache_dir: small.yaml}",
    "a cache in /proc": "data: {cache_dir: /proc/nowhere}",
    "a cache of nobody": "data: {cache_dir: ~nobody-of-that-name/cache}",
    "a quantizer": "data: {quantizer: os.system}",
}
CASES = SYNTAX | CLASSES | SIZES
NOT_A_MODELS = {name: text for name, text in SYNTAX.items() if name not in ("a number as a key", "an unknown key")}
"""What a trained model's config.yaml is refused for; evaluate.py reads only its part about data."""

DRIVER = """
import contextlib, io, json, resource, signal, sys
from tincture import evaluate, train
from tincture.common import cli

def give_up(*_):
    raise SystemError("too slow")

signal.signal(signal.SIGALRM, give_up)
memory, seconds = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
for line in sys.stdin:
    command, arguments = json.loads(line)
    sys.argv = [command, *arguments]
    err, out, status, crash = io.StringIO(), io.StringIO(), 0, None
    signal.alarm(seconds)
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        try:
            cli.run({"train": train, "evaluate": evaluate}[command].main)
        except SystemExit as stop:
            status = stop.code
        except BaseException as error:
            crash = repr(error)[:300]
    signal.alarm(0)
    print(json.dumps([status, err.getvalue(), crash]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """(status, standard error, exception that got out) of each case, by command and name."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "pictures").mkdir()
    for number in range(12):
        picture = Image.new("RGB", (8, 8), (20 * number, 5, 9))
        picture.putpixel((1, 1), (255, 0, 0))
        picture.save(folder / "pictures" / f"{number}.png")
    (folder / "small.yaml").write_text(SMALL)
    (folder / "evil.py").write_text("import pathlib\npathlib.Path('ran').touch()\nclass Evil: pass\n")
    (folder / "other.yaml").write_text("seed: 7")
    model = ROOT / "checkpoints" / "icons16"
    jobs = {}
    for number, (name, text) in enumerate(CASES.items()):
        path = folder / f"{number}.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        words = ["--config", "small.yaml", "--config", path.name, "--output", f"run{number}"]
        jobs["train", name] = ["train", words]
        if name in NOT_A_MODELS:
            copy = folder / f"model{number}"
            copy.mkdir()
            for file in model.iterdir():
                if file.name != "config.yaml":
                    (copy / file.name).symlink_to(file)
            (copy / "config.yaml").write_bytes(path.read_bytes())
            jobs["evaluate", name] = ["evaluate", ["--checkpoint", copy.name, "--output", f"{number}.json"]]
    finished = subprocess.run(
        [sys.executable, "-c", DRIVER, str(MEMORY), str(SECONDS)],
        cwd=folder,
        input="".join(json.dumps(job) + "\n" for job in jobs.values()),
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(folder)])},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = finished.stdout.splitlines()
    assert len(lines) == len(jobs), f"{list(jobs)[len(lines)]} ended the process: {finished.stderr[-2000:]}"
    assert not list(folder.rglob("ran")), "code was run"
    return dict(zip(jobs, map(json.loads, lines), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_config_is_refused_in_one_line(outcomes, name):
    for command in ("train", "evaluate"):
        if (command, name) in outcomes:
            status, err, crash = outcomes[command, name]
            assert crash is None, f"{command}: {crash}"
            messages = [line for line in err.replace("\r", "\n").splitlines() if line.strip() and "|" not in line]
            assert (status, len(messages)) == (2, 1), f"{command}: {err[-1000:]}"
            assert messages[0].startswith("error: ")
            assert len(messages[0]) <= 1100
            assert messages[0].isprintable()
