import pytest

from tincture.benchmarks import feature_metrics


@pytest.mark.slow
def test_real_images_are_nearer_than_an_untrained_models_drawings_in_either_palettes(run, checkpoint, cache_dir):
    options = ["--checkpoint", checkpoint, "--num-samples", 20, "--steps", 2, "--data.cache_dir", cache_dir]
    status, out, err = run(feature_metrics, "--tables", "floor", *options)
    assert status == 0, err
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    assert rows[0][:3] == ["", "images", "frechet"]
    frechet = {row[0]: float(row[2].split(" ")[0]) for row in rows[2:]}
    assert list(frechet) == ["real training images", "drawn in held-out palettes", "drawn in training palettes"]
    assert min(frechet, key=frechet.__getitem__) == "real training images"
    assert all(row[1] == "20" for row in rows[2:])
