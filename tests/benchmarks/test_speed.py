from dataclasses import replace

import pytest

from tincture.benchmarks import speed
from tincture.data.sources import DataConfig
from tincture.models.options import DenoiserConfig, UNetConfig
from tincture.training.run_config import RunConfig, TrainConfig

TINY = RunConfig(
    data=DataConfig(size=4, min_colors=4, max_colors=4),
    model=DenoiserConfig(
        palette_depth=1,
        unet=UNetConfig(
            channels=(8,), blocks=(1,), attention=(True,), attention_head_channels=8, head_channels=8, head_blocks=1
        ),
    ),
    train=TrainConfig(max_steps=1, foreign_palettes=0.25),
)


def test_a_training_step_takes_as_many_operations_for_few_images_as_for_many():
    few, many = (speed.operations_of_training(TINY, images) for images in (8, 16))
    assert few == many
    assert few["network and loss, backward"] > few["network, forward"] > few["loss, forward"] > 0


def test_the_operations_of_drawing_are_counted_for_each_sampler_without_the_network():
    counts = speed.operations_of_drawing(TINY, 2)
    deeper = speed.operations_of_drawing(replace(TINY, model=replace(TINY.model, palette_depth=3)), 2)
    assert counts.pop("network") < deeper.pop("network")
    assert "ancestral, besides the network" in counts
    assert counts == deeper


@pytest.fixture
def tables(capsys, monkeypatch):
    """What a part prints for the tiny run: the cells of each line that has as many as the last."""
    monkeypatch.setitem(speed.EDGES, "cpu", 64)

    def print_part(name, **options):
        speed.PARTS[name](speed.Namespace(clock="wall", profile=False, **options), TINY)
        lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
        return [cells for cells in lines if len(cells) == len(lines[-1]) and cells[0] != "---"]

    return print_part


def test_the_table_of_training_has_a_line_for_each_batch_with_shares_of_the_whole(tables):
    head, *lines = tables("training_speed", batches=[2, 4], steps=1)
    assert [line[:2] for line in lines] == [["2", "as it is"], ["4", "as it is"]]  # nothing is compiled on a CPU
    for line in lines:
        cells = dict(zip(head, line, strict=True))
        assert float(cells["images/s"].replace(",", "")) > 0
        assert sum(int(cells[part].rstrip("%")) for part in (speed.LOADING, speed.NETWORK, speed.UPDATE)) in (
            99,
            100,
            101,
        )


def test_the_table_of_drawing_says_how_much_of_it_is_the_network(tables, monkeypatch):
    seconds = iter(range(1000))
    monkeypatch.setitem(speed.CLOCKS, "wall", lambda: next(seconds))  # so that each look at the clock is a second
    head, line = tables("drawing_speed", images=2, calls=3, samplers=["ancestral"])
    cells = dict(zip(head, line, strict=True))
    assert cells["seconds"] == "1.00"
    assert cells["in the network"] == f"{3 / (2 * 3 + 1):.0%}"  # three calls, each with a look before and after
