import asyncio
import base64
import hashlib
import os

import orjson
import pytest

from shared.bus.connection import Connection
from shared.bus.objects import Artifacts
from shared.contracts import subjects
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


@pytest.mark.parametrize("size", [0, 1, 512 << 10, (512 << 10) + 1, 3_000_000])
async def test_an_artifact_comes_back_by_its_hash(artifacts: Artifacts, size: int) -> None:
    data = os.urandom(size)
    name = await artifacts.put(data)
    assert name == hashlib.sha256(data).hexdigest()
    assert await artifacts.get(name) == data


async def test_the_same_bytes_are_stored_once(artifacts: Artifacts, connection: Connection) -> None:
    first = await artifacts.put(b"model")
    before = (await connection.js.stream_info(STREAM)).state.last_seq
    assert await artifacts.put(b"model") == first
    assert (await connection.js.stream_info(STREAM)).state.last_seq == before


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
