"""Starting and stopping the automation, and changing what it does."""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from services.scheduler.domain.configuration import beginning, changed, differences, report
from services.scheduler.domain.decisions import Decisions
from services.scheduler.revision import Record, Revision, revise
from shared.contracts.configuration import (
    Configuration,
    ConfigurationReport,
    Configured,
    Door,
)
from shared.contracts.errors import ChangedMeanwhile, InvalidSetting, Unavailable
from shared.contracts.records import RunRecord, Started, Stopped
from shared.contracts.requests import (
    CancelRequest,
    ConfigurationRequest,
    ConfigureRequest,
    StartRequest,
    StopRequest,
    TrainRequest,
)
from shared.contracts.terms import Mode, Source, Status, Timeframe
from shared.contracts.trading import EvolvedParameters
from shared.runtime.backoff import backoff
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)


class Configurations(Record[Configured], Protocol):
    """The stored configuration. Every verb may raise Unavailable."""

    async def history(self) -> list[Configured]: ...


class Parameters(Protocol):
    async def evolved(self) -> list[EvolvedParameters]:
        """What the signals of each symbol follow. May raise Unavailable."""


class Requests(Protocol):
    async def request(self, mode: Mode, request: TrainRequest) -> None:
        """Queue a run; the same `request_id` is the same run. May raise Unavailable."""


class Runs(Protocol):
    async def unfinished(self) -> list[RunRecord]: ...


class Cancelling(Protocol):
    async def cancel(self, question: CancelRequest) -> list[RunRecord]:
        """Ask for the end of every run that is in progress or waits. May raise Unavailable."""


#: Puts the schedules of the configuration in force. Those that are already are left alone.
Install = Callable[[], Awaitable[None]]


class Automation:
    """Only schedulers write the configuration, each change by compare-and-set, so that none is
    lost. All of them follow it, whoever wrote it.
    """

    def __init__(
        self,
        *,
        decisions: Decisions,
        configurations: Configurations,
        parameters: Parameters,
        requests: Requests,
        runs: Runs,
        cancelling: Cancelling,
        clock: Clock,
    ) -> None:
        self._decisions = decisions
        self._configurations = configurations
        self._parameters = parameters
        self._requests = requests
        self._runs = runs
        self._cancelling = cancelling
        self._clock = clock

    async def start(self, asked: StartRequest) -> Started:
        """Let the cycle run from now on, beginning at once. One that runs is left as it is.

        Raises:
            UnknownSymbol: a symbol is not in the universe.
            InvalidSetting: another timeframe than that of this system, or no symbol.
        """
        self._decisions.check(asked.symbols)
        _check_start(asked, self._decisions.universe.timeframe)
        run_id = asked.request_id or f"start-{uuid.uuid4().hex[:12]}"
        mode = Mode.QUICK if asked.quick_start else Mode.CYCLE
        if not await self._carried_out_before(asked.request_id):

            def enable(now: Configured) -> Configured:
                return now if now.enabled else replace(now, enabled=True, symbols=asked.symbols)

            configured = await self._change(enable, by=asked.by, request_id=run_id)
            if configured.request_id != run_id:
                return await self._already_running()
            named = asked.symbols if asked.quick_start else None  # a cycle takes what is due
            request = TrainRequest(symbols=named, source=Source.AUTOMATION, request_id=run_id)
            await self._requests.request(mode, request)
            log.info("automation started", extra={"run_id": run_id, "mode": mode, "by": asked.by})
        return Started(
            status="started",
            symbols=asked.symbols or self._decisions.universe.symbols,
            timeframe=self._decisions.universe.timeframe,
            quick_mode=asked.quick_start,
            run_id=run_id,
            message=f"the automation runs, and begins with a {mode} run",
        )

    async def stop(self, asked: StopRequest) -> Stopped:
        """Let the cycle rest, and cancel every run that is in progress or waits."""
        cancelled: tuple[str, ...] = ()
        if not await self._carried_out_before(asked.request_id):
            await self._change(
                lambda now: replace(now, enabled=False), by=asked.by, request_id=asked.request_id
            )
            runs = await self._cancelling.cancel(CancelRequest())
            cancelled = tuple(run.run_id for run in runs)
            log.info("automation stopped", extra={"cancelled": cancelled, "by": asked.by})
        return Stopped(cancelled=cancelled, message=_rest(self._decisions.configured))

    async def report(self, asked: ConfigurationRequest) -> ConfigurationReport:
        revisions = await self._configurations.history()
        newest = revisions[-1] if revisions else self._decisions.configured
        return report(newest, revisions, await self._parameters.evolved())

    async def configure(self, asked: ConfigureRequest) -> ConfigurationReport:
        """Change the settings that are named.

        Raises:
            InvalidSetting: no such setting, or a value that is not allowed.
            UnknownSymbol, InvalidSymbol: a symbol that is not in the universe, or cannot be one.
            ChangedMeanwhile: `revision` is no longer the one in force.
        """

        def change(now: Configured) -> Configured:
            if asked.revision not in (None, now.revision):
                raise ChangedMeanwhile(
                    f"the configuration is at revision {now.revision}, not {asked.revision}: "
                    f"read it again and repeat the change"
                )
            wanted = changed(now, asked.changes)
            self._decisions.check(wanted.symbols if "symbols" in asked.changes else None)
            return wanted

        await self._change(change, by=asked.by, request_id=None)
        return await self.report(ConfigurationRequest())

    async def _change(
        self, change: Callable[[Configured], Configured], *, by: Door, request_id: str | None
    ) -> Configured:
        """The configuration after `change`, which is stored unless it changes nothing. What a named
        request leaves as it is becomes a revision too, by which a late repeat of it is known; but
        not what `change` hands back untouched.
        """
        known = self._decisions.configured

        def revised(stored: Configured | None) -> Configured | None:
            now = stored or known
            wanted = change(now)
            if wanted is now or (wanted == now and request_id is None):
                return None
            return replace(
                wanted,
                revision=now.revision + 1,
                changed_at=self._clock(),
                changed_by=by,
                request_id=request_id,
            )

        done: Revision[Configured] = await revise(self._configurations, revised)
        if done.after is None:
            return done.before or known
        self._decisions.take_configured(done.after)
        _tell(done.before or known, done.after)
        return done.after

    async def _carried_out_before(self, request_id: str | None) -> bool:
        """Whether this request was carried out before, and is no longer the newest one: that one
        may have been interrupted, so it is carried out again, which changes nothing if it was not.
        """
        if request_id is None:
            return False
        carried_out = [one.request_id for one in await self._configurations.history()]
        return request_id in carried_out[:-1]

    async def _already_running(self) -> Started:
        unfinished = await self._runs.unfinished()
        running = next((run for run in unfinished if run.status is Status.RUNNING), None)
        return Started(
            status="already_running",
            symbols=self._decisions.automated,
            timeframe=self._decisions.universe.timeframe,
            quick_mode=running is not None and running.mode is Mode.QUICK,
            run_id=running.run_id if running else None,
            message="the automation runs already: stop it first to start it otherwise",
        )


async def keep_schedules(
    changes: AsyncGenerator[Configured], decisions: Decisions, install: Install
) -> None:
    """Take over each change of the configuration as it comes, without end."""
    async with aclosing(changes):
        async for configured in changes:
            news = decisions.take_configured(configured)
            await _install(install)
            if news:
                log.info(
                    "another configuration is in force", extra={"revision": configured.revision}
                )


async def _install(install: Install) -> None:
    """Until NATS has taken the schedules; what it refuses for good is for people to mend."""
    for delay in backoff(0.5, most=5):
        try:
            await install()
        except Unavailable as exc:
            log.warning("the schedules are not in force yet", extra={"reason": str(exc)})
            await asyncio.sleep(delay)
        except InvalidSetting as exc:
            log.error("the schedules of before stay in force", extra={"reason": str(exc)})
            return
        else:
            return


async def in_force(
    configurations: Configurations, first: Configuration, named: frozenset[str], clock: Clock
) -> Configured:
    """The stored configuration; where there is none, `first`, which is stored now.

    The stored one wins over the settings of the process, of which `named` were given by somebody:
    each that says something else is logged.
    """
    done: Revision[Configured] = await revise(
        configurations, lambda stored: None if stored else beginning(first, clock())
    )
    stored = done.before
    if stored is None:
        assert done.after is not None
        return done.after
    for setting in differences(first, stored):
        if setting.setting in named:
            log.warning(
                "the stored configuration wins over the environment: change it with "
                "`evertrain auto-train config --set`",
                extra={
                    "setting": setting.setting,
                    "stored": setting.new,
                    "environment": setting.old,
                },
            )
    return stored


def _tell(before: Configured, after: Configured) -> None:
    changes = {change.setting: [change.old, change.new] for change in differences(before, after)}
    extra = {"revision": after.revision, "by": after.changed_by, "changes": changes}
    log.info("the configuration changed", extra=extra)


def _check_start(asked: StartRequest, timeframe: Timeframe) -> None:
    if asked.symbols == ():
        raise InvalidSetting("symbols=[] is not allowed: name some, or leave it out for all")
    if asked.timeframe not in (None, timeframe):
        raise InvalidSetting(
            f"timeframe={asked.timeframe.value!r} is not allowed: this system trains {timeframe} "
            f"(the setting TIMEFRAME)"
        )


def _rest(configuration: Configuration) -> str:
    """What a stop does not stop."""
    going_on = [
        name
        for name, enabled in (
            ("incremental", configuration.incremental_enabled),
            ("full", configuration.full_retrain_enabled),
        )
        if enabled
    ]
    if not going_on:
        return "the automation rests"
    return (
        f"the automation rests; the {' and '.join(going_on)} schedules go on: "
        f"incremental_enabled and full_retrain_enabled switch them off"
    )
