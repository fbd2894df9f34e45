"""The automation, started and stopped over HTTP, with real trainers and children."""

from pathlib import Path
from typing import Any

from tests.support.system import System, eventually, running

TWO = ["AAPL", "MSFT"]


async def post(system: System, path: str, **body: object) -> dict[str, Any]:
    answer = await system.http.post(f"/api/v1/auto-train/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_stop_ends_the_children_and_a_new_start_works_right_after(tmp_path: Path) -> None:
    async with running(tmp_path / "data", AUTO_TRAINING_ENABLED="false") as system:
        slow = await system.http.put(
            "/api/v1/auto-train/config", json={"train_epochs": 2000}, headers={"If-Match": "*"}
        )
        assert slow.status_code == 200
        first = await post(system, "start", quick_start=True)
        assert (first["status"], first["quick_mode"]) == ("started", True)

        async def trains() -> bool:
            running_jobs = f"/api/v1/train/jobs?run_id={first['run_id']}&status=running"
            return bool(await system.get(running_jobs))

        await eventually(trains, within=60)
        assert (await post(system, "start"))["status"] == "already_running"
        assert (await post(system, "stop"))["cancelled"] == [first["run_id"]]
        quick = await system.http.put(
            "/api/v1/auto-train/config", json={"train_epochs": 20}, headers={"If-Match": "*"}
        )
        assert quick.status_code == 200
        second = await post(system, "start", quick_start=True, symbols=TWO, timeframe="1d")
        ended = await system.ended(first["run_id"], within=60)
        assert ended["status"] == "cancelled"
        run = await system.ended(second["run_id"], within=120)
        assert (run["status"], run["symbols"]) == ("succeeded", TWO)
        assert (await system.get("/api/v1/auto-train/status"))["enabled"] is True
        models = {model["symbol"]: model for model in await system.get("/api/v1/models")}
        assert {models[symbol]["run_id"] for symbol in TWO} == {second["run_id"]}


async def test_a_removed_symbol_is_served_no_more_and_back_with_its_model(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as system:
        before = await system.get("/api/v1/models/IBM")
        tag = (await system.http.get("/api/v1/symbols")).headers["etag"]
        removed = await system.http.put(
            "/api/v1/symbols", json={"symbols": ["AAPL", "MSFT"]}, headers={"If-Match": tag}
        )
        assert removed.status_code == 200
        refused = await system.http.get("/api/v1/predictions/IBM")
        assert (refused.status_code, refused.json()["code"]) == (404, "unknown_symbol")
        run = await system.ended(await system.trigger("quick"), within=120)
        assert run["symbols"] == ["AAPL", "MSFT"]
        back = await system.http.put(
            "/api/v1/symbols",
            json={"symbols": ["AAPL", "MSFT", "IBM"]},
            headers={"If-Match": removed.headers["etag"]},
        )
        assert back.status_code == 200
        await system.serves(["IBM"], within=20)
        assert (await system.get("/api/v1/models/IBM"))["version"] == before["version"]
