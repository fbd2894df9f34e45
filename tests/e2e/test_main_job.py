"""The product as its user sees it: started by the command, used by HTTP and websocket."""

from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.support.system import DEMO_SYMBOLS, System, eventually, listeners, running

CHANNELS = ("training", "models", "predictions:*", "candles:AAPL", "system")


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    async with running(tmp_path / "data") as started:
        yield started


@pytest.fixture
async def fully_trained(tmp_path: Path) -> AsyncIterator[System]:
    """Its models had no rival, and are of the same kind as those that a full run will make: so
    none of those is worse, and none is refused.
    """
    async with running(tmp_path / "data", first="full") as started:
        yield started


async def test_a_full_run_replaces_every_model_and_no_socket_notices(
    fully_trained: System,
) -> None:
    system = fully_trained
    before = {s: (await system.get(f"/api/v1/predictions/{s}")) for s in DEMO_SYMBOLS}
    async with listeners(system, 50, CHANNELS) as clients:
        run_id = await system.trigger("full")
        run = await system.ended(run_id, within=120)

        async def told() -> bool:
            return all(c.events("training", "run.completed") for c in clients)

        await eventually(told, within=10)
        assert (run["status"], run["done"]) == ("succeeded", len(DEMO_SYMBOLS))
        models = {m["symbol"]: m for m in await system.get("/api/v1/models")}
        assert {models[s]["run_id"] for s in DEMO_SYMBOLS} == {run_id}

        async def served_by_the_new_models() -> bool:
            now = [await system.get(f"/api/v1/predictions/{s}") for s in DEMO_SYMBOLS]
            return all(p["model_version"] != before[p["symbol"]]["model_version"] for p in now)

        await eventually(served_by_the_new_models, within=20)
        assert [client.closed for client in clients] == [None] * 50
        assert [client.gaps() for client in clients] == [[]] * 50
    progressed = clients[0].events("training", "run.progressed")
    assert [e["data"]["done"] for e in progressed if e["data"]["run_id"] == run_id] == [1, 2, 3, 4]


async def test_a_full_run_tells_of_each_symbol_what_it_tried_for_its_signals(
    fully_trained: System,
) -> None:
    report = await fully_trained.get("/api/v1/auto-train/config")
    assert {each["symbol"] for each in report["evolution"]} == set(DEMO_SYMBOLS)
    for each in report["evolution"]:
        newest = each["history"][0]
        assert newest["tried"] > 0
        assert newest["note"]


async def test_real_candles_arrive_and_move_the_predictions(system: System) -> None:
    async with listeners(system, 1, ("candles:IBM", "predictions:IBM")) as (client,):

        async def moved() -> bool:
            return len(client.events("candles:IBM")) >= 2 and bool(client.events("predictions:IBM"))

        await eventually(moved, within=30)
    snapshot = next(f for f in client.frames if f["type"] == "snapshot")
    assert snapshot["data"]


async def test_one_ctrl_c_ends_everything_and_the_next_start_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as system:
        family = psutil.Process(system.process.pid).children(recursive=True)
        versions = {m["symbol"]: m["version"] for m in await system.get("/api/v1/models")}
        rows = {c["symbol"]: c["rows"] for c in await system.get("/api/v1/system/candles")}
        system.interrupt()
        assert await system.stopped(within=10) == 0
        assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    async with running(tmp_path / "data") as system:
        kept = {m["symbol"]: m["version"] for m in await system.get("/api/v1/models")}
        assert kept == versions
        grown = {c["symbol"]: c["rows"] for c in await system.get("/api/v1/system/candles")}
        assert all(grown[symbol] >= rows[symbol] for symbol in rows)
