"""Binance's public REST interface, as its documentation has it, on made-up prices."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.runtime.clock import Clock, to_ms
from tests.support.stand_in import Answer, Fault, Request

Row = list[Any]
_MOST: Final = 1000
_NO_SYMBOL: Final = Answer(b'{"code":-1121,"msg":"Invalid symbol."}', status=400)


def price(at_ms: int) -> Candle:
    """What every market here did in the interval that begins at `at_ms`."""
    opened = round(100 + 10 * math.sin(at_ms / 1e8), 2)
    close = round(100 + 10 * math.sin((at_ms + 900_000) / 1e8), 2)
    return Candle(at_ms, opened, max(opened, close) + 0.5, min(opened, close) - 0.5, close, 12.5)


class Binance:
    """Spot markets that have been there since `listed_ms`.

    A symbol's fault is asked with the number of its request, counting from 1; what it gives is the
    answer. `spoiled` changes the rows of a page.
    """

    def __init__(self, clock: Clock, *symbols: Symbol) -> None:
        self.symbols = list(symbols)
        self.listed_ms = 0
        #: Whether a page holds only what opens within its own stretch of time, as elsewhere.
        self.stretches = False
        self.faults: dict[Symbol, Callable[[int], Answer | Fault | None]] = {}
        self.spoiled: dict[Symbol, Callable[[list[Row]], list[Row]]] = {}
        #: Called for every request; its answer wins.
        self.trouble: Callable[[], Answer | Fault | None] = lambda: None
        self.asked: list[tuple[Symbol, int]] = []
        self.listings = 0
        self._clock = clock

    def __call__(self, request: Request) -> Answer | Fault:
        if request.path == "/api/v3/exchangeInfo":
            self.listings += 1
        answer = self.trouble()
        if answer is not None:
            return answer
        match request.path:
            case "/api/v3/exchangeInfo":
                return _json({"symbols": [_market(symbol) for symbol in self.symbols]})
            case "/fapi/v1/exchangeInfo" | "/dapi/v1/exchangeInfo":
                return _json({"symbols": []})
            case "/api/v3/klines":
                return self._klines(request)
            case path:
                raise AssertionError(f"nobody asks Binance for {path}")

    def _klines(self, request: Request) -> Answer | Fault:
        named = {symbol.replace("/", ""): symbol for symbol in self.symbols}
        symbol = named.get(request.query["symbol"])
        if symbol is None:
            return _NO_SYMBOL
        since_ms = int(request.query["startTime"])
        self.asked.append((symbol, since_ms))
        if symbol in self.faults:
            number = sum(asked == symbol for asked, _ in self.asked)
            answer = self.faults[symbol](number)
            if answer is not None:
                return answer
        rows = self._rows(
            since_ms, Timeframe(request.query["interval"]), int(request.query["limit"])
        )
        return _json(self.spoiled[symbol](rows) if symbol in self.spoiled else rows)

    def _rows(self, since_ms: int, timeframe: Timeframe, limit: int) -> list[Row]:
        """The newest of them is the candle that is not finished yet."""
        now_ms = to_ms(self._clock())
        end_ms = now_ms + 1
        if self.stretches:
            end_ms = min(end_ms, since_ms + limit * timeframe.ms)
        first_ms = -(-max(since_ms, self.listed_ms) // timeframe.ms) * timeframe.ms
        opened = range(first_ms, end_ms, timeframe.ms)[: min(limit, _MOST)]
        return [_kline(price(at_ms), timeframe) for at_ms in opened]


def _kline(candle: Candle, timeframe: Timeframe) -> Row:
    at_ms, *numbers = candle
    cells = [f"{number:.8f}" for number in numbers]
    return [at_ms, *cells, at_ms + timeframe.ms - 1, "1250.0", 40, "6.0", "600.0", "0"]


def _market(symbol: Symbol) -> dict[str, object]:
    base, _, quote = symbol.partition("/")
    return {
        "symbol": base + quote,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "baseAssetPrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": ["SPOT"],
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": "0.01",
                "maxPrice": "1e6",
                "tickSize": "0.01",
            },
            {"filterType": "LOT_SIZE", "minQty": "1e-5", "maxQty": "9000", "stepSize": "1e-5"},
        ],
    }


def _json(value: Sequence[object] | dict[str, object]) -> Answer:
    return Answer(json.dumps(value).encode())
