import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.bus.connection import Connection
from shared.bus.locks import JetStreamLeases
from shared.contracts.errors import LeaseLost, LeaseTaken
from shared.runtime.lease import LeasePolicy, hold
from tests.support.servers import NatsServer, crash_and_restart

WITHIN_S = 15.0
POLICY = LeasePolicy(ttl=2, margin=0.5, renew_every=0.4)

_HOLDER = """
import asyncio, sys
from shared.bus.connection import NatsOptions, connected
from shared.bus.locks import JetStreamLeases
from shared.contracts.errors import LeaseLost
from shared.runtime.lease import LeasePolicy, hold

async def main():
    async with connected(NatsOptions(servers=(sys.argv[1],)), name="holder") as connection:
        leases = await JetStreamLeases.open(connection)
        policy = LeasePolicy(ttl=2, margin=0.5, renew_every=0.4)
        try:
            async with hold(leases, "k", lambda token: b"other", policy=policy) as lease:
                print("holds", lease.token, flush=True)
                await asyncio.sleep(60)
        except LeaseLost:
            print("lost", flush=True)

asyncio.run(main())
"""


class Holder:
    """Another process that holds the lease."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self) -> list[str]:
        assert self.process.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            return (await self.process.stdout.readline()).decode().split()


@asynccontextmanager
async def another_holder(url: str) -> AsyncIterator[Holder]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _HOLDER, url),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Holder(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def mine(token: int) -> bytes:
    return f"mine {token}".encode()


async def test_the_lease_of_a_killed_process_is_free_after_its_time(
    connection: Connection, nats_url: str
) -> None:
    leases = await JetStreamLeases.open(connection)
    async with another_holder(nats_url) as holder:
        _, token = await holder.says()
        with pytest.raises(LeaseTaken):
            async with hold(leases, "k", mine, policy=POLICY):
                pytest.fail("ran")
        holder.process.kill()
        async with (
            asyncio.timeout(POLICY.ttl + 2),
            hold(leases, "k", mine, policy=POLICY, poll_every=0.05) as lease,
        ):
            assert lease.token > int(token)


async def test_a_frozen_holder_learns_of_its_loss_as_soon_as_it_wakes(
    connection: Connection, nats_url: str
) -> None:
    leases = await JetStreamLeases.open(connection)
    async with another_holder(nats_url) as holder:
        _, token = await holder.says()
        holder.process.send_signal(signal.SIGSTOP)
        async with hold(leases, "k", mine, policy=POLICY, poll_every=0.05) as lease:
            assert lease.token > int(token)
            holder.process.send_signal(signal.SIGCONT)
            assert await holder.says() == ["lost"]
            await asyncio.sleep(POLICY.renew_every * 2)  # nor did it release what is ours now


async def test_a_holder_gives_up_by_itself_while_the_server_is_down(
    connection: Connection, nats_server: NatsServer
) -> None:
    leases = await JetStreamLeases.open(connection)
    loop = asyncio.get_running_loop()
    lost_after = 0.0
    with pytest.raises(LeaseLost):
        async with hold(leases, "k", mine, policy=POLICY):
            nats_server.kill()
            killed = loop.time()
            try:
                await asyncio.sleep(60)
            finally:
                lost_after = loop.time() - killed
    assert lost_after < POLICY.ttl - POLICY.margin + 0.2


async def test_a_holder_gives_up_by_itself_while_the_server_does_not_answer(
    connection: Connection, nats_server: NatsServer
) -> None:
    leases = await JetStreamLeases.open(connection)
    loop = asyncio.get_running_loop()
    lost_after = 0.0
    with pytest.raises(LeaseLost):
        async with hold(leases, "k", mine, policy=POLICY):
            nats_server.freeze()
            frozen = loop.time()
            try:
                await asyncio.sleep(60)
            finally:
                lost_after = loop.time() - frozen
                nats_server.thaw()
    assert lost_after < POLICY.ttl - POLICY.margin + 0.2


async def test_a_crash_of_the_server_that_is_short_enough_is_survived(
    connection: Connection, nats_server: NatsServer
) -> None:
    leases = await JetStreamLeases.open(connection)
    policy = LeasePolicy(ttl=8, margin=0.5, renew_every=0.2)
    async with hold(leases, "k", mine, policy=policy):
        await crash_and_restart(nats_server, connection)
        await asyncio.sleep(0.5)
    async with hold(leases, "k", mine, policy=policy):
        pass


async def test_tokens_keep_growing_over_a_crash_of_the_server(
    connection: Connection, nats_server: NatsServer
) -> None:
    leases = await JetStreamLeases.open(connection)
    tokens = []
    for _ in range(3):
        async with hold(leases, "k", mine, policy=POLICY) as lease:
            tokens.append(lease.token)
        await crash_and_restart(nats_server, connection)
    assert tokens == sorted(set(tokens))
    assert (await JetStreamLeases.open(connection)).epoch == leases.epoch
