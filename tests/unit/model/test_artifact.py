import dataclasses
import hashlib
import json
import os
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.errors import ArtifactRefused
from shared.model.artifact import Model, decode, encode
from shared.model.features import matrix
from shared.model.forecast import probabilities
from tests.support.markets import random_walk
from tests.support.models import made_up_model

DATA = encode(made_up_model())
HEAD = 8 + 32 + 4
ROWS = matrix(random_walk(125))


def _header(data: bytes = DATA) -> dict[str, Any]:
    (length,) = struct.unpack_from("<I", data, HEAD - 4)
    header: dict[str, Any] = json.loads(data[HEAD : HEAD + length])
    return header


def _signed(header: bytes, arrays: bytes, *, length: int | None = None) -> bytes:
    """A file whose checksum is right, as a forger would make it."""
    body = struct.pack("<I", len(header) if length is None else length) + header + arrays
    return b"EVTMODEL" + hashlib.sha256(body).digest() + body


def _arrays() -> bytes:
    (length,) = struct.unpack_from("<I", DATA, HEAD - 4)
    return DATA[HEAD + length :]


def _with_header(**changes: Any) -> bytes:
    header = json.dumps(_header() | changes, sort_keys=True, separators=(",", ":"))
    return _signed(header.encode(), _arrays())


def _with_outlook(**changes: Any) -> list[dict[str, Any]]:
    outlooks: list[dict[str, Any]] = _header()["outlooks"]
    return [outlooks[0] | changes, *outlooks[1:]]


def _parts(one: Model, other: Model) -> tuple[tuple[Any, Any], ...]:
    return tuple((getattr(one, n), getattr(other, n)) for n in ("forest", "linear", "trial"))


def _same(one: Model, other: Model) -> bool:
    return one.card == other.card and all(
        np.array_equal(getattr(ours, field.name), getattr(theirs, field.name))
        for ours, theirs in _parts(one, other)
        for field in dataclasses.fields(ours)
    )


@given(
    horizons=st.sets(st.integers(1, 500), min_size=1, max_size=5),
    depth=st.integers(1, 8),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read(horizons: set[int], depth: int, seed: int) -> None:
    model = made_up_model(horizons=tuple(sorted(horizons)), depth=depth, seed=seed)
    assert _same(decode(encode(model)), model)


def test_the_same_model_is_the_same_bytes() -> None:
    assert encode(made_up_model()) == DATA == encode(decode(DATA))
    assert encode(made_up_model(seed=1)) != DATA


def test_a_model_of_the_first_format_is_read_and_can_be_written_again() -> None:
    older = [
        {name: value for name, value in outlook.items() if name != "usual_atr_pct"}
        for outlook in _header()["outlooks"]
    ]
    model = decode(_with_header(format=1, outlooks=older))
    assert [outlook.usual_atr_pct for outlook in model.card.outlooks] == [None, None]
    assert model.card.outlooks[0].low_pct == -2.0
    assert _same(decode(encode(model)), model)


def test_a_model_that_would_be_refused_is_not_written() -> None:
    model = made_up_model()
    broken = dataclasses.replace(
        model, linear=dataclasses.replace(model.linear, scale=np.zeros_like(model.linear.scale))
    )
    with pytest.raises(ArtifactRefused):
        encode(broken)


@given(at=st.integers(0, len(DATA) - 1), bit=st.integers(0, 7))
@settings(max_examples=200)
def test_one_flipped_bit_is_refused(at: int, bit: int) -> None:
    data = bytearray(DATA)
    data[at] ^= 1 << bit
    with pytest.raises(ArtifactRefused):
        decode(bytes(data))


@given(size=st.integers(0, len(DATA) - 1))
def test_a_truncated_file_is_refused(size: int) -> None:
    with pytest.raises(ArtifactRefused):
        decode(DATA[:size])


@given(st.binary(max_size=300), st.booleans())
def test_foreign_bytes_are_refused(data: bytes, magic: bool) -> None:
    with pytest.raises(ArtifactRefused):
        decode(b"EVTMODEL" + data if magic else data)


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_foreign_bytes_with_a_right_checksum_are_refused(header: bytes, arrays: bytes) -> None:
    with pytest.raises(ArtifactRefused):
        decode(_signed(header, arrays))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(key=st.sampled_from(sorted(_header())), value=JSON)
@settings(max_examples=400, deadline=None)
def test_a_forged_header_is_refused_or_gives_finite_numbers(key: str, value: object) -> None:
    _refused_or_finite(_with_header(**{key: value}))


@given(
    name=st.sampled_from(sorted(_header()["shapes"])),
    shape=st.lists(st.integers(-1, 2**62), max_size=4),
)
@settings(max_examples=200, deadline=None)
def test_forged_shapes_are_refused(name: str, shape: list[int]) -> None:
    shapes = _header()["shapes"]
    if shape != shapes[name]:
        with pytest.raises(ArtifactRefused):
            decode(_with_header(shapes=shapes | {name: shape}))


@given(at=st.integers(0, len(_arrays()) - 1), patch=st.binary(min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_forged_numbers_are_refused_or_give_finite_numbers(at: int, patch: bytes) -> None:
    arrays = bytearray(_arrays())
    arrays[at : at + len(patch)] = patch[: len(arrays) - at]
    _refused_or_finite(_signed(json.dumps(_header()).encode(), bytes(arrays)))


def _refused_or_finite(data: bytes) -> None:
    try:
        model = decode(data)
        said = probabilities(model, ROWS)
    except ArtifactRefused:
        return
    assert np.all(np.isfinite(said.p_up))
    assert np.all(np.isfinite(said.by_learner))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 3},
        {"symbol": "not a symbol"},
        {"timeframe": "2m"},
        {"depth": 0},
        {"depth": 60},
        {"boosters": []},
        {"boosters": ["xgboost", "xgboost", "catboost"]},
        {"outlooks": []},
        {"outlooks": _header()["outlooks"][::-1]},
        {"outlooks": [_header()["outlooks"][0] | {"slope": 1e300}]},
        {"outlooks": _with_outlook(slope=-1.0)},
        {"outlooks": _with_outlook(usual_atr_pct=0.0)},
        {"outlooks": _with_outlook(intercept=1e3)},
        {"outlooks": _with_outlook(weights=[0.5, 0.5])},
        {"outlooks": _with_outlook(weights=[0.5, 0.5, 0.5, -0.5])},
        {"outlooks": _with_outlook(weights=[0.5, 0.5, 0.5, 0.5])},
        {"candle_at_ms": True},
        {"libraries": [1]},
    ],
    ids=lambda changes: f"{changes}"[:40],
)
def test_a_header_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ArtifactRefused):
        decode(_with_header(**changes))


def test_numbers_that_json_does_not_have_are_refused() -> None:
    header = json.dumps(_header()).replace("1.5", "NaN").encode()
    with pytest.raises(ArtifactRefused):
        decode(_signed(header, _arrays()))


@pytest.mark.parametrize("bomb", [b"[" * 200_000, b'{"a":' * 40_000, b"9" * 200_000])
def test_a_header_made_to_exhaust_the_reader_is_refused(bomb: bytes) -> None:
    with pytest.raises(ArtifactRefused):
        decode(_signed(bomb, b""))


def test_a_claimed_size_allocates_nothing() -> None:
    huge = _header()["shapes"] | {"leaf": [2**40, 2**3]}
    claims = [_with_header(shapes=huge), _signed(b"{}", b"", length=2**32 - 1)]
    tracemalloc.start()
    try:
        for claim in claims:
            with pytest.raises(ArtifactRefused):
                decode(claim)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_noise_of_a_models_size_is_refused() -> None:
    with pytest.raises(ArtifactRefused):
        decode(os.urandom(len(DATA)))
