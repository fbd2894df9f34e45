import asyncio
import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.bus.connection import Connection, NatsOptions, connected
from shared.contracts.errors import InvalidSetting, Unavailable
from shared.runtime.settings import Environment
from tests.support.servers import NatsServer, crash_and_restart

WITHIN_S = 5.0


def options(url: str) -> NatsOptions:
    return NatsOptions(servers=(url,))


async def test_a_service_may_start_before_its_server(nats_server: NatsServer) -> None:
    nats_server.kill()
    asyncio.get_running_loop().call_later(0.3, nats_server.start)
    async with (
        asyncio.timeout(WITHIN_S),
        connected(options(nats_server.url), name="early") as connection,
    ):
        assert await connection.round_trip_ms() < 1000


async def test_giving_up_names_the_server_and_keeps_its_password(nats_server: NatsServer) -> None:
    nats_server.kill()
    with pytest.raises(Unavailable) as gave_up:
        async with connected(options(nats_server.url), name="x", give_up_after=0.3):
            pytest.fail("connected")
    host = nats_server.url.rpartition("@")[2]
    assert host in str(gave_up.value)
    assert nats_server.url not in str(gave_up.value)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_wrong_credentials_are_refused_at_once_and_not_tried_for_ever(
    nats_server: NatsServer,
) -> None:
    wrong = "nats://evertrain:wrong@" + nats_server.url.rpartition("@")[2]
    with pytest.raises(Unavailable, match="credentials"):
        async with asyncio.timeout(WITHIN_S), connected(options(wrong), name="x"):
            pytest.fail("connected")
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_start_that_is_cancelled_leaves_nothing_behind(nats_server: NatsServer) -> None:
    nats_server.kill()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), connected(options(nats_server.url), name="x"):
            pytest.fail("connected")
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_connection_comes_back_by_itself_and_says_so(
    connection: Connection, nats_server: NatsServer
) -> None:
    await crash_and_restart(nats_server, connection)
    assert connection.connected
    assert await connection.round_trip_ms() < 1000


async def test_a_listener_is_forgotten_with_its_body(
    connection: Connection, nats_server: NatsServer
) -> None:
    gone = asyncio.Event()
    with connection.on_reconnect(gone.set):
        pass
    await crash_and_restart(nats_server, connection)
    assert not gone.is_set()


async def test_a_frozen_server_does_not_answer_in_time(
    connection: Connection, nats_server: NatsServer
) -> None:
    nats_server.freeze()
    with pytest.raises(Unavailable):
        await connection.round_trip_ms(timeout=1)
    nats_server.thaw()


async def test_a_worker_stays_while_the_connection_is_open(connection: Connection) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, stop.set)
    async with asyncio.timeout(WITHIN_S):
        await connection.stay_open(stop)


async def test_a_connection_that_closed_for_good_ends_its_worker(connection: Connection) -> None:
    await connection.client.close()
    with pytest.raises(Unavailable, match="for good"):
        async with asyncio.timeout(WITHIN_S):
            await connection.stay_open(asyncio.Event())


async def test_closing_sends_what_was_published(nats_url: str, connection: Connection) -> None:
    subscription = await connection.client.subscribe("last.words")
    await connection.client.flush()
    async with connected(options(nats_url), name="speaker") as speaker:
        await speaker.client.publish("last.words", b"bye")
    assert (await subscription.next_msg(timeout=WITHIN_S)).data == b"bye"


async def test_leaving_does_not_wait_long_for_a_server_that_is_gone(
    nats_server: NatsServer,
) -> None:
    async with asyncio.timeout(WITHIN_S), connected(options(nats_server.url), name="x") as leaving:
        nats_server.kill()
        await asyncio.sleep(0.1)
        await leaving.client.publish("said.into.the.void", b"")


def test_without_a_server_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="evertrain up"):
        NatsOptions.read(Environment({"DATA_DIR": str(tmp_path)}))


def test_the_embedded_server_is_found_by_its_data_directory(nats_server: NatsServer) -> None:
    found = NatsOptions.read(Environment({"DATA_DIR": str(nats_server.data_dir)}))
    assert found.servers == (nats_server.url,)


def test_everything_can_be_set(tmp_path: Path) -> None:
    creds, ca = tmp_path / "me.creds", tmp_path / "ca.pem"
    creds.touch()
    ca.touch()
    env = {
        "NATS_URL": "nats://a:4222, tls://b.example:4443",
        "NATS_USER": "me",
        "NATS_PASSWORD": "secret",
        "NATS_CREDS": str(creds),
        "NATS_CA": str(ca),
        "NATS_REPLICAS": "3",
    }
    assert NatsOptions.read(Environment(env)) == NatsOptions(
        servers=("nats://a:4222", "tls://b.example:4443"),
        user="me",
        password="secret",
        credentials=creds,
        ca=ca,
        replicas=3,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NATS_URL", "http://a:4222"),
        ("NATS_URL", "nats://a:port"),
        ("NATS_URL", "nats://a:99999"),
        ("NATS_URL", "nats://"),
        ("NATS_URL", "nats://a:4222,,nats://b:4222"),
        ("NATS_URL", "nats://[::1"),
        ("NATS_CREDS", "/nowhere/me.creds"),
        ("NATS_CA", "/nowhere/ca.pem"),
        ("NATS_REPLICAS", "0"),
        ("NATS_REPLICAS", "three"),
    ],
)
def test_a_bad_setting_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        NatsOptions.read(Environment({"NATS_URL": "nats://a:4222", name: value}))


def test_a_refused_url_keeps_its_password() -> None:
    with pytest.raises(InvalidSetting) as refused:
        NatsOptions.read(Environment({"NATS_URL": "nats://me:hunter2@a:port"}))
    assert "hunter2" not in str(refused.value)


@given(st.text().map(lambda text: text.replace("\0", "")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_url_is_accepted_or_refused(tmp_path: Path, url: str) -> None:
    with contextlib.suppress(InvalidSetting, Unavailable):
        NatsOptions.read(Environment({"NATS_URL": url, "DATA_DIR": str(tmp_path)}))
