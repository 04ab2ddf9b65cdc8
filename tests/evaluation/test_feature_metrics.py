import pytest
import torch

from tincture.common.errors import InputError
from tincture.data.config import DataConfig
from tincture.data.index_maps import load_index_maps
from tincture.evaluation.feature_metrics import all_metrics, feature_metrics
from tincture.evaluation.features import FeatureExtractor, load_extractor
from tincture.evaluation.frechet import frechet_distance


@pytest.fixture
def extractor():
    """The pictures' mean color: three features that need no network."""
    return FeatureExtractor("mean-color", 16, lambda rgb: rgb.mean(dim=(2, 3)), torch.device("cpu"))


def pictures(number, seed, brightest=256):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, brightest, (number, 1, 1, 4), dtype=torch.uint8, generator=generator).repeat(1, 16, 16, 1)


def test_it_says_what_was_measured_and_on_how_many(extractor):
    drawn, reference = pictures(60, 0), pictures(80, 1)
    result = feature_metrics(extractor, drawn.numpy(), reference, replicates=10)
    assert (result.extractor, result.num_drawn, result.num_reference) == ("mean-color", 60, 80)
    assert result.frechet.value == pytest.approx(frechet_distance(extractor(drawn), extractor(reference)).item())
    assert all(measured.stderr > 0 for measured in result[3:])


def test_other_pictures_are_farther_than_their_standard_errors(extractor):
    reference = pictures(200, 0)
    near, far = (feature_metrics(extractor, pictures(200, 1, brightest), reference) for brightest in (256, 128))
    for name in ("frechet", "kernel"):
        assert getattr(far, name).value > getattr(near, name).value + 4 * getattr(far, name).stderr
    for name in ("recall", "coverage"):
        assert getattr(far, name).value < getattr(near, name).value - 4 * getattr(far, name).stderr


def test_the_more_of_an_icon_is_noise_the_farther_it_is_from_other_icons(cache_dir):
    extractor, number = load_extractor(), 96
    training, heldout = load_index_maps(DataConfig(cache_dir=cache_dir))
    reference = extractor(images_of(heldout, heldout.indices, number))
    generator = torch.Generator().manual_seed(0)
    place = torch.rand(training.indices.shape, generator=generator)
    entries = torch.randint(0, 16, training.indices.shape, generator=generator) % training.palettes.sizes[:, None, None]
    shares = (0.0, 0.1, 0.3, 0.6, 1.0)  # each holds the noise of the one before it
    noisy = [torch.where(place < share, entries, training.indices) for share in shares]
    metrics = torch.stack([all_metrics(extractor(images_of(training, each, number)), reference) for each in noisy])
    frechet, kernel = metrics[:, :2].T
    assert frechet.diff().min() > 0
    assert kernel.diff().min() > 0


def images_of(side, indices, number):
    return torch.stack([side.palettes.colors[row][indices[row].long()] for row in range(number)])


def test_the_seed_decides_the_standard_errors_alone(extractor):
    first, again, other = (
        feature_metrics(extractor, pictures(40, 0), pictures(40, 1), replicates=5, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first.frechet.value == other.frechet.value
    assert first.frechet.stderr != other.frechet.stderr


def test_too_few_images_are_refused(extractor):
    with pytest.raises(InputError, match="at least 20 drawn images, not 5"):
        feature_metrics(extractor, pictures(5, 0), pictures(40, 1))
