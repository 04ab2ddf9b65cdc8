import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tincture.codec import arithmetic
from tincture.codec.format import DamagedError, decode, encode_folder, encode_pictures
from tincture.codec.network import CodecNetwork
from tincture.codec.palettes import set_positions
from tincture.codec.pictures import Picture, StoredFile, without_order
from tincture.tests.codec.conftest import make_pipeline

CLEAR, MAGENTA = [0, 0, 0, 0], [255, 0, 255, 0]


def random_picture(seed, name=""):
    """Any shape, any palette: sorted or not, duplicates, unused, half and wholly transparent."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.choice([1, 2, 5, 8, 11, 17], 2))
    size = int(rng.choice([1, 2, 5, 9]))
    colors = rng.integers(0, 256, (size, 4)).astype(np.uint8)
    colors[:, 3] = 255
    kind = rng.integers(5)
    if kind == 1:
        colors[rng.integers(size)] = [CLEAR, MAGENTA][rng.integers(2)]
    elif kind == 2:
        colors[:, 3] = rng.integers(0, 256, size)
    elif kind == 3:
        colors[:] = colors[rng.integers(0, size, size)]
    frames = [rng.integers(0, size, shape).astype(np.uint8) for _ in range(rng.choice([1, 1, 3]))]
    durations = tuple(rng.integers(1, 99, len(frames)).tolist()) if len(frames) > 1 else (0,)
    positions = set_positions(colors)
    if positions is not None and rng.random() < 0.3:
        colors = colors[positions]
    picture = Picture(frames, colors, True, durations, [None, 0, 3][rng.integers(3)] if len(frames) > 1 else None, name)
    return without_order(picture) if rng.random() < 0.4 else picture


def same(one, other):
    """Whether two pictures show the same, bit for bit; where they have an order, it is the same."""
    assert (one.name, one.is_indexed, one.loops) == (other.name, other.is_indexed, other.loops)
    assert [*one.durations] == [*other.durations]
    for a, b in zip(one.frames, other.frames, strict=True):
        assert np.array_equal(one.colors[a], other.colors[b])
        assert not one.is_indexed or np.array_equal(a, b)
    assert not one.is_indexed or np.array_equal(one.colors, other.colors)
    return True


@given(st.integers(0, 2**32))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pictures_come_back_bit_for_bit_alone_and_in_a_folder(network, seed):
    pictures = [random_picture(seed + number) for number in range(4)]
    files = encode_pictures(network, pictures, seed % 2 * 3)
    for (back,), picture, file in zip(decode(network, files), pictures, files, strict=True):
        assert same(picture, back)
        assert same(picture, decode(network, [file])[0][0])
    named = [random_picture(seed + number, f"art/{number}") for number in range(4)]
    named.append(StoredFile(b"anything at all", ".bin", name="notes"))
    *back, kept = decode(network, [encode_folder(network, named, 0)])[0]
    assert all(map(same, named, back))
    assert (kept.content, kept.name) == (b"anything at all", "notes.bin")


DECODE = """
import sys, torch
from pathlib import Path
from tincture.codec.format import decode
from tincture.codec.network import CodecNetwork
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
torch.set_num_threads(int(sys.argv[1]))
assert torch.backends.cpu.get_cpu_capability() == "DEFAULT"
network = CodecNetwork(PaletteDiffusionPipeline.from_pretrained(sys.argv[2]))
paths = [Path(name) for name in sys.argv[3:]]
for path, parts in zip(paths, decode(network, [path.read_bytes() for path in paths])):
    path.with_suffix(".back").write_bytes(b"".join(frame.tobytes() for frame in parts[0].frames))
"""


def test_another_machine_reads_what_this_one_wrote(pipeline, network, tmp_path):
    """Without AVX, with another number of threads, and all in one batch."""
    pictures = [random_picture(seed) for seed in range(4)]
    for number, picture in enumerate(pictures):
        (tmp_path / f"{number}.tnct").write_bytes(encode_pictures(network, [picture], 0)[0])
    files = sorted(map(str, tmp_path.iterdir()))
    pipeline.save_pretrained(tmp_path / "model")
    words = [sys.executable, "-c", DECODE, "3", tmp_path / "model", *files]
    subprocess.run(words, check=True, env={**os.environ, "ATEN_CPU_CAPABILITY": "default"})
    for number, picture in enumerate(pictures):
        back = (tmp_path / f"{number}.back").read_bytes()
        assert len(back) == sum(frame.size for frame in picture.frames)
        assert back == b"".join(f.tobytes() for f in picture.frames) or not picture.is_indexed


def test_a_file_that_is_kept_needs_no_model():
    kept = StoredFile(bytes(range(256)), ".png")
    (file,) = encode_pictures(None, [kept], 0)
    assert len(file) == 256 + 6 + 5
    assert decode(None, [file]) == [[kept]]


def test_an_order_costs_what_it_tells_and_a_sorted_palette_costs_nothing(network, rng):
    colors = rng.integers(0, 256, (40, 4)).astype(np.uint8)
    colors[:, 3] = 255
    frames = [rng.integers(0, 40, (8, 8)).astype(np.uint8)]
    indexed = Picture(frames, colors, is_indexed=True)
    positions = set_positions(colors)
    ordered = Picture([positions.argsort().astype(np.uint8)[frames[0]]], colors[positions], is_indexed=True)
    free = Picture(ordered.frames, ordered.colors)
    given, sorted_, none = (len(file) for file in encode_pictures(network, [indexed, ordered, free], 0))
    assert none <= sorted_ <= none + 1
    assert abs(given - none - np.log2(np.arange(1, 41)).sum() / 8) <= 1.5


def test_pictures_in_one_palette_store_it_once(network, rng):
    colors = np.append(rng.integers(0, 256, (60, 3)), np.full((60, 1), 255), axis=1).astype(np.uint8)
    pictures = [
        Picture([rng.integers(0, 60, (8, 8)).astype(np.uint8)], colors, is_indexed=True, name=str(number))
        for number in range(3)
    ]
    alone = sum(map(len, encode_pictures(network, pictures, 0)))
    assert len(encode_folder(network, pictures, 0)) < alone - 2 * 100


@pytest.fixture(scope="module")
def files(network):
    pictures = [random_picture(seed, f"{seed}") for seed in range(3)]
    single = Picture(pictures[0].frames, pictures[0].colors)
    return [
        *encode_pictures(network, [single, StoredFile(b"content", ".png")], 0),
        encode_folder(network, [*pictures, StoredFile(b"content", ".png", name="kept")], 0),
    ]


def test_damaged_files_are_one_error_and_never_another_picture(network, files):
    rng = np.random.default_rng(0)
    for file in files:
        original = decode(network, [file])[0]
        for _ in range(60):
            changed = bytearray(file)
            place = rng.integers(len(file))
            if rng.random() < 0.3:
                changed = changed[:place]
            elif rng.random() < 0.2:
                changed += rng.bytes(3)
            else:
                changed[place] ^= 1 << rng.integers(8)
            try:
                found = decode(network, [bytes(changed)])[0]
            except DamagedError as error:
                assert "\n" not in str(error)
            else:  # 20 bits of checksums miss one in a million, and those who look here none of 180
                pytest.fail(f"{original} became {found}")


def test_files_of_other_programs_and_of_other_models_are_refused(network, files):
    for content in (b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xd1", b"\xd1\x00", b"\xf0", b"\xf0abc"):
        with pytest.raises(DamagedError):
            decode(network, [content])
    with pytest.raises(DamagedError, match="another model"):
        decode(CodecNetwork(make_pipeline(seed=1)), [files[0]])


def test_a_picture_that_no_margin_is_found_for_is_kept_as_a_file(network, monkeypatch, rng):
    picture = Picture([rng.integers(0, 3, (9, 9)).astype(np.uint8)], rng.integers(0, 256, (3, 4)).astype(np.uint8))
    monkeypatch.setattr(arithmetic, "MARGIN", 1.0)
    (file,) = encode_pictures(network, [picture], 0)
    assert decode(None, [file])[0][0].suffix == ".png"
    folder = encode_folder(network, [Picture(picture.frames, picture.colors, name="a")], 0)
    assert decode(network, [folder])[0][0].name == "a.png"
