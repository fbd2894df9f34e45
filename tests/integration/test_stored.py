import pytest

from shared.bus import stored
from shared.bus.connection import Connection
from shared.bus.stored import Message
from shared.contracts.errors import Unavailable
from tests.support.servers import NatsServer

STREAM = "STORED"


@pytest.fixture(autouse=True)
async def stream(connection: Connection) -> None:
    await connection.js.add_stream(name=STREAM, subjects=["stored.>"])


async def newest(connection: Connection, subject: str) -> Message:
    message = await stored.newest(connection, STREAM, subject)
    assert message is not None
    return message


async def test_a_message_comes_back_with_its_bytes_and_headers(connection: Connection) -> None:
    headers = {"Nats-Marker-Reason": "MaxAge", "Empty": "", "Colons": "a: b"}
    await connection.js.publish("stored.a", b"\0\xff{}", headers=headers)
    await connection.js.publish("stored.b", b"")
    assert (await newest(connection, "stored.a"))[:3] == (1, b"\0\xff{}", headers)
    assert (await newest(connection, "stored.b"))[:3] == (2, b"", {})


async def test_a_message_comes_back_with_the_time_at_which_it_was_stored(
    connection: Connection,
) -> None:
    await connection.js.publish("stored.a", b"")
    first = await newest(connection, "stored.a")
    await connection.js.publish("stored.a", b"")
    assert first.stored_at < (await newest(connection, "stored.a")).stored_at


async def test_the_messages_of_a_subject_follow_each_other(connection: Connection) -> None:
    for subject in ("stored.a", "stored.b", "stored.a"):
        await connection.js.publish(subject, subject.encode())
    first = await stored.following(connection, STREAM, "stored.a", 0)
    assert first is not None
    second = await stored.following(connection, STREAM, "stored.a", first.sequence)
    assert second is not None
    assert (first.sequence, second.sequence) == (1, 3)
    assert await stored.following(connection, STREAM, "stored.a", second.sequence) is None


async def test_what_is_not_there_is_none(connection: Connection) -> None:
    assert await stored.newest(connection, STREAM, "stored.a") is None


async def test_a_stream_that_is_not_there_is_unavailable(connection: Connection) -> None:
    with pytest.raises(Unavailable, match="cannot read NOWHERE: stream not found"):
        await stored.newest(connection, "NOWHERE", "stored.a")


async def test_a_server_that_does_not_answer_is_unavailable(
    connection: Connection, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.stored._TIMEOUT_S", 0.3)
    nats_server.freeze()
    with pytest.raises(Unavailable, match="NATS does not answer for STORED"):
        await stored.newest(connection, STREAM, "stored.a")
    nats_server.thaw()
