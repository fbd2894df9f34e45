import asyncio
import base64
import hashlib
import os
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from shared.bus.connection import Connection
from shared.bus.objects import Artifacts
from shared.contracts import subjects
from shared.contracts.artifacts import Artifact
from shared.contracts.errors import ArtifactRefused, NotFound, Unavailable
from tests.support.servers import NatsServer, crash_and_restart

STREAM = f"OBJ_{subjects.ARTIFACTS}"


@pytest.fixture
def artifacts(connection: Connection) -> Artifacts:
    return Artifacts(connection)


async def chunk_subject(connection: Connection, name: str) -> str:
    encoded = base64.urlsafe_b64encode(name.encode()).decode()
    found = await connection.js.get_last_msg(STREAM, f"$O.{subjects.ARTIFACTS}.M.{encoded}")
    return f"$O.{subjects.ARTIFACTS}.C.{orjson.loads(found.data or b'')['nuid']}"


async def listed(artifacts: Artifacts) -> list[Artifact]:
    return [artifact async for artifact in artifacts.all()]


@pytest.mark.parametrize("size", [0, 1, 512 << 10, (512 << 10) + 1, 3_000_000])
async def test_an_artifact_comes_back_by_its_hash(artifacts: Artifacts, size: int) -> None:
    data = os.urandom(size)
    name = await artifacts.put(data)
    assert name == hashlib.sha256(data).hexdigest()
    assert await artifacts.get(name) == data


async def test_the_same_bytes_are_stored_once(artifacts: Artifacts, connection: Connection) -> None:
    first = await artifacts.put(b"model")
    before = (await connection.js.stream_info(STREAM)).state.messages
    assert await artifacts.put(b"model") == first
    assert (await connection.js.stream_info(STREAM)).state.messages == before


async def test_what_many_put_at_once_can_be_read(artifacts: Artifacts) -> None:
    data = os.urandom(1_500_000)
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(artifacts.put(data))
    assert await artifacts.get(hashlib.sha256(data).hexdigest()) == data


async def test_what_is_not_there_is_not_found(artifacts: Artifacts) -> None:
    with pytest.raises(NotFound):
        await artifacts.get("0" * 64)


async def test_a_damaged_chunk_is_refused(artifacts: Artifacts, connection: Connection) -> None:
    name = await artifacts.put(b"sound model")
    subject = await chunk_subject(connection, name)
    await connection.js.purge_stream(STREAM, subject=subject)
    await connection.js.publish(subject, b"SOUND model")
    with pytest.raises(ArtifactRefused):
        await artifacts.get(name)


@pytest.mark.parametrize("lost", [0, 2, 5])
async def test_a_lost_chunk_is_refused_without_waiting_for_it(
    artifacts: Artifacts, connection: Connection, lost: int
) -> None:
    name = await artifacts.put(os.urandom(3_000_000))
    await connection.js.delete_msg(STREAM, lost + 1)
    async with asyncio.timeout(2):
        with pytest.raises(ArtifactRefused):
            await artifacts.get(name)


async def test_a_surplus_chunk_is_refused(artifacts: Artifacts, connection: Connection) -> None:
    name = await artifacts.put(b"model")
    subject = await chunk_subject(connection, name)
    await connection.js.purge_stream(STREAM, subject=subject)
    await connection.js.publish(subject, b"model with more")
    with pytest.raises(ArtifactRefused):
        await artifacts.get(name)


async def test_artifacts_survive_a_crash_of_the_server(
    artifacts: Artifacts, connection: Connection, nats_server: NatsServer
) -> None:
    data = os.urandom(1_000_000)
    name = await artifacts.put(data)
    await crash_and_restart(nats_server, connection)
    assert await artifacts.get(name) == data


async def test_everything_that_is_stored_is_listed_with_its_size(artifacts: Artifacts) -> None:
    names = [await artifacts.put(b"x" * size) for size in (3, 1, 2)]
    assert [(a.name, a.size) for a in await listed(artifacts)] == list(
        zip(names, (3, 1, 2), strict=True)
    )


async def test_what_is_stored_again_is_as_young_as_what_is_new(artifacts: Artifacts) -> None:
    old = await artifacts.put(b"old")
    await artifacts.put(b"new")
    await artifacts.put(b"old")
    assert (await listed(artifacts))[-1].name == old


async def test_a_deleted_artifact_leaves_nothing(
    artifacts: Artifacts, connection: Connection
) -> None:
    gone, stays = await artifacts.put(os.urandom(1_000_000)), await artifacts.put(b"model")
    await artifacts.delete((await listed(artifacts))[0])
    with pytest.raises(NotFound):
        await artifacts.get(gone)
    assert await artifacts.get(stays) == b"model"
    assert (await connection.js.stream_info(STREAM)).state.messages == 2


async def test_what_was_stored_again_since_it_was_listed_stays(artifacts: Artifacts) -> None:
    name = await artifacts.put(b"model")
    (seen,) = await listed(artifacts)
    await artifacts.put(b"model")
    await artifacts.delete(seen)
    assert await artifacts.get(name) == b"model"


async def test_bytes_that_are_stored_while_they_are_deleted_are_there(artifacts: Artifacts) -> None:
    data = os.urandom(600_000)
    name = await artifacts.put(data)
    for _ in range(20):
        (seen,) = await listed(artifacts)
        async with asyncio.TaskGroup() as group:
            group.create_task(artifacts.delete(seen))
            group.create_task(artifacts.put(data))
        assert await artifacts.get(name) == data


async def test_what_is_left_of_a_storing_that_was_never_finished_is_swept_away(
    artifacts: Artifacts, connection: Connection
) -> None:
    name = await artifacts.put(b"model")
    await connection.js.publish(f"$O.{subjects.ARTIFACTS}.C.unfinished", b"half a mo")
    assert await artifacts.sweep(datetime.now(UTC) - timedelta(minutes=1)) == 0  # it may go on
    assert await artifacts.sweep(datetime.now(UTC) + timedelta(minutes=1)) == 1
    assert (await connection.js.stream_info(STREAM)).state.messages == 2
    assert await artifacts.get(name) == b"model"


async def test_a_server_that_does_not_answer_is_unavailable(
    artifacts: Artifacts, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.objects._TIMEOUT_S", 0.3)
    nats_server.freeze()
    with pytest.raises(Unavailable):
        await artifacts.get("0" * 64)
    with pytest.raises(Unavailable):
        await artifacts.put(b"model")
    nats_server.thaw()


async def test_reading_leaves_no_subscription(artifacts: Artifacts, connection: Connection) -> None:
    name = await artifacts.put(b"model")
    before = set(connection.client._subs)
    await artifacts.get(name)
    assert set(connection.client._subs) == before
