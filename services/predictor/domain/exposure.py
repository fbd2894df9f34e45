"""What is open on paper, against what may be."""

from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

from shared.contracts.configuration import Configuration
from shared.contracts.trading import ExposureReport, Position, Side, Signal
from shared.trading.settlement import Value


class Holding(NamedTuple):
    """An open signal, and what it is worth at the newest close that was seen."""

    signal: Signal
    value: Value


def exposure_report(
    holdings: Iterable[Holding], configuration: Configuration, now: datetime
) -> ExposureReport:
    """Largest position first. One that waits for its entry counts as well: it is decided."""
    positions = sorted(map(_position, holdings), key=lambda one: (-one.notional_cents, one.symbol))
    long, short = (
        sum(one.notional_cents for one in positions if one.side is side)
        for side in (Side.LONG, Side.SHORT)
    )
    return ExposureReport(
        at=now,
        long_cents=long,
        short_cents=short,
        gross_cents=long + short,
        net_cents=long - short,
        cap_cents=cap_cents(configuration),
        positions=tuple(positions),
    )


def capital_cents(configuration: Configuration) -> int:
    return configuration.paper_capital * 100


def cap_cents(configuration: Configuration) -> int:
    """What may be open at once."""
    return round(configuration.paper_capital * Fraction(repr(configuration.max_exposure_pct)))


def _position(holding: Holding) -> Position:
    signal, value = holding
    return Position(
        signal_id=signal.id,
        symbol=signal.symbol,
        side=signal.side,
        notional_cents=signal.notional_cents,
        leverage=signal.leverage,
        entry_price=value.entry_price,
        price=value.price,
        unrealised_cents=value.unrealised_cents,
    )
