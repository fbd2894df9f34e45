"""The value of DATA_PROVIDER and what it opens."""

from pathlib import Path
from typing import Final

from shared.contracts.errors import InvalidSetting
from shared.contracts.terms import Timeframe
from shared.market.providers import replay, synthetic
from shared.market.providers.files import Files
from shared.market.providers.provider import Provider
from shared.runtime.clock import Clock, utc_now

_AVAILABLE: Final = "replay, synthetic, synthetic:COUNT and files:DIR"


async def open_provider(
    name: str,
    *,
    timeframe: Timeframe,
    resume_after_ms: int | None = None,
    clock: Clock = utc_now,
) -> Provider:
    """Open the provider that a setting names.

    `timeframe` is the one that will be asked for: a provider without it is refused here, at the
    start. `resume_after_ms` is the open time of the newest candle stored, where a replay goes on.

    Raises:
        InvalidSetting: no such provider, something it needs is missing, or it lacks the timeframe.
    """
    kind, _, detail = name.partition(":")
    match kind:
        case "replay" if not detail:
            replay.require_daily(timeframe)
            return await replay.Replay.open(resume_after_ms=resume_after_ms, clock=clock)
        case "synthetic":
            return synthetic.Synthetic(count=_count(name, detail), clock=clock)
        case "files" if detail:
            return await Files.open(Path(detail), clock=clock)
        case _:
            raise InvalidSetting(f"DATA_PROVIDER={name} is not available: choose from {_AVAILABLE}")


def _count(name: str, detail: str) -> int:
    if not detail:
        return synthetic.DEFAULT_COUNT
    if not (detail.isascii() and detail.isdecimal() and 1 <= int(detail) <= synthetic.MOST):
        raise InvalidSetting(f"DATA_PROVIDER={name}: COUNT is a number from 1 to {synthetic.MOST}")
    return int(detail)
