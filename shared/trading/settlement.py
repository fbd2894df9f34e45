"""What becomes of a signal on the candles that follow it: prices in floats, money in whole cents.

The signal is entered at the open of the first candle behind its own, if that open lies between the
stop-loss and the take-profit; else it is missed, and costs nothing. From then on, in this order:

- A candle that opens at the stop-loss or beyond ends it at that open, which may be worse.
- One that opens at the take-profit or beyond ends it at the take-profit: never better than asked.
- One that touches the stop-loss ends it there, whatever else it touches: which came first is
  unknown, so the worse is assumed.
- One that touches the take-profit ends it there.
- The last candle that it may last ends it at the close. Where that candle is missing, the next
  one's open does.

A missing candle is nothing special: what is there is what the market did.

Money is exact: each float is taken for the decimal that it is written as, each amount is rounded
to whole cents once, half to even, and profits are differences of whole cents. The stake is all that
can be lost, as with isolated margin: what a gap takes beyond it is not the trader's.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final, NamedTuple

from shared.contracts.trading import Exit, Outcome, Side, Signal

#: Open time in ms since the epoch, open, high, low, close, and a volume that nobody asks for: what
#: unpacking stored rows gives, and what a `Candle` is.
Row = tuple[int, float, float, float, float, float]

_DAY_MS: Final = 86_400_000


class Value(NamedTuple):
    """An open signal at the newest close: what closing it there would leave, after every cost.

    Before it is entered it has no prices, and is worth nothing.
    """

    entry_price: float | None
    price: float | None
    unrealised_cents: int


NOT_ENTERED: Final = Value(None, None, 0)


def settle(signal: Signal, candles: Iterable[Row]) -> Outcome | None:
    """How the signal ended; None while it is open.

    `candles` are closed ones in the order of time. Those up to the signal's own are passed over;
    those behind the end are not looked at, so that more candles never change an outcome.
    """
    course = _Course.of(signal)
    entry: _Fill | None = None
    for row in candles:
        if row[0] <= course.candle_ms:
            continue
        if entry is None:
            if not course.may_enter(row):
                return Outcome(exit=Exit.MISSED, exit_at=_instant(row[0]))
            entry = _Fill(row[0], row[1])
        if end := course.end_in(row):
            return _outcome(signal, end[0], entry, end[1])
    return None


def settle_at_last(signal: Signal, candles: Iterable[Row]) -> Outcome:
    """How a signal ended that is open, and whose market no candle will come of any more: at the
    last close, or missed where that is not behind its own.
    """
    if (stretch := _stretch(signal, candles)) is None:
        closed_ms = _ms(signal.candle_at) + signal.timeframe.ms
        return Outcome(exit=Exit.MISSED, exit_at=_instant(closed_ms))
    return _outcome(signal, Exit.EXPIRY, *stretch)


def value(signal: Signal, candles: Iterable[Row]) -> Value:
    """What the signal is worth at the last of `candles`, on which it has not ended."""
    if (stretch := _stretch(signal, candles)) is None:
        return NOT_ENTERED
    return Value(stretch.entry.price, stretch.end.price, _account(signal, *stretch).profit)


class _Fill(NamedTuple):
    at_ms: int
    price: float


class _Stretch(NamedTuple):
    entry: _Fill
    end: _Fill


def _stretch(signal: Signal, candles: Iterable[Row]) -> _Stretch | None:
    """From the entry to the last close; None before the entry."""
    candle_ms = _ms(signal.candle_at)
    behind = [row for row in candles if row[0] > candle_ms]
    if not behind:
        return None
    (entered_ms, opened, *_), (newest_ms, _, _, _, closed, _) = behind[0], behind[-1]
    newest = _Fill(newest_ms + signal.timeframe.ms, closed)
    return _Stretch(_Fill(entered_ms, opened), newest)


class _Course(NamedTuple):
    """Where and when a signal ends."""

    long: bool
    timeframe_ms: int
    candle_ms: int
    expires_ms: int
    take_profit: float
    stop_loss: float

    @classmethod
    def of(cls, signal: Signal) -> "_Course":
        return cls(
            signal.side is Side.LONG,
            signal.timeframe.ms,
            _ms(signal.candle_at),
            _ms(signal.expires_at),
            signal.take_profit,
            signal.stop_loss,
        )

    def may_enter(self, row: Row) -> bool:
        at_ms, opened = row[:2]
        beyond = self._stopped(opened) or self._reached(opened)
        return at_ms < self.expires_ms and not beyond

    def end_in(self, row: Row) -> tuple[Exit, _Fill] | None:
        """Of a signal that was entered at the open of this candle, or before."""
        at_ms, opened, high, low, closed, _ = row
        worst, best = (low, high) if self.long else (high, low)
        closes_ms = at_ms + self.timeframe_ms
        if self._stopped(opened):
            return Exit.STOP_LOSS, _Fill(at_ms, opened)
        if self._reached(opened):
            return Exit.TAKE_PROFIT, _Fill(at_ms, self.take_profit)
        if at_ms >= self.expires_ms:
            return Exit.EXPIRY, _Fill(at_ms, opened)
        if self._stopped(worst):
            return Exit.STOP_LOSS, _Fill(closes_ms, self.stop_loss)
        if self._reached(best):
            return Exit.TAKE_PROFIT, _Fill(closes_ms, self.take_profit)
        if closes_ms >= self.expires_ms:
            return Exit.EXPIRY, _Fill(closes_ms, closed)
        return None

    def _stopped(self, price: float) -> bool:
        return price <= self.stop_loss if self.long else price >= self.stop_loss

    def _reached(self, price: float) -> bool:
        return price >= self.take_profit if self.long else price <= self.take_profit


class _Account(NamedTuple):
    gross: int
    fee: int
    slippage: int
    funding: int

    @property
    def profit(self) -> int:
        return self.gross - self.fee - self.slippage - self.funding


def _account(signal: Signal, entry: _Fill, end: _Fill) -> _Account:
    """In cents. The position is as many units as the notional buys at the entry, so that what is
    paid on the way out is of what they are worth then.
    """
    notional = Fraction(signal.notional_cents)
    worth = notional * _exact(end.price) / _exact(entry.price)
    gross = worth - notional if signal.side is Side.LONG else notional - worth
    turnover = (notional + worth) / 100
    fee = round(turnover * _exact(signal.fee_pct))
    slippage = round(turnover * _exact(signal.slippage_pct))
    days = Fraction(end.at_ms - entry.at_ms, _DAY_MS)
    funding = round(notional * days * _exact(signal.funding_pct_per_day) / 100)
    stake_is_gone = fee + slippage + funding - signal.stake_cents
    return _Account(max(round(gross), stake_is_gone), fee, slippage, funding)


def _outcome(signal: Signal, how: Exit, entry: _Fill, end: _Fill) -> Outcome:
    account = _account(signal, entry, end)
    return Outcome(
        exit=how,
        exit_at=_instant(end.at_ms),
        entry_at=_instant(entry.at_ms),
        entry_price=entry.price,
        exit_price=end.price,
        gross_cents=account.gross,
        fee_cents=account.fee,
        slippage_cents=account.slippage,
        funding_cents=account.funding,
        profit_cents=account.profit,
    )


def _exact(number: float) -> Fraction:
    """The decimal that the float is written as: 0.1 is one tenth."""
    return Fraction(repr(number))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
