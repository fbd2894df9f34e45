"""The value of DATA_PROVIDER and what it opens."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final

from shared.contracts.errors import InvalidSetting
from shared.contracts.terms import Timeframe
from shared.market.providers import replay, synthetic
from shared.market.providers.files import directory, open_files
from shared.market.providers.provider import Provider
from shared.runtime.clock import Clock, utc_now

AVAILABLE: Final = (
    "replay, synthetic, synthetic:COUNT, files:DIR, ccxt:EXCHANGE (like ccxt:binance) and yfinance"
)
#: Half a year of quarter hours.
_HISTORY: Final = 17_400
#: Of the providers that have only some.
_TIMEFRAMES: Final[Mapping[str, tuple[Timeframe, ...]]] = {
    "replay": (Timeframe.D1,),
    "yfinance": (Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.D1),
}


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
    require_available(name, timeframe)
    kind, _, detail = name.partition(":")
    match kind:
        case "replay":
            yield await replay.Replay.open(resume_after_ms=resume_after_ms, clock=clock)
        case "synthetic":
            yield synthetic.Synthetic(count=_count(name, detail), clock=clock)
        case "files":
            async with open_files(Path(detail), clock=clock) as files:
                yield files
        case "ccxt":
            exchanges = await _imported("exchanges")
            async with exchanges.open_exchange(
                detail, timeframe=timeframe, history=history, clock=clock
            ) as exchange:
                yield exchange
        case _:
            yahoo = await _imported("yahoo")
            async with yahoo.open_yahoo(history=history, clock=clock) as it:
                yield it


def require_available(name: str, timeframe: Timeframe) -> None:
    """Refuse what can be seen to be wrong without opening anything.

    Raises:
        InvalidSetting: no such provider, exchange or directory, its library is not installed, or
            it is known to lack the timeframe.
    """
    kind, _, detail = name.partition(":")
    match kind:
        case "replay" if not detail:
            pass
        case "files" if detail:
            directory(Path(detail))
        case "synthetic":
            _count(name, detail)
        case "ccxt" if detail:
            _require_exchange(name, detail)
        case "yfinance" if not detail:
            _library(name, "yfinance")
        case _:
            raise InvalidSetting(f"DATA_PROVIDER={name} is not available: choose from {AVAILABLE}")
    there = _TIMEFRAMES.get(kind, tuple(Timeframe))
    if timeframe not in there:
        raise InvalidSetting(
            f"DATA_PROVIDER={name} has no {timeframe} candles: set TIMEFRAME to "
            f"{' or '.join(there)}"
        )


def _require_exchange(name: str, exchange: str) -> None:
    """By the names of ccxt's modules, since to import them takes a second."""
    modules = _library(name, "ccxt") / "async_support"
    known = sorted(module.stem for module in modules.glob("[!_]*.py"))
    if exchange not in known:
        raise InvalidSetting(
            f"DATA_PROVIDER={name}: there is no such exchange: choose from {', '.join(known)}"
        )


def _library(name: str, library: str) -> Path:
    """Where it is installed."""
    found = find_spec(library)
    if found is None or found.origin is None:
        raise InvalidSetting(
            f"DATA_PROVIDER={name} needs {library}: pip install 'evertrain[{library}]'"
        )
    return Path(found.origin).parent


async def _imported(module: str) -> ModuleType:
    """A provider that imports its library, which takes a second: not in the event loop."""
    return await asyncio.to_thread(import_module, f"shared.market.providers.{module}")


def _count(name: str, detail: str) -> int:
    if not detail:
        return synthetic.DEFAULT_COUNT
    if not (detail.isascii() and detail.isdecimal() and 1 <= int(detail) <= synthetic.MOST):
        raise InvalidSetting(f"DATA_PROVIDER={name}: COUNT is a number from 1 to {synthetic.MOST}")
    return int(detail)
