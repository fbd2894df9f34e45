"""The routes from prediction to decision: cache, signals, ledger, drift, rollback."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.errors import (
    ArtifactRefused,
    LeaseTaken,
    NoEarlierModel,
    NotFound,
    UnknownVersion,
)
from shared.contracts.quality import Awaited, Reliability, Scorecard, Track
from shared.contracts.records import ModelRecord
from shared.contracts.requests import (
    CheckDriftRequest,
    ClearCacheRequest,
    PregenerateRequest,
    ProfitRequest,
    RejectionsRequest,
    RollbackRequest,
    SignalsRequest,
)
from tests.support.gateways import model
from tests.unit.gateway.test_gateway_application import AT, BTC, Site, refused

pytestmark = pytest.mark.real_time  # files are read in threads that virtual time cannot see

AWAITED = (Awaited(candle_at=AT, model_version="v1", horizon=1, p_up=0.5),)
SIGNAL_FIELDS = {
    "side",
    "entry",
    "take_profit",
    "stop_loss",
    "leverage",
    "confidence",
    "net_profit_pct",
    "expires_at",
    "outcome",
}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    async with site.http:
        yield site


def written(*versions: str) -> list[ModelRecord]:
    return [model(BTC, at=AT, version=version) for version in versions]


async def test_signals_have_the_fields_of_the_contract_and_where_they_stand(site: Site) -> None:
    answer = await site.get("/signals")
    closed, opened = answer.json()
    assert set(closed) >= SIGNAL_FIELDS
    assert (closed["status"], closed["outcome"]["exit"]) == ("closed", "take_profit")
    assert (opened["status"], opened["outcome"]) == ("open", None)


async def test_signals_are_asked_for_by_symbol_and_status_page_by_page(site: Site) -> None:
    answer = await site.get("/signals?symbol=BTC_USDT&status=open&limit=2&before=x")
    assert site.office.asked == [SignalsRequest(symbol=BTC, status="open", limit=2, before="x")]
    assert "before=BTC_USDT-1" in answer.headers["link"]
    refused(await site.get("/signals?symbol=btc"), 422, "invalid_symbol")
    refused(await site.get("/signals?status=lost"), 422, "invalid_request")


async def test_one_signal_is_found_by_its_id_or_not_at_all(site: Site) -> None:
    assert (await site.get("/signals/BTC_USDT-2")).json()["id"] == "BTC_USDT-2"
    assert site.office.asked == [SignalsRequest(id="BTC_USDT-2")]
    site.office.refusal = NotFound("there is no signal x")
    refused(await site.get("/signals/x"), 404, "not_found")


async def test_rejections_show_the_result_of_every_filter(site: Site) -> None:
    (shown,) = (await site.get("/system/rejected-signals")).json()
    assert set(shown) >= {"symbol", "timeframe", "at", "reason", "filters", "metadata"}
    assert shown["filters"][1] == {
        "name": "confidence",
        "value": 0.5125,
        "threshold": 0.55,
        "passed": False,
    }
    assert site.office.asked == [RejectionsRequest(hours=24.0)]


async def test_rejections_are_those_of_the_last_hours(site: Site) -> None:
    await site.get("/system/rejected-signals?hours=6&symbol=BTC_USDT&reason=confidence")
    assert site.office.asked == [RejectionsRequest(hours=6, symbol=BTC, reason="confidence")]
    for hours in ("0", "721", "x"):
        answer = await site.get(f"/system/rejected-signals?hours={hours}")
        refused(answer, 422, "invalid_request")
    for reason in ("nope", ""):
        answer = await site.get(f"/system/rejected-signals?reason={reason}")
        refused(answer, 422, "invalid_request")


async def test_profit_is_in_whole_cents_of_the_days_asked_for(site: Site) -> None:
    report = (await site.get("/system/pnl?days=30")).json()
    assert (report["realised_cents"], report["by_day"][0]["day"]) == (-123_456, "2026-11-20")
    await site.get("/system/pnl")
    assert site.office.asked == [ProfitRequest(days=30), ProfitRequest()]
    refused(await site.get("/system/pnl?days=0"), 422, "invalid_request")


async def test_exposure_is_shown_with_its_positions(site: Site) -> None:
    report = (await site.get("/system/exposure")).json()
    assert (report["gross_cents"], report["positions"][0]["side"]) == (350_000, "long")


async def test_the_cache_can_be_looked_at_filled_and_cleared(site: Site) -> None:
    assert (await site.get("/predictions/cache")).json()["hit_rate"] == 0.9
    body = b'{"symbols":["BTC/USDT"],"ttl_hours":24}'
    assert (await site.post("/predictions/pregenerate", body)).json()["made"] == 3
    assert (await site.http.delete("/api/v1/predictions/cache")).json() == {"symbols": 4}
    assert site.office.asked == [
        PregenerateRequest(symbols=(BTC,), ttl_hours=24),
        ClearCacheRequest(),
    ]


async def test_symbols_in_the_address_do_not_stand_for_all_of_them(site: Site) -> None:
    cleared = await site.http.delete("/api/v1/predictions/cache?symbols=BTC_USDT")
    refused(cleared, 400, "malformed_message")
    refused(
        await site.post("/predictions/pregenerate?symbols=BTC_USDT", b"{}"),
        400,
        "malformed_message",
    )
    assert site.office.asked == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"symbols":["DOGE/USDT"]}', 404, "unknown_symbol"),
        (b'{"symbols":["doge"]}', 422, "invalid_symbol"),
        (b'{"ttl_hours":0}', 422, "invalid_request"),
        (b"{", 400, "malformed_message"),
    ],
)
async def test_a_pregeneration_that_cannot_be_is_refused(
    site: Site, body: bytes, status: int, code: str
) -> None:
    refused(await site.post("/predictions/pregenerate", body), status, code)
    assert site.office.asked == []


async def test_drift_is_shown_and_looked_for(site: Site) -> None:
    assert (await site.get("/system/drift")).json()["symbols"] == 4
    headers = {"Idempotency-Key": "k"}
    await site.post("/system/drift/check", b'{"symbols":["BTC/USDT"]}', **headers)
    assert site.office.asked == ["drift", (CheckDriftRequest(symbols=(BTC,)), "k")]
    refused(await site.post("/system/drift/check", b'{"symbols":["X"]}'), 404, "unknown_symbol")


async def test_before_anybody_has_looked_there_is_no_drift_report(site: Site) -> None:
    site.office.refusal = NotFound("nobody has looked yet")
    refused(await site.get("/system/drift"), 404, "not_found")


@pytest.mark.parametrize("path", ["BTC_USDT", "BTC%2FUSDT"])
async def test_a_rollback_answers_with_the_model_that_lives_again(site: Site, path: str) -> None:
    headers = {"Idempotency-Key": "k"}
    answer = await site.post(f"/models/{path}/rollback", b"", **headers)
    shown = answer.json()
    assert (shown["symbol"], shown["rolled_back"]["from_version"]) == ("BTC/USDT", "v2")
    assert site.office.asked == [(RollbackRequest(symbol=BTC, by="api"), "k")]


async def test_a_rollback_can_name_its_version(site: Site) -> None:
    await site.post("/models/BTC_USDT/rollback", b'{"version":"v1"}')
    assert site.office.asked == [(RollbackRequest(symbol=BTC, version="v1", by="api"), None)]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (LeaseTaken("full-7 trains it"), 409, "lease_taken"),
        (NoEarlierModel("there is none"), 409, "no_earlier_model"),
        (UnknownVersion("there are: v1"), 404, "unknown_version"),
        (ArtifactRefused("its file is gone"), 409, "artifact_refused"),
    ],
)
async def test_a_rollback_that_cannot_be_says_what_to_do(
    site: Site, error: Any, status: int, code: str
) -> None:
    site.office.refusal = error
    problem = refused(await site.post("/models/BTC_USDT/rollback"), status, code)
    assert problem["detail"] == str(error)


async def test_a_symbol_in_training_can_be_rolled_back_later(site: Site) -> None:
    site.office.refusal = LeaseTaken("full-7 trains it")
    assert (await site.post("/models/BTC_USDT/rollback")).headers["retry-after"] == "15"


async def test_a_version_that_was_live_twice_is_in_the_history_once(site: Site) -> None:
    site.office.kept = written("v1", "v2", "v1", "v2", "v3")
    site.copies.models.put(site.office.kept[-1])
    history = (await site.get("/models/BTC_USDT")).json()["history"]
    assert sorted(past["version"] for past in history) == ["v1", "v2"]


async def test_a_model_is_shown_with_what_came_of_its_predictions(site: Site) -> None:
    empty = Reliability(forecasts=0, p_up_sum=0.0, ups=0)
    bins = [empty] * 10
    bins[5] = Reliability(forecasts=200, p_up_sum=110.0, ups=104)
    track = Track(
        model_version="v1",
        horizon=7,
        forecasts=200,
        hits=104,
        brier_sum=50.0,
        log_loss_sum=138.0,
        log_loss_square_sum=95.5,
        bins=tuple(bins),
        first_at=AT,
        last_at=AT,
    )
    site.copies.models.put(model(BTC, at=AT))
    site.office.scored = Scorecard(symbol=BTC, awaited=AWAITED, tracks=(track,))
    shown = (await site.get("/models/BTC_USDT")).json()
    (served,) = shown["served"]
    assert (served["hit_rate"], served["brier"], served["log_loss"]) == (0.52, 0.25, 0.69)
    assert served["effective"] == pytest.approx(200 / 7)
    assert served["reliability"][5] == {"forecasts": 200, "p_up": 0.55, "up_share": 0.52}
    assert served["reliability"][0] == {"forecasts": 0, "p_up": None, "up_share": None}
    assert shown["awaited"] == 1


async def test_the_parameters_that_evolved_are_in_the_configuration(site: Site) -> None:
    assert (await site.get("/auto-train/config")).json()["evolution"] == []


async def test_without_nats_what_others_know_is_unavailable(site: Site) -> None:
    site.office.reachable = False
    for path in (
        "/signals",
        "/system/rejected-signals",
        "/system/pnl",
        "/system/exposure",
        "/system/drift",
        "/predictions/cache",
    ):
        refused(await site.get(path), 503, "unavailable")
