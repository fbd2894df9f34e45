"""Yahoo's chart interface, as yfinance asks for it, on made-up prices."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.runtime.clock import Clock
from tests.support.stand_in import Answer, Fault, Request

#: Half past nine in New York in winter, where a day's candle begins for Yahoo.
OPENING_S: Final = 14 * 3600 + 1800
CLOSING_S: Final = 21 * 3600
_DAY_S: Final = 86_400

Chart = dict[str, Any]


class Yahoo:
    """Stocks of New York. Each candle is 20 at its opening and 24 at its high and close, which is
    half of that when it is adjusted.
    """

    def __init__(self, clock: Clock, *symbols: Symbol) -> None:
        self.symbols = set(symbols)
        self.faults: dict[Symbol, Answer | Fault] = {}
        self.spoiled: dict[Symbol, Callable[[Chart], None]] = {}
        self.asked: list[tuple[Symbol, int]] = []
        self._clock = clock

    def __call__(self, request: Request) -> Answer | Fault:
        if "/v8/finance/chart/" not in request.path:
            return Answer(b"", status=404)  # cookies, crumbs: they are not needed for charts
        symbol = Symbol(request.path.rpartition("/")[2])
        if symbol in self.faults:
            return self.faults[symbol]
        if symbol not in self.symbols:
            return _chart(None, {"code": "Not Found", "description": "No data found"}, status=404)
        if "range" in request.query:
            return _chart(_result(request.query["interval"], []), None)
        since_s = int(request.query["period1"])
        self.asked.append((symbol, since_s))
        chart = _result(request.query["interval"], self._times(request, since_s))
        if symbol in self.spoiled:
            self.spoiled[symbol](chart)
        return _chart(chart, None)

    def _times(self, request: Request, since_s: int) -> list[int]:
        """When candles begin, and at the end that of the last trade, as Yahoo adds it."""
        now_s = int(self._clock().timestamp())
        step_s = Timeframe(request.query["interval"]).seconds
        times: list[int] = []
        for day_s in range(since_s // _DAY_S * _DAY_S, now_s, _DAY_S):
            if datetime.fromtimestamp(day_s, UTC).weekday() < 5:
                end_s = min(now_s, day_s + CLOSING_S)
                times += range(day_s + OPENING_S, end_s, step_s)
        times = [at_s for at_s in times if at_s >= since_s or step_s == _DAY_S]
        if step_s < _DAY_S and times and times[-1] < now_s < times[-1] + step_s:
            times.append(now_s)
        return times


class Redirected(HTTPAdapter):  # type: ignore[misc]
    """Sends what is meant for any site to `address`."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        request.url = f"{self._address}{request.path_url}"
        return super().send(request, *args, **kwargs)


def session_at(address: str) -> requests.Session:
    """A client for yfinance that finds all of Yahoo at one address."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", Redirected(address))
    return session


def _result(interval: str, times: list[int]) -> Chart:
    rows = len(times)
    return {
        "meta": {
            "currency": "USD",
            "symbol": "X",
            "exchangeName": "NMS",
            "instrumentType": "EQUITY",
            "exchangeTimezoneName": "America/New_York",
            "timezone": "EST",
            "gmtoffset": -18_000,
            "dataGranularity": interval,
            "validRanges": ["1d", "5d", "1mo", "max"],
            "regularMarketPrice": 12.0,
            "priceHint": 2,
            "currentTradingPeriod": {},
            "tradingPeriods": [[_period(at_s)] for at_s in _days(times)],
        },
        "timestamp": times,
        "indicators": {
            "quote": [
                {
                    "open": [20.0] * rows,
                    "high": [24.0] * rows,
                    "low": [18.0] * rows,
                    "close": [24.0] * rows,
                    "volume": [1000] * rows,
                }
            ],
            "adjclose": [{"adjclose": [12.0] * rows}],
        },
    }


def _days(times: list[int]) -> list[int]:
    return sorted({at_s // _DAY_S * _DAY_S for at_s in times})


def _period(day_s: int) -> dict[str, object]:
    return {
        "timezone": "EST",
        "start": day_s + OPENING_S,
        "end": day_s + CLOSING_S,
        "gmtoffset": -18_000,
    }


def _chart(result: Chart | None, error: object, status: int = 200) -> Answer:
    chart = {"chart": {"result": [result] if result else None, "error": error}}
    return Answer(json.dumps(chart).encode(), status=status)
