"""How a signal stands, and what is told when it has ended."""

from datetime import datetime
from typing import NamedTuple

from shared.contracts.events import SignalClosed, SignalExpired
from shared.contracts.trading import Exit, Signal, SignalStatus


class Opened(NamedTuple):
    """An open signal, and which writing of it."""

    signal: Signal
    revision: int


def status(signal: Signal) -> SignalStatus:
    """Closed at one of its levels; expired with its time, or never entered."""
    if signal.outcome is None:
        return "open"
    return "closed" if signal.outcome.exit in (Exit.TAKE_PROFIT, Exit.STOP_LOSS) else "expired"


def ending(signal: Signal, now: datetime) -> SignalClosed | SignalExpired:
    """The event of a signal that has ended, the same each time it is told but for `now`."""
    if status(signal) == "closed":
        return SignalClosed(
            id=f"signal.closed:{signal.id}", at=now, symbol=signal.symbol, signal=signal
        )
    return SignalExpired(
        id=f"signal.expired:{signal.id}", at=now, symbol=signal.symbol, signal=signal
    )
