import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from tincture.codec import arithmetic
from tincture.codec.arithmetic import (
    EIGHTHS,
    MARGIN,
    Decoder,
    Encoder,
    MarginError,
    code_by_logits,
    code_flag,
    code_number,
    code_values,
)


def test_the_table_of_eighths_is_what_it_says():
    assert (np.rint(2**24 * 2.0 ** (-np.arange(8) / 8)) == EIGHTHS).all()


def random_message(seed):
    """Calls of the functions that code, each with what it is told and must give back."""
    rng = np.random.default_rng(seed)
    for _ in range(rng.integers(0, 8)):
        kind = rng.integers(4)
        if kind == 0:
            yield code_number, (), int(rng.integers(2 ** int(rng.integers(0, 31))))
        elif kind == 1:
            yield code_flag, (int(rng.integers(1, 1000)),), bool(rng.integers(2))
        elif kind == 2:
            values = rng.integers(0, 256, rng.integers(0, 9)).astype(np.uint8)
            yield code_values, (len(values),), values
        else:
            logits = rng.normal(size=(int(rng.integers(0, 40)), int(rng.integers(1, 40)))) * rng.choice([0.1, 3, 300])
            logits[rng.random(logits.shape) < 0.1] = -np.inf
            logits[:, 0] = 0
            symbols = np.array([rng.choice(np.flatnonzero(np.isfinite(row))) for row in logits], np.int64)
            yield code_by_logits, (logits,), symbols


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_what_is_coded_comes_back_though_another_machine_computes_a_little_differently(seed):
    encoder, message = Encoder(), list(random_message(seed))
    for code, told, value in message:
        code(encoder, *told, value)
    decoder, rng = Decoder(encoder.finish()), np.random.default_rng(seed)
    for code, told, value in message:
        if code is code_by_logits:
            told = (told[0] + rng.uniform(-1, 1, told[0].shape) * MARGIN / 100,)  # noqa: PLW2901
        assert np.array_equal(code(decoder, *told), value)


def test_as_many_bits_are_written_as_the_probabilities_say(rng):
    logits = 3 * rng.normal(size=(4000, 16))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    symbols = (shares.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1)
    encoder = Encoder()
    code_by_logits(encoder, logits, symbols)
    bits = -np.log2(shares[np.arange(4000), symbols]).sum()
    assert bits * 0.999 <= 8 * len(encoder.finish()) <= bits * 1.005


def test_nothing_takes_no_byte_and_likely_things_take_none_or_one():
    assert Encoder().finish() == b""
    encoder = Encoder()
    for _ in range(20):
        code_flag(encoder, 1000, False)
    assert len(encoder.finish()) <= 1


@pytest.mark.parametrize("moved", [0.3, 0.6])
def test_a_decoder_whose_logits_are_too_near_to_an_edge_says_so(moved, rng):
    logits, symbols = rng.normal(size=(1000, 8)), rng.integers(0, 8, 1000)
    encoder = Encoder()
    code_by_logits(encoder, logits, symbols)
    eighths = logits / np.log(2) * 8
    near = np.abs(eighths - np.rint(eighths)).argmin()
    gap = (np.rint(eighths) - eighths).flat[near] * np.log(2) / 8
    logits.flat[near] += gap + np.sign(gap) * moved * MARGIN / 8
    with pytest.raises(MarginError):
        code_by_logits(Decoder(encoder.finish()), logits)


def test_an_encoder_moves_the_grid_away_from_logits(rng, monkeypatch):
    logits = np.log(2) / 8 * np.tile(np.arange(8.0), (4, 1))  # all on edges
    encoder = Encoder()
    code_by_logits(encoder, logits, np.arange(4))
    decoder = Decoder(encoder.finish())
    assert (code_by_logits(decoder, logits + 1e-8 * rng.normal(size=logits.shape)) == np.arange(4)).all()
    monkeypatch.setattr(arithmetic, "MARGIN", 1.0)
    with pytest.raises(MarginError):
        code_by_logits(Encoder(), logits, np.arange(4))
