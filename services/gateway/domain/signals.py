"""A signal, as clients are shown it."""

from dataclasses import dataclass, fields

from shared.contracts.trading import Exit, Signal, SignalStatus

_BY_TIME = frozenset({Exit.EXPIRY, Exit.MISSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalView(Signal):
    """`status` is `open`, `closed` at one of its levels, or `expired` with its time. Money is whole
    cents of the quote currency.
    """

    status: SignalStatus


def view(signal: Signal) -> SignalView:
    shown = {field.name: getattr(signal, field.name) for field in fields(signal)}
    return SignalView(**shown, status=status(signal))


def status(signal: Signal) -> SignalStatus:
    if signal.outcome is None:
        return "open"
    return "expired" if signal.outcome.exit in _BY_TIME else "closed"
