"""The value of DATA_PROVIDER and what it opens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from shared.contracts.errors import InvalidSetting
from shared.contracts.terms import Timeframe
from shared.market.providers import replay, synthetic
from shared.market.providers.files import open_files
from shared.market.providers.provider import Provider
from shared.runtime.clock import Clock, utc_now

_AVAILABLE: Final = (
    "replay, synthetic, synthetic:COUNT, files:DIR, ccxt:EXCHANGE (like ccxt:binance) and yfinance"
)
#: Half a year of quarter hours.
_HISTORY: Final = 17_400


@asynccontextmanager
async def open_provider(
    name: str,
    *,
    timeframe: Timeframe,
    history: Callable[[], int] = lambda: _HISTORY,
    resume_after_ms: int | None = None,
    clock: Clock = utc_now,
) -> AsyncIterator[Provider]:
    """The provider that a setting names, for as long as it is needed.

    `timeframe` is the one that will be asked for: a provider without it is refused here, at the
    start. `history` says how many candles of the past a series is to have where more of them cost
    more requests; other providers give all they have. `resume_after_ms` is the open time of the
    newest candle stored, where a replay goes on.

    Raises:
        InvalidSetting: no such provider, something it needs is missing, or it lacks the timeframe.
    """
    kind, _, detail = name.partition(":")
    match kind:
        case "replay" if not detail:
            replay.require_daily(timeframe)
            yield await replay.Replay.open(resume_after_ms=resume_after_ms, clock=clock)
        case "synthetic":
            yield synthetic.Synthetic(count=_count(name, detail), clock=clock)
        case "files" if detail:
            async with open_files(Path(detail), clock=clock) as files:
                yield files
        case "ccxt" if detail:
            exchanges = await _optional(name, "ccxt", "exchanges")
            async with exchanges.open_exchange(
                detail, timeframe=timeframe, history=history, clock=clock
            ) as exchange:
                yield exchange
        case "yfinance" if not detail:
            yahoo = await _optional(name, "yfinance", "yahoo")
            async with yahoo.open_yahoo(timeframe=timeframe, history=history, clock=clock) as it:
                yield it
        case _:
            raise InvalidSetting(f"DATA_PROVIDER={name} is not available: choose from {_AVAILABLE}")


async def _optional(name: str, extra: str, module: str) -> ModuleType:
    """The provider whose library is an extra. Importing it takes a second: not in the event loop.

    Raises:
        InvalidSetting: the library is not installed.
    """
    try:
        return await asyncio.to_thread(import_module, f"shared.market.providers.{module}")
    except ModuleNotFoundError as exc:
        library = (exc.name or extra).partition(".")[0]
        raise InvalidSetting(
            f"DATA_PROVIDER={name} needs {library}: pip install 'evertrain[{extra}]'"
        ) from exc


def _count(name: str, detail: str) -> int:
    if not detail:
        return synthetic.DEFAULT_COUNT
    if not (detail.isascii() and detail.isdecimal() and 1 <= int(detail) <= synthetic.MOST):
        raise InvalidSetting(f"DATA_PROVIDER={name}: COUNT is a number from 1 to {synthetic.MOST}")
    return int(detail)
