"""Inception v3 with the weights of the original Fréchet Inception distance (Heusel et al. 2017, arXiv 1706.08500).

By torch-fidelity, which is not among this project's requirements: it needs torchvision, and its weights are a download.
"""

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
from torch import Tensor

from tincture.common.errors import InputError


def load_inception(device: torch.device) -> Callable[[Tensor], Tensor]:
    """A function from RGB from 0 to 255, float ``[B, 3, H, W]``, to the 2,048 pooled features, ``[B, 2048]``.

    Raises:
        InputError: torch-fidelity is not installed, or its weights are neither in torch's cache nor reachable.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
    except ImportError as error:
        raise InputError(
            f"the extractor inception needs the package torch-fidelity ({error}): install it, or use efficientnet-lite0"
        ) from error
    try:
        # torch-fidelity would unpickle whatever the file holds. This fetches it, checks its hash, and refuses all but tensors.
        torch.hub.load_state_dict_from_url(URL_INCEPTION_V3, map_location="cpu", check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError, UnpicklingError) as error:
        raise InputError(
            f"Inception's weights can't be had ({error}): put {URL_INCEPTION_V3} into "
            f"{torch.hub.get_dir()}/checkpoints, or use efficientnet-lite0"
        ) from error
    path = Path(torch.hub.get_dir()) / "checkpoints" / URL_INCEPTION_V3.rsplit("/", maxsplit=1)[-1]
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    network.to(device)
    return lambda rgb: network(rgb.round().to(torch.uint8))[0]
