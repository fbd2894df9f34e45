"""Every route and every refusal of the HTTP side, without a server."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from httpx2 import ASGITransport, AsyncClient, Response

from services.gateway.app.application import create
from services.gateway.app.assets import Assets
from services.gateway.app.context import Context, Given
from services.gateway.domain.access import Door, Keys, Role, fingerprint
from services.gateway.domain.copies import Copies
from services.gateway.domain.pace import Quotas
from services.gateway.domain.problems import Refused
from services.gateway.domain.readiness import MODELS, PREDICTIONS, Readiness
from shared.contracts.configuration import KINDS, ConfigurationReport
from shared.contracts.errors import (
    AppError,
    ChangedMeanwhile,
    InvalidSetting,
    NotReady,
    Unavailable,
)
from shared.contracts.quality import DriftReport, Scorecard
from shared.contracts.records import (
    CacheReport,
    CandleSummary,
    Cleared,
    Coverage,
    JobRecord,
    LockHolder,
    ModelRecord,
    Prediction,
    Pregenerated,
    RolledBack,
    RunRecord,
    Started,
    Stopped,
    TrainingStatus,
    Universe,
)
from shared.contracts.reports import SystemStatus
from shared.contracts.requests import (
    CheckDriftRequest,
    ChooseSymbolsRequest,
    ClearCacheRequest,
    ConfigureRequest,
    JobsRequest,
    PregenerateRequest,
    ProfitRequest,
    RejectionsRequest,
    RollbackRequest,
    RunsRequest,
    SignalsRequest,
    StartRequest,
    StopRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Status, Timeframe
from shared.contracts.trading import ExposureReport, ProfitReport, Rejection, Signal
from tests.support.gateways import SYMBOLS, UNIVERSE, model, prediction
from tests.support.trading import EXPOSURE, PROFIT, closed_signal, open_signal, rejection

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
BTC, ETH, THY, _ = SYMBOLS
HOST = "127.0.0.1:8000"
pytestmark = pytest.mark.real_time  # files are read in threads that virtual time cannot see

RUN = RunRecord(
    run_id="r1",
    mode=Mode.FULL,
    source=Source.API,
    status=Status.RUNNING,
    symbols=SYMBOLS,
    batch_size=25,
    requested_at=AT,
)
JOB = JobRecord(
    job_id="r1.BTC_USDT",
    run_id="r1",
    symbol=BTC,
    mode=Mode.FULL,
    source=Source.API,
    status=Status.SUCCEEDED,
    created_at=AT,
    started_at=AT,
    finished_at=AT + timedelta(seconds=4),
)
STATUS = TrainingStatus(
    enabled=True,
    next_run_at=AT,
    last_run=None,
    current_run=None,
    lock=None,
    coverage=Coverage(symbols=4, fresh=4, stale=0, missing=0, oldest_age_days=1.0),
    success_rate=None,
)
CONFIGURED = ConfigurationReport(
    train_epochs=300, revision=7, changed_at=AT, changed_by="api", history=()
)
CACHE = CacheReport(
    instance="predictor@host-1",
    enabled=True,
    ttl_hours=1.0,
    in_memory=4,
    memory_bytes=4000,
    on_disk=4,
    disk_bytes=4000,
    hits_memory=9,
    hits_disk=0,
    misses=1,
    stale=0,
    failures=0,
    hit_rate=0.9,
    oldest_age_s=60.0,
)
DRIFT = DriftReport(id="drift-1", at=AT, symbols=4, drifted=0, false_alarms=0.05, findings=())
HOLDER = LockHolder(
    run_id="r0", source=Source.CRONTAB, mode=Mode.FULL, holder="t-1", started_at=AT, token=5
)

SERIES = CandleSummary(
    symbol=BTC, timeframe=Timeframe.M15, first=AT, last=AT, rows=1, gaps=0, lag_s=0.0
)


@dataclass
class Office:
    """The other services, as the test wants them."""

    reachable: bool = True
    fresh: Prediction | Exception | None = None
    locked: bool = False
    refusal: AppError | None = None
    asked: list[Any] = field(default_factory=list)
    kept: list[ModelRecord] = field(default_factory=list)
    series: list[CandleSummary] = field(default_factory=lambda: [SERIES])
    scored: Scorecard = field(default_factory=lambda: Scorecard(symbol=BTC))

    async def prediction(self, symbol: Symbol) -> Prediction:
        self.asked.append(symbol)
        if isinstance(self.fresh, Prediction):
            return self.fresh
        raise self.fresh or NotReady(f"there is no model of {symbol} yet")

    async def training_status(self) -> TrainingStatus:
        self._check()
        return STATUS

    async def jobs(self, request: JobsRequest) -> list[JobRecord]:
        self._check()
        self.asked.append(request)
        return [replace(JOB, job_id=f"j{n}") for n in range(min(request.limit, 3))]

    async def runs(self, request: RunsRequest) -> list[RunRecord]:
        self._check()
        self.asked.append(request)
        return [RUN] if request.run_id in (None, RUN.run_id) else []

    async def candles(self) -> list[CandleSummary]:
        self._check()
        return self.series

    async def promotions(self, symbol: Symbol) -> list[ModelRecord]:
        self._check()
        return self.kept

    async def scorecard(self, symbol: Symbol) -> Scorecard:
        self._check()
        return self.scored

    async def roll_back(
        self, request: RollbackRequest, *, idempotency_key: str | None
    ) -> ModelRecord:
        self._note((request, idempotency_key))
        how = RolledBack(at=AT, from_version="v2", by=request.by, request_id=None)
        return replace(model(request.symbol, at=AT), rolled_back=how)

    async def cache(self) -> CacheReport:
        self._check()
        return CACHE

    async def pregenerate(self, request: PregenerateRequest) -> Pregenerated:
        self._note(request)
        return Pregenerated(made=3, failed=1, waiting=0)

    async def clear_cache(self, request: ClearCacheRequest) -> Cleared:
        self._note(request)
        return Cleared(symbols=4)

    async def signals(self, request: SignalsRequest) -> list[Signal]:
        self._note(request)
        return [closed_signal(), open_signal()][: request.limit]

    async def rejected(self, request: RejectionsRequest) -> list[Rejection]:
        self._note(request)
        return [rejection()]

    async def profit(self, request: ProfitRequest) -> ProfitReport:
        self._note(request)
        return PROFIT

    async def exposure(self) -> ExposureReport:
        self._check()
        return EXPOSURE

    async def drift(self) -> DriftReport:
        self._note("drift")
        return DRIFT

    async def check_drift(
        self, request: CheckDriftRequest, *, idempotency_key: str | None
    ) -> DriftReport:
        self._note((request, idempotency_key))
        return DRIFT

    async def request_training(self, mode: Mode, **request: Any) -> str:
        self._check()
        self.asked.append((mode, request))
        if self.locked and not request["force"]:
            raise Refused(HOLDER)
        return "api-1"

    async def start_automation(
        self, request: StartRequest, *, idempotency_key: str | None
    ) -> Started:
        self._check()
        self.asked.append((request, idempotency_key))
        return Started(
            status="started",
            symbols=request.symbols or SYMBOLS,
            timeframe=Timeframe.M15,
            quick_mode=request.quick_start,
            run_id="start-1",
            message="the automation runs",
        )

    async def stop_automation(
        self, request: StopRequest, *, idempotency_key: str | None
    ) -> Stopped:
        self._check()
        self.asked.append((request, idempotency_key))
        return Stopped(cancelled=("start-1",), message="the automation rests")

    async def configuration(self) -> ConfigurationReport:
        self._check()
        return CONFIGURED

    async def configure(self, request: ConfigureRequest) -> ConfigurationReport:
        self._check()
        self.asked.append(request)
        if self.refusal is not None:
            raise self.refusal
        return replace(CONFIGURED, revision=CONFIGURED.revision + 1)

    async def choose_symbols(self, request: ChooseSymbolsRequest) -> Universe:
        self._check()
        self.asked.append(request)
        if self.refusal is not None:
            raise self.refusal
        assert request.symbols is not None
        return replace(UNIVERSE, symbols=request.symbols, revision=1)

    def _note(self, asked: object) -> None:
        self._check()
        self.asked.append(asked)
        if self.refusal is not None:
            raise self.refusal

    def _check(self) -> None:
        if not self.reachable:
            raise Unavailable("NATS is out of reach; try again in a moment")


@dataclass
class Look:
    status: SystemStatus | None = None


class Site:
    """An application and a client of it."""

    def __init__(
        self,
        cache: Path,
        *,
        keys: Keys | None = None,
        origins: frozenset[str] = frozenset(),
        missing: tuple[str, ...] = ("everything",),
    ) -> None:
        self.office = Office()
        self.copies = Copies(universe=UNIVERSE)
        self.readiness = Readiness(*missing)
        self.look = Look()
        self.now = AT
        self.seen: list[tuple[str, str, int]] = []
        self.tick = 0.0
        self.quotas = Quotas(100, lambda: self.tick)
        self.context = Context(
            copies=self.copies,
            colleagues=self.office,
            system=self.look,
            readiness=self.readiness,
            clock=lambda: self.now,
        )
        self.app = create(
            self.context,
            Door(keys=keys, hosts=frozenset({HOST}), origins=origins),
            Assets(cache),
            quotas=self.quotas,
            observe=lambda method, route, status, _: self.seen.append((method, route, status)),
            metrics=lambda: (b"figures 1\n", "text/plain"),
        )
        transport = ASGITransport(self.app, raise_app_exceptions=False)
        headers = {"content-type": "application/json"}
        self.http = AsyncClient(transport=transport, base_url=f"http://{HOST}", headers=headers)

    async def get(self, path: str, **headers: str) -> Response:
        return await self.http.get(f"/api/v1{path}", headers=headers)

    async def post(self, path: str, content: bytes = b"", **headers: str) -> Response:
        return await self.http.post(f"/api/v1{path}", content=content, headers=headers)

    async def put(self, path: str, content: bytes, *, if_match: str | None) -> Response:
        headers = {} if if_match is None else {"If-Match": if_match}
        return await self.http.put(f"/api/v1{path}", content=content, headers=headers)

    async def trigger(self, content: str | bytes, **headers: str) -> Response:
        path = "/api/v1/auto-train/trigger"
        return await self.http.post(path, content=content, headers=headers)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    async with site.http:
        yield site


def refused(response: Response, status: int, code: str) -> dict[str, Any]:
    """The problem, which must have the right shape whatever it is."""
    problem: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in response.text
    return problem


@pytest.mark.parametrize("path", ["BTC_USDT", "BTC%2FUSDT", "BTC/USDT"])
async def test_a_prediction_is_answered_from_the_copy_however_the_slash_is_written(
    site: Site, path: str
) -> None:
    site.copies.predictions.put(prediction(BTC, at=AT))
    answer = await site.get(f"/predictions/{path}")
    assert msgspec.convert(answer.json()["symbol"], str) == BTC
    assert set(answer.json()) == {
        "symbol",
        "timeframe",
        "predictions",
        "model_version",
        "candle_at",
        "generated_at",
        "expires_at",
        "cache",
        "stale",
        "stale_reason",
        "close",
        "atr_pct",
    }
    assert answer.headers["cache-control"] == "no-cache"
    assert site.office.asked == []


async def test_an_unchanged_prediction_is_not_sent_twice(site: Site) -> None:
    site.copies.predictions.put(prediction(BTC, at=AT))
    first = await site.get("/predictions/BTC_USDT")
    again = await site.get("/predictions/BTC_USDT", **{"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    site.copies.predictions.put(prediction(BTC, at=AT, version="v2"))
    changed = await site.get("/predictions/BTC_USDT", **{"If-None-Match": first.headers["etag"]})
    assert (changed.status_code, changed.json()["model_version"]) == (200, "v2")


async def test_one_horizon_alone_can_be_asked_for(site: Site) -> None:
    site.copies.predictions.put(prediction(BTC, at=AT))
    answer = await site.get("/predictions/BTC_USDT?horizon=7")
    assert [forecast["horizon"] for forecast in answer.json()["predictions"]] == [7]
    refused(await site.get("/predictions/BTC_USDT?horizon=2"), 404, "unknown_horizon")
    refused(await site.get("/predictions/BTC_USDT?horizon=x"), 422, "invalid_request")
    refused(await site.get("/predictions/top?horizon=2"), 404, "unknown_horizon")


async def test_an_expired_prediction_is_asked_for_anew(site: Site) -> None:
    site.copies.predictions.put(prediction(BTC, at=AT))
    site.office.fresh = prediction(BTC, at=AT, version="v2")
    site.now = AT + timedelta(hours=2)
    assert (await site.get("/predictions/BTC_USDT")).json()["model_version"] == "v2"


async def test_each_answer_is_counted_by_where_it_came_from(site: Site) -> None:
    site.copies.predictions.put(prediction(BTC, at=AT))
    await site.get("/predictions/BTC_USDT")
    site.now = AT + timedelta(hours=2)
    site.office.fresh = replace(prediction(BTC, at=site.now), cache="disk")
    await site.get("/predictions/BTC_USDT?horizon=7")
    site.office.fresh = Unavailable("silent")
    await site.get("/predictions/BTC_USDT")
    assert site.context.given == {
        Given("copy", stale=False): 1,
        Given("disk", stale=False): 1,
        Given("copy", stale=True): 1,
    }


async def test_when_the_predictor_is_silent_the_copy_is_called_stale(site: Site) -> None:
    site.copies.predictions.put(prediction(BTC, at=AT))
    site.office.fresh = Unavailable("silent")
    site.now = AT + timedelta(hours=2)
    answer = (await site.get("/predictions/BTC_USDT")).json()
    assert (answer["stale"], answer["stale_reason"]) == (True, "the predictor does not answer")


async def test_what_a_model_foretold_that_lives_no_more_is_asked_for_anew(site: Site) -> None:
    site.copies.predictions.put(prediction(BTC, at=AT, version="v2"))
    site.copies.predictions.go_live(BTC, "v1")  # rolled back
    site.office.fresh = prediction(BTC, at=AT, version="v1")
    answer = (await site.get("/predictions/BTC_USDT")).json()
    assert (answer["model_version"], answer["stale"]) == ("v1", False)


@pytest.mark.parametrize("said", [Unavailable("silent"), prediction(BTC, at=AT, version="v2")])
async def test_it_is_stale_where_the_predictor_says_nothing_or_has_not_heard_yet(
    site: Site, said: Prediction | Exception
) -> None:
    site.copies.predictions.put(prediction(BTC, at=AT, version="v2"))
    site.copies.predictions.go_live(BTC, "v1")
    site.office.fresh = said
    answer = (await site.get("/predictions/BTC_USDT")).json()
    assert (answer["model_version"], answer["stale"]) == ("v2", True)
    assert [line["stale"] for line in (await site.get("/predictions/top")).json()] == [True]


async def test_what_the_predictor_itself_calls_stale_keeps_its_reason(site: Site) -> None:
    told = replace(prediction(BTC, at=AT), stale=True, stale_reason="the live model is damaged")
    site.copies.predictions.put(told)
    site.copies.predictions.go_live(BTC, "v2")
    answer = (await site.get("/predictions/BTC_USDT")).json()
    assert answer["stale_reason"] == "the live model is damaged"
    assert site.office.asked == []


async def test_when_nats_is_away_the_copies_still_answer_and_say_so(site: Site) -> None:
    site.copies.predictions.put(prediction(BTC, at=AT))
    site.copies.models.put(model(BTC, at=AT))
    site.office.reachable = False
    assert (await site.get("/predictions/BTC_USDT")).json()["stale"] is True
    assert [line["stale"] for line in (await site.get("/predictions/top")).json()] == [True]
    assert len((await site.get("/models")).json()) == 1
    assert (await site.get("/symbols")).status_code == 200
    for path in ("/train/jobs", "/train/runs", "/auto-train/status", "/system/candles"):
        away = await site.get(path)
        refused(away, 503, "unavailable")
        assert away.headers["retry-after"] == "2"


async def test_without_copy_and_model_the_asker_is_told_to_come_back(site: Site) -> None:
    answer = await site.get("/predictions/BTC_USDT")
    refused(answer, 503, "no_model")
    assert answer.headers["retry-after"] == "15"
    refused(await site.get("/models/BTC_USDT"), 503, "no_model")


@pytest.mark.parametrize("route", ["/predictions", "/models"])
@pytest.mark.parametrize(
    "symbol", ["btc", "*", "%3E", "BTC%00", "..%2F..%2Fetc", "A%20B", "%D0%92TC", "X" * 33, "%ff"]
)
async def test_what_is_no_symbol_is_refused_before_anybody_is_asked(
    site: Site, route: str, symbol: str
) -> None:
    refused(await site.get(f"{route}/{symbol}"), 422, "invalid_symbol")
    assert site.office.asked == []


async def test_a_symbol_that_nobody_trains_is_unknown(site: Site) -> None:
    problem = refused(await site.get("/predictions/NOPE"), 404, "unknown_symbol")
    assert "/api/v1/symbols" in problem["detail"]


async def test_the_top_is_ranked_as_asked(site: Site) -> None:
    site.copies.predictions.put(prediction(BTC, at=AT, confidence=0.6))
    site.copies.predictions.put(prediction(ETH, at=AT, confidence=0.8))
    top = (await site.get("/predictions/top?n=1&sort=confidence")).json()
    assert [line["symbol"] for line in top] == ["ETH/USDT"]
    refused(await site.get("/predictions/top?n=0"), 422, "invalid_request")
    refused(await site.get("/predictions/top?sort=luck"), 422, "invalid_request")


async def test_jobs_have_the_fields_of_the_contract_and_a_link_to_the_next_page(
    site: Site,
) -> None:
    answer = await site.get("/train/jobs?symbol=BTC_USDT&status=succeeded&limit=2")
    assert {
        "job_id",
        "run_id",
        "symbol",
        "mode",
        "source",
        "status",
        "progress_pct",
        "avg_roc_auc",
        "created_at",
        "started_at",
        "finished_at",
        "duration_s",
        "error",
    } <= set(answer.json()[0])
    assert answer.json()[0]["duration_s"] == 4.0
    assert answer.headers["link"] == (
        '</api/v1/train/jobs?symbol=BTC_USDT&status=succeeded&limit=2&before=j1>; rel="next"'
    )
    assert site.office.asked == [JobsRequest(symbol=BTC, status=Status.SUCCEEDED, limit=2)]
    assert "link" not in (await site.get("/train/jobs?limit=10")).headers


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "status=odd", "run_id=a%20b"]
)
async def test_a_question_about_jobs_outside_the_bounds_is_refused(site: Site, query: str) -> None:
    refused(await site.get(f"/train/jobs?{query}"), 422, "invalid_request")


async def test_a_run_is_found_by_its_id_or_not_at_all(site: Site) -> None:
    assert (await site.get("/train/runs/r1")).json()["total"] == 4
    assert (await site.get("/train/runs")).json()[0]["run_id"] == "r1"
    for run_id in ("r2", "a%20b", "x" * 200, "a.b"):
        refused(await site.get(f"/train/runs/{run_id}"), 404, "not_found")


async def test_models_are_listed_newest_first_page_by_page(site: Site) -> None:
    for age, symbol in enumerate(SYMBOLS):
        record = model(symbol, at=AT - timedelta(days=age), version=f"v{age}")
        site.copies.models.put(record)
    first = await site.get("/models?limit=3")
    assert [m["version"] for m in first.json()] == ["v0", "v1", "v2"]
    following = first.headers["link"].partition(">")[0].removeprefix("</api/v1")
    assert [m["version"] for m in (await site.get(following)).json()] == ["v3"]
    shown = (await site.get("/models/THYAO.IS")).json()
    assert (shown["age_days"], shown["metrics"]["1"]["basic"]["roc_auc"]) == (2.0, 0.55)


async def test_a_model_is_shown_with_those_that_were_live_before_it(site: Site) -> None:
    old, older = (model(BTC, at=AT - timedelta(days=n), version=f"v{n}") for n in (1, 2))
    live = model(BTC, at=AT, version="v0")
    site.copies.models.put(live)
    site.office.kept = [older, old, live]
    shown = (await site.get("/models/BTC_USDT")).json()
    assert (shown["version"], [m["version"] for m in shown["history"]]) == ("v0", ["v1", "v2"])
    site.office.reachable = False
    assert (await site.get("/models/BTC_USDT")).json()["history"] == []


async def test_a_trigger_queues_a_run_and_says_where_to_look(site: Site) -> None:
    answer = await site.trigger(b'{"mode":"quick","symbols":["BTC/USDT"],"batch_size":5}')
    assert answer.status_code == 202
    assert answer.json() == {"status": "queued", "run_id": "api-1", "mode": "quick"}
    assert answer.headers["location"] == "/api/v1/train/runs/api-1"
    assert site.office.asked == [
        (
            Mode.QUICK,
            {"symbols": (BTC,), "batch_size": 5, "force": False, "idempotency_key": None},
        )
    ]


async def test_a_run_that_was_just_queued_can_be_looked_at(site: Site) -> None:
    answer = await site.trigger(b'{"mode":"quick"}')
    run = (await site.http.get(answer.headers["location"])).json()
    assert (run["run_id"], run["status"], run["mode"]) == ("api-1", "queued", "quick")


@pytest.mark.parametrize("body", [b"", b"{}", b" "])
async def test_a_trigger_without_wishes_is_a_full_run(site: Site, body: bytes) -> None:
    assert (await site.trigger(body)).json()["mode"] == "full"


async def test_an_idempotency_key_is_handed_on(site: Site) -> None:
    await site.trigger(b"{}", **{"Idempotency-Key": "once"})
    assert site.office.asked[0][1]["idempotency_key"] == "once"


async def test_while_another_run_trains_a_trigger_is_refused_with_the_holder(site: Site) -> None:
    site.office.locked = True
    problem = refused(await site.trigger(b"{}"), 409, "training_locked")
    assert problem["holder"]["run_id"] == "r0"
    assert (await site.trigger(b'{"force":true}')).status_code == 202


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"nonsense", 400, "malformed_message"),
        (b'{"mode":', 400, "malformed_message"),
        (b"\xff\xfe", 400, "malformed_message"),
        (b"[]", 422, "invalid_request"),
        (b'{"mode":"slow"}', 422, "invalid_request"),
        (b'{"batch_size":0}', 422, "invalid_request"),
        (b'{"batch_size":true}', 422, "invalid_request"),
        (b'{"symbols":"BTC/USDT"}', 422, "invalid_request"),
        (b'{"symbols":["btc"]}', 422, "invalid_symbol"),
        (b'{"symbols":["NOPE"]}', 404, "unknown_symbol"),
        (b'{"x":"' + b"y" * 70_000 + b'"}', 413, "body_too_large"),
    ],
)
async def test_a_trigger_that_cannot_be_is_refused_and_queues_nothing(
    site: Site, body: bytes, status: int, code: str
) -> None:
    refused(await site.trigger(body), status, code)
    assert site.office.asked == []


async def test_a_start_is_handed_on_and_answered_as_the_scheduler_says(site: Site) -> None:
    body = b'{"symbols":["BTC/USDT"],"timeframe":"15m","quick_start":true}'
    answer = await site.post("/auto-train/start", body, **{"Idempotency-Key": "once"})
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "started",
        "symbols": ["BTC/USDT"],
        "timeframe": "15m",
        "quick_mode": True,
        "run_id": "start-1",
        "message": "the automation runs",
    }
    asked = StartRequest(symbols=(BTC,), timeframe=Timeframe.M15, quick_start=True, by="api")
    assert site.office.asked == [(asked, "once")]


async def test_the_run_of_a_start_can_be_looked_at_at_once(site: Site) -> None:
    await site.post("/auto-train/start", b'{"quick_start":true}')
    run = (await site.get("/train/runs/start-1")).json()
    assert (run["status"], run["mode"], run["source"]) == ("queued", "quick", "automation")


async def test_a_start_without_wishes_looks_after_everything(site: Site) -> None:
    assert (await site.post("/auto-train/start")).json()["symbols"] == list(SYMBOLS)
    assert site.office.asked == [(StartRequest(by="api"), None)]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"nonsense", 400, "malformed_message"),
        (b'{"symbols":[]}', 400, "malformed_message"),
        (b'{"timeframe":"2w"}', 422, "invalid_request"),
        (b'{"quick_start":"yes"}', 422, "invalid_request"),
        (b'{"symbols":["btc"]}', 422, "invalid_symbol"),
        (b'{"symbols":["NOPE"]}', 404, "unknown_symbol"),
    ],
)
async def test_a_start_that_cannot_be_is_refused_and_starts_nothing(
    site: Site, body: bytes, status: int, code: str
) -> None:
    refused(await site.post("/auto-train/start", body), status, code)
    assert site.office.asked == []


async def test_a_stop_says_what_is_cancelled(site: Site) -> None:
    stopped = (await site.post("/auto-train/stop", b"", **{"Idempotency-Key": "once"})).json()
    assert (stopped["status"], stopped["cancelled"]) == ("stopped", ["start-1"])
    assert site.office.asked == [(StopRequest(by="api"), "once")]


async def test_the_configuration_is_flat_and_tagged_with_its_revision(site: Site) -> None:
    answer = await site.get("/auto-train/config")
    assert answer.headers["etag"] == '"7"'
    shown = answer.json()
    assert shown.keys() > KINDS.keys()
    assert (shown["train_epochs"], shown["revision"], shown["history"]) == (300, 7, [])


async def test_a_change_is_meant_for_the_revision_that_was_read(site: Site) -> None:
    answer = await site.put("/auto-train/config", b'{"train_epochs":300}', if_match='"7"')
    assert (answer.status_code, answer.headers["etag"]) == (200, '"8"')
    asked = ConfigureRequest(changes={"train_epochs": 300}, revision=7, by="api")
    assert site.office.asked == [asked]


async def test_a_change_of_whatever_is_in_force_says_so(site: Site) -> None:
    assert (await site.put("/auto-train/config", b"{}", if_match="*")).status_code == 200
    assert site.office.asked == [ConfigureRequest(changes={}, by="api")]


async def test_the_configuration_that_was_read_can_be_sent_back(site: Site) -> None:
    read = await site.get("/auto-train/config")
    await site.put("/auto-train/config", read.content, if_match=read.headers["etag"])
    (asked,) = site.office.asked
    assert asked.changes.keys() == KINDS.keys()


@pytest.mark.parametrize("path", ["/auto-train/config", "/symbols"])
@pytest.mark.parametrize(
    ("if_match", "status", "code"),
    [
        (None, 428, "precondition_required"),
        ("", 412, "precondition_failed"),
        ("7", 412, "precondition_failed"),
        ('W/"7"', 412, "precondition_failed"),
        ('"7", "8"', 412, "precondition_failed"),
        ('"seven"', 412, "precondition_failed"),
    ],
)
async def test_a_change_without_the_revision_it_is_meant_for_is_refused(
    site: Site, path: str, if_match: str | None, status: int, code: str
) -> None:
    refused(await site.put(path, b'{"symbols":["BTC/USDT"]}', if_match=if_match), status, code)
    assert site.office.asked == []


@pytest.mark.parametrize("path", ["/auto-train/config", "/symbols"])
async def test_what_the_scheduler_refuses_is_refused_in_its_words(site: Site, path: str) -> None:
    for refusal, status in ((ChangedMeanwhile("at 8"), 412), (InvalidSetting("bad"), 422)):
        site.office.refusal = refusal
        answer = await site.put(path, b'{"symbols":["BTC/USDT"]}', if_match='"7"')
        assert refused(answer, status, refusal.code)["detail"] == str(refusal)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/auto-train/config", b"nonsense", 400, "malformed_message"),
        ("/auto-train/config", b"[]", 422, "invalid_request"),
        ("/symbols", b"{}", 422, "invalid_request"),
        ("/symbols", b'{"symbols":["btc"]}', 422, "invalid_symbol"),
    ],
)
async def test_a_change_that_cannot_be_read_is_refused(
    site: Site, path: str, body: bytes, status: int, code: str
) -> None:
    refused(await site.put(path, body, if_match="*"), status, code)
    assert site.office.asked == []


async def test_symbols_are_tagged_with_their_revision_and_not_sent_twice(site: Site) -> None:
    site.copies.universe = replace(UNIVERSE, revision=4)
    first = await site.get("/symbols")
    assert first.headers["etag"] == '"4"'
    again = await site.get("/symbols", **{"If-None-Match": '"4"'})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_choice_of_symbols_is_in_force_with_its_answer(site: Site) -> None:
    site.copies.predictions.put(prediction(BTC, at=AT))
    site.copies.predictions.put(prediction(ETH, at=AT))
    answer = await site.put("/symbols", b'{"symbols":["BTC/USDT"]}', if_match='"0"')
    assert (answer.json()["symbols"], answer.headers["etag"]) == (["BTC/USDT"], '"1"')
    assert site.office.asked == [ChooseSymbolsRequest(symbols=(BTC,), revision=0)]
    refused(await site.get("/predictions/ETH_USDT"), 404, "unknown_symbol")
    ranked = (await site.get("/predictions/top")).json()
    assert {line["symbol"] for line in ranked} == {"BTC/USDT"}


async def test_without_nats_control_is_unavailable(site: Site) -> None:
    site.office.reachable = False
    refused(await site.post("/auto-train/start"), 503, "unavailable")
    refused(await site.post("/auto-train/stop"), 503, "unavailable")
    refused(await site.get("/auto-train/config"), 503, "unavailable")
    refused(await site.put("/auto-train/config", b"{}", if_match="*"), 503, "unavailable")


async def test_a_list_of_no_symbols_is_refused(site: Site) -> None:
    assert (await site.trigger(b'{"symbols":[]}')).status_code in (400, 422)


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/json", ""])
async def test_what_is_not_said_to_be_json_is_not_read(site: Site, media_type: str) -> None:
    answer = await site.trigger(b'{"mode":"quick"}', **{"content-type": media_type})
    refused(answer, 415, "unsupported_media_type")
    assert site.office.asked == []


async def test_json_may_name_its_encoding_and_no_body_needs_no_name(site: Site) -> None:
    named = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await site.trigger(b'{"mode":"quick"}', **named)).status_code == 202
    assert (await site.trigger(b"", **{"content-type": ""})).status_code == 202


@pytest.mark.parametrize("path", ["/auto-train/config", "/symbols"])
@pytest.mark.parametrize("if_match", [None, "nonsense", '"999"', "*"])
async def test_what_cannot_be_read_is_told_so_whatever_revision_it_is_meant_for(
    site: Site, path: str, if_match: str | None
) -> None:
    refused(await site.put(path, b"nonsense", if_match=if_match), 400, "malformed_message")


async def test_a_body_of_unannounced_length_is_bounded_too(site: Site) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    path = "/api/v1/auto-train/trigger"
    refused(await site.http.post(path, content=endless()), 413, "body_too_large")


async def test_an_address_that_is_not_there_is_a_problem(site: Site) -> None:
    refused(await site.get("/nothing"), 404, "unknown_route")
    refused(await site.http.get("/static/../settings.py"), 404, "unknown_route")
    refused(await site.http.get("/static/%2e%2e/settings.py"), 404, "unknown_route")


@pytest.mark.parametrize(
    ("method", "path", "taken"),
    [
        ("POST", "/api/v1/models", "GET, HEAD"),
        ("POST", "/api/v1/models/BTC_USDT", "GET, HEAD"),
        ("GET", "/api/v1/models/BTC_USDT/rollback", "POST"),
        ("POST", "/api/v1/predictions/cache", "GET, HEAD, DELETE"),
        ("GET", "/api/v1/predictions/pregenerate", "POST"),
        ("OPTIONS", "/api/v1/symbols", "GET, HEAD, PUT"),
        ("POST", "/", "GET, HEAD"),
        ("POST", "/static/app.css", "GET, HEAD"),
    ],
)
async def test_an_address_names_every_method_that_it_takes(
    site: Site, method: str, path: str, taken: str
) -> None:
    answer = await site.http.request(method, path)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == taken


async def test_head_is_get_without_a_body(site: Site) -> None:
    answer = await site.http.head("/healthz")
    assert answer.status_code == 200


async def test_it_lives_before_it_is_ready(site: Site) -> None:
    assert (await site.http.get("/healthz")).status_code == 200
    problem = refused(await site.http.get("/readyz"), 503, "unavailable")
    assert "everything" in problem["detail"]
    site.readiness.known("everything")
    assert (await site.http.get("/readyz")).status_code == 200


async def test_a_fault_of_our_own_is_a_problem_without_its_traceback(site: Site) -> None:
    site.office.fresh = RuntimeError("secret detail")
    answer = await site.get("/predictions/BTC_USDT")
    refused(answer, 500, "internal_error")
    assert "secret" not in answer.text


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/api/v1/nothing", "/static/app.js"])
async def test_every_answer_says_what_browsers_may_do_with_it(site: Site, path: str) -> None:
    headers = (await site.http.get(path)).headers
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert "script-src" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


async def test_a_request_by_another_name_or_from_another_page_is_refused(site: Site) -> None:
    refused(await site.http.get("/healthz", headers={"Host": "evil"}), 403, "not_allowed")
    answer = await site.trigger(b"{}", Origin="http://evil")
    refused(answer, 403, "not_allowed")
    assert site.office.asked == []


ROUTES = {
    "GET /healthz": None,
    "GET /readyz": None,
    "GET /metrics": Role.READ,
    "GET /api/v1/predictions/top": Role.READ,
    "GET /api/v1/predictions/{symbol}": Role.READ,
    "GET /api/v1/train/jobs": Role.READ,
    "GET /api/v1/train/runs": Role.READ,
    "GET /api/v1/train/runs/{run_id}": Role.READ,
    "GET /api/v1/auto-train/status": Role.READ,
    "POST /api/v1/auto-train/trigger": Role.CONTROL,
    "POST /api/v1/auto-train/start": Role.CONTROL,
    "POST /api/v1/auto-train/stop": Role.CONTROL,
    "GET /api/v1/auto-train/config": Role.READ,
    "PUT /api/v1/auto-train/config": Role.CONTROL,
    "GET /api/v1/models": Role.READ,
    "GET /api/v1/models/{symbol}": Role.READ,
    "GET /api/v1/symbols": Role.READ,
    "PUT /api/v1/symbols": Role.ADMIN,
    "GET /api/v1/system/status": Role.READ,
    "GET /api/v1/system/candles": Role.READ,
    "GET /api/v1/predictions/cache": Role.READ,
    "POST /api/v1/predictions/pregenerate": Role.CONTROL,
    "DELETE /api/v1/predictions/cache": Role.CONTROL,
    "POST /api/v1/models/{symbol}/rollback": Role.ADMIN,
    "GET /api/v1/signals": Role.READ,
    "GET /api/v1/signals/{signal_id}": Role.READ,
    "GET /api/v1/system/rejected-signals": Role.READ,
    "GET /api/v1/system/pnl": Role.READ,
    "GET /api/v1/system/exposure": Role.READ,
    "GET /api/v1/system/drift": Role.READ,
    "POST /api/v1/system/drift/check": Role.CONTROL,
}


async def test_every_route_needs_the_role_that_somebody_decided(tmp_path: Path) -> None:
    keys = Keys(tuple((fingerprint(role.label), role) for role in Role))
    site = Site(tmp_path, keys=keys)
    async with site.http:
        described = (await site.http.get("/openapi.json")).json()["paths"]
        found = {f"{m.upper()} {path}" for path, methods in described.items() for m in methods}
        assert found == set(ROUTES)
        for route, need in ROUTES.items():
            method, _, path = route.partition(" ")
            for role in (None, *Role):
                headers = {"Authorization": f"Bearer {role.label}"} if role else {}
                answer = await site.http.request(method, path, headers=headers)
                blocked = answer.status_code in (401, 403)
                assert blocked == (need is not None and (role is None or role < need)), route


async def test_without_a_key_the_way_to_show_one_is_named(tmp_path: Path) -> None:
    site = Site(tmp_path, keys=Keys(((fingerprint("k"), Role.READ),)))
    async with site.http:
        answer = await site.get("/models")
        refused(answer, 401, "not_authenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert (await site.get("/models?token=k")).status_code == 401
        assert (await site.get("/models", Authorization="Bearer k")).status_code == 200


async def test_the_description_names_every_problem_and_shape(site: Site) -> None:
    described = (await site.http.get("/openapi.json")).json()
    text = json.dumps(described)
    for name in described["components"]["schemas"]:
        assert isinstance(name, str)
    refs = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert refs <= set(described["components"]["schemas"])
    assert "HTTPValidationError" not in text


async def test_every_example_of_a_body_is_accepted(site: Site) -> None:
    described = (await site.http.get("/openapi.json")).json()["paths"]
    tried = 0
    for path, methods in described.items():
        for method, route in methods.items():
            body = route.get("requestBody", {}).get("content", {}).get("application/json", {})
            if "example" in body:
                content = json.dumps(body["example"]).encode()
                headers = {"If-Match": "*"}
                where = path.replace("{symbol}", BTC.path)
                answer = await site.http.request(method, where, content=content, headers=headers)
                assert answer.is_success, (path, answer.text)
                tried += 1
    assert tried == 8


async def test_series_of_candles_are_listed_by_name_page_by_page(site: Site) -> None:
    names = ("C", "A", "B/USDT")
    site.office.series = [replace(SERIES, symbol=Symbol(name)) for name in names]
    first = await site.get("/system/candles?limit=2")
    assert [series["symbol"] for series in first.json()] == ["A", "B/USDT"]
    following = first.headers["link"].partition(">")[0].removeprefix("</api/v1")
    last = await site.get(following)
    assert [series["symbol"] for series in last.json()] == ["C"]
    assert "link" not in last.headers


DESK = "https://desk.example"
ASKS_FIRST = {"origin": DESK, "access-control-request-method": "PUT"}


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Site]:
    """With keys, and for pages of one other site."""
    keys = Keys(((fingerprint("k"), Role.READ),))
    site = Site(tmp_path, keys=keys, origins=frozenset({DESK}))
    async with site.http:
        yield site


async def test_a_page_of_a_listed_site_may_read_answers(shared: Site) -> None:
    answer = await shared.get("/models", origin=DESK, authorization="Bearer k")
    assert answer.headers["access-control-allow-origin"] == DESK
    assert "etag" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "origin"


async def test_a_browser_may_ask_first_and_shows_no_key(shared: Site) -> None:
    answer = await shared.http.options("/api/v1/symbols", headers=ASKS_FIRST)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == DESK
    assert "if-match" in answer.headers["access-control-allow-headers"]


async def test_no_other_page_may_read_anything(shared: Site, site: Site) -> None:
    own = await shared.get("/models", authorization="Bearer k")
    assert "access-control-allow-origin" not in own.headers
    assert own.headers["vary"] == "origin"  # or a cache might give this one to the listed site
    for each in (shared, site):
        asks_first = ASKS_FIRST | {"origin": "https://evil.example"}
        refused(await each.http.options("/api/v1/symbols", headers=asks_first), 403, "not_allowed")
    answer = await site.http.options("/api/v1/symbols", headers=ASKS_FIRST)
    refused(answer, 403, "not_allowed")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_requests_are_counted_by_route_and_not_by_symbol(site: Site) -> None:
    for symbol in ("BTC_USDT", "NOPE", "*"):
        await site.get(f"/predictions/{symbol}")
    assert len({route for _, route, _ in site.seen}) == 1


async def test_the_chart_library_is_served_compressed_from_its_own_package(site: Site) -> None:
    page = (await site.http.get("/")).text
    (path,) = [part.split('"')[0] for part in page.split('src="')[1:] if "plotly" in part]
    packed = await site.http.get(path)
    assert packed.headers["content-encoding"] == "gzip"
    assert "immutable" in packed.headers["cache-control"]
    plain = await site.http.get(path, headers={"Accept-Encoding": "identity"})
    assert plain.text == packed.text


async def test_every_answer_says_how_many_requests_are_left(site: Site) -> None:
    site.copies.predictions.put(prediction(BTC, at=AT))
    answers = [await site.get("/predictions/BTC_USDT") for _ in range(2)]
    assert [answer.headers["ratelimit"] for answer in answers] == [
        '"requests";r=199;t=1',
        '"requests";r=198;t=1',
    ]
    assert answers[0].headers["ratelimit-policy"] == '"requests";q=200;w=2'


async def test_who_asks_too_often_is_told_when_to_come_back(site: Site) -> None:
    for _ in range(200):
        site.quotas.take("127.0.0.1")
    answer = await site.get("/symbols")
    assert refused(answer, 429, "too_many_requests")["detail"].startswith("more than 100 requests")
    assert answer.headers["retry-after"] == "1"
    site.tick += 1
    assert (await site.get("/symbols")).status_code == 200


async def test_whoever_guesses_keys_is_counted_by_address(tmp_path: Path) -> None:
    site = Site(tmp_path, keys=Keys(((fingerprint("secret"), Role.READ),)))
    for number in range(200):
        refused(
            await site.get("/symbols", authorization=f"Bearer {number}"), 401, "not_authenticated"
        )
    refused(await site.get("/symbols", authorization="Bearer 201"), 429, "too_many_requests")
    assert (await site.get("/symbols", authorization="Bearer secret")).status_code == 200


async def test_a_request_keeps_the_name_that_its_caller_gave_it(site: Site) -> None:
    answer = await site.get("/predictions/NOPE", **{"x-request-id": "order-66.a"})
    assert answer.headers["x-request-id"] == "order-66.a"
    assert answer.json()["request_id"] == "order-66.a"


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, 'a"b'])
async def test_what_is_no_name_is_replaced(site: Site, name: str) -> None:
    answer = await site.get("/symbols", **{"x-request-id": name})
    assert len(answer.headers["x-request-id"]) == 16


@pytest.mark.parametrize("path", ["/models", "/models/BTC_USDT", "/predictions/top"])
async def test_what_is_still_being_read_is_not_said_to_be_missing(
    tmp_path: Path, path: str
) -> None:
    site = Site(tmp_path, missing=(MODELS, PREDICTIONS))
    refused(await site.get(path), 503, "unavailable")
