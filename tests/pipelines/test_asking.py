import pytest
import torch

from tincture.pipelines.asking import Reuse


@pytest.mark.parametrize("depends_on_time", [True, False])
def test_reuse_asks_only_about_images_that_changed_and_answers_as_if_it_asked_about_all(depends_on_time):
    asked = []

    def denoise(x_t, t, rows):
        asked.append(rows.tolist())
        return (x_t + (t * depends_on_time)[:, None, None] + rows[:, None, None])[None, :, None].float()

    reuse, rows = Reuse(denoise, depends_on_time), torch.arange(3)
    x_t = torch.zeros(3, 2, 2)
    for change, t in [(None, 1.0), (1, 1.0), (None, 1.0), (2, 0.5)]:
        x_t = x_t.clone()
        if change is not None:
            x_t[change, 0, 1] += 1
        times = torch.full((3,), t)
        expected = (x_t + (times * depends_on_time)[:, None, None] + rows[:, None, None])[None, :, None]
        assert torch.equal(reuse(x_t, times), expected)
    assert asked == [[0, 1, 2], [1], [0, 1, 2] if depends_on_time else [2]]
    assert reuse.image_calls == sum(map(len, asked))
