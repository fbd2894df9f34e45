import hashlib
import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.domain.learners import Effort
from services.trainer.domain.natives import decode_base, encode_base
from shared.contracts.errors import ArtifactRefused
from shared.contracts.quality import Reliability
from shared.model.artifact import encode
from tests.support.models import made_up_model, made_up_score

EFFORT = Effort(depth=3, bins=32, rounds=200)
SCORE = replace(made_up_score(), reliability=(Reliability(forecasts=120, p_up_sum=61.5, ups=60),))
BOOSTERS = [[b"{xgb", b"tree\n", b""], [b"", b"\x00cb", b"x" * 1000]]
ARTIFACT = encode(made_up_model())
FILE = encode_base(ARTIFACT, EFFORT, (SCORE,), BOOSTERS)


def test_a_base_is_read_as_it_was_written() -> None:
    base = decode_base(FILE)
    assert encode(base.model) == ARTIFACT
    assert (base.effort, base.scores) == (EFFORT, (SCORE,))
    assert base.boosters == tuple(map(tuple, BOOSTERS))
    assert encode_base(ARTIFACT, EFFORT, (SCORE,), BOOSTERS) == FILE


@given(place=st.integers(0, len(FILE) - 1), bit=st.integers(0, 7))
def test_not_one_bit_may_be_another(place: int, bit: int) -> None:
    damaged = bytearray(FILE)
    damaged[place] ^= 1 << bit
    with pytest.raises(ArtifactRefused):
        decode_base(bytes(damaged))


@given(end=st.integers(0, len(FILE) - 1))
def test_not_one_byte_may_be_missing(end: int) -> None:
    with pytest.raises(ArtifactRefused):
        decode_base(FILE[:end])


@given(st.binary(max_size=300))
def test_what_unpacks_to_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ArtifactRefused):
        decode_base(_file(content, len(content)))


def test_nothing_is_unpacked_beyond_the_size_it_states() -> None:
    for stated in (10, 1 << 40):
        with pytest.raises(ArtifactRefused, match="unpack"):
            decode_base(_file(bytes(50_000_000), stated))


def test_no_file_says_that_there_is_none() -> None:
    with pytest.raises(ArtifactRefused, match="there is no base"):
        decode_base(b"")


def _file(content: bytes, size: int) -> bytes:
    """With a checksum that is right."""
    body = struct.pack("<Q", size) + zlib.compress(content)
    return FILE[:8] + hashlib.sha256(body).digest() + body
