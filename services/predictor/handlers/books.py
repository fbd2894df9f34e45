"""What is asked about trading on paper: signals, rejections, profit, exposure."""

import asyncio
from datetime import datetime, timedelta
from typing import Final, Protocol

from services.predictor.domain.exposure import Holding, capital_cents, exposure_report
from services.predictor.domain.profit import Trade, profit_report
from shared.contracts import codec
from shared.contracts.configuration import Configuration
from shared.contracts.errors import NotFound, Unavailable
from shared.contracts.requests import (
    ExposureRequest,
    ProfitRequest,
    RejectionsRequest,
    SignalsRequest,
)
from shared.contracts.trading import ExposureReport, ProfitReport
from shared.runtime.clock import Clock

#: Less than askers wait for an answer.
_WAIT_S: Final = 3.0


class Known(Protocol):
    @property
    def complete(self) -> asyncio.Event:
        """Set once everything that was told before is known."""


class Signals(Known, Protocol):
    async def signals(self, asked: SignalsRequest) -> list[bytes]:
        """Newest first, encoded."""

    async def trades(self, since: datetime | None) -> list[Trade]:
        """Those that ended since then, oldest first."""


class Rejections(Known, Protocol):
    async def rejected(self, asked: RejectionsRequest, now: datetime) -> list[bytes]:
        """Newest first, encoded."""


class Holdings(Known, Protocol):
    @property
    def holdings(self) -> list[Holding]:
        """What is open."""

    @property
    def newest_candle(self) -> datetime | None:
        """Where the market is, as far as it was heard."""


class Books:
    """Until everything that was told before is known, an answer would be wrong: each method waits a
    little for that, and then raises Unavailable. Lists are answered as they were stored, because to
    read a thousand messages only to write them again would keep the loop from everyone else.
    """

    def __init__(
        self,
        *,
        signals: Signals,
        rejections: Rejections,
        ledger: Holdings,
        clock: Clock,
    ) -> None:
        self._signals = signals
        self._rejections = rejections
        self._ledger = ledger
        self._configuration = Configuration()
        self._clock = clock

    def on_configuration(self, configuration: Configuration) -> None:
        self._configuration = configuration

    async def signals(self, asked: SignalsRequest) -> bytes:
        """A list of signals.

        Raises:
            NotFound: there is none with the asked id.
        """
        await _known(self._signals)
        found = await self._signals.signals(asked)
        if asked.id is not None and not found:
            raise NotFound(
                f"there is no signal {asked.id}: `evertrain signals` lists what there is"
            )
        return codec.encoded_list(found)

    async def rejected(self, asked: RejectionsRequest) -> bytes:
        """A list of rejections."""
        await _known(self._rejections)
        return codec.encoded_list(await self._rejections.rejected(asked, self._clock()))

    async def pnl(self, asked: ProfitRequest) -> ProfitReport:
        """Days are counted back from where the market is: a replay's is years behind the clock."""
        await _known(self._signals, self._ledger)
        now, holdings = self._clock(), self._ledger.holdings
        there = self._ledger.newest_candle or now
        return await asyncio.to_thread(
            profit_report,
            await self._signals.trades(there - timedelta(days=asked.days) if asked.days else None),
            {one.signal.symbol: one.value.unrealised_cents for one in holdings},
            now=now,
            days=asked.days,
            capital_cents=capital_cents(self._configuration),
        )

    async def exposure(self, asked: ExposureRequest) -> ExposureReport:
        await _known(self._ledger)
        return exposure_report(self._ledger.holdings, self._configuration, self._clock())


async def _known(*sources: Known) -> None:
    try:
        async with asyncio.timeout(_WAIT_S):
            for source in sources:
                await source.complete.wait()
    except TimeoutError:
        raise Unavailable("what was told before is still being read: ask again soon") from None
