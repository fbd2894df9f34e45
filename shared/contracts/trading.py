"""What is traded on paper: the rules in force for a symbol, signals, and what became of them.

Money is whole cents of the quote currency, so that sums are exact. Prices are floats, as the market
gives them; percentages are of the price, before leverage, unless the name says otherwise.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, get_args

from shared.contracts.instants import Instant
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon, Timeframe

#: The filters of a signal, in the order in which they are applied and told.
FilterName = Literal[
    "no_model",
    "stale",
    "accuracy",
    "confidence",
    "net_profit",
    "leverage_cap",
    "exposure_cap",
    "cooldown",
    "already_open",
]
FILTERS: Final[tuple[FilterName, ...]] = get_args(FilterName)


class Side(StrEnum):
    LONG = "long"
    SHORT = "short"


class Exit(StrEnum):
    """How a signal ended. A missed one was never entered: the market opened beyond its levels."""

    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"
    EXPIRY = "expiry"
    MISSED = "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalParameters:
    """How the predictions of one symbol become signals.

    The levels are so many average true ranges away from the close at which the signal is given.
    `holding` is the horizon whose forecast decides, and how many candles the signal may last.
    """

    take_profit_atr: float = 2.0
    stop_loss_atr: float = 1.5
    min_confidence: float = 0.5
    holding: Horizon = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingTerms:
    """What a trade costs and which ones are let pass: the settings of the same names, as far as
    they decide which parameters are good.
    """

    fee_pct: float = 0.1
    slippage_pct: float = 0.05
    funding_pct_per_day: float = 0.0
    signal_cooldown_candles: int = 3
    min_confidence_threshold: float = 0.5
    min_net_profit_pct: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What parameters would have given on candles that neither they nor the model were fitted to.

    `hit_rate` is the share of trades with a profit after all costs; `mean_net_pct` the mean of
    their returns, and `total_net_pct` the sum. None where there was no trade.
    """

    trades: int
    hit_rate: float | None
    mean_net_pct: float | None
    total_net_pct: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSearch:
    """A search for better parameters than those `before`, and whether what it found is to be
    adopted; `note` says why, or why not.

    `after` is the best of the `tried` sets on all candles. The two are compared on `folds` windows,
    one after the other: for `after_result` the search was done anew before each of them, on what
    was known then. In `folds_better` of them that gave more.
    """

    adopted: bool
    note: str
    tried: int
    folds: int
    folds_better: int
    before: SignalParameters
    after: SignalParameters
    before_result: Backtest
    after_result: Backtest


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolution(ParameterSearch):
    """One attempt to find better parameters: the search in the full training of this run."""

    at: Instant
    run_id: str
    model_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolvedParameters:
    """The parameters in force for a symbol. KV `evertrain_parameters`, key `<symbol>`; owner:
    trainers. `history` holds the newest attempts, newest first, one per run. `token` and `epoch`
    fence, as those of a model do.
    """

    symbol: Symbol
    parameters: SignalParameters
    token: int
    epoch: str
    history: tuple[Evolution, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterResult:
    """`value` was held against `threshold`; None where there was none to hold."""

    name: str
    value: float | None
    threshold: float | None
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a signal. `profit_cents` is what is left of `gross_cents` after fees, slippage
    and funding. A missed signal has no prices, and cost nothing.

    Prices are the market's own: what is lost by not getting them is the slippage.
    """

    exit: Exit
    exit_at: Instant
    entry_at: Instant | None = None
    entry_price: float | None = None
    exit_price: float | None = None
    gross_cents: int = 0
    fee_cents: int = 0
    slippage_cents: int = 0
    funding_cents: int = 0
    profit_cents: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One decision to trade on paper. KV `evertrain_signals`, key `open.<symbol>` while it is open,
    then `closed.<id>`; owner: predictors.

    It was decided at the close of the candle at `candle_at`; `entry` is that close, and it is
    entered at the open of the next one. `net_profit_pct` is what reaching the take-profit would
    give, after fees and slippage, each of which is paid on the way in and on the way out.
    `stake_cents` is the margin; the position is `leverage` times as large. The `id` is the symbol's
    token and the candle, with a dot between them: a candle gives one signal at most.
    """

    id: str
    symbol: Symbol
    timeframe: Timeframe
    side: Side
    candle_at: Instant
    opened_at: Instant
    expires_at: Instant
    entry: float
    take_profit: float
    stop_loss: float
    leverage: float
    stake_cents: int
    confidence: float
    horizon: Horizon
    net_profit_pct: float
    fee_pct: float
    slippage_pct: float
    funding_pct_per_day: float
    atr_pct: float
    model_version: str
    parameters: SignalParameters
    filters: tuple[FilterResult, ...]
    outcome: Outcome | None = None

    @property
    def notional_cents(self) -> int:
        return round(self.stake_cents * self.leverage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why a prediction did not become a signal: `reason` is the first filter that it did not pass.

    One per symbol, candle, model version and reason, of which the `id` is made. All filters are
    told; `metadata` is what they were applied to, as far as it was known.
    """

    id: str
    symbol: Symbol
    timeframe: Timeframe
    at: Instant
    reason: str
    filters: tuple[FilterResult, ...]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayProfit:
    """What was realised on one day, in UTC."""

    day: str
    trades: int
    profit_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolProfit:
    symbol: Symbol
    trades: int
    win_rate: float | None
    profit_cents: int
    unrealised_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfitReport:
    """The paper ledger: `GET /system/pnl`. `days` limits it to signals that ended so lately, by the
    market's clock. Fees, slippage and funding are off `realised_cents` already. A missed signal is
    no trade.

    `profit_factor` is all profits over all losses, None where there is no loss. The drawdown is the
    deepest fall of the realised sum below its highest value before.
    """

    at: Instant
    days: int | None
    capital_cents: int
    trades: int
    realised_cents: int
    unrealised_cents: int
    fee_cents: int
    slippage_cents: int
    funding_cents: int
    win_rate: float | None
    profit_factor: float | None
    max_drawdown_cents: int
    by_symbol: tuple[SymbolProfit, ...]
    by_day: tuple[DayProfit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """An open signal, valued at the newest close. `price` is None until it has been entered."""

    signal_id: str
    symbol: Symbol
    side: Side
    notional_cents: int
    leverage: float
    entry_price: float | None
    price: float | None
    unrealised_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureReport:
    """What is open, by symbol and side, against what may be: `GET /system/exposure`."""

    at: Instant
    long_cents: int
    short_cents: int
    gross_cents: int
    net_cents: int
    cap_cents: int
    positions: tuple[Position, ...]


SignalStatus = Literal["open", "closed", "expired"]
