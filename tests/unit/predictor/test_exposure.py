from dataclasses import replace

from services.predictor.domain.exposure import Holding, cap_cents, exposure_report
from shared.contracts.configuration import Configuration
from shared.contracts.symbols import Symbol
from shared.contracts.trading import ExposureReport, Side, Signal
from shared.trading.settlement import NOT_ENTERED, Value
from tests.support.signals import BTC, CANDLE_AT, signal

ETH = Symbol("ETH/USDT")
RULES = Configuration(paper_capital=10_000, max_exposure_pct=150.0)


def exposure(*holdings: Holding) -> ExposureReport:
    return exposure_report(holdings, RULES, CANDLE_AT)


def short(symbol: Symbol = ETH, *, leverage: float = 3.0) -> Signal:
    return replace(signal(Side.SHORT), id="short", symbol=symbol, leverage=leverage)


def test_nothing_open_is_no_exposure() -> None:
    found = exposure()
    assert (found.gross_cents, found.net_cents, found.positions) == (0, 0, ())
    assert found.cap_cents == 1_500_000


def test_sides_are_added_for_gross_and_set_off_for_net() -> None:
    found = exposure(Holding(signal(), NOT_ENTERED), Holding(short(), NOT_ENTERED))
    assert (found.long_cents, found.short_cents) == (500_000, 300_000)
    assert (found.gross_cents, found.net_cents) == (800_000, 200_000)


def test_positions_come_largest_first_with_what_they_are_worth() -> None:
    found = exposure(Holding(short(), NOT_ENTERED), Holding(signal(), Value(100.0, 102.0, 10_000)))
    assert [(one.symbol, one.notional_cents) for one in found.positions] == [
        (BTC, 500_000),
        (ETH, 300_000),
    ]
    assert [(one.entry_price, one.price, one.unrealised_cents) for one in found.positions] == [
        (100.0, 102.0, 10_000),
        (None, None, 0),
    ]


def test_the_cap_is_exact_to_the_cent() -> None:
    assert (
        cap_cents(Configuration(paper_capital=1_000_000_000, max_exposure_pct=0.07)) == 70_000_000
    )
