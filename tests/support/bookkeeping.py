"""The books, kept by someone else: in whole numbers and powers of ten, without a fraction."""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from shared.contracts.trading import Outcome, Side, Signal

#: More digits than any product here has; a division that does not come out even is cut off here.
_DIGITS = 400


def profit_cents(signal: Signal, outcome: Outcome) -> int:
    """From what is stored of a trade: sizes, prices, rates and times."""
    if outcome.entry_price is None or outcome.exit_price is None or outcome.entry_at is None:
        return 0
    with localcontext(prec=_DIGITS):
        bought = Decimal(signal.notional_cents)
        sold = bought * Decimal(str(outcome.exit_price)) / Decimal(str(outcome.entry_price))
        moved = sold - bought if signal.side is Side.LONG else bought - sold
        costs = sum(
            _cents((bought + sold) * Decimal(str(rate)) / 100)
            for rate in (signal.fee_pct, signal.slippage_pct)
        )
        days = Decimal(_ms(outcome.exit_at) - _ms(outcome.entry_at)) / 86_400_000
        costs += _cents(bought * Decimal(str(signal.funding_pct_per_day)) / 100 * days)
        return max(_cents(moved) - costs, -signal.stake_cents)


def _cents(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
