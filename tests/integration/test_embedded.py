import asyncio
import json
import os
import stat
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import psutil
import pytest

from shared.bus import topology
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.embedded import (
    AlreadyRunning,
    address_file,
    embedded_server,
    find_address,
    server_binary,
)
from shared.bus.kv import Bucket
from shared.contracts import subjects
from shared.contracts.errors import Unavailable

WITHIN_S = 10.0
_ROOT = Path(__file__).parents[2]
_SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from shared.bus.embedded import embedded_server

async def main():
    async with embedded_server(Path(sys.argv[1])) as url:
        print(url, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _soon_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.bus.embedded._LOCKED_WITHIN_S", 0.3)


def connecting(url: str) -> AbstractAsyncContextManager[Connection]:
    return connected(NatsOptions(servers=(url,)), name="test", give_up_after=WITHIN_S)


def servers() -> list[psutil.Process]:
    """The nats-servers that this process started."""
    return [child for child in psutil.Process().children() if child.name() == "nats-server"]


async def test_it_serves_while_the_body_runs_and_is_found_by_its_directory(
    tmp_path: Path,
) -> None:
    async with embedded_server(tmp_path) as url:
        assert await asyncio.to_thread(find_address, tmp_path) == url
        async with connecting(url) as connection:
            await topology.ensure(connection)
    with pytest.raises(Unavailable):
        async with connected(NatsOptions(servers=(url,)), name="x", give_up_after=0.2):
            pytest.fail("still serves")
    assert servers() == []


async def test_it_serves_this_machine_and_nobody_without_the_password(tmp_path: Path) -> None:
    async with embedded_server(tmp_path) as url:
        host = url.rpartition("@")[2]
        assert host.startswith("127.0.0.1:")
        with pytest.raises(Unavailable, match="credentials"):
            async with connecting(f"nats://{host}"):
                pytest.fail("let in")


async def test_its_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    async with embedded_server(tmp_path):
        for path in (address_file(tmp_path), tmp_path / "nats" / "nats.conf"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "nats").stat().st_mode) == 0o700


async def test_a_second_one_on_the_same_directory_is_refused_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    async with embedded_server(tmp_path) as url:
        with pytest.raises(AlreadyRunning, match="--data-dir"):
            async with embedded_server(tmp_path):
                pytest.fail("started")
        async with connecting(url) as connection:
            assert await connection.round_trip_ms() < 1000


async def test_address_and_content_are_the_same_the_next_time(tmp_path: Path) -> None:
    async with embedded_server(tmp_path) as first, connecting(first) as connection:
        await topology.ensure(connection)
        await Bucket(connection, subjects.CONFIG).put("k", b"kept")
    async with embedded_server(tmp_path) as second, connecting(second) as connection:
        entry = await Bucket(connection, subjects.CONFIG).get("k")
    assert first == second
    assert entry is not None
    assert entry.value == b"kept"


async def test_one_that_is_killed_comes_back_on_its_port_and_so_do_its_clients(
    tmp_path: Path,
) -> None:
    async with embedded_server(tmp_path) as url, connecting(url) as connection:
        for _ in range(2):
            back = asyncio.Event()
            with connection.on_reconnect(back.set):
                [server] = servers()
                server.kill()
                async with asyncio.timeout(WITHIN_S):
                    await back.wait()
        assert await connection.round_trip_ms() < 1000


@pytest.mark.parametrize("name", ["with space", 'quo"te', "back\\slash", "dollar$HOME", "\u011f"])
async def test_any_directory_will_do(tmp_path: Path, name: str) -> None:
    async with embedded_server(tmp_path / name) as url, connecting(url) as connection:
        await topology.ensure(connection)
    assert (tmp_path / name / "nats" / "jetstream").is_dir()


async def test_one_that_cannot_start_says_where_to_look_and_leaves_nothing_running(
    tmp_path: Path,
) -> None:
    async with embedded_server(tmp_path):
        pass
    (tmp_path / "nats" / "jetstream").rename(tmp_path / "kept")
    (tmp_path / "nats" / "jetstream").write_text("not a directory")
    with pytest.raises(Unavailable, match=r"nats\.log"):
        async with asyncio.timeout(WITHIN_S), embedded_server(tmp_path):
            pytest.fail("started")
    assert servers() == []


async def test_a_start_that_is_cancelled_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr("shared.bus.embedded._Server._answers", never)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5), embedded_server(tmp_path):
            pytest.fail("started")
    assert servers() == []


async def test_a_damaged_address_file_is_replaced(tmp_path: Path) -> None:
    file = address_file(tmp_path)
    file.parent.mkdir()
    file.write_text('{"port": 1, "passw')
    assert await asyncio.to_thread(find_address, tmp_path) is None
    async with embedded_server(tmp_path) as url, connecting(url):
        assert json.loads(file.read_text()).keys() == {"port", "password"}


def test_there_is_no_address_where_there_was_no_server(tmp_path: Path) -> None:
    assert find_address(tmp_path) is None


def test_the_binary_is_that_of_this_environment() -> None:
    assert os.access(server_binary(), os.X_OK)


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_it_dies_with_a_supervisor_that_is_killed_and_holds_the_lock_of_its_store_itself(
    tmp_path: Path,
) -> None:
    def supervisor() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _SUPERVISOR, str(tmp_path)],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    with supervisor() as first:
        assert first.stdout is not None
        url = first.stdout.readline()
        [server] = psutil.Process(first.pid).children()
        assert str(tmp_path / "nats" / "lock") in {file.path for file in server.open_files()}
        first.kill()
        psutil.wait_procs([server], timeout=WITHIN_S)
        assert not server.is_running()
    with supervisor() as second:
        assert second.stdout is not None
        assert second.stdout.readline() == url
        second.terminate()
