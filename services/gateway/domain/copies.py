"""The gateway's own copies of what others own: kept by watching, read without asking.

Copies hold answers as ready bytes where the same answer is given again and again.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple

from shared.contracts import codec
from shared.contracts.errors import UnknownHorizon, UnknownSymbol
from shared.contracts.records import CurrentRun, ModelRecord, Prediction, RunRecord, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon
from shared.contracts.trading import Signal
from shared.market.candles import Candle

#: How many candles a snapshot has: what a chart can show without becoming slow.
TAIL: Final = 300
_MOST_QUEUED: Final = 256


class Answer(NamedTuple):
    """A body of JSON, and the entity tag that names this very content."""

    body: bytes
    etag: bytes


def answer(message: object) -> Answer:
    body = codec.encode(message)
    return Answer(body, b'"%b"' % hashlib.blake2b(body, digest_size=9).hexdigest().encode())


@dataclass(frozen=True, slots=True)
class Held:
    """A prediction, and the answer to whoever asks for all of it. `outdated`: another model than
    its own is live, so the predictor has a newer one, or soon will.
    """

    prediction: Prediction
    answer: Answer
    outdated: bool = False


@dataclass(slots=True)
class Predictions:
    """The newest prediction of each symbol, as it may be shown: as soon as we know that another
    model is live, that of the one before is stale, whatever its maker said of it.
    """

    _told: dict[Symbol, Prediction] = field(default_factory=dict)
    _live: dict[Symbol, str] = field(default_factory=dict)
    _held: dict[Symbol, Held] = field(default_factory=dict)
    _away: dict[Symbol, Held] = field(default_factory=dict)

    def put(self, prediction: Prediction) -> bool:
        """Whether this is news: a watch that starts again repeats what is known."""
        self._told[prediction.symbol] = prediction
        return self._hold(prediction.symbol)

    def go_live(self, symbol: Symbol, version: str) -> bool:
        """This model is live now, be it newer or older than the one before. Whether that changes
        what we hold.
        """
        self._live[symbol] = version
        return self._hold(symbol)

    def beside_live(self, prediction: Prediction) -> Prediction:
        """The prediction as it may be shown."""
        live = self._live.get(prediction.symbol, prediction.model_version)
        if prediction.stale or prediction.model_version == live:
            return prediction
        reason = f"it is of model {prediction.model_version}, and {live} is live now"
        return replace(prediction, stale=True, stale_reason=reason)

    def _hold(self, symbol: Symbol) -> bool:
        told = self._told.get(symbol)
        if told is None:
            return False
        shown, held = self.beside_live(told), self._held.get(symbol)
        if held is not None and held.prediction == shown:
            return False
        self._held[symbol] = Held(shown, answer(shown), outdated=shown is not told)
        self._away.pop(symbol, None)
        return True

    def remove(self, symbol: Symbol) -> None:
        self._told.pop(symbol, None)
        self._held.pop(symbol, None)
        self._away.pop(symbol, None)

    def get(self, symbol: Symbol) -> Held | None:
        return self._held.get(symbol)

    def get_stale(self, symbol: Symbol, reason: str) -> Held | None:
        """The same, marked as possibly outdated."""
        held = self._held.get(symbol)
        if held is None:
            return None
        known = self._away.get(symbol)
        if known is None or known.prediction.stale_reason != reason:
            marked = replace(held.prediction, stale=True, stale_reason=reason)
            known = self._away[symbol] = Held(marked, answer(marked))
        return known

    def all(self) -> Iterable[Held]:
        return self._held.values()


@dataclass(slots=True)
class Models:
    """The live model of each symbol."""

    _records: dict[Symbol, ModelRecord] = field(default_factory=dict)

    def put(self, record: ModelRecord) -> None:
        self._records[record.symbol] = record

    def remove(self, symbol: Symbol) -> None:
        self._records.pop(symbol, None)

    def get(self, symbol: Symbol) -> ModelRecord | None:
        return self._records.get(symbol)

    def newest_first(self) -> list[ModelRecord]:
        return sorted(self._records.values(), key=lambda r: (r.created_at, r.symbol), reverse=True)


@dataclass(slots=True)
class OpenSignals:
    """The open signal of each symbol that has one."""

    _signals: dict[Symbol, Signal] = field(default_factory=dict)

    def put(self, signal: Signal) -> None:
        self._signals[signal.symbol] = signal

    def remove(self, symbol: Symbol) -> None:
        self._signals.pop(symbol, None)

    def of(self, symbol: str | None) -> list[Signal]:
        """All of them, newest first, or that of one symbol."""
        signals = (s for s in self._signals.values() if symbol in (None, s.symbol))
        return sorted(signals, key=lambda s: (s.opened_at, s.id), reverse=True)


@dataclass(slots=True)
class Tails:
    """The newest candles of the symbols that somebody looks at."""

    _rows: dict[Symbol, list[Candle]] = field(default_factory=dict)
    #: What arrived while a tail was being read; the read may hold it or not.
    _meanwhile: dict[Symbol, list[Candle]] = field(default_factory=dict)

    def begin(self, symbol: Symbol) -> None:
        """From now on, remember what arrives: the tail of `symbol` is being read."""
        self._meanwhile[symbol] = []

    def complete(self, symbol: Symbol, rows: Iterable[Candle]) -> None:
        """The tail was read."""
        merged = {row.at_ms: row for row in [*rows, *self._meanwhile.pop(symbol, ())]}
        self._rows[symbol] = [merged[at] for at in sorted(merged)][-TAIL:]

    def add(self, symbol: Symbol, newest: Candle, *, added: int) -> None:
        """A candle arrived. After several at once the tail has a hole, so it is given up."""
        if symbol in self._meanwhile:
            self._meanwhile[symbol].append(newest)
        rows = self._rows.get(symbol)
        if rows is None:
            return
        if rows and rows[-1].at_ms == newest.at_ms:
            rows[-1] = newest
        elif added > 1:
            del self._rows[symbol]
        else:
            rows.append(newest)
            del rows[:-TAIL]

    def get(self, symbol: Symbol) -> list[Candle] | None:
        return self._rows.get(symbol)


@dataclass(slots=True)
class QueuedRuns:
    """The runs that were asked for here last, until a trainer has made a record of them."""

    _runs: dict[str, RunRecord] = field(default_factory=dict)

    def add(self, run: RunRecord) -> None:
        self._runs[run.run_id] = run
        while len(self._runs) > _MOST_QUEUED:
            del self._runs[next(iter(self._runs))]

    def get(self, run_id: str) -> RunRecord | None:
        return self._runs.get(run_id)


@dataclass(slots=True)
class Copies:
    """Everything together. `universe` is None until the scheduler has written one."""

    universe: Universe | None = None
    predictions: Predictions = field(default_factory=Predictions)
    models: Models = field(default_factory=Models)
    open_signals: OpenSignals = field(default_factory=OpenSignals)
    tails: Tails = field(default_factory=Tails)
    current_run: CurrentRun | None = None
    queued: QueuedRuns = field(default_factory=QueuedRuns)
    _symbols: frozenset[Symbol] = frozenset()
    _symbols_of: Universe | None = None

    def served(self) -> Iterable[Held]:
        """The predictions of the symbols there are: of one that was removed, the last one stays."""
        return (held for held in self.predictions.all() if self.knows(held.prediction.symbol))

    def knows(self, symbol: Symbol) -> bool:
        """Whether the symbol is in the universe, as far as we know."""
        universe = self.universe
        if universe is not self._symbols_of:
            self._symbols, self._symbols_of = (
                frozenset(universe.symbols if universe else ()),
                universe,
            )
        return universe is None or symbol in self._symbols

    def check_symbol(self, symbol: Symbol) -> None:
        """Raises UnknownSymbol for a symbol that is not in the universe, as far as we know."""
        if not self.knows(symbol):
            raise UnknownSymbol(
                f"{symbol} is not one of the symbols here; GET /api/v1/symbols lists them"
            )


def at_horizon(prediction: Prediction, horizon: Horizon) -> Prediction:
    """The prediction with the one forecast asked for.

    Raises:
        UnknownHorizon: the model does not look that many candles ahead.
    """
    chosen = tuple(f for f in prediction.predictions if f.horizon == horizon)
    if not chosen:
        known = ", ".join(str(f.horizon) for f in prediction.predictions)
        raise UnknownHorizon(
            f"there is no forecast {horizon} candles ahead for {prediction.symbol}; "
            f"there are {known}"
        )
    return replace(prediction, predictions=chosen)


def expired(prediction: Prediction, now: datetime) -> bool:
    return prediction.expires_at <= now
