import asyncio

import pytest
from nats.js import api

from shared.bus import topology
from shared.bus.connection import Connection, NatsOptions, connected
from shared.contracts import subjects
from shared.contracts.errors import Unavailable
from tests.support.servers import NatsServer

STREAMS = {
    "EVERTRAIN_REQUESTS",
    "EVERTRAIN_JOBS",
    "EVERTRAIN_EVENTS",
    "EVERTRAIN_DEAD",
    "EVERTRAIN_CLOCK",
    "EVERTRAIN_REJECTIONS",
    "KV_evertrain_locks",
    "KV_evertrain_models",
    "KV_evertrain_candles",
    "KV_evertrain_predictions",
    "KV_evertrain_config",
    "KV_evertrain_ticks",
    "KV_evertrain_runs",
    "KV_evertrain_parameters",
    "KV_evertrain_signals",
    "KV_evertrain_marks",
    "KV_evertrain_quality",
    "OBJ_evertrain_artifacts",
}


async def configurations(connection: Connection) -> dict[str | None, api.StreamConfig]:
    return {info.config.name: info.config for info in await connection.js.streams_info()}


async def kept(connection: Connection) -> int:
    return (await connection.js.stream_info(subjects.REJECTIONS)).state.messages


async def test_everything_of_the_contract_is_there(connection: Connection) -> None:
    found = await configurations(connection)
    assert set(found) == STREAMS
    assert found["EVERTRAIN_REQUESTS"].retention == api.RetentionPolicy.WORK_QUEUE
    assert found["EVERTRAIN_JOBS"].retention == api.RetentionPolicy.WORK_QUEUE
    assert found["EVERTRAIN_EVENTS"].subjects == ["evertrain.event.>"]
    assert found["EVERTRAIN_EVENTS"].max_age == 7 * 86_400


async def test_nothing_is_kept_in_memory_or_read_from_a_replica_that_may_be_behind(
    connection: Connection,
) -> None:
    for name, config in (await configurations(connection)).items():
        assert config.storage == api.StorageType.FILE
        if name and name.startswith("KV_"):
            assert not config.allow_direct


async def test_ensuring_again_changes_nothing(connection: Connection) -> None:
    await connection.js.publish("evertrain.train.full", b"{}")
    before = await configurations(connection)
    await topology.ensure(connection)
    assert await configurations(connection) == before
    assert (await connection.js.stream_info(subjects.REQUESTS)).state.messages == 1


async def test_many_processes_may_ensure_at_once(nats_url: str) -> None:
    async def start() -> None:
        async with connected(NatsOptions(servers=(nats_url,)), name="x") as one:
            await topology.ensure(one)

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(start())


async def test_what_an_older_version_configured_is_brought_up_to_date_and_keeps_its_content(
    connection: Connection,
) -> None:
    js = connection.js
    wanted = await configurations(connection)
    events = (await js.stream_info(subjects.EVENTS)).config
    await js.update_stream(events.evolve(max_age=3600))
    models = (await js.stream_info("KV_evertrain_models")).config
    await js.update_stream(models.evolve(max_msgs_per_subject=2, allow_direct=True))
    await js.publish("$KV.evertrain_models.BTC_USDT", b"kept")
    await topology.ensure(connection)
    assert await configurations(connection) == wanted
    assert (await js.get_last_msg("KV_evertrain_models", "$KV.evertrain_models.>")).data == b"kept"


async def test_a_server_that_cannot_do_it_is_unavailable_in_one_line(
    connection: Connection, nats_server: NatsServer
) -> None:
    async with connected(NatsOptions(servers=(nats_server.url,), replicas=3), name="x") as three:
        with pytest.raises(Unavailable, match="replicas"):
            await topology.ensure(three)


async def test_a_rejected_signal_is_kept_in_a_stream_of_its_own(connection: Connection) -> None:
    await connection.js.publish("evertrain.event.signal.rejected.BTC_USDT", b"why")
    await connection.js.publish("evertrain.event.signal.opened.BTC_USDT", b"other")
    async with asyncio.timeout(10):
        while not await kept(connection):  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.05)
    found = await connection.js.get_msg(subjects.REJECTIONS, 1)
    assert (found.subject, found.data) == ("evertrain.event.signal.rejected.BTC_USDT", b"why")
