"""What becomes known on the bus: into our copies, and on to whoever listens."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

import orjson

from services.gateway.domain.channels import EVERY_PREDICTION, SYSTEM, Channel, Topic, channels_of
from services.gateway.domain.copies import Copies
from services.gateway.domain.progress import advanced
from shared.contracts import codec
from shared.contracts.errors import AppError
from shared.contracts.events import CandlesUpdated, Event
from shared.contracts.records import ModelRecord, Prediction, Universe
from shared.contracts.reports import SystemStatus
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.contracts.trading import Signal
from shared.market.candles import Candle
from shared.runtime.clock import to_ms

log = logging.getLogger(__name__)

_RETRY_S = 2.0


class Publish(Protocol):
    def __call__(self, channel: Channel, data: bytes, *, at: datetime, key: str = "") -> None: ...


class Supply(Protocol):
    def __call__(self, channel: Channel) -> None: ...


class CandleReader(Protocol):
    async def tail(self, symbol: Symbol, timeframe: Timeframe) -> Iterable[Candle]:
        """The newest candles in ascending order. Raises AppError when they cannot be read."""


class Facts:
    """Every `on_` method returns at once. What is already known is no news and goes nowhere."""

    def __init__(self, copies: Copies) -> None:
        self.status: SystemStatus | None = None
        self._copies = copies
        self._missing: asyncio.Queue[Symbol] = asyncio.Queue()
        self._publish: Publish = _nobody

    def tell(self, publish: Publish) -> None:
        """Publish through `publish` from now on."""
        self._publish = publish

    def on_history(self, event: Event) -> None:
        """An event from before our time: it says where things stand, and is no news."""
        self._copies.current_run = advanced(self._copies.current_run, event)

    def on_event(self, event: Event) -> None:
        self.on_history(event)
        if isinstance(event, CandlesUpdated):
            self._on_candle(event)
            return
        channels = channels_of(event)
        body = codec.encode(event) if channels else b""
        for channel in channels:
            self._publish(channel, body, at=event.at)

    def on_prediction(self, prediction: Prediction) -> None:
        if self._copies.predictions.put(prediction):
            self._publish_prediction(prediction.symbol)

    def on_prediction_gone(self, symbol: Symbol) -> None:
        self._copies.predictions.remove(symbol)

    def on_model(self, record: ModelRecord) -> None:
        """What was foretold by the model before is stale from now on, and listeners hear so."""
        self._copies.models.put(record)
        if self._copies.predictions.go_live(record.symbol, record.version):
            self._publish_prediction(record.symbol)

    def on_model_gone(self, symbol: Symbol) -> None:
        self._copies.models.remove(symbol)

    def on_open_signal(self, signal: Signal) -> None:
        self._copies.open_signals.put(signal)

    def on_signal_gone(self, symbol: Symbol) -> None:
        self._copies.open_signals.remove(symbol)

    def on_universe(self, universe: Universe) -> None:
        self._copies.universe = universe

    def on_status(self, status: SystemStatus) -> None:
        """A change of health is news; figures are not."""
        before, self.status = self.status, status
        if before is None or before.health != status.health:
            self._publish(SYSTEM, _health(status), at=status.at)

    def snapshot(self, channel: Channel) -> bytes | None:
        """What is true now on a channel, as JSON; None while candles are being read."""
        match channel.topic:
            case Topic.PREDICTIONS if channel == EVERY_PREDICTION:
                bodies = (held.answer.body for held in self._copies.served())
                return b"[%b]" % b",".join(bodies)
            case Topic.PREDICTIONS:
                held = self._copies.predictions.get(Symbol(channel.symbol or ""))
                return held.answer.body if held else b"null"
            case Topic.CANDLES:
                return self._tail(Symbol(channel.symbol or ""))
            case Topic.TRAINING:
                return codec.encode({"current_run": self._copies.current_run})
            case Topic.MODELS:
                return codec.encode([_line(r) for r in self._copies.models.newest_first()])
            case Topic.SYSTEM:
                return _health(self.status) if self.status else b"null"
            case Topic.SIGNALS:
                return codec.encode(self._copies.open_signals.of(channel.symbol))

    async def read_candles(self, reader: CandleReader, supply: Supply) -> None:
        """Fetch the candles that somebody wants to see and we do not have, without end."""
        while True:
            symbol = await self._missing.get()
            if self._copies.tails.get(symbol) is None:
                await self._read(reader, symbol)
            supply(Channel(Topic.CANDLES, symbol))

    async def _read(self, reader: CandleReader, symbol: Symbol) -> None:
        """Try until it works: a client that waits for candles has no better place to be."""
        while self._copies.universe is not None:
            self._copies.tails.begin(symbol)
            try:
                rows = await reader.tail(symbol, self._copies.universe.timeframe)
            except AppError as exc:
                log.warning("no candles yet", extra={"symbol": symbol, "reason": str(exc)})
                await asyncio.sleep(_RETRY_S)
            else:
                self._copies.tails.complete(symbol, rows)
                return

    def _publish_prediction(self, symbol: Symbol) -> None:
        held = self._copies.predictions.get(symbol)
        if held is None:
            return
        at, body = held.prediction.generated_at, held.answer.body
        self._publish(Channel(Topic.PREDICTIONS, symbol), body, at=at)
        self._publish(EVERY_PREDICTION, body, at=at, key=symbol)

    def _on_candle(self, event: CandlesUpdated) -> None:
        newest = _candle(event)
        self._copies.tails.add(event.symbol, newest, added=event.added)
        data = {"timeframe": event.timeframe, "added": event.added, "candle": tuple(newest)}
        self._publish(Channel(Topic.CANDLES, event.symbol), codec.encode(data), at=event.at)

    def _tail(self, symbol: Symbol) -> bytes | None:
        rows = self._copies.tails.get(symbol)
        if rows is None:
            self._missing.put_nowait(symbol)
            return None
        timeframe = self._copies.universe.timeframe if self._copies.universe else None
        return orjson.dumps({"timeframe": timeframe, "candles": [tuple(row) for row in rows]})


def _candle(event: CandlesUpdated) -> Candle:
    return Candle(
        to_ms(event.candle_at), event.open, event.high, event.low, event.close, event.volume
    )


def _nobody(channel: Channel, data: bytes, *, at: datetime, key: str = "") -> None:
    """Until the hub is there, news goes nowhere."""


def _health(status: SystemStatus) -> bytes:
    return codec.encode(
        {
            "level": status.health.level,
            "findings": status.health.findings,
            "nats": status.nats.connected,
            "version": status.version,
        }
    )


def _line(record: ModelRecord) -> dict[str, object]:
    return {
        "symbol": record.symbol,
        "model_version": record.version,
        "created_at": record.created_at,
        "mode": record.mode,
        "avg_roc_auc": record.avg_roc_auc,
        "avg_roc_auc_null": record.avg_roc_auc_null,
    }
