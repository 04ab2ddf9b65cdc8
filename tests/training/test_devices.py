import torch

from tincture.models.denoiser import build_denoiser
from tincture.models.options import DenoiserConfig
from tincture.training import devices
from tincture.training.devices import compile_where_it_pays, number_format
from tincture.training.run_config import TrainConfig

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_a_gpu_compiles_into_one_command_and_takes_short_numbers_and_a_processor_does_neither(monkeypatch):
    asked = []
    monkeypatch.setattr(devices, "has_triton", lambda: True)
    monkeypatch.setattr(devices, "compile_network", lambda network, mode: asked.append(mode))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    network = build_denoiser(DenoiserConfig(), 0, 16)
    assert not compile_where_it_pays(network, TrainConfig(), CPU)
    assert not compile_where_it_pays(network, TrainConfig(compile="no"), GPU)
    assert compile_where_it_pays(network, TrainConfig(), GPU)
    assert compile_where_it_pays(network, TrainConfig(accumulation=2), GPU)
    assert asked == ["reduce-overhead", "default"]  # parts can't add to gradients that a graph overwrites
    assert [number_format(TrainConfig(), device) for device in (CPU, GPU)] == [torch.float32, torch.bfloat16]
    assert [number_format(TrainConfig(mixed_precision=each), GPU) for each in ("no", "bf16")] == [
        torch.float32,
        torch.bfloat16,
    ]
    monkeypatch.setattr(devices, "has_triton", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    assert not compile_where_it_pays(network, TrainConfig(), GPU)
    assert number_format(TrainConfig(), GPU) == torch.float32
