import json
from pathlib import Path

import pytest
import torch

from tincture.benchmarks import peers
from tincture.benchmarks.peer_models.peer import Drawing
from tincture.benchmarks.peer_models.report import plot, tables
from tincture.common.errors import InputError
from tincture.evaluation.features import FeatureExtractor
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.palette import Palette


def test_pixels_are_off_palette_unless_they_are_their_entry():
    palettes = PaletteBatch.from_palettes([Palette.from_hex(["000000", "ffffff", "00000000"])])
    indices = torch.tensor([[[0, 1], [2, 2]]])
    exact = peers.rgba_of(indices, palettes)
    assert peers.off_palette(Drawing(indices, exact), palettes) == {"off_palette_share": 0, "off_palette_distance": 0}
    hidden = exact.clone()
    hidden[0, 1, 0, :3] = 99  # a color that nobody sees
    assert peers.off_palette(Drawing(indices, hidden), palettes)["off_palette_share"] == 0
    off = exact.clone()
    off[0, 0, 0, :3] = 255  # white where the entry is black: 1 apart, in one of two opaque pixels
    off[0, 1, 1, 3] = 9
    figures = peers.off_palette(Drawing(indices, off), palettes)
    assert figures["off_palette_share"] == 0.5
    assert figures["off_palette_distance"] == pytest.approx(0.5, abs=1e-3)


ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "docs" / "results").glob("*/peers.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_the_records_in_the_docs_are_those_of_the_config_but_for_what_it_has_learned_since(path):
    parser = peers.make_parser()
    defaults = peers.plain_options(parser, parser.get_defaults())
    train = json.loads(path.read_text())["options"]["train"]
    recipe = [
        f"--train.{name}={train[name]}" for name in ("optimizer", "learning_rate", "weight_decay", "mixed_precision")
    ]
    words = [
        "--config",
        str(ROOT / "configs" / "icons16.yaml"),
        "--output",
        "anywhere",
        "--train.clock",
        "cpu",
        *recipe,
    ]
    words += ["--minutes", "20", "--samples", "200", "--times", "8", "--seeds", "3"]

    def options(*more):
        return peers.plain_options(parser, parser.parse_args([*words, *more]))

    then = options("--model.unet.normalization", "group")
    assert len(peers.earlier_records(path, then, defaults)) > 1
    with pytest.raises(InputError, match="another --model"):
        peers.earlier_records(path, options("--model.unet.normalization", "layer"), defaults)


def test_there_are_records_in_the_docs():
    assert RESULTS


def record(peer, seed, bits, frechet):
    drawn = {"sampler": "euler", "frechet": frechet, "kernel": 1.0, "recall": 0.5, "images_per_second": 9.0}
    drawn |= {"frechet_stderr": 4.0, "kernel_stderr": 0.1, "recall_stderr": 0.02}
    curve = [] if bits is None else [{"minutes": 1.0, "bits": bits + 1, "stderr": 0.1}]
    return {
        "palettes": "own", "peer": peer, "seed": seed, "parameters": 1234, "steps": 7, "images_per_second": 3.0,
        "peak_mib": 5.0, "bits_per_pixel": bits, "curve": curve, "drawings": [{"calls": 16} | drawn, {"calls": 64} | drawn],
    }  # fmt: skip


def test_tables_have_the_mean_over_seeds_and_its_standard_error(tmp_path):
    real = {"palettes": "own", "peer": "real", "entries": 16, "frechet": 30.0, "kernel": 0.0, "recall": 0.8}
    records = [real, record("a", 0, 1.0, 40.0), record("a", 1, 2.0, 44.0), record("b", 0, None, 50.0)]
    text = tables(records)
    assert "| a | 1,234 | 2 | 7 ± 0 | 3 ± 0 | 5 | 1.500 ± 0.500 |" in text
    assert "| b | 1,234 | 1 | 7 | 3 | 5 | none |" in text
    assert "| a | euler | 16 | 2 | 42.0 ± 2.8 |" in text, (
        "seeds that happen to agree don't make it surer than its images do"
    )
    assert "| b | euler | 16 | 1 | 50.0 ± 4.0 |" in text
    assert "| real |  |  |  | 30.0 |" in text
    apart = tables([real, record("a", 0, 1.0, 30.0), record("a", 1, 2.0, 50.0)])
    assert "| a | euler | 16 | 2 | 40.0 ± 10.0 |" in apart
    other = [{**each, "sampler": "remasking", "frechet": 35.0} for each in record("a", 2, 1.0, 35.0)["drawings"]]
    more = tables([*records, {**record("a", 2, 1.0, 35.0), "drawings": other}])
    assert "| a | euler | 16 | 2 | 42.0 ± 2.8 |" in more, "a seed that was drawn otherwise doesn't count"
    assert "| a | remasking | 64 | 1 | 35.0 ± 4.0 |" in more
    pytest.importorskip("matplotlib")
    others = [{**each, "palettes": "shared"} for each in records if each["peer"] != "b"]
    not_drawn = [{**each, "drawings": []} for each in others if each["peer"] == "a"]
    assert tables([*records, *others]).count("| a | euler | 16 |") == 2
    assert "euler" not in tables([real, *[{**each, "palettes": "own"} for each in not_drawn]])
    plot(
        tmp_path / "peers.png",
        [*others, *records, {**real, "palettes": "undrawn"}, {**not_drawn[0], "palettes": "undrawn"}],
    )
    assert (tmp_path / "peers.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--peers ours theirs", "unknown peer 'theirs'; choose from ours"),
        ("--minutes 0", "--minutes is 0"),
        ("--minutes .nan", "--minutes is nan"),
        ("--calls 16 0", "--calls is 0; it must be from 1 to 1000"),
        ("--calls 2000", "--calls is 2000; it must be from 1 to 1000"),
        ("--samples 3", "at least 20 must be drawn"),
        ("--train.batch_sise 3", "batch_sise"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(run, tmp_path, arguments, message):
    status, out, err = run(peers, "--output", tmp_path / "peers", *arguments.split())
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "peers").exists()


@pytest.mark.slow
def test_a_comparison_goes_on_where_it_ended_and_only_as_it_began(run, tmp_path):
    small = "--model.unet.channels [8,32] --model.unet.blocks [1,1] --model.token_channels 32 --train.batch_size 8"
    options = f"--peers ours --palettes own --minutes 0.01 --slices 1 --samples 20 --calls 2 --times 1 {small}".split()
    output = tmp_path / "peers"
    assert run(peers, "--output", output, *options, "--seeds", 1)[0] == 0
    first = json.loads((output / "peers.json").read_text())["records"]
    assert run(peers, "--output", output, *options, "--seeds", 2, "--resume")[0] == 0
    records = json.loads((output / "peers.json").read_text())["records"]
    assert records[:2] == first
    assert sorted(path.name for path in (output / "weights").iterdir()) == [
        "own-ours-0.safetensors",
        "own-ours-1.safetensors",
    ]
    sheets = {path.name for path in (output / "sheets").iterdir()}
    assert {"own-ours-0-remasking-2.png", "own-ours-1-ancestral-2.png"} <= sheets
    assert [(record["peer"], record.get("seed")) for record in records] == [("real", None), ("ours", 0), ("ours", 1)]
    status, _, err = run(peers, "--output", output, *options, "--times", 2, "--resume")
    assert status == 2
    assert "was made with another --times" in err


def test_figures_of_comparisons_that_ran_side_by_side_stand_in_one_table(run, cache_dir, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    means = FeatureExtractor("mean-color", 16, lambda rgb: rgb.mean(dim=(2, 3)), torch.device("cpu"))
    monkeypatch.setattr(peers, "load_extractor", lambda device: means)  # nothing is measured here
    parser = peers.make_parser()
    options = ["--peers", "a", "b", "--palettes", "own", "--seeds", "1", "--data.cache_dir", str(cache_dir)]
    plain = peers.plain_options(parser, parser.parse_args(["--output", "anywhere", *options]))
    del plain["train"]["accumulation"]  # as a comparison that was made before there was such an option
    real = {"palettes": "own", "peer": "real", "entries": 16, "frechet": 30.0, "kernel": 0.0, "recall": 0.8}
    for name, peer in (("one", "ours"), ("two", "ddpm")):
        (tmp_path / name).mkdir()
        records = {"options": plain, "records": [real, record(peer, 0, 1.0, 40.0)]}
        (tmp_path / name / "peers.json").write_text(json.dumps(records))
    folders = [tmp_path / "one", tmp_path / "two"]
    words = ["--peers", "ours", "ddpm", "--palettes", "own", "--seeds", 1, "--output", tmp_path / "both"]
    words += ["--data.cache_dir", cache_dir, "--take"]
    status, out, _ = run(peers, *words, *folders)
    assert status == 0
    assert "| ours | 1,234 |" in out and "| ddpm | 1,234 |" in out
    assert out.count("| real |") == 1
    written = json.loads((tmp_path / "both" / "peers.json").read_text())["records"]
    assert [each["peer"] for each in written] == ["real", "ours", "ddpm"]
    status, _, err = run(peers, *words, *folders, "--resume", "--times", 3)
    assert status == 2
    assert "was made with another --times" in err
