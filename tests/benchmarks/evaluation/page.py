"""The findings in words and tables, as they stand in docs/evaluation.md."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from shared.contracts.configuration import Configuration
from tests.benchmarks.evaluation.findings import (
    Between,
    Bin,
    Coverage,
    Skill,
    by_horizon,
    by_symbol,
    coverage,
    joined,
    reliability,
    skill,
    slope,
)
from tests.benchmarks.evaluation.trades import Result
from tests.benchmarks.evaluation.walk import Column

_BINS: Final = 10

_HEAD: Final = """\
# How good forecasts and signals are

A ROC AUC of 0.5 is a coin, and real markets are near it. Whoever shows one far from it has made a
mistake, until it is found that they have not. What can be foretold is how far prices move, and the
intervals are made to."""

_SKILL: Final = """\
`right` is the share of right directions, `base` that of naming what was commoner among the rows
that the model had learnt from. Brier score and log loss are those of the forecasts less those of
that share; the last column is their log loss less that of saying one half. Below zero the forecasts
know more, and an interval that holds zero says that this may be luck. In brackets are 95 %
intervals: of one symbol's ROC AUC the one that the product shows, else from drawing whole quarters
of the calendar, with all symbols in them."""

_COVERAGE: Final = """\
`held` is how often the return was within the interval, which promises 80 %; `in calm` and `in wild
times` are the third of the candles with the smallest average true range before them, and with the
largest. The width is in percent of the price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Series of one kind, and all that was foretold of them. Of made-up ones, no symbol is told
    apart.
    """

    title: str
    real: bool
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """What the signals of one market came to, under the rules and, `unasked`, without the filter on
    accuracy.
    """

    rules: Configuration
    asked: tuple[Result, ...]
    unasked: tuple[Result, ...]


def page(how: str, markets: Sequence[Market], traded: Traded) -> str:
    real, *made_up = markets
    return "\n".join(
        [
            _HEAD,
            "",
            *_summary(real, traded),
            _paragraph(how),
            "",
            *_market(real),
            *_reliability(real),
            *_trades(traded),
            "## Where the truth is known",
            "",
            "The same on made-up markets, whose symbols are trained a quarter as often.",
            "",
            *(line for market in made_up for line in _market(market, level="###")),
        ]
    )


def _summary(real: Market, traded: Traded) -> Iterator[str]:
    pooled = {h: joined(parts) for h, parts in by_horizon(real.columns).items()}
    areas = [skill(column, None).roc_auc for column in pooled.values()]
    coin = sum(area.low <= 0.5 <= area.high for area in areas)
    held = coverage(joined(list(pooled.values())), None, None).held
    *single, everyone = traded.asked
    better = sum((each.total_pct or 0.0) > (each.owning_pct or 0.0) for each in single)
    yield _point(
        f"- **Direction:** over all symbols, the ROC AUC is {min(areas).value:.3f} to "
        f"{max(areas).value:.3f}; {coin} of {len(areas)} horizons cannot be told from a coin."
    )
    yield f"- **Distance:** the intervals that promise 80 % held {_between(held, '.1f')} %."
    yield _point(
        f"- **Money:** {everyone.trades} signals left {_net(everyone)} each, after costs of "
        f"{_costs_pct(traded.rules):g} %; following them was better than owning the share for "
        f"{better} of {len(single)} symbols."
    )
    yield ""


def _costs_pct(rules: Configuration) -> float:
    return 2.0 * (rules.fee_pct + rules.slippage_pct)


def _market(market: Market, level: str = "##") -> Iterator[str]:
    everyone = by_horizon(market.columns)
    pooled = [(joined(parts), horizon) for horizon, parts in everyone.items()]
    single = [each for parts in everyone.values() for each in parts] if market.real else []
    yield from (f"{level} {market.title}", "")
    if market.real:
        yield from (_SKILL, "")
    yield from _table(
        ("ahead", "symbol", "forecasts", "ROC AUC", "right", "base", "Brier", "log loss", "to 1/2"),
        (
            *(_skill(skill(column, None)) for column, _ in pooled),
            *(_skill(skill(column, column.symbol)) for column in single),
        ),
    )
    if market.real:
        yield from (_COVERAGE, "")
    whole = joined([column for column, _ in pooled])
    parts = by_symbol(single)
    yield from _table(
        ("ahead", "symbol", "held", "below", "above", "in calm", "in wild times", "width"),
        (
            _coverage(coverage(whole, None, None)),
            *(_coverage(coverage(column, None, horizon)) for column, horizon in pooled),
            *(_coverage(coverage(joined(part), symbol, None)) for symbol, part in parts.items()),
        ),
    )


def _skill(found: Skill) -> tuple[str, ...]:
    return (
        f"{found.horizon}",
        found.symbol or "**all**",
        f"{found.rows:,}",
        _between(found.roc_auc, ".3f"),
        f"{found.accuracy:.1%}",
        f"{found.base_accuracy:.1%}",
        _between(found.brier, "+.4f"),
        _between(found.log_loss, "+.4f"),
        _between(found.excess, "+.4f"),
    )


def _coverage(found: Coverage) -> tuple[str, ...]:
    return (
        "all" if found.horizon is None else f"{found.horizon}",
        found.symbol or "**all**",
        f"{_between(found.held, '.1f')} %",
        f"{found.below:.1f} %",
        f"{found.above:.1f} %",
        f"{found.calm:.0f} %",
        f"{found.wild:.0f} %",
        f"{found.mean_width_pct:.1f} %",
    )


def _reliability(market: Market) -> Iterator[str]:
    yield from (
        "## Are 60 percent 60 percent?",
        "",
        _paragraph(
            "All forecasts of all symbols in ten bins of as many each, by what they said, and the "
            "share that rose. The slope is what the served log-odds would have to be multiplied by "
            "to be right: 1 if they are, less if they are too bold. The calibration is Platt's, "
            "from unseen rows, and leans on what the other symbols' models bear out "
            "([decision 11](decisions/0011-calibration-is-pooled.md)); the fewer symbols there "
            "are, the less it knows."
        ),
        "",
    )
    pooled = {h: joined(parts) for h, parts in by_horizon(market.columns).items()}
    said = {horizon: reliability(column, _BINS) for horizon, column in pooled.items()}
    yield from _table(
        ("bin", *(f"{horizon} ahead: said, rose" for horizon in said)),
        (
            *(
                (f"{number}", *(_bin(bins[number - 1]) for bins in said.values()))
                for number in range(1, _BINS + 1)
            ),
            ("slope", *(_between(slope(column), ".2f") for column in pooled.values())),
        ),
    )


def _bin(found: Bin) -> str:
    came = found.came
    return f"{found.said:.1%}, {came.value:.1%} ({came.low:.0%} to {came.high:.0%})"


def _trades(traded: Traded) -> Iterator[str]:
    rules = traded.rules
    yield from (
        "## Signals",
        "",
        _paragraph(
            "At every candle of the same walk a signal was asked for, by the product's own rules "
            f"and ledger: {rules.fee_pct:g} % fee and {rules.slippage_pct:g} % slippage each way, "
            f"so {_costs_pct(rules):g} % of every trade are costs. `net` is the mean of what a "
            "trade left of its stake. `purse` is what one has gained or lost who goes into every "
            "signal with all there is, beside who was `owning` the share from the first open to "
            "the last close; `fall` is the deepest fall of each. The leverage is above 1 only "
            "where an edge is proven."
        ),
        "",
        *_table(_TRADED, map(_result, traded.asked)),
        f"Without the filter that wants {rules.min_accuracy_target:.0%} of the validation's "
        "forecasts to have been right:",
        "",
        *_table(_TRADED, map(_result, traded.unasked)),
    )


_TRADED: Final = (
    "symbol",
    "trades",
    "with profit",
    "net",
    "in the market",
    "leverage up to",
    "purse",
    "fall",
    "owning",
    "fall",
)


def _result(found: Result) -> tuple[str, ...]:
    return (
        found.symbol or "**all**",
        f"{found.trades}",
        "" if found.hit_rate is None else f"{found.hit_rate:.0%}",
        _net(found),
        "" if found.in_market is None else f"{found.in_market:.0%}",
        "" if found.largest_leverage is None else f"{found.largest_leverage:g}x",
        _percent(found.total_pct),
        _percent(found.drawdown_pct),
        _percent(found.owning_pct),
        _percent(found.owning_drawdown_pct),
    )


def _net(found: Result) -> str:
    return "" if found.mean_net_pct is None else f"{_between(found.mean_net_pct, '+.2f')} %"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f} %"


def _between(found: Between | None, form: str) -> str:
    if found is None:
        return ""
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _point(text: str) -> str:
    return textwrap.fill(text, 100, subsequent_indent="  ", break_on_hyphens=False)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""
