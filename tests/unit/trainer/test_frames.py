import asyncio
import contextlib
import socket
from asyncio import IncompleteReadError, StreamReader
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.adapters import frames
from services.trainer.adapters.frames import Garbled, Kind
from services.trainer.domain.failures import OutOfMemory
from services.trainer.domain.jobs import Inputs
from services.trainer.domain.slopes import Slope
from shared.contracts.errors import AppError, InvalidSymbol, NotEnoughHistory
from tests.support.attempts import BETTER, parameter_search
from tests.support.jobs import daily_job, job_for
from tests.support.misbehaving import result


def test_a_job_crosses_unchanged() -> None:
    slopes = {30: Slope(mean=0.25, spread=0.1)}
    job = replace(daily_job(horizons=(1, 30), days_back=365), slopes=slopes, parameters=BETTER)
    assert frames.decode_job(frames.encode_job(job)) == job


@given(st.binary(), st.binary())
def test_inputs_cross_unchanged(candles: bytes, rival: bytes) -> None:
    inputs = Inputs(candles=candles, rival=rival)
    assert frames.decode_inputs(frames.encode_inputs(inputs)) == inputs


@given(st.binary())
def test_a_result_crosses_unchanged(artifact: bytes) -> None:
    given_result = result(job_for("GOOD"), Inputs(candles=artifact))
    assert frames.decode_result(frames.encode_result(given_result)) == given_result
    given_result = replace(given_result, search=parameter_search())
    assert frames.decode_result(frames.encode_result(given_result)) == given_result


@pytest.mark.parametrize(
    "error", [NotEnoughHistory("3 days"), OutOfMemory("more"), InvalidSymbol("a b"), AppError("x")]
)
def test_an_error_crosses_with_its_class_and_its_words(error: AppError) -> None:
    crossed = frames.decode_error(frames.encode_error(error))
    assert type(crossed) is type(error)
    assert str(crossed) == str(error)


@given(st.binary(max_size=200))
@pytest.mark.parametrize(
    "decode", [frames.decode_result, frames.decode_progress, frames.decode_error]
)
def test_whatever_a_child_says_is_understood_or_garbled(
    decode: Callable[[bytes], object], payload: bytes
) -> None:
    with contextlib.suppress(Garbled):
        decode(payload)


async def test_frames_are_read_one_after_the_other() -> None:
    reader = StreamReader()
    reader.feed_data(frames.frame(Kind.PROGRESS, b"one") + frames.frame(Kind.RESULT, b""))
    reader.feed_eof()
    assert await frames.read(reader) == (Kind.PROGRESS, b"one")
    assert await frames.read(reader) == (Kind.RESULT, b"")
    with pytest.raises(IncompleteReadError):
        await frames.read(reader)


@pytest.mark.parametrize("head", [b"\xff\x01\x00\x00\x00", b"\x04\xff\xff\xff\xff"])
async def test_an_unknown_kind_or_a_giant_frame_is_refused_before_it_is_read(head: bytes) -> None:
    reader = StreamReader()
    reader.feed_data(head)
    async with asyncio.timeout(1.0):
        with pytest.raises(Garbled):
            await frames.read(reader)


def test_the_child_takes_only_the_frame_that_is_due() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(frames.frame(Kind.JOB, b"job") + frames.frame(Kind.JOB, b"again"))
        assert frames.receive(theirs, Kind.JOB) == (Kind.JOB, b"job")
        with pytest.raises(Garbled, match="INPUTS was due"):
            frames.receive(theirs, Kind.INPUTS)


def test_a_trainer_that_is_gone_is_the_end_of_the_input() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(frames.frame(Kind.JOB, b"job")[:6])
        ours.close()
        with pytest.raises(EOFError):
            frames.receive(theirs, Kind.JOB)
