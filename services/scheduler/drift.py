"""Looking for drift, and asking for the training of what has drifted."""

import asyncio
import logging
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from services.scheduler.domain.decisions import Decisions
from services.scheduler.domain.drift import FALSE_ALARMS, Evidence, judged
from shared.contracts.errors import AppError, MalformedMessage, NotFound, Unavailable
from shared.contracts.events import DriftDetected, Event
from shared.contracts.quality import DriftFinding, DriftMeasurement, DriftReport, Scorecard
from shared.contracts.records import ModelRecord
from shared.contracts.requests import CheckDriftRequest, DriftReportRequest, TrainRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)

#: Each trainer measures one symbol at a time; more than that wait in line.
_AT_ONCE: Final = 8

#: One message holds a few times as many findings.
_TOLD: Final = 1000

#: When to ask again for what no trainer answered.
_ASKED_AFTER_S: Final = (0.0, 5.0, 15.0)


class Gauge(Protocol):
    async def measure(self, symbol: Symbol) -> DriftMeasurement:
        """How far the candles of a symbol are from what its live model has learned.

        Raises:
            Unavailable: no trainer answers.
            AppError: what stands in the way.
        """


class Scorecards(Protocol):
    async def find(self, symbol: Symbol) -> Scorecard:
        """May raise Unavailable, or MalformedMessage where something else is stored."""


class Reports(Protocol):
    """The newest report. Every verb may raise Unavailable."""

    async def newest(self) -> DriftReport | None: ...

    async def keep(self, report: DriftReport) -> None: ...


class Attempts(Protocol):
    async def attempts(self) -> dict[Symbol, datetime]:
        """When the last training of each symbol ended, well or badly."""


class Requests(Protocol):
    async def request(self, mode: Mode, request: TrainRequest) -> None:
        """Queue a run; the same `request_id` is the same run. May raise Unavailable."""


class Outlet(Protocol):
    async def emit(self, fact: Event) -> None:
        """May raise Unavailable."""


class DriftWatch:
    """A check has a name. It asks for at most one run, of that name, and its events have ids made
    of it: a check that is done again, by whoever, asks for nothing new.
    """

    def __init__(
        self,
        *,
        decisions: Decisions,
        models: Mapping[Symbol, ModelRecord],
        gauge: Gauge,
        scorecards: Scorecards,
        reports: Reports,
        attempts: Attempts,
        requests: Requests,
        outlet: Outlet,
        clock: Clock,
    ) -> None:
        self._decisions = decisions
        self._models = models
        self._gauge = gauge
        self._scorecards = scorecards
        self._reports = reports
        self._attempts = attempts
        self._requests = requests
        self._outlet = outlet
        self._clock = clock
        self._looking = asyncio.Lock()

    async def report(self, asked: DriftReportRequest) -> DriftReport:
        """Raises NotFound: nobody has looked yet."""
        newest = await self._reports.newest()
        if newest is None:
            raise NotFound("nobody has looked for drift yet: `evertrain drift --check` does")
        return newest

    async def check(self, asked: CheckDriftRequest) -> DriftReport:
        """Look now.

        Raises:
            UnknownSymbol: a symbol is not in the universe.
            Unavailable: NATS does not answer.
        """
        self._decisions.check(asked.symbols)
        name = asked.request_id or f"drift-{uuid.uuid4().hex[:12]}"
        return await self._check(name, asked.symbols)

    async def on_due(self, due: datetime) -> None:
        """Look at everything, by the name of this instant. Raises Unavailable."""
        await self._check(f"drift-{due:%Y%m%dT%H%M%SZ}", None)

    async def _check(self, name: str, symbols: tuple[Symbol, ...] | None) -> DriftReport:
        async with self._looking:
            done = await self._reports.newest()
            if done is not None and done.id == name:
                return done
            began = self._clock()
            wanted = symbols or self._decisions.universe.symbols
            modelled = [symbol for symbol in wanted if symbol in self._models]
            findings = await self._acted_on(name, judged(await self._evidence(modelled)))
            report = DriftReport(
                id=name,
                at=self._clock(),
                symbols=len(modelled),
                drifted=sum(one.drifted for one in findings),
                false_alarms=FALSE_ALARMS,
                findings=tuple(findings[:_TOLD]),
            )
            await self._reports.keep(report)
            took = (self._clock() - began).total_seconds()
            extra = {"check": name, "symbols": report.symbols, "drifted": report.drifted}
            log.info("looked for drift", extra=extra | {"took_s": round(took, 1)})
            return report

    async def _evidence(self, symbols: Iterable[Symbol]) -> dict[Symbol, Evidence]:
        """What is known of each; those that no trainer answered for are asked for again."""
        models = {symbol: self._models[symbol] for symbol in symbols}
        known: dict[Symbol, Evidence] = {}
        free = asyncio.Semaphore(_AT_ONCE)

        async def ask(symbol: Symbol) -> None:
            async with free:
                known[symbol] = await self._known(models[symbol])

        unanswered = list(models)
        for pause_s in _ASKED_AFTER_S:
            if unanswered:
                await asyncio.sleep(pause_s)
            async with asyncio.TaskGroup() as asking:
                for symbol in unanswered:
                    asking.create_task(ask(symbol))
            unanswered = [symbol for symbol in unanswered if known[symbol].unanswered]
        return {symbol: known[symbol] for symbol in models}

    async def _known(self, model: ModelRecord) -> Evidence:
        symbol = model.symbol
        try:
            card = await self._scorecards.find(symbol)
        except MalformedMessage as exc:
            log.error("no scorecard", extra={"symbol": symbol, "reason": str(exc)})
            card = Scorecard(symbol=symbol)
        try:
            measurement = await self._gauge.measure(symbol)
        except AppError as exc:
            unanswered = isinstance(exc, Unavailable)
            return Evidence(model=model, card=card, unmeasured=str(exc), unanswered=unanswered)
        return Evidence(model=model, card=card, measurement=measurement)

    async def _acted_on(self, name: str, findings: list[DriftFinding]) -> list[DriftFinding]:
        """The findings, once a training was asked for and everyone told."""
        drifted = [one.symbol for one in findings if one.drifted]
        due = await self._due(drifted)
        if due:
            request = TrainRequest(symbols=due, source=Source.DRIFT, request_id=name)
            await self._requests.request(Mode.FULL, request)
        acted_on = [_with_training(one, name, due) for one in findings]
        for finding in acted_on:
            if finding.drifted:
                await self._outlet.emit(_detected(finding, name, self._clock()))
        return acted_on

    async def _due(self, drifted: list[Symbol]) -> tuple[Symbol, ...]:
        """Those whose training was not tried within the cooldown."""
        if not drifted:
            return ()
        attempts, cooldown = await self._attempts.attempts(), self._decisions.policy.cooldown
        since = self._clock() - cooldown
        never = since - timedelta(days=1)
        return tuple(symbol for symbol in drifted if attempts.get(symbol, never) < since)


def _with_training(finding: DriftFinding, name: str, due: tuple[Symbol, ...]) -> DriftFinding:
    if not finding.drifted:
        return finding
    if finding.symbol in due:
        return replace(finding, training_run_id=name)
    return replace(finding, note=f"{finding.note}; it was trained within the cooldown")


def _detected(finding: DriftFinding, name: str, now: datetime) -> DriftDetected:
    return DriftDetected(
        id=f"drift.detected:{finding.symbol}:{name}",
        at=now,
        symbol=finding.symbol,
        model_version=finding.model_version,
        note=finding.note,
        training_run_id=finding.training_run_id,
    )
