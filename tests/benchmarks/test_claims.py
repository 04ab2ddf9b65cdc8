import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

CLAIMS = ("augmentation", "colorization", "compression", "control", "style")
# They need requirements-benchmarks.txt.
claims = {name: pytest.importorskip(f"tincture.benchmarks.claims.{name}") for name in (*CLAIMS, "trials")}
augmentation, compression, style, trials = (claims[n] for n in ("augmentation", "compression", "style", "trials"))
ROOT = Path(__file__).parents[2]


def counting(calls):
    """A claim of two trials that counts how often they are run."""

    def run(name):
        calls.append(name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return [len(calls)]

    return trials.Claim(
        "counting",
        lambda _: {name: lambda name=name: run(name) for name in ("first", "second")},
        str,
        lambda figure, _: figure.add_subplot(),
        (1, 1),
    )


def test_a_test_that_was_stopped_goes_on_where_it_was(tmp_path, capsys):
    calls = []
    with pytest.raises(KeyboardInterrupt):
        trials.examine(counting(calls), "Count.", ["--output", str(tmp_path)])
    assert json.loads((tmp_path / "counting.json").read_text()) == {"first": [1]}
    assert not (tmp_path / "counting.png").exists()
    for _ in range(2):  # the second time there is nothing left to do
        trials.examine(counting(calls), "Count.", ["--output", str(tmp_path)])
        assert calls == ["first", "second", "second"]
    assert capsys.readouterr().out.splitlines()[-1] == str({"first": [1], "second": [3]})
    assert (tmp_path / "counting.png").exists()


def test_a_formats_quality_at_some_bytes_is_the_best_that_it_has_there():
    points = [[400, 30.0, 0.9, 1.0], [100, 20.0, 0.5, 3.0], [200, 19.0, 0.4, 4.0]]
    assert compression.at_bytes(points, 400).tolist() == [30.0, 0.9, 1.0]
    assert compression.at_bytes(points, 200).tolist() == [20.0, 0.5, 3.0]  # 100 bytes do better
    assert compression.at_bytes(points, 10).tolist() == [20.0, 0.5, 3.0]
    halfway = compression.at_bytes(points, (200 * 400) ** 0.5)
    assert halfway == pytest.approx([25.0, 0.7, 2.0])


def test_gains_are_positive_where_the_palette_is_better():
    worse = [[100, 20.0, 0.5, 3.0]]
    record = dict.fromkeys(compression.LOSSY, worse) | {"PNG, plain": [[100, 21.0, 0.6, 2.0]]}
    assert all((gain > 0).all() for gain in compression.gains(record, "PNG, plain", 0).values())


def test_equal_pictures_have_the_best_quality():
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert compression.point(picture, picture, 9) == [9, compression.BEST_PSNR, 1, 0]
    dotted = np.where(np.indices((32, 32, 1)).sum(axis=0) % 2, np.uint8(255), np.uint8([0, 0, 0]))
    middle = np.full_like(dotted, 188)  # the light of half of the pixels
    assert compression.point(dotted, middle, 9)[3] < 1 < compression.point(dotted, middle // 2, 9)[3]


def two_colored(*hexes):
    """A square in one color on another."""
    indices = np.zeros((16, 16), np.uint8)
    indices[4:12, 4:12] = 1
    return IndexedImage(indices, Palette.from_hex(list(hexes)))


def test_edges_are_kept_if_light_and_dark_change_places_and_lost_in_one_color():
    image = two_colored("000000", "ffffff")
    swapped = two_colored("ffffff", "000000").to_rgba().reshape(-1, 4)[:, :3]
    assert style.edges_kept(image, swapped) == 1
    assert style.edges_kept(image, np.zeros_like(swapped)) < 0.5


def test_sliced_transport_takes_over_the_references_colors():
    image, reference = two_colored("000000", "ffffff"), two_colored("204060", "e0a020")
    colors = style.sliced(image, reference)
    assert style.distance_of_proportions(colors, style.opaque(reference, reference)) < 0.01
    assert style.distance_of_proportions(style.opaque(image, image), style.opaque(reference, reference)) > 0.1


def test_jitter_leaves_what_is_transparent_and_turns_hue_about_gray():
    torch.manual_seed(0)
    colors, gray = torch.rand(4, 3, 5, 5), torch.full((4, 3, 5, 5), 0.5)
    clear = torch.zeros(4, 1, 5, 5, dtype=torch.bool)
    clear[:, :, 0] = True
    changed = augmentation.jittered(colors, clear)
    assert torch.equal(changed[:, :, 0], colors[:, :, 0])
    assert (changed[:, :, 1:] != colors[:, :, 1:]).float().mean() > 0.9
    assert augmentation.jittered(gray, clear).std(dim=1).max() < 1e-6


@pytest.mark.parametrize("name", CLAIMS)
def test_the_records_in_the_docs_make_a_table(name):
    claim = claims[name].CLAIM
    records = json.loads((ROOT / trials.KEPT / f"{name}.json").read_text())
    assert claim.name == name
    assert len(claim.table(records).splitlines()) > 3


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_a_quick_test_of_a_claim_prints_its_table_and_draws_its_picture(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    claims[name].main(["--quick", "--output", str(tmp_path)])
    assert len(capsys.readouterr().out.splitlines()) > 3
    assert (tmp_path / f"{name}.png").stat().st_size > 1000
